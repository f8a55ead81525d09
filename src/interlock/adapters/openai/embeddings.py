"""Embeddings at an OpenAI-compatible server: the canonical request -> the call, and its answer back."""

import binascii
from collections.abc import Iterable
from typing import Any, Final

import msgspec
from msgspec import Struct

from interlock.adapters.call import HttpCall, Target
from interlock.adapters.failures import malformed
from interlock.adapters.openai.answer import decode_error, failure_of
from interlock.adapters.openai.request import headers_of, place_of
from interlock.adapters.openai.usage import read_usage
from interlock.types.answer import Answer, Failure
from interlock.types.request import AnyPart, Embedding, Request, Text, Tokens

__all__ = ["cannot_carry", "decode_answer", "decode_error", "encode_request"]

_encode: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder().decode
_KNOWN: Final = frozenset({"object", "data", "model", "usage", "error", "id", "created"})
_BYTES_PER_FLOAT: Final = 4
_LARGEST_FLOAT: Final = 3.4e38  # of 32 bits


class _Item(Struct):
    embedding: list[float] | str
    index: int | None = None


class _Reply(Struct):
    data: list[_Item]
    model: str | None = None
    id: str | None = None
    created: int | None = None


def cannot_carry(request: Request) -> tuple[str, ...]:  # noqa: ARG001 - every call's signature
    """Nothing: callers of embeddings speak this very wire format."""
    return ()


def encode_request(request: Request, target: Target) -> HttpCall:
    """The call for one attempt. Each message of the request is one input."""
    return HttpCall(
        place_of(target.base_url, "embeddings"),
        headers_of(target, "bearer", stream=False),
        encode_body(request, target),
    )


def encode_body(request: Request, target: Target) -> bytes:
    inputs = [_input(part) for message in request.messages for part in message.parts]
    body: dict[str, Any] = {
        "model": target.upstream_model,
        "input": inputs[0] if len(inputs) == 1 else inputs,
        **request.extra,
    }
    if request.user is not None:
        body["user"] = request.user
    return _encode(body)


def _input(part: AnyPart) -> str | tuple[int, ...]:
    if isinstance(part, Tokens):
        return part.ids
    assert isinstance(part, Text), "the dialect makes inputs of text and of ids only"
    return part.text


def decode_answer(body: bytes) -> Answer | Failure:
    """The vectors of an answer that came with status 200, in the order of the inputs."""
    try:
        raw = _decode(body)
        if isinstance(raw, dict) and raw.get("error"):
            return failure_of(raw["error"], None)
        reply = msgspec.convert(raw, _Reply)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        return malformed(f"not a list of embeddings: {type(error).__name__}")
    if not all(is_vector(item.embedding) for item in reply.data):
        return malformed("an embedding that holds no numbers")
    usage, more_usage = read_usage(raw.get("usage"))
    top = {name: value for name, value in raw.items() if name not in _KNOWN and value is not None}
    kept = {place: fields for place, fields in (("top", top), ("usage", more_usage)) if fields}
    ordered = _in_order(reply.data)
    if ordered is None:
        return malformed("embeddings whose places do not count up")
    return Answer(
        id=reply.id or "",
        upstream_model=reply.model or "",
        parts=ordered,
        finish="stop",
        usage=msgspec.structs.replace(usage, output_tokens=0),
        created=reply.created,
        extra={"openai-chat": kept} if kept else None,
    )


def _in_order(items: list[_Item]) -> tuple[Embedding, ...] | None:
    """By their indexes, each of which must be there once; servers that give none keep the order."""
    if all(item.index is None for item in items):
        return _vectors(items)
    by_index = {item.index: item for item in items}
    if by_index.keys() != set(range(len(items))):
        return None
    return _vectors(by_index[place] for place in range(len(items)))


def _vectors(items: Iterable[_Item]) -> tuple[Embedding, ...]:
    return tuple(Embedding(vector=item.embedding) for item in items)


def is_vector(value: list[float] | str) -> bool:
    """Numbers, or base64 that holds whole ones; an empty vector is none."""
    if isinstance(value, list):
        return bool(value) and max(value) <= _LARGEST_FLOAT and min(value) >= -_LARGEST_FLOAT
    try:
        size = len(binascii.a2b_base64(value, strict_mode=True))
    except (binascii.Error, ValueError):
        return False
    return size > 0 and size % _BYTES_PER_FLOAT == 0
