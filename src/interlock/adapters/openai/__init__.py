"""The wire format of OpenAI chat completions, which most servers of models speak. Pure."""

from interlock.adapters.openai import embeddings
from interlock.adapters.openai.answer import decode_answer, decode_error
from interlock.adapters.openai.carry import cannot_carry
from interlock.adapters.openai.request import encode_request
from interlock.adapters.openai.stream import StreamDecoder

__all__ = ["StreamDecoder", "cannot_carry", "decode_answer", "decode_error", "embeddings", "encode_request"]
