"""The dialect of callers of OpenAI responses: their requests in, answers and streams out. Pure.

Kept answers are the server's; here they are items like any others.
"""

from interlock.dialects.openai_chat.answer import encode_error
from interlock.dialects.openai_responses.answer import encode_answer
from interlock.dialects.openai_responses.request import decode_request
from interlock.dialects.openai_responses.stream import StreamEncoder

__all__ = ["StreamEncoder", "decode_request", "encode_answer", "encode_error"]
