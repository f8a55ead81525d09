"""Recorded decisions computed again: one by one (`again`), and what a change of the config does to all
(`effect`).
"""

from interlock.replay.again import Change as Change
from interlock.replay.again import Place as Place
from interlock.replay.again import against as against
from interlock.replay.again import recompute as recompute
