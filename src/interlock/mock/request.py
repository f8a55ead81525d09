"""A request as the mock receives it, read from the raw stream."""

import asyncio
from functools import cached_property
from typing import Any, Final

import msgspec
from msgspec import Struct

from interlock.mock.asked import Asked
from interlock.mock.wires import Wire, spoken

MOST_HEAD: Final = 1024 * 1024
MOST_BODY: Final = 256 * 1024 * 1024
_END: Final = b"\r\n\r\n"
_GO_ON: Final = b"HTTP/1.1 100 Continue\r\n\r\n"


class NotHttpError(Exception):
    """What came is no request that can be read."""


class Received(Struct, frozen=True, kw_only=True, dict=True):
    """`path` without its query; names of `headers` in lower case, the last of several counts."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    gone: asyncio.Event
    """Set when the client has closed its connection."""

    @property
    def json(self) -> Any:
        """The body as JSON; None where it is none."""
        try:
            return msgspec.json.decode(self.body)
        except msgspec.DecodeError:
            return None

    @property
    def fields(self) -> dict[str, Any]:
        """The fields of a body that is a JSON object, else none."""
        value = self.json
        return value if isinstance(value, dict) else {}

    @cached_property
    def _spoken(self) -> tuple[Wire, Asked]:
        return spoken(self.path, self.headers, self.fields)

    @property
    def wire(self) -> Wire:
        """The wire that it came on."""
        return self._spoken[0]

    @property
    def asked(self) -> Asked:
        return self._spoken[1]

    @property
    def model(self) -> str:
        return self.asked.model

    @property
    def stream(self) -> bool:
        return self.asked.kind == "stream"

    @property
    def is_last(self) -> bool:
        """Whether the client wants its connection closed behind the answer."""
        return self.headers.get("connection", "").lower() == "close"


async def read_request(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, gone: asyncio.Event
) -> Received | None:
    """The next request; None where the client has closed between two.

    Raises NotHttpError, and asyncio.IncompleteReadError where the client leaves in the middle.
    """
    try:
        head = await reader.readuntil(_END)
    except asyncio.IncompleteReadError as error:
        if not error.partial:
            return None
        raise
    except asyncio.LimitOverrunError:
        raise NotHttpError from None
    line, *lines = head[: -len(_END)].decode("latin-1").split("\r\n")
    words = line.split(" ")
    if len(words) != 3:
        raise NotHttpError
    headers = {
        name.strip().lower(): value.strip() for name, _, value in (row.partition(":") for row in lines)
    }
    if headers.get("expect", "").lower() == "100-continue":
        writer.write(_GO_ON)
    return Received(
        method=words[0],
        path=words[1].partition("?")[0],
        headers=headers,
        body=await _body(reader, headers),
        gone=gone,
    )


async def _body(reader: asyncio.StreamReader, headers: dict[str, str]) -> bytes:
    if headers.get("transfer-encoding", "").lower() == "chunked":
        pieces = []
        while size := _number((await reader.readuntil(b"\r\n")).partition(b";")[0], 16):
            pieces.append(await reader.readexactly(size))
            await reader.readuntil(b"\r\n")
        while await reader.readuntil(b"\r\n") != b"\r\n":
            pass
        return b"".join(pieces)
    return await reader.readexactly(_number(headers.get("content-length", "0").encode(), 10))


def _number(text: bytes, base: int) -> int:
    try:
        number = int(text, base)
    except ValueError:
        raise NotHttpError from None
    if not 0 <= number <= MOST_BODY:
        raise NotHttpError
    return number
