"""Marks that callers of chat put on parts, messages and tools: up to there a prompt may be cached."""

import json
from typing import Any, Final

import pytest

from interlock.adapters import ADAPTERS, HttpCall
from interlock.dialects import DIALECTS
from interlock.types.labels import Wire
from tests.adapters.carried import TARGETS

MARK: Final = {"cache_control": {"type": "ephemeral"}}
MARKED: Final[dict[str, Any]] = {
    "tools": [{"type": "function", "function": {"name": "f"}, **MARK}],
    "messages": [
        {"role": "system", "content": [{"type": "text", "text": "be brief", **MARK}]},
        {"role": "user", "content": "hi", **MARK},
        {
            "role": "assistant",
            "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
        },
        {"role": "tool", "tool_call_id": "c1", "content": [{"type": "text", "text": "x", **MARK}]},
    ],
}


def sent(wire: Wire, body: dict[str, Any]) -> HttpCall:
    request = DIALECTS["openai-chat"].decode_request(json.dumps({"model": "m", **body}).encode(), {})
    return ADAPTERS[wire].encode_request(request, TARGETS[wire])


def test_marks_in_a_chat_are_claudes_own_where_it_has_them():
    body = json.loads(sent("anthropic", MARKED).body)
    assert body["system"] == [{"type": "text", "text": "be brief", **MARK}]
    assert body["tools"][0]["cache_control"] == MARK["cache_control"]
    assert body["messages"][0]["content"] == [{"type": "text", "text": "hi", **MARK}]
    assert body["messages"][2]["content"] == [
        {"type": "tool_result", "tool_use_id": "c1", "content": "x", **MARK}
    ]


def test_marks_in_a_chat_are_cache_points_at_bedrock():
    point = {"cachePoint": {"type": "default"}}
    body = json.loads(sent("bedrock", MARKED).body)
    assert body["system"] == [{"text": "be brief"}, point]
    assert body["toolConfig"]["tools"][1] == point
    assert body["messages"][0]["content"] == [{"text": "hi"}, point]
    assert body["messages"][2]["content"][1] == point
    assert sent("bedrock", MARKED).left_out == ()


@pytest.mark.parametrize("wire", ["gemini", "openai-responses"])
def test_marks_that_a_vendor_has_no_place_for_are_left_out_and_said_to_be(wire):
    call = sent(wire, MARKED)
    assert "cache_control" not in call.body.decode()
    places = ("tools[]", "messages[].content[]", "messages[]")
    assert set(call.left_out) == {f"{place}.cache_control" for place in places}
