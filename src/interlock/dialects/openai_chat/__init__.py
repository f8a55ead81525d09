"""The dialect of callers of OpenAI chat completions: their requests in, answers and streams out. Pure."""

from interlock.dialects.openai_chat.answer import encode_answer, encode_error
from interlock.dialects.openai_chat.request import decode_request
from interlock.dialects.openai_chat.stream import StreamEncoder

__all__ = ["StreamEncoder", "decode_request", "encode_answer", "encode_error"]
