"""Sections that this version accepts but does not act on yet: said once each, plainly.

When a feature starts to act, its row here goes.
"""

from collections.abc import Callable, Iterator
from typing import Final

from interlock.config.problems import warning
from interlock.config.whole import Whole
from interlock.config.written import Approvals, File
from interlock.errors import Problem

_LATER: Final[dict[str, tuple[Callable[[File], bool], str]]] = {
    "budgets": (lambda file: bool(file.budgets), "spend is recorded per request, windows do not refuse"),
    "cache": (
        lambda file: file.cache.exact is not None or file.cache.semantic is not None,
        "every request goes to a model",
    ),
    "approvals": (
        lambda file: file.approvals != Approvals(),
        "nobody is asked: what needs a human is held back",
    ),
    "server.console": (lambda file: file.server.console, "there is no console"),
    "store.counters": (lambda file: file.store.counters is not None, "each replica counts for itself"),
}


def check_later(whole: Whole) -> Iterator[Problem]:
    for path, (present, meanwhile) in _LATER.items():
        if present(whole.file):
            yield warning(path, f"accepted, not enforced yet: {meanwhile}")
    for name, lane in whole.file.lanes.items():
        path = f"lanes.{name}"
        if lane.select == "learned":
            yield warning(f"{path}.select", "accepted, not active yet: models keep their listed order")
