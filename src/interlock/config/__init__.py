"""The config: one YAML file to one frozen, checked, hashed value. `load` and `check` are the way in."""

from interlock.config.loading import Loaded, check, load

__all__ = ["Loaded", "check", "load"]
