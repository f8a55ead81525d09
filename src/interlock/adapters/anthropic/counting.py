"""The counter of an Anthropic server: how many input tokens a message would be. It is free of charge."""

from typing import Any, Final

import msgspec
from msgspec import Struct

from interlock.adapters.anthropic.answer import decode_error, for_own_dialect, others
from interlock.adapters.anthropic.carry import cannot_carry
from interlock.adapters.anthropic.request import body_of, headers_of, place_of
from interlock.adapters.call import HttpCall, Target
from interlock.adapters.failures import malformed
from interlock.types.answer import Answer, Failure, Usage
from interlock.types.request import Request

__all__ = ["cannot_carry", "decode_answer", "decode_error", "encode_request"]

_encode: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder().decode
_NOT_COUNTED: Final = ("max_tokens", "metadata", "temperature", "top_p", "top_k", "stop_sequences")
"""Fields of a message that are no input, and that the counter refuses."""
_KNOWN: Final = frozenset({"input_tokens"})


class _Count(Struct):
    input_tokens: int


def encode_request(request: Request, target: Target) -> HttpCall:
    """The call that counts what `request` would send. Raises ApiError as for a message."""
    body, betas, left = body_of(request, target)
    for name in _NOT_COUNTED:
        body.pop(name, None)
    url = f"{place_of(target.base_url)}/count_tokens"
    return HttpCall(url, headers_of(target, betas, stream=False), _encode(body), None, left)


def decode_answer(body: bytes) -> Answer | Failure:
    """The count, as the input of an answer that says nothing."""
    try:
        raw: Any = _decode(body)
        tokens = msgspec.convert(raw, _Count).input_tokens
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        return malformed(f"not a count: {type(error).__name__}")
    if tokens < 0:
        return malformed("a count below 0")
    return Answer(
        id="",
        upstream_model="",
        parts=(),
        finish="stop",
        usage=Usage(input_tokens=tokens),
        extra=for_own_dialect(top=others(raw, _KNOWN)),
    )
