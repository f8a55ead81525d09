"""Heads that come again: a client that keeps its connection sends the same one with request after request.

Of a head that httptools has read without a doubt, and that the application has admitted, the same bytes mean
the same. So where a read is such a head, with nothing changed but the digits of its length, and a body just
as long, no byte of it has to be parsed again. Everything else goes to httptools: what comes in pieces or with
something behind it, what differs in a byte, and heads whose length could be read in more than one way.

A connection remembers a head that it has sent itself, until it closes: no other's bytes are ever compared to
it. It is held as it came, with the caller's key in it: a key is in memory in plain text not only while a
request with it is here, but until the connection closes that sent it. No file and no table has it.
"""

from typing import Any, Final

import re2
from msgspec import Struct

from interlock.server.http1.call import Call

MOST: Final = 4096
"""Bytes of a head that is remembered."""
NAMES: Final = {
    name.encode(): name
    for name in (
        "accept",
        "accept-encoding",
        "anthropic-version",
        "authorization",
        "connection",
        "content-length",
        "content-type",
        "host",
        "user-agent",
        "x-api-key",
    )
}
"""Names of headers that most requests have."""
_END: Final = b"\r\n\r\n"
_LINE_END: Final = b"\r\n"
_LENGTH: Final = re2.compile(rb"(?i)\r\ncontent-length: (0|[1-9][0-9]{0,4})\r\n")
_FRAMING: Final = frozenset({"expect", "te", "trailer", "transfer-encoding", "upgrade"})
"""Headers that say more about where a request ends, or what its sender waits for."""


class Head(Struct, frozen=True):
    """A head, cut at the digits of its length. `again` is what the application admits it again with.

    `before` and `after` reach from the request line to the last header. `headers` are all but the length.
    """

    before: bytes
    after: bytes
    target: bytes
    headers: dict[str, str]
    again: Any

    def body_of(self, data: bytes) -> bytes | None:
        """The body of a request with this head, where `data` is one, whole and alone; else None."""
        head, end, body = data.partition(_END)
        # The length as we would write it: no sign, no space, no leading zero.
        again = end and head == b"%b%d%b" % (self.before, len(body), self.after)
        return body if again else None


def head_of(data: bytes, call: Call, again: Any) -> Head | None:
    """The head of a call that was read from `data`, if it may be remembered."""
    head, end, body = data.partition(_END)
    lines, headers = head + _LINE_END, call.headers
    length = _LENGTH.search(lines) if len(head) <= MOST else None
    if length is None:
        return None
    plain = (
        call.method == "POST"
        and call.keep_alive
        and headers.keys().isdisjoint(_FRAMING)
        # A line for each header and one before them: none is doubled, folded or split otherwise.
        and lines.count(b"\n") == lines.count(b"\r") == len(headers) + 1
        # And httptools has found the same length and the same body.
        and headers.get("content-length") == length[1].decode("ascii")
        and end
        and body == call.body
    )
    if not plain:
        return None
    others = {name: text for name, text in headers.items() if name != "content-length"}
    return Head(head[: length.start(1)], head[length.end(1) :], call.target, others, again)
