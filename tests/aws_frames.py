"""The other end of an AWS event stream, for tests: frames written as the format's documentation has them."""

import json
import struct
import zlib
from typing import Any

Header = tuple[str, int, bytes]
"""A name, a type, and the value's bytes with the length before them where the type has one."""


def text(value: str) -> bytes:
    data = value.encode()
    return struct.pack(">H", len(data)) + data


def frame(headers: list[Header], payload: bytes) -> bytes:
    packed = b"".join(
        bytes([len(name.encode())]) + name.encode() + bytes([kind]) + value for name, kind, value in headers
    )
    prelude = struct.pack(">II", 16 + len(packed) + len(payload), len(packed))
    body = prelude + struct.pack(">I", zlib.crc32(prelude)) + packed + payload
    return body + struct.pack(">I", zlib.crc32(body))


def event(kind: str, **fields: Any) -> bytes:
    """An event of Converse, padded as AWS pads them."""
    headers = [
        (":event-type", 7, text(kind)),
        (":content-type", 7, text("application/json")),
        (":message-type", 7, text("event")),
    ]
    return frame(headers, json.dumps({**fields, "p": "abcdefgh"}).encode())


def exception(kind: str, message: str) -> bytes:
    headers = [
        (":exception-type", 7, text(kind)),
        (":content-type", 7, text("application/json")),
        (":message-type", 7, text("exception")),
    ]
    return frame(headers, json.dumps({"message": message}).encode())


def delta(at: int = 0, **fields: Any) -> bytes:
    return event("contentBlockDelta", contentBlockIndex=at, delta=fields)


def call(at: int, name: str, call_id: str, *arguments: str) -> bytes:
    start = {"toolUse": {"toolUseId": call_id, "name": name}}
    pieces = [delta(at, toolUse={"input": piece}) for piece in arguments]
    begin = event("contentBlockStart", contentBlockIndex=at, start=start)
    return b"".join((begin, *pieces, event("contentBlockStop", contentBlockIndex=at)))


def stop(reason: str = "end_turn", **more: Any) -> bytes:
    return event("messageStop", stopReason=reason, **more)


USAGE = {
    "inputTokens": 10,
    "outputTokens": 5,
    "totalTokens": 22,
    "cacheReadInputTokens": 4,
    "cacheWriteInputTokens": 3,
}
BEGIN = event("messageStart", role="assistant")
METADATA = event("metadata", usage=USAGE, metrics={"latencyMs": 12})
