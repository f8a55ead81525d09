"""Releases: what may be released under an alias, and what the pool's changes mean for those that are."""
