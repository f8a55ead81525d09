"""How upstreams fail, read by status and by code, and what of it callers may see (rows U5, U6, U7, U13)."""

import json
from typing import Any, Final

import pytest

from interlock.adapters import ADAPTERS
from interlock.adapters.failures import SPENT
from interlock.dialects import DIALECTS
from interlock.execute.failures import is_safe_to_repeat
from interlock.types.answer import Answer, Failure
from interlock.types.labels import Kind
from tests.adapters.recorded import adapter, ask, calls

KINDS: Final[tuple[Kind, ...]] = ("openai", "anthropic")
CANARY = "sk-live-canary"


def fail(kind: Kind, status: int, error: Any = None, headers: dict[str, str] | None = None) -> Failure:
    body = error if isinstance(error, bytes) else json.dumps({"error": error}).encode()
    return ADAPTERS[kind].decode_error(status, headers or {}, body)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("status", "outcome", "final"),
    [
        (400, "upstream_error", True),
        (404, "upstream_error", True),
        (409, "upstream_error", True),
        (422, "upstream_error", True),
        (408, "timeout", False),
        (413, "context_length", False),
        (429, "rate_limited", False),
        (401, "upstream_error", False),
        (402, "upstream_error", False),
        (403, "upstream_error", False),
        (500, "upstream_error", False),
        (502, "upstream_error", False),
        (503, "upstream_error", False),
        (504, "upstream_error", False),
        (529, "upstream_error", False),
        (302, "upstream_error", False),
        (204, "upstream_error", False),
    ],
)
@pytest.mark.parametrize(
    "body",
    [
        {"message": "vendor words", "type": "some_error"},
        "vendor words",
        b"<html>vendor words</html>",
        b"",
        b"[]",
        b'{"error":null}',
        b'{"error":{"message":7,"type":[],"code":{}}}',
        b"\xff",
        b"[" * 100_000,
    ],
)
def test_u6_the_status_decides_whatever_the_body_is(kind, status, outcome, final, body):
    failure = fail(kind, status, body)
    assert (failure.outcome, failure.final, failure.status) == (outcome, final, status)
    assert failure.message
    assert final or "vendor words" not in failure.message


@pytest.mark.parametrize("kind", KINDS)
def test_u6_the_vendors_words_about_the_request_itself_reach_the_caller(kind):
    assert fail(kind, 400, {"message": "tools[0]: bad schema", "type": "x"}).message == "tools[0]: bad schema"


def test_u6_recorded_refusals_are_final_with_the_vendors_words():
    refused = calls("openai-chat", status=400)
    assert refused
    for row in refused:
        failure = adapter("openai-chat").decode_error(400, {}, json.dumps(row["response"]).encode())
        assert failure.final
        assert failure.message == row["response"]["error"]["message"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("status", [401, 402, 403, 407])
def test_u7_what_a_vendor_says_of_our_credentials_is_shown_to_nobody(kind, status):
    error = {
        "message": f"Incorrect API key provided: {CANARY}",
        "type": "invalid_request_error",
        "code": CANARY + " x",
    }
    failure = fail(kind, status, error)
    assert not failure.final
    assert CANARY not in failure.message + failure.detail
    assert "Incorrect" not in failure.message + failure.detail


@pytest.mark.parametrize(
    ("kind", "status", "error", "outcome"),
    [
        ("openai", 400, {"code": "context_length_exceeded", "message": "x"}, "context_length"),
        ("openai", 400, {"code": 400, "type": "exceed_context_size_error"}, "context_length"),
        ("openai", 400, {"code": "content_filter"}, "content_filtered"),
        ("openai", 400, {"code": "content_policy_violation"}, "content_filtered"),
        ("openai", 403, {"code": "content_filter"}, "upstream_error"),
        ("openai", 500, {"code": "context_length_exceeded"}, "context_length"),
        ("openai", 400, {"message": "This model's maximum context length is 5 tokens"}, "upstream_error"),
        ("anthropic", 413, {"type": "request_too_large"}, "context_length"),
        ("anthropic", 529, {"type": "overloaded_error"}, "upstream_error"),
        ("anthropic", 429, {"type": "rate_limit_error"}, "rate_limited"),
        ("anthropic", 504, {"type": "timeout_error"}, "timeout"),
        (
            "anthropic",
            400,
            {"type": "invalid_request_error", "message": "prompt is too long"},
            "upstream_error",
        ),
    ],
)
def test_a_vendors_code_says_more_than_the_status_and_words_say_nothing(kind, status, error, outcome):
    assert fail(kind, status, error).outcome == outcome


@pytest.mark.parametrize(
    ("kind", "status", "error", "outcome"),
    [
        ("openai", 429, {"code": "insufficient_quota", "message": "You exceeded your quota"}, "rate_limited"),
        ("openai", 429, {"type": "insufficient_quota", "code": None}, "rate_limited"),
        ("openai", 429, {"code": "billing_not_active"}, "rate_limited"),
        ("openai", 400, {"code": "billing_hard_limit_reached"}, "rate_limited"),
        ("openai", 429, {"type": "exceeded_current_quota_error"}, "rate_limited"),
        (
            "openai",
            402,
            {"message": "Insufficient Balance", "code": "invalid_request_error"},
            "upstream_error",
        ),
        ("openai", 403, {"code": "insufficient_credits"}, "upstream_error"),
        ("anthropic", 402, {"type": "billing_error"}, "upstream_error"),
        ("anthropic", 403, {"type": "billing_error"}, "upstream_error"),
        ("azure", 429, {"code": "insufficient_quota"}, "rate_limited"),
        ("openai-responses", 429, {"code": "insufficient_quota"}, "rate_limited"),
    ],
)
def test_u5_an_account_that_is_used_up_is_no_rate_limit_that_waiting_would_mend(kind, status, error, outcome):
    failure = fail(kind, status, error, {"retry-after": "3"})
    assert (failure.outcome, failure.spent, failure.final) == (outcome, True, False)
    assert (failure.message, failure.retry_after_s) == (SPENT, None)
    assert failure.detail.endswith(SPENT)
    assert error.get("message", CANARY) not in failure.message + failure.detail
    assert not is_safe_to_repeat(failure, has_effects=False)
    limited = fail(kind, 429, {"code": "rate_limit_exceeded", "type": "rate_limit_error"})
    assert (limited.outcome, limited.spent) == ("rate_limited", False)
    assert is_safe_to_repeat(limited, has_effects=False)


@pytest.mark.parametrize(
    ("kind", "error"),
    [("openai", {"code": "insufficient_quota"}), ("anthropic", {"type": "billing_error"})],
)
def test_u5_an_account_that_is_used_up_is_named_in_a_stream_too(kind, error):
    data = json.dumps({"type": "error", "error": error}).encode()
    (failure,) = ADAPTERS[kind].StreamDecoder().feed(b"data: " + data + b"\n\n")
    assert isinstance(failure, Failure)
    assert failure.spent


def test_an_error_object_without_its_envelope_is_read_too():
    body = b'{"object":"error","message":"no such parameter","type":"BadRequestError","code":400}'
    assert fail("openai", 400, body).message == "no such parameter"
    assert fail("openai", 422, b'{"detail":"no such field"}').message == "no such field"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": " 1.5 "}, 1.5),
        ({"retry-after": "1000000000"}, 1e9),
        ({"retry-after": "-3"}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": ""}, None),
        ({"retry-after": "Wed, 21 Oct 2026 07:28:00 GMT"}, None),
        ({"retry-after": "Wed, 21 Oct 2026 07:28:00 GMT", "date": "Wed, 21 Oct 2026 07:27:30 GMT"}, 30.0),
        ({"retry-after": "Wed, 21 Oct 2026 07:28:00 GMT", "date": "Wed, 21 Oct 2026 07:29:00 GMT"}, 0.0),
        ({"retry-after": "Wed, 99 Oct 2026 07:28:00 GMT", "date": "yesterday"}, None),
        ({"retry-after-ms": "250", "retry-after": "1"}, 0.25),
        ({"retry-after-ms": "x", "retry-after": "1"}, 1.0),
    ],
)
def test_u5_how_long_to_wait_is_read_without_a_clock_and_nonsense_is_unknown(kind, headers, seconds):
    assert fail(kind, 429, {"message": "slow"}, headers).retry_after_s == seconds


CHOICE = {"index": 0, "message": {"role": "assistant", "content": "hi"}, "finish_reason": "stop"}
MESSAGE = {"id": "m", "model": "m", "content": [{"type": "text", "text": "hi"}], "stop_reason": "end_turn"}


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        *[
            (kind, body)
            for kind in KINDS
            for body in (b"", b"<html></html>", b"[]", b"null", b"{}", b"{", b"\xff")
        ],
        *[(kind, b"[" * 100_000) for kind in KINDS],
        ("openai", {"choices": []}),
        ("openai", {"choices": None}),
        ("openai", {"choices": [{**CHOICE, "finish_reason": None}]}),
        ("openai", {"choices": [{**CHOICE, "finish_reason": "surprise"}]}),
        ("openai", {"choices": [{"finish_reason": "stop"}]}),
        ("openai", {"choices": [{**CHOICE, "message": {"content": 7}}]}),
        ("openai", {"choices": [{**CHOICE, "message": {"tool_calls": [{}]}}]}),
        ("openai", {"choices": [{**CHOICE, "message": {"function_call": {"name": "f"}}}]}),
        ("anthropic", {**MESSAGE, "content": None}),
        ("anthropic", {**MESSAGE, "content": ["hi"]}),
        ("anthropic", {**MESSAGE, "content": [{"type": "text"}]}),
        ("anthropic", {**MESSAGE, "content": [{"type": "tool_use", "id": "1", "name": "f", "input": "x"}]}),
        ("anthropic", {**MESSAGE, "stop_reason": None}),
        ("anthropic", {**MESSAGE, "stop_reason": "surprise"}),
    ],
)
def test_u13_an_answer_that_is_none_is_a_failure_without_a_word_of_it(kind, body):
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    failure = ADAPTERS[kind].decode_answer(data)
    assert isinstance(failure, Failure)
    assert (failure.outcome, failure.final) == ("malformed", False)


@pytest.mark.parametrize(
    ("kind", "error", "outcome"),
    [
        ("openai", {"message": "x", "code": 429}, "rate_limited"),
        ("openai", {"message": "x", "code": "context_length_exceeded"}, "context_length"),
        ("openai", "words", "upstream_error"),
        ("anthropic", {"type": "overloaded_error", "message": "x"}, "upstream_error"),
        ("anthropic", {"type": "rate_limit_error", "message": "x"}, "rate_limited"),
    ],
)
def test_u13_an_error_object_inside_a_200_is_the_failure_that_it_says(kind, error, outcome):
    failure = ADAPTERS[kind].decode_answer(json.dumps({"error": error}).encode())
    assert isinstance(failure, Failure)
    assert failure.outcome == outcome


@pytest.mark.parametrize("usage", [None, 7, {}, {"prompt_tokens": "x"}, {"prompt_tokens": 1.5}])
def test_u16_an_answer_with_impossible_counts_is_an_answer_with_unknown_ones(usage):
    answer = ADAPTERS["openai"].decode_answer(json.dumps({"choices": [CHOICE], "usage": usage}).encode())
    assert isinstance(answer, Answer)
    assert answer.usage.input_tokens is None
    message = ADAPTERS["anthropic"].decode_answer(json.dumps({**MESSAGE, "usage": usage}).encode())
    assert isinstance(message, Answer)
    assert message.usage.input_tokens is None


def test_a_message_that_filled_the_context_window_says_so_to_callers_of_its_dialect_only():
    body = json.dumps({**MESSAGE, "stop_reason": "model_context_window_exceeded"}).encode()
    answer = ADAPTERS["anthropic"].decode_answer(body)
    assert isinstance(answer, Answer)
    assert answer.finish == "length"
    same = json.loads(DIALECTS["anthropic-messages"].encode_answer(answer, ask("anthropic-messages"), "m"))
    other = json.loads(DIALECTS["openai-chat"].encode_answer(answer, ask("openai-chat"), "m"))
    assert same["stop_reason"] == "model_context_window_exceeded"
    assert other["choices"][0]["finish_reason"] == "length"


def test_an_answer_without_an_error_may_have_the_field():
    assert isinstance(
        ADAPTERS["openai"].decode_answer(json.dumps({"choices": [CHOICE], "error": None}).encode()), Answer
    )
