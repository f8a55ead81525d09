"""One HTTP request and its answer: what is known of it, and the few ways to answer.

An exchange takes one `State` when it begins and uses that to its end, whatever is swapped meanwhile.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final
from urllib.parse import parse_qsl

import msgspec
from msgspec import Struct

from interlock.dialects import DIALECTS, ENDPOINTS
from interlock.errors import ApiError, ErrorCode
from interlock.server.http1 import Call, field
from interlock.server.rows import Begun
from interlock.server.state import State
from interlock.types.decision import Decision
from interlock.types.labels import Dialect
from interlock.types.record import Attempt, Status
from interlock.types.signals import Caller

_JSON: Final = "content-type: application/json\r\n"
COST_NOTHING: Final = "x-interlock-cost-usd: 0\r\n"
COST_UNKNOWN: Final = "x-interlock-cost-usd: unknown\r\n"
_UNDECIDED: Final = "x-interlock-attempts: 0\r\n" + COST_NOTHING
"""What can be said of an inference call that failed before there was a decision."""
_encode: Final = msgspec.json.Encoder().encode
_NOBODY: Final = Caller()


class Asked(Struct, frozen=True, gc=False):
    """What a head asks for. `dialect` is the shape of errors that its sender will understand."""

    path: str
    query_string: bytes
    dialect: Dialect


def asked_of(call: Call) -> Asked:
    """What the head of a call asks for."""
    path, _, query_string = call.target.partition(b"?")
    anthropic = "anthropic-version" in call.headers or path.startswith(b"/v1/messages")
    return Asked(path.decode("latin-1"), query_string, "anthropic-messages" if anthropic else "openai-chat")


class Exchange:
    """Mutable: what is known of one request so far; its log line says it.

    `extra` are header lines (`http1.field`) that its answer will carry. `began` is an instant of the loop.
    `decision`, `outcome`, `attempts` and `used` are those of its record, once there is one; `row` is what is
    written of that already. `weight` is what its body counts among those that are held in memory.
    """

    __slots__ = (
        "asked",
        "attempts",
        "began",
        "call",
        "caller",
        "decision",
        "dialect",
        "error",
        "extra",
        "handle",
        "name",
        "outcome",
        "params",
        "route",
        "row",
        "state",
        "status",
        "used",
        "weight",
    )

    def __init__(self, call: Call, state: State, name: str, began: float, asked: Asked) -> None:
        self.call = call
        self.state = state
        self.name = name
        self.began = began
        self.asked = asked
        self.route = ""
        self.handle: Callable[..., Awaitable[None]] | None = None
        self.params: tuple[str, ...] = ()
        self.caller = _NOBODY
        self.dialect: Dialect = asked.dialect
        self.decision: Decision | None = None
        self.row: Begun | None = None
        self.outcome: Status | None = None
        self.attempts: Sequence[Attempt] = ()
        self.used: dict[str, float] | None = None
        self.error: ErrorCode | None = None
        self.status = 0
        self.extra = ""
        self.weight = 0

    @property
    def path(self) -> str:
        return self.asked.path

    @property
    def headers(self) -> dict[str, str]:
        """The request's headers by lower-case name."""
        return self.call.headers

    @property
    def body(self) -> bytes:
        """The request's body, whole."""
        return self.call.body

    @property
    def query(self) -> dict[str, str]:
        """The query's parameters; the last wins where one is repeated."""
        return dict(parse_qsl(self.asked.query_string.decode("latin-1"), keep_blank_values=True))

    @property
    def gone(self) -> bool:
        """Whether the caller has left."""
        return self.call.gone

    def begin(self, kind: str) -> None:
        """Begin a streamed answer of a media type, with `extra`."""
        self.status = 200
        self.call.begin(200, self._fields(f"content-type: {kind}\r\n"))
        self.extra = ""

    def answer(self, data: bytes, status: int = 200, head: str = _JSON, *, alone: bool = False) -> None:
        """Send a whole answer, JSON unless `head` names another media type; at once if it is `alone`."""
        self.status = status
        self.call.respond(status, self._fields(head), data, alone=alone)

    def answer_json(self, value: Any, status: int = 200) -> None:
        self.answer(_encode(value), status)

    def fail(self, error: ApiError) -> None:
        """Send an error in the shape that the caller's SDK expects."""
        if not self.extra and self.path in ENDPOINTS:
            self.extra = _UNDECIDED
        if error.retry_after_s is not None:
            self.extra += f"retry-after: {error.retry_after_s}\r\n"
        if error.code == "method_not_allowed":
            self.extra += field("allow", error.hint)
        if self.decision is not None:
            error.decision_id = self.decision.id
        self.error = error.code
        self.answer(DIALECTS[self.dialect].encode_error(error), error.status)

    def _fields(self, kind: str) -> str:
        name = self.name
        if self.dialect == "anthropic-messages":
            return f"{kind}x-request-id: req_{name}\r\nrequest-id: req_{name}\r\n{self.extra}"
        return f"{kind}x-request-id: req_{name}\r\n{self.extra}"
