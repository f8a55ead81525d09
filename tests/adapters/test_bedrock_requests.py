"""What Bedrock is sent for a request of either dialect, with which credential, and what it is not asked."""

import base64
import json
from typing import Any, Final

import pytest

from interlock.adapters import ADAPTERS, HttpCall, Target
from interlock.adapters.anthropic.schema import narrowed
from interlock.adapters.call import signed
from interlock.errors import ApiError
from interlock.types.labels import Dialect
from interlock.types.request import Request
from tests.dialects.bodies import BOTH, decode, user

BEDROCK: Final = ADAPTERS["bedrock"]
SECRET: Final = "canary/secret+key0123456789abcdefghijklmn"
ACCESS_KEY: Final = f"AKIACANARYCANARY0001:{SECRET}"
BASE: Final = "https://bedrock-runtime.eu-central-1.amazonaws.com"
CLAUDE: Final = "eu.anthropic.claude-sonnet-4-6-v1:0"
NOVA: Final = "eu.amazon.nova-pro-v1:0"
OTHER: Final = "meta.llama3-3-70b-instruct-v1:0"
AT: Final = "2026-11-26T09:08:07.123456Z"
SCHEMA: Final = {"type": "object", "properties": {"a": {"type": ["string", "null"]}}}
_USER: Final = {"role": "user", "content": "hi"}


def call(request: Request, model: str = CLAUDE, *, key: str | None = "ABSKkey", **more: Any) -> HttpCall:
    target = Target(upstream_model=model, base_url=BASE, api_key=key, max_output_tokens=None)
    return BEDROCK.encode_request(
        request, Target(**{name: getattr(target, name) for name in target.__struct_fields__} | more)
    )


def sent(request: Request, model: str = CLAUDE) -> dict[str, Any]:
    body = json.loads(call(request, model).body)
    assert isinstance(body, dict)
    return body


def chat_tool(name: str = "f", **more: Any) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, "parameters": SCHEMA, **more}}


def chat_call(name: str, arguments: str = "{}", call_id: str = "call_1") -> dict[str, Any]:
    return {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}


LOOP: Final = [
    _USER,
    {"role": "assistant", "tool_calls": [chat_call("f")]},
    {"role": "tool", "tool_call_id": "call_1", "content": "x"},
]


# --- where it goes, and with which credential ------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "path"),
    [
        ("anthropic.claude-v2:1", "anthropic.claude-v2%3A1"),
        (
            "arn:aws:bedrock:eu-central-1:1:inference-profile/eu.x",
            "arn%3Aaws%3Abedrock%3Aeu-central-1%3A1%3Ainference-profile%2Feu.x",
        ),
        ("../x?y#z a", "..%2Fx%3Fy%23z%20a"),
    ],
)
def test_the_model_is_one_step_of_the_path_whatever_is_in_its_name(model, path):
    assert call(decode("openai-chat"), model).url == f"{BASE}/model/{path}/converse"
    assert call(decode("openai-chat", stream=True), model).url == f"{BASE}/model/{path}/converse-stream"


def test_a_bedrock_api_key_is_sent_as_it_is_and_signs_nothing():
    sent_ = call(decode("openai-chat"), key="ABSKabc=")
    assert dict(sent_.headers)["authorization"] == "Bearer ABSKabc="
    assert signed(sent_, AT) == sent_
    assert "authorization" not in dict(call(decode("openai-chat"), key=None).headers)


def test_an_access_key_signs_the_call_at_the_instant_it_is_sent_and_its_secret_stays_at_home():
    unsigned = call(decode("openai-chat", stream=True), key=f"{ACCESS_KEY}:TOKEN")
    assert "authorization" not in dict(unsigned.headers)
    ready = signed(unsigned, AT)
    headers = dict(ready.headers)
    assert headers["x-amz-date"] == "20261126T090807Z"
    assert headers["x-amz-security-token"] == "TOKEN"
    assert headers["accept"] == "application/vnd.amazon.eventstream"
    assert "/20261126/eu-central-1/bedrock/aws4_request" in headers["authorization"]
    assert (ready.url, ready.body, ready.sign) == (unsigned.url, unsigned.body, None)
    assert signed(unsigned, AT) == ready
    assert SECRET not in repr(ready) + repr(unsigned) + repr(ready.headers) + repr(unsigned.sign)


def test_the_region_is_the_deployments_where_the_host_does_not_say_it():
    ready = signed(
        call(decode("openai-chat"), key=ACCESS_KEY, base_url="http://127.0.0.1:1", regions=("us-west-2",)), AT
    )
    assert "/us-west-2/bedrock/" in dict(ready.headers)["authorization"]
    with pytest.raises(ApiError) as refused:
        call(decode("openai-chat"), key=ACCESS_KEY, base_url="http://127.0.0.1:1", regions=("eu",))
    assert SECRET not in refused.value.message


# --- what is said ----------------------------------------------------------------------------------


@pytest.mark.parametrize("dialect", BOTH)
def test_sampling_limits_and_instructions_have_their_own_names(dialect: Dialect):
    stop = {"stop": ["a"]} if dialect == "openai-chat" else {"stop_sequences": ["a"]}
    if dialect == "openai-chat":
        fields: dict[str, Any] = {"messages": [{"role": "system", "content": "s"}, _USER]}
    else:
        fields = {"system": "s"}
    assert sent(decode(dialect, temperature=0.5, top_p=0.9, **stop, **fields)) == {
        "system": [{"text": "s"}],
        "messages": [{"role": "user", "content": [{"text": "hi"}]}],
        "inferenceConfig": {"maxTokens": 9, "temperature": 0.5, "topP": 0.9, "stopSequences": ["a"]},
        "additionalModelResponseFieldPaths": ["/stop_sequence"],
    }


@pytest.mark.parametrize(
    ("model", "fields"),
    [(CLAUDE, {"top_k": 7}), (OTHER, {"top_k": 7}), (NOVA, {"inferenceConfig": {"topK": 7}})],
)
def test_top_k_is_a_word_of_each_familys_own(model, fields):
    assert sent(decode("anthropic-messages", top_k=7), model)["additionalModelRequestFields"] == fields


def test_images_documents_and_sound_go_along_in_their_formats():
    chat = decode(
        "openai-chat",
        messages=user(
            {"type": "image_url", "image_url": {"url": "data:image/jpeg;base64,AAAA"}},
            {
                "type": "file",
                "file": {"file_data": "data:application/pdf;base64,BBBB", "filename": "a_b.c.pdf"},
            },
            {"type": "file", "file": {"file_data": "data:text/csv;base64,BBBB", "filename": "a b c pdf"}},
            {"type": "input_audio", "input_audio": {"data": "CCCC", "format": "wav"}},
        ),
    )
    assert sent(chat)["messages"][0]["content"] == [
        {"image": {"format": "jpeg", "source": {"bytes": "AAAA"}}},
        {"document": {"name": "a b c pdf", "format": "pdf", "source": {"bytes": "BBBB"}}},
        {"document": {"name": "a b c pdf 2", "format": "csv", "source": {"bytes": "BBBB"}}},
        {"audio": {"format": "wav", "source": {"bytes": "CCCC"}}},
    ]


@pytest.mark.parametrize("cited", [False, True])
def test_a_document_of_text_is_text_where_it_may_be_cited(cited):
    document = {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "words"}}
    asked = decode("anthropic-messages", messages=user({**document, "citations": {"enabled": cited}}))
    plain = {"bytes": base64.b64encode(b"words").decode()}
    (block,) = sent(asked)["messages"][0]["content"]
    assert block["document"]["source"] == ({"text": "words"} if cited else plain)
    assert block["document"].get("citations") == ({"enabled": True} if cited else None)


@pytest.mark.parametrize(
    ("model", "in_messages", "in_tools"), [(CLAUDE, True, True), (NOVA, True, False), (OTHER, False, False)]
)
def test_marks_of_what_may_be_cached_become_cache_points_for_models_that_know_them(
    model, in_messages, in_tools
):
    mark = {"cache_control": {"type": "ephemeral", "ttl": "1h"}}
    asked = decode(
        "anthropic-messages",
        system=[{"type": "text", "text": "s", **mark}],
        messages=user({"type": "text", "text": "hi", "cache_control": {"type": "ephemeral"}}),
        tools=[{"name": "f", "input_schema": SCHEMA, **mark}],
    )
    body = sent(asked, model)
    hour, plain = {"cachePoint": {"type": "default", "ttl": "1h"}}, {"cachePoint": {"type": "default"}}
    assert body["system"][1:] == ([hour] if in_messages else [])
    assert body["messages"][0]["content"][1:] == ([plain] if in_messages else [])
    assert body["toolConfig"]["tools"][1:] == ([hour] if in_tools else [])
    assert BEDROCK.cannot_carry(asked) == ()


# --- tools -----------------------------------------------------------------------------------------


MAPPING: Final = {"type": "object", "additionalProperties": {"type": "string"}}
CLOSED: Final = narrowed(SCHEMA)


def test_tools_go_along_with_their_whole_schema_which_is_one_of_an_object():
    body = sent(
        decode(
            "openai-chat",
            tools=[chat_tool(description="d", strict=True), chat_tool("g", parameters={}, description="")],
        )
    )
    assert body["toolConfig"] == {
        "tools": [
            {"toolSpec": {"name": "f", "description": "d", "inputSchema": {"json": CLOSED}, "strict": True}},
            {"toolSpec": {"name": "g", "inputSchema": {"json": {"type": "object"}}}},
        ]
    }


@pytest.mark.parametrize(
    ("choice", "config"),
    [
        ("auto", {"auto": {}}),
        ("required", {"any": {}}),
        ({"type": "function", "function": {"name": "f"}}, {"tool": {"name": "f"}}),
    ],
)
def test_every_way_of_choosing_a_tool_has_its_word(choice, config):
    assert (
        sent(decode("openai-chat", tools=[chat_tool()], tool_choice=choice))["toolConfig"]["toolChoice"]
        == config
    )


def test_where_no_tool_may_be_called_none_is_shown():
    assert "toolConfig" not in sent(decode("openai-chat", tools=[chat_tool()], tool_choice="none"))


def test_a_conversation_with_calls_whose_tools_policy_took_out_declares_them_by_name_alone():
    (spec,) = sent(decode("openai-chat", messages=LOOP))["toolConfig"]["tools"]
    assert spec["toolSpec"]["name"] == "f"
    assert spec["toolSpec"]["inputSchema"] == {"json": {"type": "object"}}


def test_u18_calls_and_results_keep_their_ids_and_an_id_that_bedrock_refuses_is_replaced_alike():
    odd = "id with spaces" + "x" * 60
    asked = decode(
        "openai-chat",
        messages=[
            _USER,
            {
                "role": "assistant",
                "content": "",
                "tool_calls": [chat_call("f", '{"a":1}', "call_1"), chat_call("g", "", odd)],
            },
            {"role": "tool", "tool_call_id": odd, "content": ""},
            {"role": "tool", "tool_call_id": "call_1", "content": "x"},
            {"role": "user", "content": "and now?"},
        ],
    )
    _, model, results = sent(asked)["messages"]
    first, second = (block["toolUse"] for block in model["content"])
    assert (first["toolUseId"], first["input"], second["input"]) == ("call_1", {"a": 1}, {})
    assert len(second["toolUseId"]) <= 64
    assert [block.get("toolResult", block) for block in results["content"]] == [
        {"toolUseId": second["toolUseId"], "content": []},
        {"toolUseId": "call_1", "content": [{"text": "x"}]},
        {"text": "and now?"},
    ]


def test_a_failed_result_says_so_and_an_image_in_a_result_goes_along():
    asked = decode(
        "anthropic-messages",
        messages=[
            _USER,
            {"role": "assistant", "content": [{"type": "tool_use", "id": "t1", "name": "f", "input": {}}]},
            {
                "role": "user",
                "content": [
                    {
                        "type": "tool_result",
                        "tool_use_id": "t1",
                        "is_error": True,
                        "content": [
                            {"type": "text", "text": "no"},
                            {
                                "type": "image",
                                "source": {"type": "base64", "media_type": "image/png", "data": "AA"},
                            },
                        ],
                    }
                ],
            },
        ],
    )
    (block,) = sent(asked)["messages"][2]["content"]
    assert block["toolResult"] == {
        "toolUseId": "t1",
        "content": [{"text": "no"}, {"image": {"format": "png", "source": {"bytes": "AA"}}}],
        "status": "error",
    }


# --- thoughts, structured output -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("dialect", "fields", "thinking", "effort"),
    [
        (
            "anthropic-messages",
            {"thinking": {"type": "enabled", "budget_tokens": 5}},
            {"type": "enabled", "budget_tokens": 5},
            None,
        ),
        (
            "anthropic-messages",
            {"thinking": {"type": "enabled", "budget_tokens": 2048}},
            {"type": "disabled"},
            None,
        ),
        ("anthropic-messages", {"thinking": {"type": "adaptive"}}, {"type": "adaptive"}, None),
        ("anthropic-messages", {"thinking": {"type": "disabled"}}, {"type": "disabled"}, None),
        ("anthropic-messages", {"output_config": {"effort": "max"}}, None, "max"),
        ("openai-chat", {"reasoning_effort": "minimal"}, {"type": "adaptive"}, "low"),
        ("openai-chat", {"reasoning_effort": "none"}, {"type": "disabled"}, None),
    ],
)
def test_thinking_is_asked_for_as_the_caller_asked(dialect, fields, thinking, effort):
    body = sent(decode(dialect, **fields))
    assert body.get("additionalModelRequestFields", {}).get("thinking") == thinking
    assert body.get("outputConfig", {}).get("effort") == effort


def test_an_effort_alone_is_all_that_other_families_are_told():
    body = sent(decode("openai-chat", reasoning_effort="high"), NOVA)
    assert body["outputConfig"] == {"effort": "high"}
    assert "additionalModelRequestFields" not in body


def test_thoughts_come_back_with_their_signature_and_what_another_vendor_sealed_is_left_out():
    blocks = [
        {"type": "thinking", "thinking": "t", "signature": "sig"},
        {"type": "redacted_thinking", "data": "bedrock:c2VhbGVk"},
        {"type": "redacted_thinking", "data": "gemini:c2VhbGVk"},
        {"type": "text", "text": "x"},
    ]
    asked = decode("anthropic-messages", messages=[_USER, {"role": "assistant", "content": blocks}, _USER])
    assert BEDROCK.cannot_carry(asked) == ()
    assert sent(asked)["messages"][1]["content"] == [
        {"reasoningContent": {"reasoningText": {"text": "t", "signature": "sig"}}},
        {"reasoningContent": {"redactedContent": "c2VhbGVk"}},
        {"text": "x"},
    ]


def test_a_json_schema_is_sent_as_the_text_that_converse_wants():
    asked = {"name": "n", "description": "d", "strict": True, "schema": SCHEMA}
    body = sent(decode("openai-chat", response_format={"type": "json_schema", "json_schema": asked}))
    structure = body["outputConfig"]["textFormat"]["structure"]["jsonSchema"]
    assert body["outputConfig"]["textFormat"]["type"] == "json_schema"
    assert (json.loads(structure["schema"]), structure["name"], structure["description"]) == (
        CLOSED,
        "n",
        "d",
    )


def test_a_schema_is_narrowed_to_what_converse_compiles_and_the_rest_is_said_in_words():
    wide = {"type": "object", "properties": {"n": {"type": "integer", "minimum": 1}}}
    asked = {"type": "json_schema", "json_schema": {"name": "n", "schema": wide}}
    body = sent(decode("openai-chat", response_format=asked, tools=[chat_tool(parameters=wide, strict=True)]))
    narrow = {
        "type": "object",
        "properties": {"n": {"type": "integer", "description": "(minimum: 1)"}},
        "additionalProperties": False,
    }
    structure = body["outputConfig"]["textFormat"]["structure"]["jsonSchema"]
    assert json.loads(structure["schema"]) == narrow
    assert body["toolConfig"]["tools"][0]["toolSpec"]["inputSchema"]["json"] == narrow
    loose = sent(decode("openai-chat", tools=[chat_tool(parameters=wide)]))
    assert loose["toolConfig"]["tools"][0]["toolSpec"]["inputSchema"]["json"] == wide


# --- what it cannot carry --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("dialect", "named", "fields"),
    [
        ("openai-chat", "seed", {"seed": 1}),
        ("openai-chat", "temperature", {"temperature": 1.5}),
        ("openai-chat", "logprobs", {"logprobs": True}),
        ("openai-chat", "frequency_penalty", {"frequency_penalty": 0.5}),
        ("openai-chat", "logit_bias", {"logit_bias": {"1": 2}}),
        ("openai-chat", "response_format", {"response_format": {"type": "json_object"}}),
        (
            "openai-chat",
            "response_format",
            {"response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": MAPPING}}},
        ),
        ("openai-chat", "tools[].function.strict", {"tools": [chat_tool(parameters=MAPPING, strict=True)]}),
        (
            "anthropic-messages",
            "tools[].strict",
            {"tools": [{"name": "f", "input_schema": MAPPING, "strict": True}]},
        ),
        ("openai-chat", "reasoning_effort", {"reasoning_effort": "immense"}),
        ("openai-chat", "web_search_options", {"web_search_options": {}}),
        ("openai-chat", "tool_choice", {"messages": LOOP, "tools": [chat_tool()], "tool_choice": "none"}),
        ("openai-chat", "messages", {"messages": [{"role": "system", "content": "only"}]}),
        (
            "openai-chat",
            "messages[].name",
            {"messages": [_USER, {"role": "assistant", "content": "x", "name": "ann"}, _USER]},
        ),
        (
            "openai-chat",
            "messages[].tool_calls[].function.arguments",
            {"messages": [_USER, {"role": "assistant", "tool_calls": [chat_call("f", "[]")]}, _USER]},
        ),
        (
            "openai-chat",
            "messages[].content[].image_url",
            {"messages": user({"type": "image_url", "image_url": {"url": "https://x.test/a.png"}})},
        ),
        (
            "openai-chat",
            "messages[].content[].image_url",
            {"messages": user({"type": "image_url", "image_url": {"url": "data:image/bmp;base64,AA"}})},
        ),
        (
            "openai-chat",
            "messages[].content[].file",
            {"messages": user({"type": "file", "file": {"file_id": "f"}})},
        ),
        (
            "openai-chat",
            "messages[].content[].input_audio",
            {"messages": user({"type": "input_audio", "input_audio": {"data": "A", "format": "midi"}})},
        ),
        ("anthropic-messages", "max_tokens", {"max_tokens": 0}),
        ("anthropic-messages", "tools[].type", {"tools": [{"type": "bash_20250124", "name": "bash"}]}),
        (
            "anthropic-messages",
            "messages[].content[].source",
            {
                "messages": user(
                    {"type": "document", "source": {"type": "url", "url": "https://x.test/a.pdf"}}
                )
            },
        ),
        (
            "anthropic-messages",
            "messages[].content[].search_result",
            {"messages": user({"type": "search_result", "source": "x", "title": "t", "content": []})},
        ),
        ("anthropic-messages", "container", {"container": "c"}),
    ],
)
def test_what_bedrock_cannot_express_is_named_as_the_caller_wrote_it_and_never_sent(dialect, named, fields):
    request = decode(dialect, **fields)
    assert named in BEDROCK.cannot_carry(request)
    with pytest.raises(ApiError) as refused:
        call(request)
    assert refused.value.code == "invalid_request"
    assert f"`{named}`" in refused.value.message


@pytest.mark.parametrize(
    ("dialect", "fields"),
    [
        (
            "openai-chat",
            {"parallel_tool_calls": False, "tools": [chat_tool()], "user": "ann", "store": False},
        ),
        ("anthropic-messages", {"metadata": {"user_id": "ann"}, "anthropic_beta": ["x-2025-01-01"]}),
        ("anthropic-messages", {"messages": [_USER, {"role": "assistant", "content": "The answer is"}]}),
    ],
)
def test_what_changes_no_answer_stands_in_no_models_way(dialect, fields):
    assert BEDROCK.cannot_carry(decode(dialect, **fields)) == ()
