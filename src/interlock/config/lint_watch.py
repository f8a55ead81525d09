"""What is wrong with what is to be watched after a release."""

from collections.abc import Iterator

from interlock.config.lint_release import check_bounds
from interlock.config.problems import error, suggest, warning
from interlock.config.whole import Whole
from interlock.config.written import Watched
from interlock.errors import Problem
from interlock.measures import MEASURES


def check_watch(whole: Whole) -> Iterator[Problem]:
    for name, watched in whole.file.watch.items():
        path = f"watch.{name}"
        if name not in whole.aliases:
            yield error(path, f"unknown alias `{name}`", suggest(name, whole.aliases))
        yield from _guardrails(f"{path}.guardrails", watched)
        if watched.gate is None:
            continue
        if name not in whole.file.gates:
            yield error(f"{path}.gate", f"`{name}` has no gate that could run again", f"write `gates.{name}`")
        if watched.gate.every.strip("0dhms") == "":
            yield error(f"{path}.gate.every", "is no time at all", "write `24h`")
        elif watched.gate.every.endswith("ms"):
            yield warning(f"{path}.gate.every", "every run asks every case again", "write `24h`")


def _guardrails(path: str, watched: Watched) -> Iterator[Problem]:
    checks = watched.guardrails or ()
    yield from check_bounds(path, checks)
    for place, check in enumerate(checks):
        if check.metric not in MEASURES:
            yield error(
                f"{path}[{place}].metric",
                f"there is no live measure `{check.metric}`, so it could never hold",
                suggest(check.metric, tuple(MEASURES)),
            )
        if check.family is not None:
            yield error(
                f"{path}[{place}].family",
                "live measures are not kept by family",
                "leave it out; families are for gates",
            )
