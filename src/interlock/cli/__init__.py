"""The command line. `main` is the entry point; each command is a module that loads when it is used."""

from interlock.cli.app import main

__all__ = ["main"]
