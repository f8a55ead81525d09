"""Errors in the shape that the vendors' SDKs expect, in bodies and in streams."""

import json

import pytest
from anthropic.types.shared import ErrorResponse
from openai.types.shared.error_object import ErrorObject

from interlock.dialects import DIALECTS
from interlock.errors import STATUS, ApiError
from interlock.types.answer import BlockDelta, BlockStarted, Started
from tests.dialects.bodies import BOTH, decode

TYPES = {
    400: ("invalid_request_error", "invalid_request_error"),
    401: ("authentication_error", "authentication_error"),
    402: ("insufficient_quota", "billing_error"),
    403: ("permission_error", "permission_error"),
    404: ("not_found_error", "not_found_error"),
    408: ("timeout_error", "timeout_error"),
    413: ("invalid_request_error", "invalid_request_error"),
    429: ("rate_limit_error", "rate_limit_error"),
    500: ("api_error", "api_error"),
    502: ("api_error", "api_error"),
    503: ("overloaded_error", "overloaded_error"),
    504: ("timeout_error", "timeout_error"),
}


@pytest.mark.parametrize("code", STATUS)
def test_every_error_has_a_valid_shape_in_both_dialects(code):
    error = ApiError(code, "what", hint="do this", param="messages[0]", decision_id="dec_1")
    chat = json.loads(DIALECTS["openai-chat"].encode_error(error))["error"]
    message = json.loads(DIALECTS["anthropic-messages"].encode_error(error))
    assert ErrorObject.model_validate(chat).param == "messages[0]"
    assert ErrorResponse.model_validate(message).type == "error"
    ours = {"message": "what", "code": code, "decision_id": "dec_1", "hint": "do this"}
    assert {name: chat[name] for name in ours} == ours
    assert {name: message["error"][name] for name in ours} == ours
    if error.status in TYPES:
        assert (chat["type"], message["error"]["type"]) == TYPES[error.status]


@pytest.mark.parametrize("dialect", BOTH)
def test_a_stream_that_fails_ends_in_one_error_event_and_not_as_if_it_were_finished(dialect):
    encoder = DIALECTS[dialect].StreamEncoder(decode(dialect, stream=True), "m")
    begun = encoder.encode([Started("id", "m"), BlockStarted(0, "text"), BlockDelta(0, "hi")])
    failed = encoder.fail(ApiError("upstream_failed", "line one\n\ndata: [DONE]\n\nevent: message_stop"))
    assert failed.count(b"\n\n") == 1
    assert failed.endswith(b"\n\n")
    assert b"data: [DONE]\n" not in begun + failed
    assert b"\nevent: message_stop" not in begun + failed
    (line,) = [line for line in failed.split(b"\n") if line.startswith(b"data: ")]
    assert json.loads(line[6:])["error"]["code"] == "upstream_failed"
    assert (b"event: error\n" in failed) == (dialect == "anthropic-messages")
