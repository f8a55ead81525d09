"""Bytes of a connection -> answers, one after the other. No socket and no clock: `connection` has those.

httptools (llhttp, strict) does the grammar; what it does not bound or judge is bounded and judged here:
size of the head, number of headers, bytes without content, versions, codings that we never asked for.

Most answers are whole in one read and written in the plainest way: `_usual` reads those by itself, since
llhttp is a lot of code for a few lines. Whatever could be read in more than one way, or refused, is llhttp's.
"""

from typing import Final

import httptools

MAX_HEAD: Final = 64 * 1024
"""Bytes of status line and headers, those of 1xx answers before it included."""
MAX_HEADERS: Final = 100
MAX_BARE: Final = 16 * 1024
"""Bytes in a row (chunk sizes, chunk extensions, trailers) that carry no content."""
_LINE_FEED: Final = 0x0A
_MOST_USUAL: Final = 8 * 1024
"""Bytes of a head that is read without llhttp."""
_DOUBTFUL: Final = frozenset(
    {
        "connection",
        "content-encoding",
        "proxy-connection",
        "set-cookie",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
"""Headers that say more than themselves, or are not kept."""
_HARMLESS: Final = frozenset({"connection: keep-alive", "Connection: keep-alive"})


class MalformedError(Exception):
    """What came is not an answer that we accept; its text says why, in our words or llhttp's."""


class ResponseParser:
    """The state of one answer; `reset` makes it ready for the next one on the same connection.

    `begun` means that status and headers are final, `complete` that the body is. Body bytes pile up in
    `parts` until the owner takes them. `until_eof` says that, unless it is `complete` at once, only
    the end of the connection ends the body. `keep_alive` says whether the connection is fit for
    another request.
    """

    __slots__ = (
        "_bare",
        "_head_size",
        "_http",
        "_is_1_1",
        "_lines",
        "begun",
        "complete",
        "headers",
        "keep_alive",
        "on_body",
        "parts",
        "status",
        "until_eof",
    )

    def __init__(self) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self.until_eof = self.keep_alive = self._is_1_1 = False
        self.parts: list[bytes] = []
        self._lines: list[tuple[bytes, bytes]] = []
        self.on_body = self.parts.append  # straight into the list: no Python frame per chunk
        self.reset()
        self._http = httptools.HttpResponseParser(self)

    def reset(self) -> None:
        self.begun = self.complete = False  # until then the rest is what it was for the answer before
        self._head_size = self._bare = 0
        if self.parts:
            self.parts.clear()
        if self._lines:
            self._lines.clear()  # trailers

    def feed(self, data: bytes) -> None:
        """Take one read of the socket. Raises MalformedError; `parts` then still holds what came before."""
        if self._head_size == 0:
            usual = _usual(data)
            if usual is not None:
                self.headers, body = usual
                self.parts.append(body)
                self.status, self.until_eof, self._head_size = 200, False, len(data)
                self.keep_alive = self.begun = self.complete = True
                return
            self._begin(data)
        try:
            if self.begun:
                self._http.feed_data(data)
            else:
                self._head_size += len(data)
                if self._head_size <= MAX_HEAD:
                    self._http.feed_data(data)
                else:
                    self._feed_in_two(data, len(data) - (self._head_size - MAX_HEAD))
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            if not self.complete:
                reason = error.__context__ if isinstance(error.__context__, MalformedError) else error
                raise MalformedError(str(reason)) from error
            self.keep_alive = False  # a good answer with something behind it: use that, then hang up
        if self.parts:
            self._bare = 0
        elif self.begun:
            self._bare += len(data)
            if self._bare > MAX_BARE and not self.complete:
                raise MalformedError(f"{MAX_BARE} bytes of chunk headers or trailers without content")

    def _begin(self, data: bytes) -> None:
        self._is_1_1 = data.startswith(b"HTTP/1.1 ")
        if not self._is_1_1 and data[:1] != b"H":
            raise MalformedError("not an HTTP answer")  # llhttp would take RTSP, ICE and blank lines too

    def _feed_in_two(self, data: bytes, cut: int) -> None:
        """Feed what lies before MAX_HEAD, and the rest only where the head is complete by then."""
        view = memoryview(data)
        self._http.feed_data(view[:cut])
        if not self.begun:
            raise MalformedError(f"head over {MAX_HEAD} bytes")
        self._http.feed_data(view[cut:])

    def on_message_begin(self) -> None:
        if self.complete:
            raise MalformedError("a second answer that nobody asked for")

    def on_header(self, name: bytes, value: bytes) -> None:
        self._lines.append((name, value))

    def on_headers_complete(self) -> None:
        http = self._http
        status = http.get_status_code()
        if not 200 <= status < 600:
            if not 100 <= status < 200 or status == 101:
                raise MalformedError(f"status {status}")
            self._lines.clear()  # an interim answer: the final one follows
            self._is_1_1 = False
            return
        if not self._is_1_1 and http.get_http_version() not in {"1.1", "1.0"}:
            raise MalformedError("not HTTP/1.1")
        if len(self._lines) > MAX_HEADERS:
            raise MalformedError(f"over {MAX_HEADERS} headers")
        self.headers = headers = _join(self._lines)
        self._lines.clear()  # a stream may stay open for long
        framing = headers.get("transfer-encoding")
        if framing is not None and framing.lower() != "chunked":
            raise MalformedError("a transfer-encoding other than chunked")
        coding = headers.get("content-encoding")
        if coding is not None and coding.lower() not in {"identity", ""}:
            # Never unpacked, so never a bomb: identity is all that we asked for.
            raise MalformedError("a content-encoding other than identity")
        self.status = status
        self.keep_alive = http.should_keep_alive()
        self.until_eof = framing is None and "content-length" not in headers
        self.begun = True

    def on_message_complete(self) -> None:
        if self.begun:  # else it was an interim answer
            self.complete = True


def _usual(data: bytes) -> tuple[dict[str, str], bytes] | None:
    """Headers and body of an answer that is here as a whole and has nothing unusual; None for any other.

    Its names are some that llhttp has read before, each there once, with a printable value behind a colon and
    a space. A length that is written as we would write it is all that says where it ends, and is true.
    """
    if data[-1] == _LINE_FEED:  # a head alone, and most reads of chunks
        return None
    head, _, body = data.partition(b"\r\n\r\n")
    if len(head) > _MOST_USUAL:
        return None
    first, _, rest = head.decode("latin-1").partition("\r\n")
    if first != "HTTP/1.1 200 OK":
        return None
    headers: dict[str, str] = {}
    while rest:
        line, _, rest = rest.partition("\r\n")
        raw, _, value = line.partition(": ")
        name = _NAMES.get(raw)
        if name is None or name in headers or not value or not value.isprintable():
            return None
        if name in _DOUBTFUL and line not in _HARMLESS:
            return None
        headers[name] = value.strip()
    if headers.get("content-length") != f"{len(body)}" or not body or len(headers) > MAX_HEADERS:
        return None
    return headers, body


def _join(lines: list[tuple[bytes, bytes]]) -> dict[str, str]:
    headers: dict[str, str] = {}
    for raw_name, raw_value in lines:
        name = _NAMES[raw_name.decode("latin-1")]
        value = raw_value.rstrip().decode("latin-1")
        if name in headers:
            value = f"{headers[name]}, {value}"
        headers[name] = value
    headers.pop("set-cookie", None)
    return headers


class _Names(dict[str, str]):
    """Names of headers that llhttp has read, as they came, in lower case.

    Upstreams have few; many made up make none slow.
    """

    def __missing__(self, raw: str) -> str:
        name = raw.lower()
        if len(raw) <= _LONGEST_NAME:
            if len(self) >= _MOST_NAMES:
                self.clear()
            self[raw] = name
        return name


_MOST_NAMES: Final = 1024
_LONGEST_NAME: Final = 64
_NAMES: Final = _Names()
