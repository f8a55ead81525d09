"""Azure OpenAI: OpenAI's wire format at addresses of its own, with the key in a header of its own. Pure."""

from interlock.adapters.azure import embeddings
from interlock.adapters.azure.place import place_of
from interlock.adapters.call import HttpCall, Target
from interlock.adapters.openai import StreamDecoder, cannot_carry, decode_answer, decode_error
from interlock.adapters.openai.request import CHAT, encode_body, headers_of
from interlock.types.request import Request

__all__ = ["StreamDecoder", "cannot_carry", "decode_answer", "decode_error", "embeddings", "encode_request"]


def encode_request(request: Request, target: Target) -> HttpCall:
    """The call for one attempt. Raises ApiError for a request that `cannot_carry` names a field of."""
    headers = headers_of(target, "api-key", stream=request.stream)
    body, left = encode_body(request, target, "azure")
    return HttpCall(place_of(target, CHAT), headers, body, None, left)
