"""A chunk of an OpenAI-compatible stream: what a server says in fields of the dialect, and what in its own.

Nearly all chunks have none of the latter, and are read in one go as such.
"""

from operator import attrgetter
from typing import Any, Final

import msgspec
from msgspec import Struct

from interlock.adapters.openai.answer import Piece
from interlock.types.request import Extra


class Function(Struct, gc=False):
    name: str | None = None
    arguments: str | None = None


class Call(Struct, gc=False):
    index: int | None = None
    id: str | None = None
    function: Function | None = None
    extra_content: Any = None  # what a call is remembered by (Google's compatible server)


class Delta(Struct, forbid_unknown_fields=True, gc=False):
    role: Any = None
    content: str | list[Piece] | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    refusal: str | None = None
    tool_calls: list[Call] | None = None
    index: Any = None  # some servers (Mistral) say the choice's once more
    annotations: Any = None
    audio: Any = None
    reasoning_details: Any = None


class Choice(Struct, forbid_unknown_fields=True, gc=False):
    """`message` (Perplexity) is what all deltas so far come to, `text` (Together) the words once more.

    Neither is passed on: the deltas are what is read, judged and screened.
    """

    index: int = 0
    delta: Delta | None = None
    logprobs: Any = None
    finish_reason: str | None = None
    content_filter_results: Any = None
    message: Any = None
    text: Any = None


class Chunk(Struct, forbid_unknown_fields=True, gc=False):
    """Fields stand in the order in which servers write them: so each is found at the first look.

    `obfuscation` (OpenAI) and `p` (Mistral) are padding, so that nobody sees how long the words are.
    """

    id: str | None = None
    object: Any = None
    created: int | None = None
    model: str | None = None
    service_tier: str | None = None
    system_fingerprint: str | None = None
    choices: list[Choice] | None = None
    usage: Any = None
    obfuscation: Any = None
    p: Any = None
    error: Any = None


NOTHING: Final[dict[str, Extra]] = {}
_AS_BEFORE: Final = frozenset(Chunk.__struct_fields__) - {"usage", "error"}
_beside_choices: Final = attrgetter(*(name for name in Chunk.__struct_fields__ if name not in _AS_BEFORE))
_NOTHING_MORE: Final = _beside_choices(Chunk())
_SAID: Final = ("delta", "message", "text")
_beside_delta: Final = attrgetter(*(name for name in Choice.__struct_fields__ if name not in _SAID))
_GOES_ON: Final = _beside_delta(Choice())
_WORDS: Final = ("role", "index", "content")
_beside_content: Final = attrgetter(*(name for name in Delta.__struct_fields__ if name not in _WORDS))
_NOTHING_ELSE: Final = _beside_content(Delta())

_decode: Final = msgspec.json.Decoder(Chunk).decode
_decode_any: Final = msgspec.json.Decoder().decode


def read_chunk(data: bytes) -> tuple[Chunk, dict[str, Extra]]:
    """A chunk, and the fields that its server alone knows, by place: `top`, `choice` and `delta`.

    Raises msgspec.DecodeError.
    """
    try:
        return _decode(data), NOTHING
    except msgspec.ValidationError:
        own: dict[str, Extra] = {}
        return msgspec.convert(_known(_decode_any(data), Chunk, "top", own), Chunk), own


def _known(raw: Any, kind: type[Struct], place: str, own: dict[str, Extra]) -> Any:
    """The fields that a kind has; the others go to `own`. Null is as good as absent."""
    if type(raw) is not dict:
        return raw
    fields = {}
    for name, value in raw.items():
        if name not in kind.__struct_fields__:
            if value is not None:
                own.setdefault(place, {})[name] = value
        elif name == "choices" and type(value) is list:
            fields[name] = [_known(one, Choice, "choice", own) for one in value]
        elif name == "delta":
            fields[name] = _known(value, Delta, "delta", own)
        else:
            fields[name] = value
    return fields


def words_alone(chunk: Chunk) -> str | None:
    """The words that a chunk adds to the text, if that is all that it does in fields of the dialect."""
    choices = chunk.choices
    if choices is None or len(choices) != 1:
        return None
    choice = choices[0]
    delta = choice.delta
    if delta is None or type(delta.content) is not str or not delta.content:
        return None
    if _beside_choices(chunk) != _NOTHING_MORE:
        return None
    if _beside_delta(choice) != _GOES_ON or _beside_content(delta) != _NOTHING_ELSE:
        return None
    return delta.content


def is_rich(choice: Choice, delta: Delta) -> bool:
    """Whether more than words may be said, in fields that the dialect has for it."""
    return (
        choice.logprobs is not None
        or choice.content_filter_results is not None
        or delta.annotations is not None
        or delta.audio is not None
        or delta.reasoning_details is not None
    )
