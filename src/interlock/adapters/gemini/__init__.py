"""The wire format of Google's Gemini: `generateContent` and `streamGenerateContent`. Pure.

The Gemini API and Vertex AI both speak it; only their base URLs differ.
"""

from interlock.adapters.gemini import embeddings
from interlock.adapters.gemini.answer import decode_answer, decode_error
from interlock.adapters.gemini.carry import cannot_carry
from interlock.adapters.gemini.request import encode_request
from interlock.adapters.gemini.stream import StreamDecoder

__all__ = ["StreamDecoder", "cannot_carry", "decode_answer", "decode_error", "embeddings", "encode_request"]
