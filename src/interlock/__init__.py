"""Interlock: a policy-controlled inference fabric.

ARCHITECTURE.md walks a request through these packages in file order.
"""

__version__ = "0.1.0"
