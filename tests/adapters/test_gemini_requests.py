"""What Gemini is sent for a caller's request of either dialect, and what it is not asked."""

import json
from typing import Any, Final

import pytest

from interlock.adapters import ADAPTERS, HttpCall, Target
from interlock.errors import ApiError
from interlock.types.labels import Dialect
from interlock.types.request import Request
from tests.dialects.bodies import BOTH, decode, user

GEMINI: Final = ADAPTERS["gemini"]
KEY: Final = "AIza-canary"
SIGNED: Final = "gemini:c2lnbmF0dXJl"
SCHEMA: Final = {"type": "object", "properties": {"a": {"type": ["string", "null"]}}, "required": ["a"]}


def target(model: str = "gemini-2.5-pro", base_url: str = "https://g.test") -> Target:
    return Target(upstream_model=model, base_url=base_url, api_key=KEY, max_output_tokens=None)


def call(request: Request, model: str = "gemini-2.5-pro", base_url: str = "https://g.test") -> HttpCall:
    return GEMINI.encode_request(request, target(model, base_url))


def sent(request: Request, model: str = "gemini-2.5-pro") -> dict[str, Any]:
    body = json.loads(call(request, model).body)
    assert isinstance(body, dict)
    return body


def chat_tool(name: str = "f", **more: Any) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, "parameters": SCHEMA, **more}}


def chat_call(name: str, arguments: str = "{}", call_id: str = "call_1", **more: Any) -> dict[str, Any]:
    return {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}, **more}


# --- where it goes -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("base_url", "model", "url"),
    [
        ("https://g.test", "gemini-2.5-pro", "https://g.test/v1beta/models/gemini-2.5-pro"),
        ("https://g.test/v1", "gemini-2.5-pro", "https://g.test/v1/models/gemini-2.5-pro"),
        ("https://g.test/v1/", "models/gemini-2.5-pro", "https://g.test/v1/models/gemini-2.5-pro"),
        ("https://g.test", "tunedModels/mine-1", "https://g.test/v1beta/tunedModels/mine-1"),
        (
            "https://v.test/v1/projects/p/locations/l/publishers/google",
            "gemini-2.5-pro",
            "https://v.test/v1/projects/p/locations/l/publishers/google/models/gemini-2.5-pro",
        ),
        ("https://g.test", "a b/../c?d=1#e", "https://g.test/v1beta/models/a%20b%2F..%2Fc%3Fd%3D1%23e"),
        ("https://g.test", "models/x?key=1", "https://g.test/v1beta/models/x%3Fkey%3D1"),
    ],
)
def test_the_model_stands_in_the_path_and_cannot_leave_its_place(base_url, model, url):
    assert call(decode("openai-chat"), model, base_url).url == f"{url}:generateContent"
    streamed = call(decode("openai-chat", stream=True), model, base_url)
    assert streamed.url == f"{url}:streamGenerateContent?alt=sse"


def test_the_key_goes_in_a_header_of_its_own_and_in_nothing_that_is_shown():
    sent_ = call(decode("openai-chat"))
    assert dict(sent_.headers)["x-goog-api-key"] == KEY
    assert KEY not in sent_.url
    assert KEY not in repr(sent_)
    assert KEY not in repr(target())


# --- what is said ------------------------------------------------------------------------------


@pytest.mark.parametrize("dialect", BOTH)
def test_sampling_and_limits_have_their_own_names(dialect: Dialect):
    stop = {"stop": ["a", "b"]} if dialect == "openai-chat" else {"stop_sequences": ["a", "b"]}
    body = sent(decode(dialect, temperature=0.5, top_p=0.9, top_k=7, **stop))
    assert body == {
        "contents": [{"role": "user", "parts": [{"text": "hi"}]}],
        "generationConfig": {
            "maxOutputTokens": 9,
            "temperature": 0.5,
            "topP": 0.9,
            "topK": 7,
            "stopSequences": ["a", "b"],
        },
    }


def test_seed_penalties_and_log_probabilities_are_asked_for():
    asked = decode(
        "openai-chat", seed=7, logprobs=True, top_logprobs=3, frequency_penalty=0.5, presence_penalty=-1
    )
    assert sent(asked)["generationConfig"] == {
        "maxOutputTokens": 9,
        "seed": 7,
        "responseLogprobs": True,
        "logprobs": 3,
        "frequencyPenalty": 0.5,
        "presencePenalty": -1,
    }
    assert "logprobs" not in sent(decode("openai-chat", logprobs=True))["generationConfig"]


def test_instructions_of_either_dialect_become_the_system_instruction():
    chat = decode(
        "openai-chat",
        messages=[
            {"role": "system", "content": "one"},
            {"role": "user", "content": "hi"},
            {"role": "developer", "content": "two"},
        ],
    )
    message = decode(
        "anthropic-messages", system=[{"type": "text", "text": "one"}, {"type": "text", "text": "two"}]
    )
    for request in (chat, message):
        body = sent(request)
        assert body["systemInstruction"] == {"parts": [{"text": "one"}, {"text": "two"}]}
        assert body["contents"] == [{"role": "user", "parts": [{"text": "hi"}]}]


def test_images_documents_and_sound_go_along_with_the_kind_that_they_are_of():
    chat = decode(
        "openai-chat",
        messages=user(
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
            {"type": "image_url", "image_url": {"url": "https://x.test/a.JPG?v=1"}},
            {"type": "file", "file": {"file_data": "data:application/pdf;base64,BBBB", "filename": "a.pdf"}},
            {"type": "input_audio", "input_audio": {"data": "CCCC", "format": "wav"}},
        ),
    )
    assert sent(chat)["contents"][0]["parts"] == [
        {"inlineData": {"mimeType": "image/png", "data": "AAAA"}},
        {"fileData": {"mimeType": "image/jpeg", "fileUri": "https://x.test/a.JPG?v=1"}},
        {"text": "a.pdf"},
        {"inlineData": {"mimeType": "application/pdf", "data": "BBBB"}},
        {"inlineData": {"mimeType": "audio/wav", "data": "CCCC"}},
    ]
    message = decode(
        "anthropic-messages",
        messages=user(
            {"type": "image", "source": {"type": "base64", "media_type": "image/webp", "data": "AAAA"}},
            {
                "type": "document",
                "title": "T",
                "source": {"type": "text", "media_type": "text/plain", "data": "words"},
            },
            {"type": "document", "source": {"type": "url", "url": "https://x.test/a.pdf"}},
        ),
    )
    assert sent(message)["contents"][0]["parts"] == [
        {"inlineData": {"mimeType": "image/webp", "data": "AAAA"}},
        {"text": "T\n\nwords"},
        {"fileData": {"mimeType": "application/pdf", "fileUri": "https://x.test/a.pdf"}},
    ]


# --- tools -------------------------------------------------------------------------------------


def test_a_tools_whole_json_schema_is_sent_not_a_part_of_it():
    body = sent(decode("openai-chat", tools=[chat_tool(description="d"), chat_tool("g", parameters={})]))
    assert body["tools"] == [
        {
            "functionDeclarations": [
                {"name": "f", "description": "d", "parametersJsonSchema": SCHEMA},
                {"name": "g"},
            ]
        }
    ]
    assert "toolConfig" not in body


@pytest.mark.parametrize(
    ("choice", "strict", "config"),
    [
        ("auto", False, {"mode": "AUTO"}),
        ("none", True, {"mode": "NONE"}),
        ("required", True, {"mode": "ANY"}),
        (
            {"type": "function", "function": {"name": "f"}},
            False,
            {"mode": "ANY", "allowedFunctionNames": ["f"]},
        ),
        ("auto", True, {"mode": "VALIDATED"}),
        (..., True, {"mode": "VALIDATED"}),
    ],
)
def test_every_way_of_choosing_a_tool_has_its_mode(choice, strict, config):
    asked = decode("openai-chat", tools=[chat_tool(strict=strict)], tool_choice=choice)
    assert sent(asked)["toolConfig"] == {"functionCallingConfig": config}


def test_u18_results_of_parallel_calls_stand_together_in_the_order_of_the_calls():
    asked = decode(
        "openai-chat",
        messages=[
            {"role": "user", "content": "hi"},
            {
                "role": "assistant",
                "content": "",
                "tool_calls": [
                    chat_call("f", '{"n":1}', "c1"),
                    chat_call("f", '{"n":2}', "c2"),
                    chat_call("g", "", "c3"),
                ],
            },
            {"role": "tool", "tool_call_id": "c3", "content": "third"},
            {"role": "tool", "tool_call_id": "c1", "content": "first"},
            {
                "role": "tool",
                "tool_call_id": "c2",
                "content": [{"type": "text", "text": "se"}, {"type": "text", "text": "cond"}],
            },
            {"role": "user", "content": "and now?"},
        ],
    )
    assert sent(asked)["contents"] == [
        {"role": "user", "parts": [{"text": "hi"}]},
        {
            "role": "model",
            "parts": [
                {"functionCall": {"name": "f", "args": {"n": 1}}},
                {"functionCall": {"name": "f", "args": {"n": 2}}},
                {"functionCall": {"name": "g", "args": {}}},
            ],
        },
        {
            "role": "user",
            "parts": [
                {"functionResponse": {"name": "f", "response": {"output": "first"}}},
                {"functionResponse": {"name": "f", "response": {"output": "se\ncond"}}},
                {"functionResponse": {"name": "g", "response": {"output": "third"}}},
            ],
        },
        {"role": "user", "parts": [{"text": "and now?"}]},
    ]


def test_a_failed_result_says_so_and_an_image_in_a_result_goes_along():
    asked = decode(
        "anthropic-messages",
        messages=[
            {"role": "user", "content": "hi"},
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
                    },
                    {"type": "text", "text": "go on"},
                ],
            },
        ],
    )
    assert sent(asked)["contents"][2:] == [
        {
            "role": "user",
            "parts": [
                {
                    "functionResponse": {
                        "name": "f",
                        "response": {"error": "no"},
                        "parts": [{"inlineData": {"mimeType": "image/png", "data": "AA"}}],
                    }
                }
            ],
        },
        {"role": "user", "parts": [{"text": "go on"}]},
    ]


def test_an_id_that_the_server_gave_a_call_goes_back_to_it_and_no_other_does():
    def turns(call_id: str) -> list[dict[str, Any]]:
        return [
            {"role": "user", "content": "hi"},
            {"role": "assistant", "tool_calls": [chat_call("f", "{}", call_id)]},
            {"role": "tool", "tool_call_id": call_id, "content": "x"},
        ]

    own = sent(decode("openai-chat", messages=turns("gemini-ab12")))["contents"]
    assert own[1]["parts"][0]["functionCall"]["id"] == "ab12"
    assert own[2]["parts"][0]["functionResponse"]["id"] == "ab12"
    other = json.dumps(sent(decode("openai-chat", messages=turns("call_ab12"))))
    assert "ab12" not in other


def test_the_search_that_the_vendor_runs_is_switched_on():
    assert sent(decode("openai-chat", web_search_options={}))["tools"] == [{"googleSearch": {}}]


# --- thoughts and their signatures ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "effort", "config"),
    [
        ("gemini-2.5-pro", "low", {"thinkingBudget": 1024}),
        ("gemini-2.5-pro", "medium", {"thinkingBudget": 8192}),
        ("gemini-2.5-pro", "xhigh", {"thinkingBudget": 24576}),
        ("gemini-2.5-flash", "none", {"thinkingBudget": 0}),
        ("gemini-3-pro-preview", "minimal", {"thinkingLevel": "MINIMAL"}),
        ("gemini-3.5-flash", "high", {"thinkingLevel": "HIGH"}),
        ("gemini-3.5-flash", "max", {"thinkingLevel": "XHIGH"}),
        ("gemini-3.5-flash", "none", {"thinkingBudget": 0}),
    ],
)
def test_an_effort_is_a_budget_or_a_level_by_the_generation_of_the_model(model, effort, config):
    body = sent(decode("openai-chat", reasoning_effort=effort), model)
    assert body["generationConfig"]["thinkingConfig"] == config


@pytest.mark.parametrize(
    ("thinking", "config"),
    [
        ({"type": "enabled", "budget_tokens": 5}, {"thinkingBudget": 5, "includeThoughts": True}),
        ({"type": "enabled", "budget_tokens": 500}, {"thinkingBudget": 8, "includeThoughts": True}),
        ({"type": "adaptive"}, {"includeThoughts": True}),
        ({"type": "disabled"}, {"thinkingBudget": 0}),
    ],
)
def test_thinking_that_is_asked_for_is_shown_and_fits_into_the_limit(thinking, config):
    body = sent(decode("anthropic-messages", thinking=thinking))
    assert body["generationConfig"]["thinkingConfig"] == config


def test_thinking_that_is_to_be_hidden_is_not_asked_for():
    body = sent(decode("anthropic-messages", thinking={"type": "adaptive", "display": "omitted"}))
    assert "thinkingConfig" not in body["generationConfig"]


def test_the_signature_of_a_call_comes_back_from_callers_of_both_dialects():
    extra: dict[str, Any] = {"extra_content": {"google": {"thought_signature": SIGNED}}}
    chat = decode(
        "openai-chat",
        messages=[
            {"role": "user", "content": "hi"},
            {"role": "assistant", "tool_calls": [chat_call("f", **extra), chat_call("g", call_id="call_2")]},
            {"role": "tool", "tool_call_id": "call_1", "content": "x"},
            {"role": "tool", "tool_call_id": "call_2", "content": "y"},
        ],
    )
    message = decode(
        "anthropic-messages",
        messages=[
            {"role": "user", "content": "hi"},
            {
                "role": "assistant",
                "content": [
                    {"type": "tool_use", "id": "t1", "name": "f", "input": {}},
                    {"type": "redacted_thinking", "data": SIGNED},
                    {"type": "tool_use", "id": "t2", "name": "g", "input": {}},
                ],
            },
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t1", "content": "x"}]},
        ],
    )
    for request in (chat, message):
        assert sent(request, "gemini-3-pro")["contents"][1]["parts"] == [
            {"functionCall": {"name": "f", "args": {}}, "thoughtSignature": "c2lnbmF0dXJl"},
            {"functionCall": {"name": "g", "args": {}}},
        ]


def test_a_call_of_another_model_is_marked_as_unsigned_for_models_that_insist_on_a_signature():
    turns = [
        {"role": "user", "content": "hi"},
        {"role": "assistant", "tool_calls": [chat_call("f"), chat_call("g", call_id="call_2")]},
        {"role": "tool", "tool_call_id": "call_1", "content": "x"},
        {"role": "tool", "tool_call_id": "call_2", "content": "y"},
    ]
    request = decode("openai-chat", messages=turns)
    first, second = sent(request, "gemini-3-pro")["contents"][1]["parts"]
    assert first["thoughtSignature"] == "skip_thought_signature_validator"
    assert "thoughtSignature" not in second
    assert "thoughtSignature" not in json.dumps(sent(request, "gemini-2.5-pro"))


def test_the_signature_of_words_comes_back_too():
    chat = decode(
        "openai-chat",
        messages=[
            {"role": "user", "content": "hi"},
            {
                "role": "assistant",
                "content": "words",
                "extra_content": {"google": {"thought_signature": SIGNED}},
            },
            {"role": "user", "content": "more"},
        ],
    )
    message = decode(
        "anthropic-messages",
        messages=[
            {"role": "user", "content": "hi"},
            {
                "role": "assistant",
                "content": [{"type": "text", "text": "words"}, {"type": "redacted_thinking", "data": SIGNED}],
            },
            {"role": "user", "content": "more"},
        ],
    )
    for request in (chat, message):
        parts = sent(request)["contents"][1]["parts"]
        assert parts == [{"text": "words", "thoughtSignature": "c2lnbmF0dXJl"}]


@pytest.mark.parametrize("kind", ["openai", "anthropic"])
def test_another_vendor_is_not_sent_what_only_gemini_can_read_and_is_asked_all_the_same(kind):
    chat = decode(
        "openai-chat",
        messages=[
            {"role": "user", "content": "hi"},
            {
                "role": "assistant",
                "content": "words",
                "tool_calls": [chat_call("f", extra_content={"google": {"thought_signature": SIGNED}})],
                "extra_content": {"google": {"thought_signature": SIGNED}},
            },
            {"role": "tool", "tool_call_id": "call_1", "content": "x"},
        ],
    )
    message = decode(
        "anthropic-messages",
        messages=[
            {"role": "user", "content": "hi"},
            {
                "role": "assistant",
                "content": [{"type": "text", "text": "words"}, {"type": "redacted_thinking", "data": SIGNED}],
            },
            {"role": "user", "content": "more"},
        ],
    )
    for request in (chat, message):
        assert ADAPTERS[kind].cannot_carry(request) == ()
        body = json.loads(ADAPTERS[kind].encode_request(request, target()).body)
        assert "words" in json.dumps(body)
        assert "c2lnbmF0dXJl" not in json.dumps(body)
        assert "reasoning_content" not in json.dumps(body)


# --- structured output ---------------------------------------------------------------------------


def test_a_json_schema_is_sent_whole_and_json_mode_without_one():
    strict = {"name": "n", "description": "d", "strict": True, "schema": SCHEMA}
    asked = decode("openai-chat", response_format={"type": "json_schema", "json_schema": strict})
    config = sent(asked)["generationConfig"]
    assert config["responseMimeType"] == "application/json"
    assert config["responseJsonSchema"] == {"description": "d", **SCHEMA}
    plain = sent(decode("openai-chat", response_format={"type": "json_object"}))["generationConfig"]
    assert plain == {"maxOutputTokens": 9, "responseMimeType": "application/json"}
    theirs = decode("anthropic-messages", output_config={"format": {"type": "json_schema", "schema": SCHEMA}})
    assert sent(theirs)["generationConfig"]["responseJsonSchema"] == SCHEMA


# --- what it cannot carry --------------------------------------------------------------------------

_USER = {"role": "user", "content": "hi"}


@pytest.mark.parametrize(
    ("dialect", "named", "fields"),
    [
        ("openai-chat", "seed", {"seed": 2**31}),
        ("openai-chat", "stop", {"stop": list("abcdef")}),
        ("anthropic-messages", "stop_sequences", {"stop_sequences": list("abcdef")}),
        ("anthropic-messages", "max_tokens", {"max_tokens": 0}),
        ("openai-chat", "logit_bias", {"logit_bias": {"1": 2}}),
        ("openai-chat", "top_logprobs", {"logprobs": True, "top_logprobs": 21}),
        ("openai-chat", "logprobs", {"logprobs": "yes"}),
        ("openai-chat", "frequency_penalty", {"frequency_penalty": "much"}),
        ("openai-chat", "prediction", {"prediction": {"type": "content", "content": "x"}}),
        ("openai-chat", "store", {"store": True}),
        ("openai-chat", "reasoning_effort", {"reasoning_effort": "immense"}),
        (
            "anthropic-messages",
            "output_config.effort",
            {"output_config": {"effort": "low"}, "thinking": {"type": "enabled", "budget_tokens": 5}},
        ),
        ("anthropic-messages", "thinking", {"thinking": {"type": "interleaved"}}),
        ("anthropic-messages", "tools[].type", {"tools": [{"type": "bash_20250124", "name": "bash"}]}),
        (
            "anthropic-messages",
            "mcp_servers",
            {"mcp_servers": [{"name": "x", "type": "url", "url": "https://x"}]},
        ),
        ("anthropic-messages", "context_management", {"context_management": {"edits": []}}),
        (
            "anthropic-messages",
            "tools[].input_examples",
            {"tools": [{"name": "f", "input_schema": SCHEMA, "input_examples": [{}]}]},
        ),
        ("openai-chat", "web_search_options", {"web_search_options": {}, "tools": [chat_tool()]}),
        (
            "openai-chat",
            "web_search_options.user_location",
            {"web_search_options": {"user_location": {"type": "approximate"}}},
        ),
        ("openai-chat", "messages", {"messages": [{"role": "system", "content": "only"}]}),
        ("openai-chat", "messages[-1].role", {"messages": [_USER, {"role": "assistant", "content": "and"}]}),
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
            "messages[].tool_call_id",
            {"messages": [_USER, {"role": "tool", "tool_call_id": "none", "content": "x"}]},
        ),
        (
            "openai-chat",
            "messages[].content[].image_url",
            {"messages": user({"type": "image_url", "image_url": {"url": "https://x.test/picture"}})},
        ),
        (
            "openai-chat",
            "messages[].content[].image_url",
            {
                "messages": user(
                    {"type": "image_url", "image_url": {"url": "https://x.test/a.png", "detail": "low"}}
                )
            },
        ),
        (
            "openai-chat",
            "messages[].content[].file",
            {"messages": user({"type": "file", "file": {"file_id": "file-1"}})},
        ),
        (
            "openai-chat",
            "messages[].content[].input_audio",
            {"messages": user({"type": "input_audio", "input_audio": {"data": "A", "format": "midi"}})},
        ),
        (
            "anthropic-messages",
            "messages[].content[].citations",
            {
                "messages": user(
                    {
                        "type": "document",
                        "source": {"type": "text", "media_type": "text/plain", "data": "x"},
                        "citations": {"enabled": True},
                    }
                )
            },
        ),
        (
            "anthropic-messages",
            "messages[].content[].search_result",
            {"messages": user({"type": "search_result", "source": "x", "title": "t", "content": []})},
        ),
    ],
)
def test_what_gemini_cannot_express_is_named_as_the_caller_wrote_it_and_never_sent(dialect, named, fields):
    request = decode(dialect, **fields)
    assert named in GEMINI.cannot_carry(request)
    with pytest.raises(ApiError) as refused:
        call(request)
    assert refused.value.code == "invalid_request"
    assert f"`{named}`" in refused.value.message


@pytest.mark.parametrize(
    ("dialect", "fields"),
    [
        ("openai-chat", {"store": False, "logit_bias": {}, "verbosity": "medium", "service_tier": "flex"}),
        ("openai-chat", {"parallel_tool_calls": False, "tools": [chat_tool()]}),
        ("openai-chat", {"user": "ann", "prompt_cache_key": "k", "logprobs": False, "top_logprobs": 0}),
        ("anthropic-messages", {"metadata": {"user_id": "ann"}, "service_tier": "auto"}),
        (
            "anthropic-messages",
            {"system": [{"type": "text", "text": "s", "cache_control": {"type": "ephemeral"}}]},
        ),
        (
            "anthropic-messages",
            {
                "messages": [
                    _USER,
                    {"role": "assistant", "content": [{"type": "text", "text": "t", "citations": [{}]}]},
                    _USER,
                ]
            },
        ),
    ],
)
def test_what_changes_no_answer_stands_in_no_models_way(dialect, fields):
    assert GEMINI.cannot_carry(decode(dialect, **fields)) == ()
