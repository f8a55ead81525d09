"""The latest plain request of a process, for whoever goes over it again (`server/rehearsal`)."""

from collections.abc import Callable
from typing import Final

from interlock.execute.executor import Execution
from interlock.execute.setting import Setting
from interlock.server.case import Case

MOST: Final = 16 * 1024
"""Bytes of a request, and of its answer, that are kept for a moment."""


class Lately:
    """Mutable: a request, read by read, and the body of its upstream's answer; empty where there is none.
    `setting` is what it was executed in.

    Whoever wants the next one says so by `wanted`, and is told by `taken`.
    """

    __slots__ = ("answer", "request", "setting", "taken", "wanted")

    def __init__(self) -> None:
        self.request: tuple[bytes, ...] = ()
        self.answer = b""
        self.setting: Setting | None = None
        self.wanted = False
        self.taken: Callable[[], object] | None = None

    def take(self, request: tuple[bytes, ...], case: Case, execution: Execution) -> None:
        """Keep a request that has its answer, if it is small, took one attempt and asks nothing of the store.

        What is logged strictly is kept nowhere.
        """
        decision, keeping = case.decision, case.request.keeping
        goes_on = decision.signals.session is not None or (
            keeping is not None and (keeping.previous is not None or keeping.refers)
        )
        if goes_on or decision.policy.logging == "strict" or sum(map(len, request)) > MOST:
            return
        answer = execution.heard(MOST)
        if answer is not None:
            self.request, self.answer, self.wanted = request, answer, False
            self.setting = execution.setting
            if self.taken is not None:
                self.taken()

    def forget(self) -> None:
        """Let go of it."""
        self.request, self.answer, self.setting = (), b"", None
