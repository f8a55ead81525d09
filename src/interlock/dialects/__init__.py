"""The caller's side of the wire: one package per dialect, each with the four things below. Pure.

A dialect decodes a caller's body to the canonical request and encodes canonical answers, events and
errors for that caller. It knows no upstream; `adapters` are its mirror image on the other side.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Final, Protocol

from msgspec import Struct

from interlock.dialects import anthropic_messages, openai_chat, openai_embeddings, openai_responses
from interlock.errors import ApiError
from interlock.types.answer import Answer, Event
from interlock.types.labels import Dialect
from interlock.types.request import Request


class StreamEncoder(Protocol):
    """One stream to one caller."""

    def encode(self, events: Sequence[Event]) -> bytes:
        """The bytes for a run of events; may be none. Finished ends the stream in the dialect's way."""

    def fail(self, error: ApiError) -> bytes:
        """One error event in place of the dialect's end, so that no SDK takes the stream for finished."""


NewStreamEncoder = Callable[[Request, str], StreamEncoder]


class DialectModule(Protocol):
    """What a dialect's package offers."""

    def decode_request(self, body: bytes, headers: Mapping[str, str]) -> Request:
        """The request, its body checked; header names are lower-case. Raises ApiError: invalid_request."""

    def encode_answer(self, answer: Answer, request: Request, model: str) -> bytes:
        """A whole answer under the name `model`, which is the pool's key."""

    def encode_error(self, error: ApiError) -> bytes:
        """An error in the shape that the caller's SDK expects."""

    @property
    def StreamEncoder(self) -> NewStreamEncoder:  # noqa: N802 - it is a class of the module
        """Begins the stream that answers a request, under the name of a model."""


DIALECTS: Final[dict[Dialect, DialectModule]] = {
    "openai-chat": openai_chat,
    "openai-responses": openai_responses,
    "anthropic-messages": anthropic_messages,
}


class Endpoint(Struct, frozen=True):
    """A path that requests for a model come to: how they are read, and how whole answers are written.

    `dialect` is the one that errors and streams are written in.
    """

    path: str
    dialect: Dialect
    decode_request: Callable[[bytes, Mapping[str, str]], Request]
    encode_answer: Callable[[Answer, Request, str], bytes]


CHAT: Final = Endpoint(
    "/v1/chat/completions", "openai-chat", openai_chat.decode_request, openai_chat.encode_answer
)
RESPONSES: Final = Endpoint(
    "/v1/responses",
    "openai-responses",
    openai_responses.decode_request,
    openai_responses.encode_answer,
)
EMBEDDINGS: Final = Endpoint(
    "/v1/embeddings", "openai-chat", openai_embeddings.decode_request, openai_embeddings.encode_answer
)
MESSAGES: Final = Endpoint(
    "/v1/messages",
    "anthropic-messages",
    anthropic_messages.decode_request,
    anthropic_messages.encode_answer,
)
COUNT_TOKENS: Final = Endpoint(
    "/v1/messages/count_tokens",
    "anthropic-messages",
    anthropic_messages.decode_count,
    anthropic_messages.encode_count,
)
ENDPOINTS: Final[dict[str, Endpoint]] = {
    endpoint.path: endpoint for endpoint in (CHAT, RESPONSES, MESSAGES, EMBEDDINGS, COUNT_TOKENS)
}
