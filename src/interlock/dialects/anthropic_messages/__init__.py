"""The dialect of callers of Anthropic messages: their requests in, answers and streams out. Pure."""

from interlock.dialects.anthropic_messages.answer import encode_answer, encode_count, encode_error
from interlock.dialects.anthropic_messages.request import decode_count, decode_request
from interlock.dialects.anthropic_messages.stream import StreamEncoder

__all__ = [
    "StreamEncoder",
    "decode_count",
    "decode_request",
    "encode_answer",
    "encode_count",
    "encode_error",
]
