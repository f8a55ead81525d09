"""Embeddings at Azure OpenAI: as OpenAI's, at Azure's addresses."""

from interlock.adapters.azure.place import place_of
from interlock.adapters.call import HttpCall, Target
from interlock.adapters.openai.embeddings import cannot_carry, decode_answer, decode_error, encode_body
from interlock.adapters.openai.request import headers_of
from interlock.types.request import Request

__all__ = ["cannot_carry", "decode_answer", "decode_error", "encode_request"]


def encode_request(request: Request, target: Target) -> HttpCall:
    """The call for one attempt."""
    headers = headers_of(target, "api-key", stream=False)
    return HttpCall(place_of(target, "embeddings"), headers, encode_body(request, target))
