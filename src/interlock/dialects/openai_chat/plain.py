"""A plain chat body, read at once: messages of text, limits and sampling, and nothing else.

Most bodies are plain. One that is not, or is wrong in any way, is left to the general reader, which says so
too; of a plain one both make the same request, and `tests/dialects/test_plain.py` holds them to it.
"""

from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta, Struct
from msgspec.structs import astuple

from interlock.types.request import Hints, Message, Request, Text
from interlock.wire.json import count_strings

_Limit = Annotated[int, Meta(ge=1, le=2**53)]


class _Message(Struct, forbid_unknown_fields=True, gc=False):
    role: Literal["user", "system", "assistant", "developer"]
    content: str


class _StreamOptions(Struct, forbid_unknown_fields=True, gc=False):
    include_usage: bool


class Plain(Struct, forbid_unknown_fields=True, gc=False):
    """The fields of a plain body; null, as one more string than there should be, is not plain."""

    model: Annotated[str, Meta(min_length=1)]
    messages: Annotated[list[_Message], Meta(min_length=1)]
    max_tokens: _Limit | None = None
    max_completion_tokens: _Limit | None = None
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    top_p: Annotated[float, Meta(ge=0, le=1)] | None = None
    stream: bool | None = None
    stream_options: _StreamOptions | None = None


_decode: Final = msgspec.json.Decoder(Plain).decode
_FIELDS: Final = len(Plain.__struct_fields__)
_STRINGS_OF_MESSAGE: Final = 4  # two names and two values


def read_plain(body: bytes) -> Plain | None:
    """The fields of a body that is a plain one; None for any other."""
    try:
        plain = _decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    if plain.max_tokens is not None and plain.max_completion_tokens is not None:
        return None
    messages = plain.messages
    # A name that comes twice, and a null, would be strings that are not accounted for.
    strings = 1 + _FIELDS - astuple(plain).count(None) + _STRINGS_OF_MESSAGE * len(messages)
    if plain.stream_options is not None:
        strings += 1
    texts = (
        [plain.model, *[message.content for message in messages]] if body.find(b"\\") >= 0 else []
    )  # `in` is dear
    return plain if count_strings(body, texts) == strings else None


def request_of(plain: Plain, hints: Hints) -> Request:
    """The request that a plain body is."""
    limit = plain.max_tokens
    return Request(
        dialect="openai-chat",
        model=plain.model,
        messages=tuple(
            [Message(role=message.role, parts=(Text(text=message.content),)) for message in plain.messages]
        ),
        max_output_tokens=plain.max_completion_tokens if limit is None else limit,
        temperature=plain.temperature,
        top_p=plain.top_p,
        stream=plain.stream is True,
        include_usage=plain.stream_options is not None and plain.stream_options.include_usage,
        hints=hints,
    )
