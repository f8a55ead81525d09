"""What each vendor is sent for a canonical request: where to, with which credential, in which words."""

import json
from typing import Any, Final

import msgspec
import pytest

from interlock.adapters import ADAPTERS, HttpCall, Target
from interlock.config.vendors import vendor_at
from interlock.types.labels import Wire
from interlock.types.quirks import Quirks
from interlock.types.request import (
    Audio,
    File,
    Image,
    Message,
    MessageRole,
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
from tests.adapters.recorded import ask

HELLO: Final = Message(role="user", parts=(Text(text="hi"),))
TOOL: Final = Tool(name="f", parameters={"type": "object"})


def target(base_url: str = "https://x.test/v1", **more: Any) -> Target:
    return Target(
        **{"upstream_model": "u", "base_url": base_url, "api_key": "sk-1", "max_output_tokens": None} | more
    )


def send(kind: Wire, request: Request, to: Target | None = None) -> HttpCall:
    return ADAPTERS[kind].encode_request(request, to or target())


def sent(kind: Wire, request: Request, to: Target | None = None) -> dict[str, Any]:
    body = json.loads(send(kind, request, to).body)
    assert isinstance(body, dict)
    return body


def say(role: MessageRole, *parts: Any, **more: Any) -> Message:
    return Message(role=role, parts=parts, **more)


def chat(*messages: Message, **fields: Any) -> Request:
    return msgspec.structs.replace(ask("openai-chat", **fields), messages=messages or (HELLO,))


def message(*messages: Message, **fields: Any) -> Request:
    return msgspec.structs.replace(ask("anthropic-messages", **fields), messages=messages or (HELLO,))


@pytest.mark.parametrize(
    ("kind", "base", "url"),
    [
        ("openai", "https://api.openai.com/v1", "https://api.openai.com/v1/chat/completions"),
        ("openai", "https://api.openai.com/v1/", "https://api.openai.com/v1/chat/completions"),
        ("openai", "http://127.0.0.1:8081", "http://127.0.0.1:8081/v1/chat/completions"),
        ("openai", "http://127.0.0.1:8081/", "http://127.0.0.1:8081/v1/chat/completions"),
        ("openai", "https://x.test/v1beta/openai", "https://x.test/v1beta/openai/chat/completions"),
        ("openai", "https://x.test/v1/chat/completions", "https://x.test/v1/chat/completions"),
        ("anthropic", "https://api.anthropic.com", "https://api.anthropic.com/v1/messages"),
        ("anthropic", "https://api.anthropic.com/", "https://api.anthropic.com/v1/messages"),
        ("anthropic", "https://api.anthropic.com/v1", "https://api.anthropic.com/v1/messages"),
        ("anthropic", "https://x.test/anthropic", "https://x.test/anthropic/v1/messages"),
        ("anthropic", "https://x.test/v1/messages", "https://x.test/v1/messages"),
    ],
)
def test_the_call_goes_where_the_base_url_says_with_or_without_the_version(kind, base, url):
    assert send(kind, chat(), target(base)).url == url


@pytest.mark.parametrize("stream", [True, False])
def test_the_credential_is_in_the_vendors_own_header_and_nowhere_else(stream):
    accept = "text/event-stream" if stream else "application/json"
    for kind, name, value in (("openai", "authorization", "Bearer sk-1"), ("anthropic", "x-api-key", "sk-1")):
        call = send(kind, chat(stream=stream))  # type: ignore[arg-type]  # the literals above are kinds
        headers = dict(call.headers)
        assert headers[name] == value
        assert headers["content-type"] == "application/json"
        assert headers["accept"] == accept
        assert headers["user-agent"].startswith("interlock/")
        assert b"sk-1" not in call.body
        assert "sk-1" not in call.url + repr(call) + repr(target())
    assert dict(send("anthropic", chat()).headers)["anthropic-version"] == "2023-06-01"


@pytest.mark.parametrize("kind", ["openai", "anthropic"])
def test_a_server_without_a_key_is_sent_none(kind):
    names = {name for name, _ in send(kind, chat(), target(api_key=None)).headers}
    assert not names & {"authorization", "x-api-key"}


def test_usage_of_a_stream_is_always_asked_for():
    request = chat(stream=True, extra={"stream_options": {"include_obfuscation": False}})
    body = sent("openai", request)
    assert body["stream"] is True
    assert body["stream_options"] == {"include_usage": True, "include_obfuscation": False}
    assert "stream" not in sent("openai", chat())
    assert sent("anthropic", chat(stream=True))["stream"] is True


@pytest.mark.parametrize(
    ("kind", "base", "name"),
    [
        ("openai", "https://api.openai.com/v1", "max_completion_tokens"),
        ("openai", "https://eu.api.openai.com/v1", "max_completion_tokens"),
        ("azure", "https://me.openai.azure.com/openai/v1", "max_completion_tokens"),
        ("openai", "http://127.0.0.1:8081/v1", "max_tokens"),
        ("openai", "https://evilopenai.com/v1", "max_tokens"),
    ],
)
def test_the_limit_has_the_name_that_the_server_knows(kind, base, name):
    vendor = vendor_at(vendor="prod", kind=kind, base_url=base)
    quirks = vendor.quirks if vendor is not None else Quirks()
    assert sent(kind, chat(max_output_tokens=7), target(base, quirks=quirks))[name] == 7


@pytest.mark.parametrize(
    ("asked", "model", "limit"), [(7, 9, 7), (None, 9, 9), (None, None, 4096), (0, 9, 0)]
)
def test_a_message_request_always_has_a_limit(asked, model, limit):
    request = message(max_output_tokens=asked)
    assert sent("anthropic", request, target(max_output_tokens=model))["max_tokens"] == limit


def test_metadata_goes_to_the_vendor_only_to_be_stored_with_the_answer():
    assert "metadata" not in sent("openai", chat(metadata={"a": "b"}))
    assert sent("openai", chat(metadata={"a": "b"}, extra={"store": True}))["metadata"] == {"a": "b"}
    assert "metadata" not in sent("anthropic", message(metadata={"a": "b"}))


@pytest.mark.parametrize(
    ("fields", "user"),
    [
        ({"user": "u"}, "u"),
        ({"extra": {"safety_identifier": "s"}}, "s"),
        ({"user": "u", "extra": {"safety_identifier": "s"}}, "u"),
    ],
)
def test_the_user_is_named_in_the_vendors_field(fields, user):
    assert sent("anthropic", chat(**fields))["metadata"] == {"user_id": user}
    assert sent("openai", message(user="u"))["user"] == "u"


def test_a_conversation_with_calls_reads_the_same_to_both_vendors():
    call = ToolCall(id="c1", name="f", arguments='{"a":1}')
    result = ToolResult(call_id="c1", content=(Text(text="r"),), name="f")
    failed = ToolResult(call_id="c2", content=(Text(text="boom"),), is_error=True)
    request = chat(
        say("system", Text(text="be brief")),
        HELLO,
        say("assistant", Text(text=""), call),
        say("tool", result),
        say("tool", failed),
        say("user", Text(text="and?")),
        say("developer", Text(text="be kind")),
    )
    body = sent("anthropic", request)
    assert body["system"] == [{"type": "text", "text": "be brief"}, {"type": "text", "text": "be kind"}]
    assert body["messages"] == [
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": [{"type": "tool_use", "id": "c1", "name": "f", "input": {"a": 1}}]},
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "c1", "content": "r"},
                {"type": "tool_result", "tool_use_id": "c2", "content": "boom", "is_error": True},
                {"type": "text", "text": "and?"},
            ],
        },
    ]
    other = message(
        HELLO, say("assistant", call), say("tool", result, failed), say("user", Text(text="and?"))
    )
    assert sent("openai", other)["messages"] == [
        {"role": "user", "content": "hi"},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [
                {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}}
            ],
        },
        {"role": "tool", "tool_call_id": "c1", "content": "r"},
        {"role": "tool", "tool_call_id": "c2", "content": "Error: boom"},
        {"role": "user", "content": "and?"},
    ]


def test_instructions_in_the_middle_stay_there_in_the_vendors_own_dialect():
    request = message(say("system", Text(text="a")), HELLO, say("system", Text(text="b")), HELLO)
    body = sent("anthropic", request)
    assert body["system"] == "a"
    assert [turn["role"] for turn in body["messages"]] == ["user", "system", "user"]


def test_images_and_documents_are_carried_in_the_vendors_form():
    parts = (
        Image(url="https://x.test/i.png"),
        Image(data="AA==", media_type="image/png"),
        File(data="AA==", media_type="application/pdf", name="f.pdf"),
        File(data="aMOp", media_type="text/plain", name="t.txt"),
    )
    blocks = sent("anthropic", chat(say("user", *parts)))["messages"][0]["content"]
    assert [block.get("source") for block in blocks] == [
        {"type": "url", "url": "https://x.test/i.png"},
        {"type": "base64", "media_type": "image/png", "data": "AA=="},
        {"type": "base64", "media_type": "application/pdf", "data": "AA=="},
        {"type": "text", "media_type": "text/plain", "data": "hé"},
    ]
    assert [block.get("title") for block in blocks] == [None, None, "f.pdf", "t.txt"]
    text = File(text="words", media_type="text/plain", name="notes")
    content = sent("openai", message(say("user", *parts[:3], text)))["messages"][0]["content"]
    assert content == [
        {"type": "image_url", "image_url": {"url": "https://x.test/i.png"}},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}},
        {"type": "file", "file": {"file_data": "data:application/pdf;base64,AA==", "filename": "f.pdf"}},
        {"type": "text", "text": "notes\n\nwords"},
    ]


@pytest.mark.parametrize(
    ("choice", "parallel", "there", "here"),
    [
        (None, None, None, None),
        (ToolChoice(mode="auto"), None, {"type": "auto"}, "auto"),
        (ToolChoice(mode="none"), False, {"type": "none"}, "none"),
        (ToolChoice(mode="required"), True, {"type": "any", "disable_parallel_tool_use": False}, "required"),
        (None, False, {"type": "auto", "disable_parallel_tool_use": True}, None),
        (
            ToolChoice(mode="tool", name="f"),
            False,
            {"type": "tool", "name": "f", "disable_parallel_tool_use": True},
            {"type": "function", "function": {"name": "f"}},
        ),
    ],
)
def test_the_choice_of_a_tool_and_parallel_calls_are_said_in_both_languages(choice, parallel, there, here):
    fields = {"tools": (TOOL,), "tool_choice": choice, "parallel_tool_calls": parallel}
    assert sent("anthropic", chat(**fields)).get("tool_choice") == there
    body = sent("openai", message(**fields))
    assert (body.get("tool_choice"), body.get("parallel_tool_calls")) == (here, parallel)


def test_a_choice_without_tools_is_not_sent():
    request = chat(tool_choice=ToolChoice(mode="auto"), parallel_tool_calls=False)
    assert not sent("openai", request).keys() & {"tools", "tool_choice", "parallel_tool_calls"}
    assert not sent("anthropic", request).keys() & {"tools", "tool_choice"}


@pytest.mark.parametrize(
    ("parameters", "schema"),
    [
        (None, {"type": "object"}),
        ({"properties": {}}, {"type": "object", "properties": {}}),
        ({"type": "object", "x": 1}, {"type": "object", "x": 1}),
    ],
)
def test_a_tool_always_has_the_schema_of_an_object(parameters, schema):
    tool = Tool(name="f", description="d", parameters=parameters, strict=False)
    assert sent("anthropic", chat(tools=(tool,)))["tools"] == [
        {"name": "f", "description": "d", "input_schema": schema, "strict": False}
    ]


def test_a_schema_for_the_answer_is_asked_for_in_both_languages():
    asked = ResponseFormat(json_schema={"type": "string"}, name="n", description="d", strict=True)
    assert sent("anthropic", chat(response_format=asked))["output_config"] == {
        "format": {"type": "json_schema", "schema": {"description": "d", "type": "string"}}
    }
    assert sent("openai", message(response_format=ResponseFormat(json_schema={"type": "object"})))[
        "response_format"
    ] == {
        "type": "json_schema",
        "json_schema": {"name": "answer", "schema": {"type": "object"}},
    }
    assert sent("openai", chat(response_format=ResponseFormat()))["response_format"] == {
        "type": "json_object"
    }


@pytest.mark.parametrize(
    ("effort", "thinking", "output"),
    [
        ("none", {"type": "disabled"}, None),
        ("minimal", {"type": "adaptive"}, {"effort": "low"}),
        ("high", {"type": "adaptive"}, {"effort": "high"}),
    ],
)
def test_an_effort_of_reasoning_becomes_thinking_and_effort(effort, thinking, output):
    body = sent("anthropic", chat(reasoning=Reasoning(effort=effort)))
    assert (body.get("thinking"), body.get("output_config")) == (thinking, output)


@pytest.mark.parametrize(
    ("reasoning", "effort"),
    [
        (Reasoning(effort="high"), "high"),
        (Reasoning(disabled=True), "none"),
        (Reasoning(extra={"type": "adaptive", "display": "omitted"}), None),
        (Reasoning(effort="low", extra={"type": "adaptive"}), "low"),
    ],
)
def test_thinking_becomes_an_effort_of_reasoning(reasoning, effort):
    assert sent("openai", message(reasoning=reasoning)).get("reasoning_effort") == effort


@pytest.mark.parametrize(
    ("budget", "limit", "thinking"),
    [
        (2000, 4000, {"type": "enabled", "budget_tokens": 2000}),
        (2000, 2000, {"type": "enabled", "budget_tokens": 1999}),
        (2000, 1025, {"type": "enabled", "budget_tokens": 1024}),
        (2000, 900, {"type": "disabled"}),
        (500, 900, {"type": "enabled", "budget_tokens": 500}),
    ],
)
def test_a_limit_that_policy_lowered_lowers_the_budget_for_thinking_too(budget, limit, thinking):
    request = message(max_output_tokens=limit, reasoning=Reasoning(budget_tokens=budget))
    assert sent("anthropic", request)["thinking"] == thinking


def test_betas_become_a_header_again_and_leave_the_body():
    call = send("anthropic", message(extra={"anthropic_beta": ["a-1", "b-2"], "container": "c"}))
    assert dict(call.headers)["anthropic-beta"] == "a-1,b-2"
    assert json.loads(call.body)["container"] == "c"
    assert b"anthropic_beta" not in call.body
    assert "anthropic_beta" not in sent("openai", message(extra={"anthropic_beta": ["a-1"]}))


NAMED: Final = say("user", Text(text="x"), name="bob")
PICTURED: Final = say("user", Image(url="https://x.test/a.png"), name="bob")


@pytest.mark.parametrize("kind", ["anthropic", "gemini", "bedrock", "openai-responses"])
def test_a_speakers_name_is_said_before_its_words_where_it_has_no_place(kind):
    """The vendor has a model tell apart by it who speaks in one role."""
    other = say("user", Text(text="y"), name="eve")
    body = json.dumps(sent(kind, chat(say("system", Text(text="be brief"), name="ops"), NAMED, other)))
    for said in ("ops: be brief", "bob: x", "eve: y"):
        assert json.dumps(said)[1:-1] in body
    assert '"name"' not in body


def test_a_name_before_what_is_no_text_is_a_text_of_its_own_and_chat_has_its_own_place():
    (turn,) = sent("anthropic", chat(PICTURED))["messages"]
    assert [block["type"] for block in turn["content"]] == ["text", "image"]
    assert turn["content"][0]["text"] == "bob:"
    assert sent("openai", chat(NAMED))["messages"] == [{"role": "user", "content": "x", "name": "bob"}]


THOUGHT: Final = say("assistant", Thinking(text="hm", signature="s"), Text(text="so"))
UNSIGNED: Final = say("assistant", Thinking(text="hm", signature=""), Text(text="so"))


@pytest.mark.parametrize("thought", [THOUGHT, UNSIGNED], ids=["signed", "unsigned"])
@pytest.mark.parametrize(
    ("place", "shown"),
    [
        ("reasoning_content", {"content": "so", "reasoning_content": "hm"}),
        ("reasoning", {"content": "so", "reasoning": "hm"}),
        (
            "parts",
            {
                "content": [
                    {"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]},
                    {"type": "text", "text": "so"},
                ]
            },
        ),
        (None, {"content": "so"}),
    ],
)
def test_thoughts_of_an_earlier_answer_go_to_a_chat_where_its_server_wants_them(thought, place, shown):
    to = target(quirks=Quirks(reasoning=place))
    assert sent("openai", message(HELLO, thought, HELLO), to)["messages"][1] == {"role": "assistant", **shown}


def test_a_turn_of_nothing_but_thoughts_stays_a_turn_where_they_are_not_kept():
    to = target(quirks=Quirks(reasoning=None))
    alone = say("assistant", Thinking(text="hm"))
    for request in (message(HELLO, alone, HELLO), chat(HELLO, alone, HELLO)):
        assert sent("openai", request, to)["messages"][1] == {"role": "assistant", "content": ""}


VENDOR_TOOL: Final = Tool(name="web", vendor={"type": "web_20250305", "name": "web"})


@pytest.mark.parametrize(
    ("request_", "named"),
    [
        (chat(seed=1), "seed"),
        (chat(temperature=1.5), "temperature"),
        (chat(response_format=ResponseFormat()), "response_format"),
        (chat(reasoning=Reasoning(effort="ultra")), "reasoning_effort"),
        (chat(tools=(VENDOR_TOOL,)), "tools[].type"),
        (chat(tools=(Tool(name="w", vendor={"web_search_options": {}}),)), "web_search_options"),
        (chat(tools=(Tool(name="f", extra={"x": 1}),)), "tools[].x"),
        (chat(say("system", Text(text="alone"))), "messages"),
        (chat(HELLO, say("assistant", Text(text="x"), name="bob"), HELLO), "messages[].name"),
        (chat(say("user", Text(text="x"), extra={"x": 1})), "messages[].x"),
        (chat(say("user", Text(text="x", extra={"x": 1}))), "messages[].content[].x"),
        (chat(say("user", Audio(data="", format="wav"))), "messages[].content[].input_audio"),
        (chat(say("user", File(file_id="f"))), "messages[].content[].file"),
        (chat(say("user", File(data="AA==", media_type="image/tiff"))), "messages[].content[].file"),
        (chat(say("user", File(data="?", media_type="text/plain"))), "messages[].content[].file"),
        (chat(say("user", Image(url="data:image/svg+xml,x"))), "messages[].content[].image_url"),
        (chat(say("user", Image(url="https://x", detail="low"))), "messages[].content[].image_url"),
        (chat(say("user", Image(data="A", media_type="image/tiff"))), "messages[].content[].image_url"),
        (
            chat(HELLO, say("assistant", ToolCall(id="1", name="f", arguments="[]"))),
            "messages[].tool_calls[].function.arguments",
        ),
        (
            chat(HELLO, say("tool", ToolResult(call_id="1", content=(File(file_id="f"),)))),
            "messages[].content[].file",
        ),
        *[
            (chat(extra={name: value}), name)
            for name, value in {
                "logprobs": True,
                "logit_bias": {"1": 5},
                "frequency_penalty": 0.5,
                "presence_penalty": -1,
                "prediction": {"type": "content"},
                "modalities": ["text", "audio"],
                "audio": {"voice": "x"},
                "store": True,
                "verbosity": "low",
                "brand_new": 1,
            }.items()
        ],
    ],
)
def test_what_messages_cannot_express_of_a_chat_is_named_and_never_sent_without(request_, named):
    assert named in ADAPTERS["anthropic"].cannot_carry(request_)
    assert ADAPTERS["openai"].cannot_carry(request_) == ()
    assert send("openai", request_).body
    with pytest.raises(Exception, match="cannot be sent"):
        send("anthropic", request_)


@pytest.mark.parametrize(
    ("request_", "named"),
    [
        (message(top_k=5), "top_k"),
        (message(stop=tuple("abcde")), "stop_sequences"),
        (message(max_output_tokens=0), "max_tokens"),
        (message(reasoning=Reasoning(budget_tokens=1024)), "thinking"),
        (message(reasoning=Reasoning(extra={"type": "between_tools"})), "thinking"),
        (message(tools=(VENDOR_TOOL,)), "tools[].type"),
        (message(tools=(Tool(name="mcp:x", vendor={"mcp_server": {}}),)), "mcp_servers"),
        (message(tools=(Tool(name="f", extra={"defer_loading": True}),)), "tools[].defer_loading"),
        (message(HELLO, say("assistant", Text(text="The answer is"))), "messages[-1].role"),
        (message(say("user", File(url="https://x"))), "messages[].content[].source"),
        (message(say("user", File(text="x", extra={"context": "c"}))), "messages[].content[].context"),
        (
            message(say("user", File(text="x", extra={"citations": {"enabled": True}}))),
            "messages[].content[].citations",
        ),
        (
            message(say("user", Opaque(dialect="anthropic-messages", kind="search_result", value={}))),
            "messages[].content[].search_result",
        ),
        (
            message(HELLO, say("tool", ToolResult(call_id="1", content=(Image(url="https://x"),)))),
            "messages[].content[].content[].source",
        ),
        *[
            (message(extra={name: value}), name)
            for name, value in {
                "container": "c",
                "inference_geo": "us",
                "speed": "fast",
                "context_management": {},
                "brand_new": 1,
            }.items()
        ],
    ],
)
def test_what_a_chat_cannot_express_of_messages_is_named_and_never_sent_without(request_, named):
    assert named in ADAPTERS["openai"].cannot_carry(request_)
    assert ADAPTERS["anthropic"].cannot_carry(request_) == ()
    assert send("anthropic", request_).body
    with pytest.raises(Exception, match="cannot be sent"):
        send("openai", request_)


@pytest.mark.parametrize(
    "fields",
    [
        {"extra": {"frequency_penalty": 0, "logprobs": False, "logit_bias": {}, "store": False, "n": None}},
        {"extra": {"prompt_cache_key": "k", "service_tier": "flex", "safety_identifier": "s"}},
        {"temperature": 1.0, "top_p": 0.5, "top_k": 3, "stop": tuple("abcde")},
        {"user": "u", "metadata": {"a": "b"}},
    ],
)
def test_what_changes_no_answer_keeps_no_model_away(fields):
    fields = {**fields, "extra": {k: v for k, v in fields.get("extra", {}).items() if v is not None}}
    assert ADAPTERS["anthropic"].cannot_carry(chat(**fields)) == ()


def test_marks_for_caches_change_no_answer():
    mark = {"cache_control": {"type": "ephemeral"}}
    request = message(
        say("system", Text(text="s", extra=mark)),
        say("user", Text(text="hi", extra=mark)),
        tools=(Tool(name="f", parameters={}, extra=mark),),
        extra=mark,
    )
    assert ADAPTERS["openai"].cannot_carry(request) == ()
    assert "cache_control" not in json.dumps(sent("openai", request))
    assert json.dumps(sent("anthropic", request)).count("cache_control") == 4


def test_a_refusal_in_the_history_keeps_its_words():
    request = chat(HELLO, say("assistant", Refusal(text="no")), HELLO)
    assert sent("openai", request)["messages"][1] == {"role": "assistant", "content": None, "refusal": "no"}
    assert sent("anthropic", request)["messages"][1] == {"role": "assistant", "content": "no"}


def test_a2_no_field_of_a_callers_tool_becomes_one_of_the_body():
    evil = {"type": "x", "web_search_options": {}, "model": "EVIL", "max_tokens": 10**8, "messages": []}
    search = Tool(name="web_search", vendor={"web_search_options": {"search_context_size": "low"}})
    body = sent("openai", chat(tools=(Tool(name="x", vendor=evil), search), max_output_tokens=5))
    assert body["model"] == "u"
    assert body["messages"] == [{"role": "user", "content": "hi"}]
    assert body["max_tokens"] == 5
    assert body["web_search_options"] == {"search_context_size": "low"}
    assert body["tools"] == [evil]


def test_a2_a_callers_tool_attaches_no_mcp_server():
    evil = {"type": "x", "mcp_server": {"url": "https://evil.test"}}
    body = sent("anthropic", message(tools=(Tool(name="x", vendor=evil),)))
    assert "mcp_servers" not in body
    assert body["tools"] == [evil]
