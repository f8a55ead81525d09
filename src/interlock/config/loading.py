"""From a path to a config that can run, or to everything that keeps it from running.

The steps: read YAML, fill in the environment, check the shape, resolve, look at the whole. As much
is reported as can be said without guessing: a file of the wrong shape is not looked at as a whole.
"""

from collections.abc import Mapping
from pathlib import Path

from msgspec import Struct

from interlock.config.catalogue import bundled
from interlock.config.checked import Config, Secrets
from interlock.config.decode import decode_file
from interlock.config.environment import fill
from interlock.config.lint import lint
from interlock.config.problems import error, locate
from interlock.config.resolve import Resolved, resolve
from interlock.config.source import read_source
from interlock.errors import ConfigError, Problem


class Loaded(Struct, frozen=True, kw_only=True):
    """A config that can run, what must stay in memory beside it, and what its operator should know."""

    config: Config
    secrets: Secrets
    warnings: tuple[Problem, ...]
    path: Path


def load(path: Path, env: Mapping[str, str]) -> Loaded:
    """The config at `path`, with `env` for its references. Raises ConfigError with every problem."""
    resolved, problems = _examine(path, env)
    if resolved is None or any(problem.severity == "error" for problem in problems):
        raise ConfigError(problems)
    return Loaded(config=resolved.config, secrets=resolved.secrets, warnings=problems, path=path)


def check(path: Path, env: Mapping[str, str]) -> tuple[Problem, ...]:
    """Errors, then warnings, of the config at `path`. Never raises for a bad file."""
    return _examine(path, env)[1]


def _examine(path: Path, env: Mapping[str, str]) -> tuple[Resolved | None, tuple[Problem, ...]]:
    try:
        data = path.read_bytes()
    except OSError as failure:
        what = (failure.strerror or "cannot be read").lower()
        hint = "`interlock init` writes a first config" if isinstance(failure, FileNotFoundError) else ""
        return None, locate([error("", what, hint)], str(path), {})
    source = read_source(data)
    if source.tree is None:
        return None, locate(source.problems or [_not_a_config()], str(path), source.lines)
    filled = fill(source.tree, env)
    file, shape = decode_file(filled.tree)
    problems = [*source.problems, *filled.problems, *shape]
    resolved = None
    if file is not None:
        resolved = resolve(file, filled.secrets, path.parent, bundled())
        problems += resolved.problems
        problems += lint(file, resolved.config, resolved.secrets.caller_keys)
    return resolved, locate(problems, str(path), source.lines)


def _not_a_config() -> Problem:
    return error("", "the file is empty", "`interlock init` writes a first config")
