"""Rollouts: a staged change of an alias as a state machine, its live measures, and their verdict. Pure."""
