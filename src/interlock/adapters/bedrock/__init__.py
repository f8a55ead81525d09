"""The wire format of AWS Bedrock's Converse API: `converse` and `converse-stream`. Pure.

Requests are signed with an access key or carry a Bedrock API key; streams come as binary frames.
"""

from interlock.adapters.bedrock.answer import decode_answer, decode_error
from interlock.adapters.bedrock.carry import cannot_carry
from interlock.adapters.bedrock.request import encode_request
from interlock.adapters.bedrock.stream import StreamDecoder

__all__ = ["StreamDecoder", "cannot_carry", "decode_answer", "decode_error", "encode_request"]
