"""The wire format of OpenAI responses. Pure.

Nothing is kept at the vendor: every request says `store: false` and brings the whole conversation.
"""

from interlock.adapters.openai.answer import decode_error
from interlock.adapters.openai_responses.answer import decode_answer
from interlock.adapters.openai_responses.carry import cannot_carry
from interlock.adapters.openai_responses.request import encode_request
from interlock.adapters.openai_responses.stream import StreamDecoder

__all__ = ["StreamDecoder", "cannot_carry", "decode_answer", "decode_error", "encode_request"]
