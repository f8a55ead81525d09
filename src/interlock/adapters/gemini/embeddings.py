"""Embeddings at the Gemini API: `batchEmbedContents`, one text or many. Pure.

Vertex AI serves them elsewhere.
"""

from typing import Any, Final

import msgspec
from msgspec import Struct

from interlock.adapters.call import HttpCall, Target
from interlock.adapters.carrying import FROM_ELSEWHERE, asks_for, refuse_loss
from interlock.adapters.failures import malformed
from interlock.adapters.gemini.answer import decode_error, failure_of
from interlock.adapters.gemini.request import headers_of, model_at, resource_of
from interlock.adapters.gemini.usage import read_usage
from interlock.adapters.openai.embeddings import is_vector
from interlock.types.answer import Answer, Failure
from interlock.types.request import Embedding, Request, Text

__all__ = ["cannot_carry", "decode_answer", "decode_error", "encode_request"]

_encode: Final = msgspec.json.Encoder().encode
_LEFT_OUT: Final = FROM_ELSEWHERE.keys() | {"dimensions", "encoding_format"}
"""The first has its word here; in which encoding a caller is shown numbers is ours to do."""


class _Vector(Struct):
    values: list[float]


class _Reply(Struct, rename="camel"):
    embeddings: list[_Vector] = []
    usage_metadata: Any = None
    error: Any = None


_decode: Final = msgspec.json.Decoder(_Reply).decode


def cannot_carry(request: Request) -> tuple[str, ...]:
    """The request's fields, by their names on the caller's wire, that this wire format cannot express."""
    found = asks_for(request.extra, _LEFT_OUT, {})
    if not all(isinstance(part, Text) for message in request.messages for part in message.parts):
        found.append("input")  # ids of tokens of another vendor's models
    return tuple(found)


def encode_request(request: Request, target: Target) -> HttpCall:
    """The call for one attempt. Each message is one input. Raises ApiError for what would be lost."""
    refuse_loss("gemini", cannot_carry(request))
    size = request.extra.get("dimensions")
    asked: dict[str, Any] = {"model": resource_of(target.upstream_model)}
    if size is not None:
        asked["outputDimensionality"] = size
    texts = (part for message in request.messages for part in message.parts if isinstance(part, Text))
    inputs = [{**asked, "content": {"parts": [{"text": part.text}]}} for part in texts]
    url = f"{model_at(target.base_url, target.upstream_model)}:batchEmbedContents"
    return HttpCall(url, headers_of(target, stream=False), _encode({"requests": inputs}))


def decode_answer(body: bytes) -> Answer | Failure:
    """The vectors of an answer that came with status 200, in the order of the inputs."""
    try:
        reply = _decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        return malformed(f"not a list of embeddings: {type(error).__name__}")
    if reply.error is not None:
        return failure_of(reply.error, None)
    if not all(is_vector(vector.values) for vector in reply.embeddings):
        return malformed("an embedding that holds no numbers")
    usage = read_usage(reply.usage_metadata)
    return Answer(
        id="",
        upstream_model="",
        parts=tuple(Embedding(vector=vector.values) for vector in reply.embeddings),
        finish="stop",
        usage=msgspec.structs.replace(usage, output_tokens=0),
    )
