"""Fields of requests in both dialects: what they become, and what is said when they do not fit (row C11)."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interlock.dialects import DIALECTS
from interlock.errors import ApiError
from interlock.types.request import (
    Audio,
    File,
    Image,
    Message,
    Opaque,
    Reasoning,
    Refusal,
    Request,
    ResponseFormat,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
)
from tests.dialects.bodies import BOTH, decode, refusal, user

FUNCTION = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
CUSTOM = {"name": "f", "input_schema": {"type": "object"}}
CALL = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}


@pytest.mark.parametrize("dialect", BOTH)
@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"model": ...}, "model"),
        ({"model": None}, "model"),
        ({"model": ""}, "model"),
        ({"model": 7}, "model"),
        ({"messages": ...}, "messages"),
        ({"messages": []}, "messages"),
        ({"messages": "hi"}, "messages"),
        ({"messages": {}}, "messages"),
        ({"messages": ["hi"]}, "messages[0]"),
        ({"messages": [{}]}, "messages[0].role"),
        ({"messages": [{"role": "pope", "content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": ["user"], "content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": "user"}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": None}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": 7}]}, "messages[0].content"),
        ({"messages": user("text")}, "messages[0].content[0]"),
        ({"messages": user({})}, "messages[0].content[0].type"),
        ({"messages": user({"type": "text"})}, "messages[0].content[0].text"),
        (
            {"messages": user({"type": "text", "text": "a"}, {"type": "text", "text": 1})},
            "messages[0].content[1].text",
        ),
        ({"messages": user({"type": "text", "text": "a", "trust": "yes"})}, "messages[0].content[0].trust"),
        ({"messages": user({"type": "text", "text": "a", "source": ""})}, "messages[0].content[0].source"),
        ({"max_tokens": -1}, "max_tokens"),
        ({"max_tokens": 1.5}, "max_tokens"),
        ({"max_tokens": "9"}, "max_tokens"),
        ({"max_tokens": True}, "max_tokens"),
        ({"temperature": -0.1}, "temperature"),
        ({"temperature": 2.1}, "temperature"),
        ({"temperature": "hot"}, "temperature"),
        ({"temperature": True}, "temperature"),
        ({"top_p": 1.1}, "top_p"),
        ({"stream": "yes"}, "stream"),
        ({"stream": 1}, "stream"),
        ({"tools": {}}, "tools"),
        ({"tools": [7]}, "tools[0]"),
        ({"tool_choice": 7}, "tool_choice"),
        ({"metadata": []}, "metadata"),
    ],
)
def test_c11_a_field_that_does_not_fit_is_refused_by_its_path(dialect, fields, param):
    error = refusal(dialect, **fields)
    assert error.param == param
    assert f"`{param}`" in error.message


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"n": 2}, "n"),
        ({"n": 0}, "n"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_completion_tokens": 5}, "max_tokens"),
        ({"functions": []}, "functions"),
        ({"function_call": "auto"}, "function_call"),
        ({"messages": [{"role": "function", "name": "f", "content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": "assistant", "function_call": {"name": "f"}}]}, "messages[0].function_call"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages[0].tool_call_id"),
        ({"messages": [{"role": "assistant", "tool_calls": [{}]}]}, "messages[0].tool_calls[0].id"),
        (
            {"messages": [{"role": "assistant", "tool_calls": [{**CALL, "type": "custom"}]}]},
            "messages[0].tool_calls[0].type",
        ),
        (
            {"messages": [{"role": "assistant", "tool_calls": [{"id": "1", "function": {}}]}]},
            "messages[0].tool_calls[0].function.name",
        ),
        ({"messages": user({"type": "image_url", "image_url": "x"})}, "messages[0].content[0].image_url"),
        ({"messages": user({"type": "image_url", "image_url": {}})}, "messages[0].content[0].image_url.url"),
        ({"messages": user({"type": "file", "file": {}})}, "messages[0].content[0].file"),
        (
            {"messages": user({"type": "input_audio", "input_audio": {}})},
            "messages[0].content[0].input_audio.data",
        ),
        ({"temperature": 2.5}, "temperature"),
        ({"stop": 7}, "stop"),
        ({"stop": ["a", 7]}, "stop[1]"),
        ({"seed": 1.5}, "seed"),
        ({"user": {}}, "user"),
        ({"reasoning_effort": 3}, "reasoning_effort"),
        ({"stream_options": {"include_usage": "yes"}}, "stream_options.include_usage"),
        ({"parallel_tool_calls": "no"}, "parallel_tool_calls"),
        ({"response_format": "json"}, "response_format"),
        ({"response_format": {"type": "xml"}}, "response_format.type"),
        ({"response_format": {"type": "json_schema"}}, "response_format.json_schema"),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"name": "n"}}},
            "response_format.json_schema.schema",
        ),
        ({"tools": [{"function": {}}]}, "tools[0].type"),
        ({"tools": [{"type": "custom", "custom": {"name": "x"}}]}, "tools[0].type"),
        ({"tools": [{"type": "function", "function": {}}]}, "tools[0].function.name"),
        ({"tools": [FUNCTION], "tool_choice": "always"}, "tool_choice"),
        ({"tool_choice": "required"}, "tool_choice"),
        (
            {"tools": [FUNCTION], "tool_choice": {"type": "function", "function": {"name": "g"}}},
            "tool_choice.function.name",
        ),
        (
            {"tools": [FUNCTION], "tool_choice": {"type": "function", "function": {"name": "f", "x": 1}}},
            "tool_choice.function.x",
        ),
        ({"tools": [FUNCTION], "tool_choice": {"type": "magic"}}, "tool_choice.type"),
        (
            {
                "tools": [FUNCTION],
                "tool_choice": {
                    "type": "allowed_tools",
                    "allowed_tools": {
                        "mode": "auto",
                        "tools": [{"type": "function", "function": {"name": "g"}}],
                    },
                },
            },
            "tool_choice.allowed_tools.tools",
        ),
    ],
)
def test_c11_a_chat_field_that_does_not_fit_is_refused_by_its_path(fields, param):
    assert refusal("openai-chat", **fields).param == param


def image(**source):
    return user({"type": "image", "source": source})


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"temperature": 1.1}, "temperature"),
        ({"system": 7}, "system"),
        ({"system": [{"type": "image", "source": {"type": "url", "url": "x"}}]}, "system"),
        ({"messages": image()}, None),
        ({"messages": user({"type": "image"})}, "messages[0].content[0]"),
        ({"messages": image(type="url")}, "messages[0].content[0].source.url"),
        ({"messages": image(type="base64", data="AA==")}, "messages[0].content[0].source.media_type"),
        ({"messages": image(type="url", url="x", more=1)}, "messages[0].content[0].source.more"),
        ({"messages": user({"type": "tool_use", "id": "1", "name": "f"})}, "messages[0].content[0].input"),
        (
            {"messages": user({"type": "tool_use", "id": "1", "name": "f", "input": "x"})},
            "messages[0].content[0].input",
        ),
        ({"messages": user({"type": "tool_result"})}, "messages[0].content[0].tool_use_id"),
        (
            {"messages": [{"role": "assistant", "content": [{"type": "tool_result", "tool_use_id": "1"}]}]},
            "messages[0].content",
        ),
        ({"tools": [{"name": "f"}]}, "tools[0].input_schema"),
        ({"tools": [CUSTOM], "tool_choice": "auto"}, "tool_choice"),
        ({"tools": [CUSTOM], "tool_choice": {"type": "some"}}, "tool_choice.type"),
        ({"tools": [CUSTOM], "tool_choice": {"type": "tool", "name": "g"}}, "tool_choice.name"),
        ({"tool_choice": {"type": "any"}}, "tool_choice"),
        ({"stop_sequences": "x"}, "stop_sequences"),
        ({"top_k": -1}, "top_k"),
        ({"thinking": {"type": "enabled"}}, "thinking.budget_tokens"),
        ({"thinking": {"budget_tokens": 5}}, "thinking.type"),
        ({"output_config": {"format": {"type": "xml"}}}, "output_config.format.type"),
        ({"output_config": {"effort": 7}}, "output_config.effort"),
        ({"metadata": {"user_id": 7}}, "metadata.user_id"),
        ({"mcp_servers": [{}]}, "mcp_servers[0]"),
        ({"anthropic_beta": ["a\r\nb"]}, "anthropic_beta"),
    ],
)
def test_c11_a_field_of_a_message_request_that_does_not_fit_is_refused_by_its_path(fields, param):
    if param is None:
        assert decode("anthropic-messages", **fields).messages
    else:
        assert refusal("anthropic-messages", **fields).param == param


@given(
    st.dictionaries(
        st.sampled_from(
            [
                "model",
                "messages",
                "tools",
                "tool_choice",
                "stop",
                "system",
                "thinking",
                "output_config",
                "response_format",
                "metadata",
                "stream_options",
                "max_tokens",
                "n",
                "mcp_servers",
            ]
        ),
        st.recursive(
            st.none() | st.booleans() | st.integers(-3, 3) | st.text(max_size=3),
            lambda inner: (
                st.lists(inner, max_size=3)
                | st.dictionaries(
                    st.sampled_from(
                        ["type", "role", "content", "text", "name", "function", "source", "id", "input"]
                    ),
                    inner,
                    max_size=4,
                )
            ),
            max_leaves=12,
        ),
        max_size=6,
    ),
    st.sampled_from(BOTH),
)
def test_c11_any_json_object_is_a_request_or_a_refusal(fields, dialect):
    raw = json.dumps({"model": "m", "messages": [{"role": "user", "content": "x"}], **fields}).encode()
    assert outcome(dialect, raw) in (Request, 400)


def outcome(dialect, raw):
    """What comes of a body: the type Request, or the status of its refusal. Nothing else may be raised."""
    try:
        return type(DIALECTS[dialect].decode_request(raw, {}))
    except ApiError as error:
        return error.status


def test_a_chat_request_becomes_the_canonical_one():
    request = decode(
        "openai-chat",
        messages=[
            {"role": "developer", "content": "d", "name": "boss"},
            *user(
                {"type": "text", "text": "t"},
                {"type": "image_url", "image_url": {"url": "https://x.test/i", "detail": "low"}},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}},
                {
                    "type": "file",
                    "file": {"file_data": "data:application/pdf;base64,AA==", "filename": "f.pdf"},
                },
                {"type": "file", "file": {"file_id": "file-1"}},
                {"type": "input_audio", "input_audio": {"data": "AA==", "format": "wav"}},
                {"type": "hologram", "x": 1},
            ),
            {
                "role": "assistant",
                "content": "a",
                "refusal": "no",
                "reasoning_content": "hm",
                "tool_calls": [CALL],
            },
            {"role": "tool", "tool_call_id": "c1", "content": "r"},
        ],
        tools=[FUNCTION],
        tool_choice="required",
        parallel_tool_calls=False,
        response_format={"type": "json_schema", "json_schema": {"name": "n", "schema": {}, "strict": True}},
        temperature=0,
        top_p=0.5,
        stop="END",
        seed=7,
        user="u",
        reasoning_effort="low",
        stream=True,
        stream_options={"include_usage": True},
        logit_bias={"5": 1},
    )
    assert request == Request(
        dialect="openai-chat",
        model="m",
        messages=(
            Message(role="developer", parts=(Text(text="d"),), name="boss"),
            Message(
                role="user",
                parts=(
                    Text(text="t"),
                    Image(url="https://x.test/i", detail="low"),
                    Image(data="AA==", media_type="image/png"),
                    File(data="AA==", media_type="application/pdf", name="f.pdf"),
                    File(file_id="file-1"),
                    Audio(data="AA==", format="wav"),
                    Opaque(dialect="openai-chat", kind="hologram", value={"type": "hologram", "x": 1}),
                ),
            ),
            Message(
                role="assistant",
                parts=(
                    Thinking(text="hm"),
                    Text(text="a"),
                    Refusal(text="no"),
                    ToolCall(id="c1", name="f", arguments="{}"),
                ),
            ),
            Message(role="tool", parts=(ToolResult(call_id="c1", content=(Text(text="r"),), name="f"),)),
        ),
        tools=(Tool(name="f", parameters={"type": "object"}),),
        tool_choice=ToolChoice(mode="required"),
        parallel_tool_calls=False,
        response_format=ResponseFormat(json_schema={}, name="n", strict=True),
        max_output_tokens=9,
        temperature=0,
        top_p=0.5,
        stop=("END",),
        seed=7,
        user="u",
        reasoning=Reasoning(effort="low"),
        stream=True,
        include_usage=True,
        extra={"logit_bias": {"5": 1}},
    )


def test_a_message_request_becomes_the_canonical_one():
    request = decode(
        "anthropic-messages",
        {"anthropic-beta": "files-api-2025-04-14, mcp-client-2025-11-20"},
        system=[{"type": "text", "text": "s", "cache_control": {"type": "ephemeral"}}],
        messages=[
            *user(
                {"type": "text", "text": "t"},
                {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AA=="}},
                {
                    "type": "document",
                    "title": "d",
                    "source": {"type": "text", "media_type": "text/plain", "data": "x"},
                },
                {
                    "type": "document",
                    "source": {"type": "file", "file_id": "f1"},
                    "citations": {"enabled": True},
                },
            ),
            {
                "role": "assistant",
                "content": [
                    {"type": "thinking", "thinking": "hm", "signature": "sig"},
                    {"type": "redacted_thinking", "data": "xx"},
                    {"type": "tool_use", "id": "c1", "name": "f", "input": {"a": "é"}},
                    {"type": "server_tool_use", "id": "s1", "name": "web_search", "input": {}},
                ],
            },
            *user(
                {"type": "tool_result", "tool_use_id": "c1", "content": "r", "is_error": True},
                {
                    "type": "tool_result",
                    "tool_use_id": "c2",
                    "content": [{"type": "tool_reference", "tool_name": "f"}],
                },
                {"type": "text", "text": "go on"},
            ),
        ],
        tools=[CUSTOM, {"type": "web_search_20250305", "name": "web_search"}],
        mcp_servers=[{"type": "url", "name": "wiki", "url": "https://x.test"}],
        tool_choice={"type": "any", "disable_parallel_tool_use": True},
        top_k=5,
        stop_sequences=["END"],
        thinking={"type": "enabled", "budget_tokens": 1024, "display": "omitted"},
        output_config={
            "effort": "high",
            "format": {"type": "json_schema", "schema": {}},
            "task_budget": {"total": 5},
        },
        metadata={"user_id": "u"},
        container="c",
    )
    assert request == Request(
        dialect="anthropic-messages",
        model="m",
        messages=(
            Message(role="system", parts=(Text(text="s", extra={"cache_control": {"type": "ephemeral"}}),)),
            Message(
                role="user",
                parts=(
                    Text(text="t"),
                    Image(data="AA==", media_type="image/png"),
                    File(text="x", media_type="text/plain", name="d"),
                    File(file_id="f1", extra={"citations": {"enabled": True}}),
                ),
            ),
            Message(
                role="assistant",
                parts=(
                    Thinking(text="hm", signature="sig"),
                    Thinking(redacted="xx"),
                    ToolCall(id="c1", name="f", arguments='{"a":"é"}'),
                    Opaque(
                        dialect="anthropic-messages",
                        kind="server_tool_use",
                        value={"type": "server_tool_use", "id": "s1", "name": "web_search", "input": {}},
                    ),
                ),
            ),
            Message(
                role="tool",
                parts=(
                    ToolResult(call_id="c1", content=(Text(text="r"),), name="f", is_error=True),
                    ToolResult(
                        call_id="c2",
                        content=(
                            Opaque(
                                dialect="anthropic-messages",
                                kind="tool_reference",
                                value={"type": "tool_reference", "tool_name": "f"},
                            ),
                        ),
                    ),
                ),
            ),
            Message(role="user", parts=(Text(text="go on"),)),
        ),
        tools=(
            Tool(name="f", parameters={"type": "object"}),
            Tool(name="web_search", vendor={"type": "web_search_20250305", "name": "web_search"}),
            Tool(
                name="mcp:wiki",
                vendor={"mcp_server": {"type": "url", "name": "wiki", "url": "https://x.test"}},
            ),
        ),
        tool_choice=ToolChoice(mode="required"),
        parallel_tool_calls=False,
        response_format=ResponseFormat(json_schema={}),
        max_output_tokens=9,
        top_k=5,
        stop=("END",),
        user="u",
        reasoning=Reasoning(effort="high", budget_tokens=1024, extra={"display": "omitted"}),
        include_usage=True,
        extra={
            "container": "c",
            "output_config": {"task_budget": {"total": 5}},
            "anthropic_beta": ["files-api-2025-04-14", "mcp-client-2025-11-20"],
        },
    )


def test_the_newer_name_of_the_limit_is_the_same_limit():
    assert decode("openai-chat", max_tokens=..., max_completion_tokens=5).max_output_tokens == 5


@pytest.mark.parametrize("dialect", ["openai-chat", "openai-responses"])
def test_a_call_is_not_demanded_of_no_tools(dialect):
    none = {"mode": "required", "tools": []}
    chat = dialect == "openai-chat"
    choice = {"type": "allowed_tools", "allowed_tools": none} if chat else {"type": "allowed_tools", **none}
    tool = FUNCTION if chat else {"type": "function", "name": "f", "parameters": {"type": "object"}}
    body = {"model": "m", "tools": [tool], "tool_choice": choice}
    said = {"messages": [{"role": "user", "content": "hi"}]} if chat else {"input": "hi"}
    with pytest.raises(ApiError) as caught:
        DIALECTS[dialect].decode_request(json.dumps({**body, **said}).encode(), {})
    assert caught.value.param == "tool_choice"


def test_a_search_is_no_tool_whose_call_could_be_demanded():
    with pytest.raises(ApiError) as caught:
        decode("openai-chat", web_search_options={}, tool_choice="required")
    assert caught.value.param == "tool_choice"


def test_tools_that_run_at_the_vendor_are_offered_by_name_so_that_policy_sees_them():
    request = decode("openai-chat", web_search_options={"search_context_size": "low"}, tools=[FUNCTION])
    assert [tool.name for tool in request.tools] == ["f", "web_search"]
    assert request.extra == {}


@pytest.mark.parametrize(
    ("dialect", "tool", "called"),
    [
        ("openai-chat", {"type": "web_search_preview", "name": "kb"}, "web_search_preview"),
        ("anthropic-messages", {"type": "bash_20250124", "name": "bash"}, "bash"),
        ("anthropic-messages", {"type": "browser_toolset_20260801"}, "browser_toolset"),
        ("anthropic-messages", {"type": "mcp_toolset", "mcp_server_name": "kb"}, "mcp_toolset"),
        (
            "anthropic-messages",
            {"type": "text_editor_20250124", "name": "str_replace_editor"},
            "str_replace_editor",
        ),
        (
            "anthropic-messages",
            {"type": "tool_search_tool_regex_20251119", "name": "tool_search_tool_regex"},
            "tool_search_tool_regex",
        ),
    ],
)
def test_a2_a_tool_of_the_vendor_is_judged_by_its_type(dialect, tool, called):
    assert decode(dialect, tools=[tool]).tools == (Tool(name=called, vendor=tool),)


@pytest.mark.parametrize(
    ("tool", "param"),
    [
        ({"type": "web_search_20250305", "name": "kb"}, "tools[0].name"),
        ({"type": "web_search_20250305", "name": ["web_search"]}, "tools[0].name"),
        ({"type": "text_editor_20250728", "name": "text_editor"}, "tools[0].name"),
        ({"type": "custom2", "name": "kb"}, "tools[0].name"),
        ({"type": "custom2", "name": "custom2", "mcp_server": {"name": "x"}}, "tools[0].mcp_server"),
        ({**CUSTOM, "mcp_server": {"name": "x"}}, "tools[0].mcp_server"),
    ],
)
def test_a2_no_tool_of_the_vendor_gets_a_name_or_a_server_of_the_callers_choice(tool, param):
    assert refusal("anthropic-messages", tools=[tool]).param == param


def test_a_choice_among_allowed_tools_offers_only_those():
    tools = [FUNCTION, {"type": "function", "function": {"name": "g"}}]
    chosen = {"mode": "required", "tools": [{"type": "function", "function": {"name": "g"}}]}
    request = decode(
        "openai-chat", tools=tools, tool_choice={"type": "allowed_tools", "allowed_tools": chosen}
    )
    assert [tool.name for tool in request.tools] == ["g"]
    assert request.tool_choice == ToolChoice(mode="required")


@pytest.mark.parametrize("dialect", BOTH)
def test_labels_on_a_message_hold_for_its_parts_and_doubt_wins(dialect):
    parts = (
        {"type": "text", "text": "a"},
        {"type": "text", "text": "b", "trust": "untrusted", "source": "mail"},
    )
    (message,) = decode(dialect, messages=user(*parts, trust="trusted", source="kb")).messages
    assert [(part.trust, part.source) for part in message.parts] == [("trusted", "kb"), ("untrusted", "mail")]
    (message,) = decode(dialect, messages=user({**parts[0], "trust": "trusted"}, trust="untrusted")).messages
    assert message.parts[0].trust == "untrusted"


def test_labels_on_the_result_of_a_tool_are_its_own():
    request = decode(
        "openai-chat",
        messages=[
            {"role": "user", "content": "x"},
            {"role": "tool", "tool_call_id": "1", "content": "r", "trust": "untrusted", "source": "kb"},
        ],
    )
    result = request.messages[1].parts[0]
    assert (result.trust, result.source) == ("untrusted", "kb")
    assert request.messages[1].extra is None


def test_the_source_of_a_document_is_where_it_lies_and_not_a_label():
    document = {"type": "search_result", "source": "https://x.test", "title": "t", "content": []}
    (part,) = decode("anthropic-messages", messages=user(document)).messages[0].parts
    assert part == Opaque(dialect="anthropic-messages", kind="search_result", value=document)


@pytest.mark.parametrize("header", ["a b", "a\r\nx-evil: 1", "é", "a,,b", "", ",".join("abcdefgh" * 5)])
def test_a_header_of_betas_that_is_no_list_of_names_is_refused(header):
    assert refusal("anthropic-messages", {"anthropic-beta": header}).param == "anthropic-beta"
