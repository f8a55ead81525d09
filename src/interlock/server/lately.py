"""The latest plain request of a process, for whoever goes over it again (`server/rehearsal`)."""

from collections.abc import Callable
from typing import Final

from interlock.execute.executor import Execution
from interlock.server.case import Case

MOST: Final = 16 * 1024
"""Bytes of a request, and of its answer, that are kept for a moment."""


class Lately:
    """Mutable: a request, read by read, and the body of its upstream's answer; empty where there is none.

    Whoever wants the next one says so by `wanted`, and is told by `taken`.
    """

    __slots__ = ("answer", "request", "taken", "wanted")

    def __init__(self) -> None:
        self.request: tuple[bytes, ...] = ()
        self.answer = b""
        self.wanted = False
        self.taken: Callable[[], object] | None = None

    def take(self, request: tuple[bytes, ...], case: Case, execution: Execution) -> None:
        """Keep a request that has its answer, if it is small and plain: one attempt, part of nothing else.

        What is logged strictly is kept nowhere.
        """
        decision = case.decision
        plain = decision.signals.session is None and decision.policy.logging != "strict"
        if not plain or case.request.keeping is not None or sum(map(len, request)) > MOST:
            return
        answer = execution.heard(MOST)
        if answer is not None:
            self.request, self.answer, self.wanted = request, answer, False
            if self.taken is not None:
                self.taken()

    def forget(self) -> None:
        """Let go of it."""
        self.request, self.answer = (), b""
