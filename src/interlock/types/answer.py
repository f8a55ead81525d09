"""The canonical answer, whole or as a stream of events, and the ways an upstream can fail.

A stream is: Started, then for each block BlockStarted, BlockDelta…, BlockStopped, then Finished.
Exactly one terminal event ends it: Finished, or a Failure in its place. Blocks may interleave
(two tool calls growing side by side); `index` tells them apart.
"""

from typing import Any, Final, Literal, TypedDict

from msgspec import Struct

from interlock.types.labels import Dialect
from interlock.types.request import AnyPart, Extra

FinishReason = Literal["stop", "length", "tool_calls", "stop_sequence", "content_filter", "refusal", "pause"]
BlockKind = Literal["text", "thinking", "redacted", "tool_call", "refusal", "opaque"]
AttemptOutcome = Literal[
    "ok",
    "timeout",
    "connect_failed",
    "upstream_error",
    "rate_limited",
    "context_length",
    "content_filtered",
    "malformed",
    "schema_invalid",
    "cancelled",
]


CITATIONS: Final = "citations"
"""Where the `extra` of an answer, or of a text or a delta of one, has its Cites: a list of them."""


class Citation(TypedDict):
    """A source that an answer names. `quoted` are words of that source.

    `start` and `end` count characters of all the answer's text; without them it is the text that the
    citation stands on. `own` is the citation as its vendor wrote it; without a `url` there is no other form.
    """

    url: str | None
    title: str
    quoted: str
    start: int | None
    end: int | None
    own: Any


class Cites(TypedDict):
    """Citations for callers of every dialect but `known_to`: that one has them in fields of its own."""

    known_to: Dialect | None
    found: list[Citation]


class Usage(Struct, frozen=True, kw_only=True):
    """Tokens as the upstream counted them; None is unknown, never zero.

    `input_tokens` includes cached ones and `output_tokens` includes reasoning, for every vendor.
    """

    input_tokens: int | None = None
    cached_tokens: int | None = None
    cache_write_tokens: int | None = None
    output_tokens: int | None = None
    reasoning_tokens: int | None = None
    estimated: bool = False


class Answer(Struct, frozen=True, kw_only=True):
    """A whole answer. `id` and `upstream_model` are as the vendor gave them."""

    id: str
    upstream_model: str
    parts: tuple[AnyPart, ...]
    finish: FinishReason
    stop_sequence: str | None = None
    usage: Usage = Usage()
    created: int | None = None
    extra: Extra | None = None


class Started(Struct, frozen=True, gc=False):
    id: str
    upstream_model: str
    usage: Usage | None = None
    created: int | None = None
    extra: Extra | None = None


class BlockStarted(Struct, frozen=True, gc=False):
    """`call_id` and `name` belong to a tool call; `value` to a redacted or opaque block."""

    index: int
    kind: BlockKind
    call_id: str = ""
    name: str = ""
    value: Any = None


class BlockDelta(Struct, frozen=True, gc=False):
    """More of a block: text, thinking, refusal, or the JSON text of a tool call's arguments.

    `extra` holds what rides along in the same dialect only: logprobs, a signature, a citation. A
    signature stands in it under `signature` too, for dialects with a place of their own for one, and
    citations under CITATIONS.
    """

    index: int
    text: str
    extra: Any = None


class BlockStopped(Struct, frozen=True, gc=False):
    index: int


class Finished(Struct, frozen=True, gc=False):
    finish: FinishReason
    stop_sequence: str | None = None
    usage: Usage = Usage()
    extra: Extra | None = None


class Failure(Struct, frozen=True, kw_only=True):
    """How a call of an upstream failed, as data.

    `message` is ours or the upstream's own words with secrets taken out; it may reach the caller
    only when `final` (a 4xx about the request itself). `detail` is for the record and the log.
    `spent`: our account's quota or credit there is used up, which no waiting mends. `unsent`: nothing of the
    request has left, so nothing can be to pay.
    """

    outcome: AttemptOutcome
    message: str
    status: int | None = None
    detail: str = ""
    final: bool = False
    spent: bool = False
    unsent: bool = False
    retry_after_s: float | None = None


Event = Started | BlockStarted | BlockDelta | BlockStopped | Finished | Failure
