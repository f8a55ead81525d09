"""OpenAI's embeddings, as callers speak them: one text or several, as strings or as ids of tokens. Pure.

Each input becomes a message of its own, so that whatever looks into messages looks into inputs too.
"""

import binascii
import struct
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from interlock.dialects.control import CHAT_CONTROL_FIELDS, refuse_control_fields
from interlock.dialects.hints import check_rest, read_hints, read_metadata
from interlock.dialects.vendor import vendor_fields
from interlock.types.answer import Answer
from interlock.types.request import Embedding, Message, Request, Text, Tokens
from interlock.wire.fields import Fields, Misfit, each, name, need, one_of, take, text, whole
from interlock.wire.json import read_object

MOST_INPUTS: Final = 2048
_LARGEST_ID: Final = 2**32 - 1
_FLOAT: Final = "float"
_BASE64: Final = "base64"

_encode: Final = msgspec.json.Encoder().encode
_check_format: Final = one_of(_FLOAT, _BASE64)
_check_dimensions: Final = whole(1)


def decode_request(body: bytes, headers: Mapping[str, str]) -> Request:
    """The request in a body, checked as by `check_body`. Header names are lower-case.

    Raises ApiError (invalid_request) whose `param` is the path of the field at fault.
    """
    try:
        return _read(read_object(body), headers)
    except Misfit as misfit:
        raise misfit.to_error() from None


def _read(fields: Fields, headers: Mapping[str, str]) -> Request:
    refuse_control_fields(fields, CHAT_CONTROL_FIELDS)
    if fields.get("stream"):
        raise Misfit("embeddings are not streamed", path="stream")
    model = need(fields, "model", name)
    messages = need(fields, "input", _inputs)
    asked = {  # sent on by these very names: every upstream that can embed knows them so
        "encoding_format": take(fields, "encoding_format", _check_format),
        "dimensions": take(fields, "dimensions", _check_dimensions),
    }
    user = take(fields, "user", text)
    metadata = take(fields, "metadata", read_metadata) or {}
    hints = read_hints(headers, metadata)
    check_rest(metadata)
    extra = {key: value for key, value in {**asked, **fields}.items() if value is not None}
    return Request(
        dialect="openai-chat",
        operation="embed",
        model=model,
        messages=messages,
        user=user,
        hints=hints,
        metadata=metadata,
        extra=extra,
    )


def _inputs(value: Any) -> tuple[Message, ...]:
    if type(value) is str:
        return (_message(value),)
    if type(value) is not list or not value:
        raise Misfit("must be a string, or a list of strings or of token ids that is not empty")
    if len(value) > MOST_INPUTS and type(value[0]) is not int:
        raise Misfit(f"may hold at most {MOST_INPUTS} texts", hint="send them in several requests")
    return (_message(value),) if type(value[0]) is int else tuple(each(value, _message))


def _message(value: Any) -> Message:
    return Message(role="user", parts=(_part(value),))


def _part(value: Any) -> Text | Tokens:
    if type(value) is str:
        return Text(text=value)
    if type(value) is not list or not value:
        raise Misfit("must be a string or a list of token ids that is not empty")
    return Tokens(ids=tuple(each(value, _id)))


def _id(value: Any) -> int:
    if type(value) is not int or not 0 <= value <= _LARGEST_ID:
        raise Misfit("must be the id of a token")
    return value


def encode_answer(answer: Answer, request: Request, model: str) -> bytes:
    """The vectors in the encoding that was asked for; `model` is the name that the caller is shown."""
    fields = vendor_fields(answer.extra, "openai-chat")
    packed = request.extra.get("encoding_format") == _BASE64
    vectors = [part.vector for part in answer.parts if isinstance(part, Embedding)]
    read = answer.usage.input_tokens or 0
    return _encode(
        {
            "object": "list",
            "data": [
                {
                    "object": "embedding",
                    "index": index,
                    "embedding": as_base64(vector) if packed else as_floats(vector),
                }
                for index, vector in enumerate(vectors)
            ],
            "model": model,
            **fields.get("top", {}),
            "usage": {**fields.get("usage", {}), "prompt_tokens": read, "total_tokens": read},
        }
    )


def as_base64(vector: list[float] | str) -> str:
    """A vector as the base64 of 32-bit floats, little-endian, whatever form the upstream chose."""
    if isinstance(vector, str):
        return vector
    return binascii.b2a_base64(struct.pack(f"<{len(vector)}f", *vector), newline=False).decode("ascii")


def as_floats(vector: list[float] | str) -> list[float]:
    """A vector as numbers, whatever form the upstream chose."""
    if isinstance(vector, list):
        return vector
    data = binascii.a2b_base64(vector)
    return list(struct.unpack(f"<{len(data) // 4}f", data))
