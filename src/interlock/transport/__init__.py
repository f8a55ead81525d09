"""What the rest of the program may ask of an HTTP client, and how a call of an upstream can break.

The client is `http1.Http1Transport`. Another one can stand behind the same two Protocols. This
package moves bytes: it knows no vendor, reads no JSON, and retries nothing but the keep-alive race
that `http1` describes. It follows no redirect: a 3xx is a status like any other.

Times are instants of the running loop's own clock (`loop.time()`), never durations.
"""

from collections.abc import Sequence
from typing import Protocol

from interlock.types.answer import AttemptOutcome
from interlock.types.proxy import Proxy


class TransportError(Exception):
    """A call that broke below the level of an HTTP status.

    `outcome` is one of `connect_failed` (DNS, refused, TLS, no tunnel), `timeout` (any deadline),
    `malformed` (not HTTP, or over a limit), `upstream_error` (closed or reset too early) and
    `cancelled` (read after our own `close`). `detail` is for the record and the log; it holds
    nothing that we sent. `unsent`: no byte of the request has left.
    """

    def __init__(self, outcome: AttemptOutcome, detail: str, *, unsent: bool = False) -> None:
        self.outcome: AttemptOutcome = outcome
        self.detail = detail
        self.unsent = unsent or outcome == "connect_failed"
        super().__init__(f"{outcome}: {detail}")


class Response(Protocol):
    """An answer whose head has arrived. One task reads it; whoever stops early must `close` it."""

    status: int
    headers: dict[str, str]
    """Lower-case names; values of a repeated name are joined by ", "; cookies are left out.

    There is always a `date`.
    """

    async def chunk(self, by: float | None) -> bytes:
        """The body bytes that are there, or the next to come; b"" is the complete end.

        Raises TransportError: `timeout` if nothing comes until `by`, `upstream_error` ("cut") where
        the body ends early, `malformed` where it breaks the protocol. What arrived before a
        break is handed out first.
        """

    def whole(self, limit: int) -> bytes | None:
        """All of the body, if it is here already and no longer than `limit` bytes; else None: `read` it.

        A small one can be asked for again.
        """

    async def read(self, limit: int, by: float | None, idle_s: float | None = None) -> bytes:
        """All of the body. Raises TransportError as `chunk` does, and `malformed` over `limit` bytes.

        `idle_s` is the longest silence in it. Until its first byte that holds only where the head tells its
        length, since that is known once all of it is there.
        """

    def close(self) -> None:
        """Give up what has not arrived: the socket is closed. After the end this does nothing."""


class Transport(Protocol):
    """A client that can send one POST."""

    async def send(
        self,
        url: str,
        headers: Sequence[tuple[str, str]],
        body: bytes,
        *,
        connect_by: float,
        first_byte_by: float,
        proxy: Proxy | None = None,
    ) -> Response:
        """POST `body`; return once the whole head of the answer is there.

        `connect_by` is also for the tunnel, where there is a `proxy` to go through. `first_byte_by` is
        for that whole head, so that dripping it does not help. Host, content-length and
        accept-encoding are set here. Raises TransportError, or ValueError
        where url or headers are not fit to be sent (a programmer's or an operator's mistake).
        """

    async def close(self) -> None:
        """Close every connection, those in use too, and wait until they are gone."""
