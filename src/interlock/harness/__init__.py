"""Runs suites: asks models through Interlock's own decision and execution, keeps samples, judges, writes
reports.

The acting half of `evals`. It serves nobody: a case takes the way of a request, without HTTP.
"""
