"""From a path to a config that can run, or to everything that keeps it from running.

The steps: read YAML, fill in the environment, check the shape, resolve, look at the whole. As much
is reported as can be said without guessing: a file of the wrong shape is not looked at as a whole.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from msgspec import Struct

from interlock.config.catalogue import bundled
from interlock.config.checked import Config, Secrets
from interlock.config.decode import decode_file
from interlock.config.environment import Filled, fill
from interlock.config.lint import lint
from interlock.config.problems import error, locate
from interlock.config.resolve import Resolved, resolve
from interlock.config.source import read_source
from interlock.config.written import Store
from interlock.errors import ConfigError, Problem

SHORTEST_SOUGHT: Final = 8
"""A key of fewer characters is not looked for in a file: it would be found by chance."""


class Loaded(Struct, frozen=True, kw_only=True):
    """A config that can run, what must stay in memory beside it, and what its operator should know.

    `text` is the file as it is written; None where a key stands in it, for then it may be kept nowhere.
    """

    config: Config
    secrets: Secrets
    warnings: tuple[Problem, ...]
    path: Path
    text: bytes | None = None


class _Examined(Struct, frozen=True):
    """What a file resolves to (None: it is not one), all problems, and the text that may be kept."""

    resolved: Resolved | None
    problems: tuple[Problem, ...]
    text: bytes | None = None


def load(path: Path, env: Mapping[str, str], *, data: bytes | None = None) -> Loaded:
    """The config at `path`, with `env` for its references. Raises ConfigError with every problem.

    `data` is what the file would hold, for one that is not written yet.
    """
    found = _examine(path, env, data)
    resolved, problems = found.resolved, found.problems
    if resolved is None or any(problem.severity == "error" for problem in problems):
        raise ConfigError(problems)
    return Loaded(
        config=resolved.config, secrets=resolved.secrets, warnings=problems, path=path, text=found.text
    )


def check(path: Path, env: Mapping[str, str]) -> tuple[Problem, ...]:
    """Errors, then warnings, of the config at `path`. Never raises for a bad file."""
    return _examine(path, env).problems


def store_url(path: Path, env: Mapping[str, str]) -> str:
    """Where the store of a config is, also of one that cannot be used; what it cannot say is the default."""
    source = read_source(path.read_bytes())
    filled = fill(source.tree, env).tree
    section = filled.get("store") if isinstance(filled, dict) else None
    url = section.get("url") if isinstance(section, dict) else None
    return url if isinstance(url, str) else Store().url


def _examine(path: Path, env: Mapping[str, str], data: bytes | None = None) -> _Examined:
    try:
        data = path.read_bytes() if data is None else data
    except OSError as failure:
        what = (failure.strerror or "cannot be read").lower()
        hint = "`interlock init` writes a first config" if isinstance(failure, FileNotFoundError) else ""
        return _Examined(None, locate([error("", what, hint)], str(path), {}))
    source = read_source(data)
    if source.tree is None:
        return _Examined(None, locate(source.problems or [_not_a_config()], str(path), source.lines))
    filled = fill(source.tree, env)
    file, shape = decode_file(filled.tree)
    problems = [*source.problems, *filled.problems, *shape]
    resolved = None
    if file is not None:
        resolved = resolve(file, filled.secrets, path.parent, bundled())
        problems += resolved.problems
        problems += lint(file, resolved.config, resolved.secrets.caller_keys)
    text = None if _holds_a_secret(data, filled) else data
    return _Examined(resolved, locate(problems, str(path), source.lines), text)


def _holds_a_secret(data: bytes, filled: Filled) -> bool:
    """Whether a key stands in the text: in its place, or anywhere else (a comment, another field)."""
    return filled.literal or any(
        secret.encode() in data for secret in filled.secrets.values() if len(secret) >= SHORTEST_SOUGHT
    )


def _not_a_config() -> Problem:
    return error("", "the file is empty", "`interlock init` writes a first config")
