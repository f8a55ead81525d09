"""The canonical request: what a caller asked for, whatever dialect it spoke.

Every dialect decodes into it and every adapter encodes from it, so N dialects and M adapters
need N + M translations. What Interlock does not interpret stays in `extra`, by the caller's own
field names: it goes unchanged to an upstream of the same dialect, and an upstream of another
dialect refuses it by name (`adapters.Adapter.cannot_carry`). Nothing is dropped on the way.
"""

from typing import Any, Final, Literal

from msgspec import Struct

from interlock.types.labels import Dialect, LatencyClass, Operation, Trust

Extra = dict[str, Any]
IN_INPUT: Final[Extra] = {"defined_in": "input"}
MessageRole = Literal["system", "developer", "user", "assistant", "tool"]


class Part(Struct, frozen=True, kw_only=True, gc=False):
    """What every piece of content may carry: who vouches for it, and fields we do not interpret.

    A request may hold hundreds of thousands of parts and messages. They are decoded JSON, of which nothing
    points back, so the collector, which stops everybody, need not look through them.
    """

    trust: Trust | None = None
    source: str | None = None
    extra: Extra | None = None


class Text(Part, frozen=True, kw_only=True, gc=False, tag="text"):
    text: str


class Image(Part, frozen=True, kw_only=True, gc=False, tag="image"):
    """Exactly one of `url` and `data` (base64) is set; `media_type` goes with `data`."""

    url: str | None = None
    data: str | None = None
    media_type: str | None = None
    detail: str | None = None


class File(Part, frozen=True, kw_only=True, gc=False, tag="file"):
    """An attached document: base64 `data`, a `url`, a vendor's `file_id`, or plain `text`."""

    url: str | None = None
    data: str | None = None
    file_id: str | None = None
    text: str | None = None
    media_type: str | None = None
    name: str | None = None


class Audio(Part, frozen=True, kw_only=True, gc=False, tag="audio"):
    data: str
    format: str


class Tokens(Part, frozen=True, kw_only=True, gc=False, tag="tokens"):
    """Text as the ids of its tokens, which only models of one vocabulary can read."""

    ids: tuple[int, ...]


class Embedding(Part, frozen=True, kw_only=True, gc=False, tag="embedding"):
    """What an embedding model makes of one text: numbers, or the base64 of 32-bit floats, little-endian."""

    vector: list[float] | str


class Thinking(Part, frozen=True, kw_only=True, gc=False, tag="thinking"):
    """A reasoning block of an earlier answer. `redacted` is the vendor's opaque form of one.

    A `signature`, or an opaque form, that only one wire format's vendor can read is sealed (`wire.seals`).
    """

    text: str = ""
    signature: str | None = None
    redacted: str | None = None


class ToolCall(Part, frozen=True, kw_only=True, gc=False, tag="tool_call"):
    """A call the model made. `arguments` is the JSON text as the model wrote it, valid or not."""

    id: str
    name: str
    arguments: str


class Opaque(Part, frozen=True, kw_only=True, gc=False, tag="opaque"):
    """A part of a kind that only its own dialect knows, kept whole (a server-side tool's result).

    `tool` says that it calls one: the name under which a request offers that tool. `seal` is what callers of
    other dialects keep of it, for its vendor to remember an answer by.
    """

    dialect: Dialect
    kind: str
    value: Extra
    tool: str | None = None
    seal: str | None = None


class ToolResult(Part, frozen=True, kw_only=True, gc=False, tag="tool_result"):
    """The answer to a tool call; `name` is filled from the call where the history has it."""

    call_id: str
    content: tuple[Text | Image | File | Opaque, ...]
    name: str | None = None
    is_error: bool = False


class Refusal(Part, frozen=True, kw_only=True, gc=False, tag="refusal"):
    text: str


AnyPart = (
    Text | Image | File | Audio | Tokens | Embedding | Thinking | ToolCall | ToolResult | Refusal | Opaque
)


class Message(Struct, frozen=True, kw_only=True, gc=False):
    """One turn. Tool results stand in messages of role `tool`, in every dialect."""

    role: MessageRole
    parts: tuple[AnyPart, ...]
    name: str | None = None
    extra: Extra | None = None


class Tool(Struct, frozen=True, kw_only=True, gc=False):
    """A tool the caller offers. `vendor` holds the whole definition of a vendor's built-in tool.

    `extra` is IN_INPUT where the definition stands in an item of the input instead of in `tools`.
    """

    name: str
    description: str | None = None
    parameters: Extra | None = None
    strict: bool | None = None
    vendor: Extra | None = None
    extra: Extra | None = None


class ToolChoice(Struct, frozen=True, kw_only=True):
    """`mode` required: some tool must be called; `tool`: exactly `name`."""

    mode: Literal["auto", "none", "required", "tool"]
    name: str | None = None


class ResponseFormat(Struct, frozen=True, kw_only=True):
    """JSON asked for by the caller; `json_schema` is None for plain JSON mode."""

    json_schema: Extra | None = None
    name: str | None = None
    description: str | None = None
    strict: bool | None = None


class Reasoning(Struct, frozen=True, kw_only=True):
    """Thinking asked for: by effort (OpenAI) or by a budget of tokens (Anthropic)."""

    effort: str | None = None
    budget_tokens: int | None = None
    disabled: bool = False
    extra: Extra | None = None


class Hints(Struct, frozen=True, kw_only=True):
    """What the caller says about its own request, headers and body's `metadata` together.

    Task, lane and latency class choose among what the key may use; all others only tighten.
    `residencies` has every place named: data must stay within all of them.
    """

    data_class: str | None = None
    risk_tier: str | None = None
    latency_class: LatencyClass | None = None
    residencies: tuple[str, ...] = ()
    task: str | None = None
    difficulty: str | None = None
    lane: str | None = None
    session: str | None = None
    deadline_ms: int | None = None
    max_cost_usd: float | None = None


NO_HINTS: Final = Hints()
"""Of a caller that says nothing about its request: this very value."""


class Keeping(Struct, frozen=True, kw_only=True):
    """An answer that its caller may ask for again, and may go on from.

    `id` is the answer's name, `store` whether it is kept (None: the caller said nothing), `previous` the
    kept answer that the conversation goes on from: what was said up to it stands in the messages.
    `refers`: items of it were given by their names in kept answers; they stand in the messages too.
    """

    id: str = ""
    store: bool | None = None
    previous: str | None = None
    refers: bool = False


class Request(Struct, frozen=True, kw_only=True):
    """One inference call. Limits the caller left out are None; they are not zero.

    `operation` is what is asked for: an answer to `messages`, a vector for each of them, or their count.
    """

    dialect: Dialect
    model: str
    messages: tuple[Message, ...]
    operation: Operation = "answer"
    tools: tuple[Tool, ...] = ()
    tool_choice: ToolChoice | None = None
    parallel_tool_calls: bool | None = None
    response_format: ResponseFormat | None = None
    max_output_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    stop: tuple[str, ...] = ()
    seed: int | None = None
    user: str | None = None
    reasoning: Reasoning | None = None
    stream: bool = False
    include_usage: bool = False
    hints: Hints = NO_HINTS
    keeping: Keeping | None = None
    metadata: dict[str, str] = {}
    extra: Extra = {}
