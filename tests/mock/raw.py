"""A client without manners: bytes to a socket, and whatever comes back until it ends."""

import asyncio
import json
from typing import Any

CHAT: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}


def post(path: str, body: Any, *headers: str, keep: bool = False) -> bytes:
    """A request; `keep`: its connection stays open behind it."""
    data = json.dumps(body).encode()
    lines = "".join(f"{line}\r\n" for line in (*headers, *(() if keep else ("connection: close",))))
    head = f"POST {path} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: {len(data)}\r\n{lines}\r\n"
    return head.encode("latin-1") + data


def chat(*headers: str, keep: bool = False, **fields: Any) -> bytes:
    return post("/v1/chat/completions", {**CHAT, **fields}, *headers, keep=keep)


def messages(*headers: str, keep: bool = False, **fields: Any) -> bytes:
    return post("/v1/messages", {**CHAT, "max_tokens": 9, **fields}, *headers, keep=keep)


async def exchange(
    port: int, data: bytes, *, wait: float = 10, quiet: float = 10, most: int = 1 << 30
) -> tuple[bytes, str]:
    """What came back, and how it ended: `closed`, `reset`, or `open`.

    `open`: nothing came for `wait` seconds, or nothing more for `quiet` seconds, or `most` bytes came.
    """
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    got = b""
    try:
        writer.write(data)
        while len(got) < most:
            piece = await asyncio.wait_for(reader.read(65536), quiet if got else wait)
            if not piece:
                return got, "closed"
            got += piece
    except TimeoutError:
        pass
    except ConnectionError:
        return got, "reset"
    finally:
        writer.close()
    return got, "open"


def body(got: bytes) -> bytes:
    """The body of a whole answer, chunks joined."""
    head, _, rest = got.partition(b"\r\n\r\n")
    if b"transfer-encoding: chunked" not in head:
        return rest
    pieces = []
    while rest:
        size, _, rest = rest.partition(b"\r\n")
        if not size or int(size, 16) == 0:
            break
        pieces.append(rest[: int(size, 16)])
        rest = rest[int(size, 16) + 2 :]
    return b"".join(pieces)
