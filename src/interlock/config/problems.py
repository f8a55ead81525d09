"""Small helpers to say what is wrong with a config, and where. No check lives here.

Checks speak of paths (`lanes.code-patch.select`, `policy[2].when`); `locate` adds the file and
the line at the end, in one place.
"""

import difflib
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from interlock.errors import Problem

MAX_LISTED = 12


def error(path: str, problem: str, hint: str = "", *, line: int | None = None) -> Problem:
    """A problem that keeps the config from being used."""
    return Problem(file="", path=path, problem=problem, hint=hint, line=line)


def warning(path: str, problem: str, hint: str = "") -> Problem:
    """Something an operator should know; the config can be used."""
    return Problem(file="", path=path, problem=problem, hint=hint, severity="warning")


def locate(problems: Iterable[Problem], file: str, lines: Mapping[str, int]) -> tuple[Problem, ...]:
    """The problems with their file and line: errors first, each kind in the order of the file."""
    located = [
        msgspec.structs.replace(
            problem,
            file=problem.file or file,
            line=problem.line if problem.line is not None or problem.file else line_of(problem.path, lines),
        )
        for problem in problems
    ]
    located.sort(key=lambda problem: (problem.severity != "error", problem.line or 0))
    return tuple(dict.fromkeys(located))


def line_of(path: str, lines: Mapping[str, int]) -> int | None:
    """The line of a path, or of the nearest thing around it that the file has."""
    while path and path not in lines:
        path = path[: max(path.rfind("."), path.rfind("["), 0)]
    return lines.get(path)


def below(path: str, key: str | int) -> str:
    """The path of an entry: `lanes` and `creative` give `lanes.creative`, `policy` and 0 `policy[0]`."""
    if isinstance(key, int):
        return f"{path}[{key}]"
    return f"{path}.{key}" if path else key


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known name that a misspelled one most likely means."""
    names = list(known)
    lower = {name.lower(): name for name in names}
    found = difflib.get_close_matches(word.lower(), lower, n=1)
    return lower[found[0]] if found else None


def suggest(word: str, known: Sequence[str], *, where: str = "") -> str:
    """A hint for an unknown name: what was probably meant, else what there is."""
    meant = nearest(word, known)
    if meant is not None:
        return f"did you mean `{meant}`?"
    if not known:
        return f"none are declared{where}"
    shown = ", ".join(f"`{name}`" for name in known[:MAX_LISTED])
    more = f" and {len(known) - MAX_LISTED} more" if len(known) > MAX_LISTED else ""
    return f"known{where}: {shown}{more}"


def listed(names: Iterable[str]) -> str:
    """Names as a sentence has them: `a`, `b`."""
    return ", ".join(f"`{name}`" for name in names)
