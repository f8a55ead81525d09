"""One HTTP request and its answer: what is known of it, and the few ways to answer.

An exchange takes one `State` when it begins and uses that to its end, whatever is swapped meanwhile.
"""

from collections.abc import Sequence
from typing import Any, Final
from urllib.parse import parse_qsl

import msgspec

from interlock.dialects import DIALECTS
from interlock.errors import ApiError
from interlock.server.asgi import Receive, Scope, Send
from interlock.server.body import discard_body, read_body
from interlock.server.protocol import close_after_answer
from interlock.server.state import State
from interlock.types.labels import Dialect
from interlock.types.signals import Caller

Header = tuple[bytes, bytes]
JSON: Final = b"application/json"
_encode: Final = msgspec.json.Encoder().encode


class Exchange:
    """Mutable: what is known of one request so far. `facts` go to its log line."""

    def __init__(
        self, scope: Scope, receive: Receive, send: Send, state: State, name: str, began: float
    ) -> None:
        self.scope = scope
        self.receive = receive
        self.send = send
        self.state = state
        self.name = name
        self.began = began
        self.method: str = scope["method"]
        self.path: str = scope["raw_path"].decode("ascii")
        self.route = ""
        self.params: tuple[str, ...] = ()
        self.headers: dict[str, str] = {}
        self.caller = Caller()
        self.dialect: Dialect = (
            "anthropic-messages" if self.path.startswith("/v1/messages") else "openai-chat"
        )
        self.decision_id: str | None = None
        self.status = 0
        self.extra: list[Header] = []
        self.facts: dict[str, Any] = {}
        self._body_read = False

    @property
    def query(self) -> dict[str, str]:
        """The query's parameters; the last wins where one is repeated."""
        return dict(parse_qsl(self.scope["query_string"].decode("latin-1"), keep_blank_values=True))

    async def body(self) -> bytes:
        """The request's body. Raises ApiError where it is too large, too slow or of a wrong type."""
        limit = int(self.state.config.server.max_body_mb * 1_000_000)
        data = await read_body(self.receive, self.headers, limit)
        self._body_read = True
        return data

    async def begin(self, status: int, kind: bytes, headers: Sequence[Header]) -> None:
        """Send the head of an answer."""
        self.status = status
        name = b"req_" + self.name.encode("ascii")
        named = [(b"content-type", kind), (b"x-request-id", name)]
        if self.dialect == "anthropic-messages":
            named.append((b"request-id", name))
        await self.send({"type": "http.response.start", "status": status, "headers": [*named, *headers]})

    async def write(self, data: bytes, *, more: bool) -> None:
        await self.send({"type": "http.response.body", "body": data, "more_body": more})

    async def answer(self, data: bytes, status: int = 200, headers: Sequence[Header] = ()) -> None:
        """Send a whole JSON answer."""
        length = (b"content-length", b"%d" % len(data))
        await self.begin(status, JSON, [length, *self.extra, *headers])
        await self.write(data, more=False)

    async def answer_json(self, value: Any, status: int = 200) -> None:
        await self.answer(_encode(value), status)

    async def fail(self, error: ApiError) -> None:
        """Send an error in the shape that the caller's SDK expects.

        A request whose body is still on its way loses its connection, but not before the caller had
        time to read why: closing under unread bytes would throw our answer away with them.
        """
        headers: list[Header] = []
        if error.retry_after_s is not None:
            headers.append((b"retry-after", b"%d" % error.retry_after_s))
        if error.code == "method_not_allowed":
            headers.append((b"allow", error.hint.encode("ascii")))
        unread = not self._body_read and self._has_body()
        if unread:
            close_after_answer(self.send)
        error.decision_id = error.decision_id or self.decision_id
        self.facts["error"] = error.code
        data = DIALECTS[self.dialect].encode_error(error)
        length = (b"content-length", b"%d" % len(data))
        await self.begin(error.status, JSON, [length, *self.extra, *headers])
        await self.write(data, more=unread)
        if unread:
            await discard_body(self.receive)
            await self.write(b"", more=False)

    def _has_body(self) -> bool:
        length = self.headers.get("content-length", "0")
        return "transfer-encoding" in self.headers or length != "0"
