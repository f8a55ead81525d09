"""Reads a suite from its files, ours or another tool's. The one place in `evals` that opens a file."""

from pathlib import Path
from typing import Final

from interlock.config.problems import error, locate
from interlock.errors import ConfigError, Problem
from interlock.evals.decode import Found, decode_suite
from interlock.evals.importers.common import Read
from interlock.evals.suite import Suite

MAX_BYTES: Final = 256 * 1024 * 1024


def load_suite(path: Path) -> Suite:
    """The suite in a file. Raises ConfigError with every problem."""
    found = examine_suite(path)
    if found.suite is None:
        raise ConfigError(found.problems)
    return found.suite


def examine_suite(path: Path) -> Found:
    """The suite, and every problem of its files. Never raises for a bad file."""
    read = reader_of(path.parent)
    data = read(path.name)
    if isinstance(data, str):
        return Found(suite=None, problems=_located(error("", data, "name a suite's file"), path))
    return decode_suite(str(path), data, read)


def reader_of(folder: Path) -> Read:
    """Reads what a file of this folder names: its bytes, or why it cannot be read."""

    def read(name: str) -> bytes | str:
        target = folder / name
        if not _inside(target, folder.parent):
            return "lies outside the folder of the suite's own folder"
        try:
            if target.stat().st_size > MAX_BYTES:
                return f"is larger than {MAX_BYTES // 1024 // 1024} MiB"
            return target.read_bytes()
        except OSError as failure:
            return (failure.strerror or "cannot be read").lower()

    return read


def _inside(target: Path, folder: Path) -> bool:
    """Suites share schemas with their neighbours (`../schemas/…`), not with the whole machine."""
    return target.resolve().is_relative_to(folder.resolve())


def _located(problem: Problem, path: Path) -> tuple[Problem, ...]:
    return locate([problem], str(path), {})
