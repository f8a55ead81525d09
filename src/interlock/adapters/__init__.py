"""The upstream's side of the wire: one package per wire format, each with the things below. Pure.

An adapter encodes the canonical request as a call of its vendor and decodes what comes back: answers,
events and errors. It sends nothing itself and knows no caller; `dialects` are its mirror image.

What an answer holds for callers of the vendor's own dialect only goes into the `extra` of answers,
parts and events by dialect: `{"openai-chat": {...}}`. A stream's block of a kind that only its vendor
knows is the `Opaque` part in BlockStarted's `value`.
"""

from collections.abc import Callable, Mapping
from typing import Final, Protocol

from interlock.adapters import anthropic, azure, bedrock, gemini, openai, openai_responses
from interlock.adapters.call import HttpCall, Target
from interlock.types.answer import Answer, Event, Failure
from interlock.types.labels import Operation, Wire
from interlock.types.request import Request

__all__ = ["ADAPTERS", "CALLS", "AdapterModule", "HttpCall", "StreamDecoder", "Target", "WholeCall"]


class StreamDecoder(Protocol):
    """One stream from one upstream."""

    def feed(self, data: bytes) -> list[Event]:
        """The events in the next piece of the stream, cut anywhere. Never raises: a Failure is an event."""

    def end(self) -> list[Event]:
        """The upstream closed: a Failure, unless a terminal event had been given out."""


NewStreamDecoder = Callable[[], StreamDecoder]


class WholeCall(Protocol):
    """One kind of call: how it is asked and how its whole answer is read."""

    def cannot_carry(self, request: Request) -> tuple[str, ...]:
        """The names of the request's fields that this wire format cannot express."""

    def encode_request(self, request: Request, target: Target) -> HttpCall:
        """The call for one attempt. Raises ApiError for a request that `cannot_carry` names a field of."""

    def decode_answer(self, body: bytes) -> Answer | Failure:
        """A whole answer that came with status 200."""

    def decode_error(self, status: int, headers: Mapping[str, str], body: bytes) -> Failure:
        """Any other answer. Header names are lower-case."""


class AdapterModule(WholeCall, Protocol):
    """What an adapter's package offers: the call that has messages answered, streamed or whole."""

    @property
    def StreamDecoder(self) -> NewStreamDecoder:  # noqa: N802 - it is a class of the module
        """Begins to read a stream."""


ADAPTERS: Final[dict[Wire, AdapterModule]] = {
    "openai": openai,
    "openai-responses": openai_responses,
    "anthropic": anthropic,
    "gemini": gemini,
    "bedrock": bedrock,
    "azure": azure,
}
CALLS: Final[dict[Operation, Mapping[Wire, WholeCall]]] = {
    "answer": ADAPTERS,
    "embed": {
        "openai": openai.embeddings,
        "openai-responses": openai.embeddings,
        "azure": azure.embeddings,
        "gemini": gemini.embeddings,
    },
    "count": {"anthropic": anthropic.counting},
}
"""Which wire formats have a call for an operation. Without one, models there are not asked for it."""
