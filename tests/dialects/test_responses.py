"""Callers of OpenAI responses: what their requests come to, and what they are sent."""

import json
from typing import Any

import pytest
from msgspec import structs

from interlock.dialects import DIALECTS
from interlock.errors import ApiError
from interlock.types.answer import (
    Answer,
    BlockDelta,
    BlockStarted,
    BlockStopped,
    Event,
    Finished,
    Started,
    Usage,
)
from interlock.types.request import (
    IN_INPUT,
    File,
    Image,
    Keeping,
    Opaque,
    Request,
    Text,
    Thinking,
    ToolCall,
    ToolChoice,
    ToolResult,
)
from interlock.wire.sse import EventParser

OURS = DIALECTS["openai-responses"]


def decode(given: Any = "hi", /, headers: dict[str, str] | None = None, **fields: Any) -> Request:
    return OURS.decode_request(json.dumps({"model": "m", "input": given, **fields}).encode(), headers or {})


def refusal(given: Any = "hi", /, **fields: Any) -> ApiError:
    with pytest.raises(ApiError) as caught:
        decode(given, **fields)
    assert (caught.value.code, caught.value.status) == ("invalid_request", 400)
    return caught.value


# --- requests ---------------------------------------------------------------------------------


def test_instructions_and_a_string_are_a_system_message_and_a_users():
    request = decode("hi", instructions="be brief")
    assert [(m.role, m.parts) for m in request.messages] == [
        ("system", (Text(text="be brief"),)),
        ("user", (Text(text="hi"),)),
    ]


def test_what_an_assistant_did_in_one_go_is_one_message():
    thought = {"type": "reasoning", "id": "rs", "summary": [{"type": "summary_text", "text": "hm"}]}
    said = {
        "type": "message",
        "id": "msg",
        "role": "assistant",
        "content": [{"type": "output_text", "text": "a"}],
    }
    calls = [
        {"type": "function_call", "id": f"fc{n}", "call_id": f"c{n}", "name": "f", "arguments": "{}"}
        for n in (1, 2)
    ]
    results = [{"type": "function_call_output", "call_id": f"c{n}", "output": str(n)} for n in (1, 2)]
    request = decode([{"role": "user", "content": "hi"}, thought, said, *calls, *results, said, said])
    assert [m.role for m in request.messages] == [
        "user",
        "assistant",
        "tool",
        "tool",
        "assistant",
        "assistant",
    ]
    turn = request.messages[1]
    assert [type(part) for part in turn.parts] == [Thinking, Text, ToolCall, ToolCall]
    assert turn.extra == {"id": "msg"}
    assert isinstance(turn.parts[0], Thinking)
    assert turn.parts[0].text == "hm"
    (result,) = request.messages[3].parts
    assert isinstance(result, ToolResult)
    assert (result.call_id, result.name, result.content) == ("c2", "f", (Text(text="2"),))


def test_images_and_files_are_read_wherever_they_may_stand():
    parts = [
        {"type": "input_image", "image_url": "https://x.test/a.png", "detail": "low"},
        {"type": "input_image", "image_url": "data:image/png;base64,AAAA"},
        {"type": "input_image", "file_id": "file-1"},
        {"type": "input_file", "file_url": "https://x.test/a.pdf"},
        {"type": "input_file", "file_data": "data:application/pdf;base64,AAAA", "filename": "a.pdf"},
    ]
    request = decode(
        [
            {"role": "user", "content": parts},
            {"type": "function_call", "call_id": "c", "name": "f", "arguments": ""},
            {"type": "function_call_output", "call_id": "c", "output": parts},
        ]
    )
    expected = (
        Image(url="https://x.test/a.png", detail="low"),
        Image(media_type="image/png", data="AAAA"),
        Opaque(
            dialect="openai-responses",
            kind="input_image",
            value={"type": "input_image", "file_id": "file-1"},
        ),
        File(url="https://x.test/a.pdf"),
        File(media_type="application/pdf", data="AAAA", name="a.pdf"),
    )
    assert request.messages[0].parts == expected
    (result,) = request.messages[2].parts
    assert isinstance(result, ToolResult)
    assert result.content == expected


def test_items_of_the_vendors_own_stay_whole_and_their_labels_are_ours():
    call = {"type": "web_search_call", "id": "ws", "status": "completed", "action": {"type": "search"}}
    output = {"type": "computer_call_output", "call_id": "c", "output": {"x": 1}, "trust": "untrusted"}
    request = decode([{"role": "user", "content": "hi"}, call, output])
    (part,) = request.messages[1].parts
    assert part == Opaque(dialect="openai-responses", kind="web_search_call", value=call)
    (other,) = request.messages[2].parts
    assert isinstance(other, Opaque)
    assert (other.trust, "trust" in other.value) == ("untrusted", False)


def test_tools_that_an_item_brings_are_offered_to_policy_like_any_others():
    tools = [{"type": "function", "name": "deploy", "parameters": {"type": "object"}}]
    for item in (
        {"type": "additional_tools", "role": "developer", "tools": tools},
        {"type": "tool_search_output", "call_id": "c", "tools": tools},
        {"type": "tool_search_output", "tools": [{"type": "namespace", "name": "ops", "tools": tools}]},
    ):
        request = decode([{"role": "user", "content": "hi"}, item])
        assert "deploy" in [tool.name for tool in request.tools]
        assert all(tool.extra == IN_INPUT for tool in request.tools)
        (part,) = request.messages[1].parts
        assert isinstance(part, Opaque)
        assert part.value["tools"] == item["tools"], "the item goes on whole"


@pytest.mark.parametrize(
    ("tool", "name"),
    [
        ({"type": "web_search"}, "web_search"),
        ({"type": "web_search_preview_2025_03_11"}, "web_search"),
        ({"type": "computer_use_preview", "display_width": 1}, "computer"),
        ({"type": "code_interpreter", "container": {"type": "auto"}}, "code_interpreter"),
        ({"type": "mcp", "server_label": "crm", "server_url": "https://x.test"}, "mcp:crm"),
        ({"type": "deploy", "name": "search"}, "vendor:deploy"),
    ],
)
def test_a_vendors_tool_goes_by_the_name_of_its_type_whatever_the_caller_calls_it(tool, name):
    (read,) = decode(tools=[tool]).tools
    assert (read.name, read.vendor) == (name, tool)


def test_a_choice_names_a_tool_that_is_offered_or_shortens_the_list():
    tools = [{"type": "function", "name": name} for name in ("a", "b")] + [{"type": "web_search"}]
    assert decode(tools=tools, tool_choice={"type": "function", "name": "b"}).tool_choice == ToolChoice(
        mode="tool", name="b"
    )
    forced = decode(tools=tools, tool_choice={"type": "web_search"})
    assert forced.tool_choice == ToolChoice(mode="tool", name="web_search")
    allowed = {"type": "allowed_tools", "mode": "required", "tools": [{"type": "function", "name": "a"}]}
    short = decode(tools=tools, tool_choice=allowed)
    assert ([tool.name for tool in short.tools], short.tool_choice) == (["a"], ToolChoice(mode="required"))
    for wrong in ({"type": "function", "name": "c"}, {"type": "mcp", "server_label": "crm"}, "any"):
        assert refusal(tools=tools, tool_choice=wrong).param is not None


def test_a_format_is_read_and_what_else_stands_in_text_stays():
    schema = {"type": "object"}
    request = decode(
        text={"format": {"type": "json_schema", "name": "n", "schema": schema}, "verbosity": "low"}
    )
    assert request.response_format is not None
    assert (request.response_format.name, request.response_format.json_schema) == ("n", schema)
    assert request.extra == {"text": {"verbosity": "low"}}


def test_hints_and_labels_are_read_as_in_every_dialect():
    part = {"type": "input_text", "text": "x", "trust": "untrusted"}
    request = decode(
        [{"role": "user", "content": [part], "source": "email"}],
        {"x-interlock-residency": "eu"},
        metadata={"data_class": "confidential", "team": "blue"},
    )
    assert request.hints.data_class == "confidential"
    assert request.hints.residencies == ("eu",)
    assert request.metadata == {"team": "blue"}
    (read,) = request.messages[0].parts
    assert (read.trust, read.source) == ("untrusted", "email")


@pytest.mark.parametrize(
    ("given", "fields", "param"),
    [
        ("hi", {"background": True}, "background"),
        ("hi", {"conversation": "conv_1"}, "conversation"),
        ("hi", {"prompt": {"id": "pmpt_1"}}, "prompt"),
        ("hi", {"max_tokens": 5}, "max_tokens"),
        ("hi", {"max_output_tokens": 0}, "max_output_tokens"),
        ("hi", {"api_base": "https://x.test"}, "api_base"),
        ("hi", {"tools": [{"type": "custom", "name": "x"}]}, "tools[0].type"),
        ([], {}, "input"),
        (5, {}, "input"),
        ([{"type": "item_reference"}], {}, "input[0].id"),
        ([{"type": "item_reference", "id": "msg_1", "content": "x"}], {}, "input[0].content"),
        ([{"role": "tool", "content": "x"}], {}, "input[0].role"),
        ([{"type": "function_call", "name": "f", "arguments": "{}"}], {}, "input[0].call_id"),
        ([{"role": "user", "content": [{"type": "input_file"}]}], {}, "input[0].content[0]"),
        (
            [{"role": "assistant", "content": [{"type": "input_image", "image_url": "x"}]}],
            {},
            "input[0].content",
        ),
    ],
)
def test_c11_what_is_wrong_or_not_served_is_refused_with_its_path(given, fields, param):
    assert refusal(given, **fields).param == param


def test_what_nobody_interprets_stays_under_its_own_name():
    request = decode(truncation="auto", service_tier="flex", new_field={"a": 1})
    assert request.extra == {"truncation": "auto", "service_tier": "flex", "new_field": {"a": 1}}


# --- answers ----------------------------------------------------------------------------------


def encode(*parts: Any, finish: Any = "stop", request: Request | None = None, **fields: Any) -> Any:
    answer = Answer(id="up_1", upstream_model="u", parts=parts, finish=finish, **fields)
    return json.loads(OURS.encode_answer(answer, request or decode(), "pool-model"))


def named(**fields: Any) -> Request:
    return structs.replace(decode(**fields), keeping=Keeping(id="resp_abc", store=True, previous="resp_0"))


def test_an_answer_has_the_servers_id_and_repeats_its_request():
    tools = [
        {"type": "mcp", "server_label": "crm", "authorization": "secret", "server_url": "https://x.test"}
    ]
    got = encode(Text(text="hi"), request=named(tools=tools, temperature=0.5, metadata={"a": "b"}), created=7)
    assert (got["id"], got["previous_response_id"], got["store"]) == ("resp_abc", "resp_0", True)
    assert (got["model"], got["created_at"], got["temperature"]) == ("pool-model", 7, 0.5)
    assert got["metadata"] == {"a": "b"}
    assert got["tools"] == [{"type": "mcp", "server_label": "crm", "server_url": "https://x.test"}]
    assert got["output"][0]["id"] == "msg_abcggg"


def test_an_items_id_holds_no_digits_that_a_detector_could_take_for_somebodys_number():
    request = named()
    keeping = Keeping(id="resp_41111111111111114242424242")
    for part in (Text(text="hi"), Thinking(text="hm"), ToolCall(id="c", name="f", arguments="{}")):
        (item,) = encode(part, request=structs.replace(request, keeping=keeping))["output"]
        assert not any(character.isdigit() for character in item["id"])


@pytest.mark.parametrize(
    ("finish", "status", "reason"),
    [
        ("stop", "completed", None),
        ("tool_calls", "completed", None),
        ("stop_sequence", "completed", None),
        ("length", "incomplete", "max_output_tokens"),
        ("pause", "incomplete", "max_output_tokens"),
        ("content_filter", "incomplete", "content_filter"),
        ("refusal", "incomplete", "content_filter"),
    ],
)
def test_an_answer_that_was_cut_is_incomplete_and_says_why(finish, status, reason):
    got = encode(Text(text="hi"), finish=finish)
    assert got["status"] == got["output"][0]["status"] == status
    assert (got["incomplete_details"] or {}).get("reason") == reason
    streamed = stream(Started("x", "m"), *text_block(0, "hi"), Finished(finish))
    assert streamed[-1]["type"] == f"response.{status}"
    assert streamed[-1]["response"]["incomplete_details"] == got["incomplete_details"]


def test_thoughts_that_another_vendor_signed_come_back_with_their_signature():
    got = encode(Thinking(text="hm", signature="sig"), Thinking(redacted="xyz"), Text(text="hi"))
    assert [item["type"] for item in got["output"]] == ["reasoning", "reasoning", "message"]
    assert got["output"][0]["summary"] == [{"type": "summary_text", "text": "hm"}]
    back = decode([{"role": "user", "content": "hi"}, *got["output"]])
    assert [
        (part.signature, part.redacted) for part in back.messages[1].parts if isinstance(part, Thinking)
    ] == [("sig", None), (None, "xyz")]


def test_counts_that_must_be_numbers_are_and_a_missing_usage_is_null():
    assert encode(Text(text="hi"))["usage"] is None
    usage = encode(Text(text="hi"), usage=Usage(input_tokens=3, output_tokens=2, reasoning_tokens=1))["usage"]
    assert usage["total_tokens"] == 5
    assert usage["input_tokens_details"] == {"cached_tokens": 0, "cache_write_tokens": 0}
    assert usage["output_tokens_details"] == {"reasoning_tokens": 1}


# --- streams ----------------------------------------------------------------------------------


def text_block(index: int, *texts: str) -> list[Event]:
    return [
        BlockStarted(index, "text"),
        *(BlockDelta(index, text) for text in texts),
        BlockStopped(index),
    ]


def stream(*events: Event, request: Request | None = None) -> list[dict[str, Any]]:
    data = OURS.StreamEncoder(request or named(), "pool-model").encode(events)
    return [json.loads(item) for item in EventParser().feed(data)]


def test_a_stream_has_every_event_of_its_items_in_order():
    got = stream(
        Started("x", "m", created=5),
        BlockStarted(0, "thinking"),
        BlockDelta(0, "hm"),
        BlockDelta(0, "", {"anthropic-messages": {}, "signature": "sig"}),
        BlockStopped(0),
        *text_block(1, "a", "b"),
        BlockStarted(2, "tool_call", "c1", "f"),
        BlockDelta(2, "{}"),
        BlockStopped(2),
        Finished("tool_calls", None, Usage(input_tokens=3, output_tokens=2)),
    )
    assert [event["type"].removeprefix("response.") for event in got] == [
        "created",
        "in_progress",
        "output_item.added",
        "reasoning_summary_part.added",
        "reasoning_summary_text.delta",
        "reasoning_summary_text.done",
        "reasoning_summary_part.done",
        "output_item.done",
        "output_item.added",
        "content_part.added",
        "output_text.delta",
        "output_text.delta",
        "output_text.done",
        "content_part.done",
        "output_item.done",
        "output_item.added",
        "function_call_arguments.delta",
        "function_call_arguments.done",
        "output_item.done",
        "completed",
    ]
    assert [event["sequence_number"] for event in got] == list(range(20))
    assert [event["output_index"] for event in got if "output_index" in event] == [0] * 6 + [1] * 7 + [2] * 4
    output = got[-1]["response"]["output"]
    assert output == [event["item"] for event in got if event["type"] == "response.output_item.done"]
    assert output[0]["encrypted_content"].endswith("sig")
    assert (output[1]["content"][0]["text"], output[2]["arguments"]) == ("ab", "{}")
    assert {event["response"]["id"] for event in got if "response" in event} == {"resp_abc"}


def test_a_stream_adds_up_to_the_whole_answer_of_the_same_words():
    usage = Usage(input_tokens=3, output_tokens=2)
    streamed = stream(
        Started("x", "m", created=5),
        *text_block(0, "a", "b"),
        BlockStarted(1, "refusal"),
        BlockDelta(1, "no"),
        BlockStopped(1),
        Finished("stop", None, usage),
    )[-1]["response"]
    parts = (Text(text="ab"),)
    whole = encode(*parts, request=named(), created=5, usage=usage)
    assert streamed["output"][0]["content"].pop() == {"type": "refusal", "refusal": "no"}
    assert streamed == whole


def test_a_vendor_does_not_take_the_place_of_what_we_say_of_a_response_whole_or_streamed():
    told = {"openai-responses": {"top": {"background": True, "model": "up", "store": True, "own": 1}}}
    last = Finished("stop", None, Usage(), told)
    streamed = stream(Started("x", "m", created=5), *text_block(0, "ab"), last)[-1]["response"]
    whole = encode(Text(text="ab"), request=named(), created=5, usage=Usage(), extra=told)
    assert (whole["background"], whole["model"], whole["store"], whole["own"]) == (
        False,
        "pool-model",
        True,
        1,
    )
    assert streamed == whole


def test_blocks_that_end_late_still_end_before_their_item():
    got = stream(
        Started("x", "m"),
        BlockStarted(0, "text"),
        BlockDelta(0, "a"),
        BlockStarted(1, "tool_call", "c", "f"),
        BlockStopped(1),
        BlockStopped(0),
        Finished("tool_calls"),
    )
    done = [event["output_index"] for event in got if event["type"] == "response.output_item.done"]
    assert sorted(done) == [0, 1]
    assert len(got[-1]["response"]["output"]) == 2


def test_u8_a_stream_that_fails_ends_in_one_error_event_that_sdks_raise():
    encoder = OURS.StreamEncoder(named(), "m")
    encoder.encode([Started("x", "m")])
    data = encoder.fail(ApiError("upstream_failed", "the provider failed"))
    assert data.startswith(b"event: error\n")
    (event,) = [json.loads(item) for item in EventParser().feed(data)]
    assert (event["type"], event["sequence_number"], event["code"]) == ("error", 2, "upstream_failed")
    assert event["error"]["message"] == event["message"] == "the provider failed"


@pytest.mark.parametrize("text", ["\n\ndata: [DONE]\n\n", "\u2028\x85", '"}}\n\nevent: x\n', "\0"])
def test_a14_text_of_any_kind_is_one_event_and_arrives_unchanged(text):
    got = stream(
        Started("x", "m"),
        *text_block(0, text),
        BlockStarted(1, "tool_call", text, text),
        BlockDelta(1, text),
        BlockStopped(1),
        Finished("tool_calls"),
    )
    deltas = [event["delta"] for event in got if event["type"].endswith(".delta")]
    assert deltas == [text, text]
    assert got[-1]["response"]["output"][1]["name"] == text
