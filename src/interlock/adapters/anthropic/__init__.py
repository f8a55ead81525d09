"""The wire format of Anthropic messages. Pure."""

from interlock.adapters.anthropic import counting
from interlock.adapters.anthropic.answer import decode_answer, decode_error
from interlock.adapters.anthropic.carry import cannot_carry
from interlock.adapters.anthropic.request import encode_request
from interlock.adapters.anthropic.stream import StreamDecoder

__all__ = ["StreamDecoder", "cannot_carry", "counting", "decode_answer", "decode_error", "encode_request"]
