"""A plain chat body, read at once: messages of text, limits and sampling, and nothing else.

Most bodies are plain. One that is not, or is wrong in any way, is left to the general reader, which says so
too; of a plain one both make the same request, and `tests/dialects/test_plain.py` holds them to it.
"""

from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta, Struct

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
_STRINGS: Final = 3  # the names `model` and `messages`, and the model's
_STRINGS_OF_MESSAGE: Final = 4  # two names and two values
_STRINGS_OF_OPTIONS: Final = 2  # their own name, and that of the one


def read_plain(body: bytes) -> Plain | None:
    """The fields of a body that is a plain one; None for any other."""
    try:
        plain = _decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    limit, newer, options = plain.max_tokens, plain.max_completion_tokens, plain.stream_options
    if limit is not None and newer is not None:
        return None
    # A name that comes twice, and a null, would be strings that are not accounted for.
    strings = _STRINGS + _STRINGS_OF_MESSAGE * len(plain.messages)
    if limit is not None or newer is not None:
        strings += 1
    if plain.temperature is not None:
        strings += 1
    if plain.top_p is not None:
        strings += 1
    if plain.stream is not None:
        strings += 1
    if options is not None:
        strings += _STRINGS_OF_OPTIONS
    escaped = body.partition(b"\\")[1]  # `in` and `find` are dear
    texts = [plain.model, *[message.content for message in plain.messages]] if escaped else []
    return plain if count_strings(body, texts) == strings else None


def request_of(plain: Plain, hints: Hints) -> Request:
    """The request that a plain body is."""
    limit, options = plain.max_tokens, plain.stream_options
    messages: list[Message] = []
    for message in plain.messages:  # a comprehension would make a function each time
        messages.append(Message(role=message.role, parts=(Text(text=message.content),)))  # noqa: PERF401 - see above
    return Request(
        dialect="openai-chat",
        model=plain.model,
        messages=tuple(messages),
        max_output_tokens=plain.max_completion_tokens if limit is None else limit,
        temperature=plain.temperature,
        top_p=plain.top_p,
        stream=plain.stream is True,
        include_usage=options is not None and options.include_usage,
        hints=hints,
    )
