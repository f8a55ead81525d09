"""What each wire says when nothing goes wrong: as the vendor's SDK, specification and recordings have it."""

import json
from collections.abc import Iterator
from typing import Any, Final

import msgspec
import openai
import pytest
from hypothesis import example
from hypothesis import given as for_all
from hypothesis import strategies as st

from interlock.adapters.bedrock.frames import FrameParser
from interlock.mock import Answering, Behaviour, Mock, Rule, Script, When
from interlock.mock.faults import FAULTS, impossible
from interlock.mock.said import SENTENCE, Call, Said, Usage
from interlock.mock.script import CallWritten
from interlock.mock.wires import WIRES, gemini, openai_responses, spoken
from interlock.mock.wires.frames import frame
from tests import aws_frames, specs
from tests.adapters.every import recordings
from tests.mock.every import PROVIDERS, every
from tests.mock.raw import body, exchange, post
from tests.server.harness import serving

HI: Final = [{"role": "user", "content": "hi"}]
SIGNED: Final = "authorization: AWS4-HMAC-SHA256 Credential=any"
ASK: Final[dict[str, tuple[str, str, dict[str, Any]]]] = {
    "openai": ("/v1/chat/completions", "/v1/chat/completions", {"model": "m", "messages": HI}),
    "openai-responses": ("/v1/responses", "/v1/responses", {"model": "m", "input": "hi"}),
    "anthropic": ("/v1/messages", "/v1/messages", {"model": "m", "max_tokens": 9, "messages": HI}),
    "gemini": (
        "/v1beta/models/m:generateContent",
        "/v1beta/models/m:streamGenerateContent?alt=sse",
        {"contents": [{"role": "user", "parts": [{"text": "hi"}]}]},
    ),
    "bedrock": (
        "/model/m/converse",
        "/model/m/converse-stream",
        {"messages": [{"role": "user", "content": [{"text": "hi"}]}]},
    ),
    "azure": (
        "/openai/deployments/m/chat/completions?api-version=1",
        "/openai/deployments/m/chat/completions?api-version=1",
        {"messages": HI},
    ),
}
"""Where each wire is asked for a whole answer and for a stream, and with what."""
SAID: Final[dict[str, Said]] = {
    "text": Said(text="One two.", usage=Usage(input=3, output=2)),
    "calls": Said(
        calls=(Call("search", '{"query":"a"}'), Call("send", "{}")),
        finish="tool_calls",
        usage=Usage(input=3, output=2),
    ),
    "refusal": Said(refusal="I will not.", usage=Usage(input=3, output=2)),
    "cut": Said(text="One", finish="length", usage=Usage(input=3, output=2)),
    "filtered": Said(text="One", finish="content_filter", usage=Usage(input=3, output=2)),
}


PLACES: Final = (
    "/v1/embeddings",
    "/v1/messages/count_tokens",
    "/openai/v1/embeddings",
    "/v1beta/models/m:batchEmbedContents",
    "/v1/projects/p/locations/l/publishers/google/models/m:generateContent",
    "/v1/nothing",
)
"""Where more is asked for."""


def request(wire: str, *headers: str, stream: bool = False, **more: Any) -> bytes:
    whole, streamed, fields = ASK[wire]
    told = {"stream": True} if stream and whole == streamed else {}
    auth = (SIGNED,) if wire == "bedrock" else ()
    return post(streamed if stream else whole, {**fields, **told, **more}, *auth, *headers)


def data_of(pieces: list[bytes]) -> Iterator[Any]:
    """The JSON of each event."""
    for piece in pieces:
        found = piece.partition(b"data: ")[2].strip()
        if found != b"[DONE]":
            yield json.loads(found)


def by_name(name: str) -> Any:
    return next(wire for wire in WIRES if name == wire.NAME)


def asked(wire: str, **fields: Any) -> Any:
    whole, _, usual = ASK[wire]
    return by_name(wire).read(whole.partition("?")[0], {"authorization": "x"}, {**usual, **fields})


# --- as the vendors have it ---------------------------------------------------------------------


@pytest.mark.parametrize("said", SAID.values(), ids=SAID)
@pytest.mark.parametrize("wire", ["openai", "azure"])
def test_chat_is_as_openais_specification_has_it(wire, said):
    spoken = by_name(wire)
    wanted = asked(wire, stream_options={"include_usage": True})
    assert not specs.faults("openai", "CreateChatCompletionResponse", spoken.whole(said, wanted))
    for event in data_of(spoken.events(said, wanted)):
        if event["object"]:  # what Azure's filter makes of the prompt is its own
            assert not specs.faults("openai", "CreateChatCompletionStreamResponse", event)


@pytest.mark.parametrize("said", SAID.values(), ids=SAID)
def test_responses_and_their_events_are_as_openais_specification_has_them(said):
    wanted = asked("openai-responses")
    assert not specs.faults("openai", "Response", openai_responses.whole(said, wanted))
    known = specs.events("openai")
    events = list(data_of(openai_responses.events(said, wanted)))
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    for event in events:
        wrong = specs.faults("openai", known[event["type"]], event)
        assert not wrong - {"response.usage: type"}, event  # null until the end, as OpenAI sends it


async def test_openais_sdk_reads_a_response_and_puts_its_stream_together():
    calls = (CallWritten(name="search", arguments={"query": "weather in Paris"}),)
    script = Script(default=Behaviour(text="I will look.", calls=calls))
    async with Mock(Answering(script)) as mock:
        client: Any = openai.AsyncOpenAI(base_url=f"{mock.url}/v1", api_key="any", max_retries=0)
        async with client:
            whole = await client.responses.create(model="m", input="hi")
            async with client.responses.stream(model="m", input="hi") as stream:
                kinds = [event.type async for event in stream]
                last = await stream.get_final_response()
    assert whole.output_text == last.output_text == "I will look."
    assert whole.output[1].name == last.output[1].name == "search"
    assert json.loads(last.output[1].arguments) == {"query": "weather in Paris"}
    assert (whole.status, last.status) == ("completed", "completed")
    assert (kinds[:2], kinds[-1]) == (["response.created", "response.in_progress"], "response.completed")


@pytest.mark.parametrize("newer", [False, True], ids=["by deployment", "newer addresses"])
async def test_azures_client_is_answered_at_both_kinds_of_addresses(newer):
    async with Mock(Answering()) as mock:
        client: Any = (
            openai.AsyncOpenAI(base_url=f"{mock.url}/openai/v1", api_key="any", max_retries=0)
            if newer
            else openai.AsyncAzureOpenAI(
                azure_endpoint=mock.url, api_key="any", api_version="2024-10-21", max_retries=0
            )
        )
        async with client:
            whole = await client.chat.completions.create(model="dep", messages=HI)
            vectors = await client.embeddings.create(model="dep", input="a")
        assert whole.choices[0].message.content == SENTENCE
        assert whole.choices[0].content_filter_results["hate"]["filtered"] is False
        assert len(vectors.data[0].embedding) == 64
        assert [(one.wire.NAME, one.model) for one in mock.received] == [("azure", "dep")] * 2


def paths(value: Any, at: str = "") -> set[str]:
    """Every place of a value in which something stands."""
    if isinstance(value, dict):
        return {path for name, inner in value.items() for path in paths(inner, f"{at}.{name}")}
    if isinstance(value, list):
        return {path for inner in value for path in paths(inner, f"{at}[]")}
    return {at}


@pytest.mark.parametrize("stream", [False, True])
def test_gemini_says_nothing_in_a_place_where_recorded_answers_say_none(stream):
    recorded = {
        path
        for one in recordings()
        if one.wire == "gemini" and one.stream == stream
        for event in (data_of(list(one.events)) if stream else [json.loads(one.data)])
        for path in paths(event)
    }
    wanted = asked("gemini")
    said = (
        list(data_of(gemini.events(SAID["text"], wanted))) if stream else gemini.whole(SAID["text"], wanted)
    )
    assert {path.removeprefix("[]") for path in paths(said)} <= recorded


def test_bedrocks_frames_are_those_that_the_formats_documentation_has():
    text = aws_frames.text
    headers = [
        (":event-type", 7, text("messageStop")),
        (":content-type", 7, text("application/json")),
        (":message-type", 7, text("event")),
    ]
    value = {"stopReason": "end_turn"}
    assert frame("event", "messageStop", value) == aws_frames.frame(headers, msgspec.json.encode(value))


async def test_bedrock_streams_its_events_in_their_order():
    async with Mock(Answering(Script(default=Behaviour(text="One two.")))) as mock:
        got, _ = await exchange(mock.port, request("bedrock", stream=True))
    assert b"content-type: application/vnd.amazon.eventstream" in got
    parser = FrameParser()
    assert [frame.headers[":event-type"] for frame in parser.feed(body(got))] == [
        "messageStart",
        *["contentBlockDelta"] * 2,
        "contentBlockStop",
        "messageStop",
        "metadata",
    ]
    assert parser.between


# --- what is asked for --------------------------------------------------------------------------


@pytest.mark.parametrize("wire", PROVIDERS)
async def test_a_demanded_tool_is_called_and_a_schema_is_kept_on_every_wire(tmp_path, wire):
    schema = {"type": "object", "properties": {"query": {"type": "string"}}, "required": ["query"]}
    tools = [
        {"type": "function", "function": {"name": name, "parameters": schema}} for name in ("find", "search")
    ]
    named = {"type": "function", "function": {"name": "search"}}
    wanted = {"type": "json_schema", "json_schema": {"name": "n", "schema": schema}}
    async with Mock(Answering()) as mock, serving(tmp_path, every(mock)) as server:
        for choice, name in (("required", "find"), (named, "search")):
            got = await server.chat(model=wire, tools=tools, tool_choice=choice)
            choice_made = got.json()["choices"][0]
            (call,) = choice_made["message"]["tool_calls"]
            assert call["function"]["name"] == name
            assert json.loads(call["function"]["arguments"]) == {"query": "x"}
            assert choice_made["finish_reason"] == "tool_calls"
        got = await server.chat(model=wire, response_format=wanted)
        assert json.loads(got.json()["choices"][0]["message"]["content"]) == {"query": "x"}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("wire", ASK)
async def test_a_rule_knows_model_and_streaming_wherever_a_wire_says_them(wire, stream):
    mine = Rule(when=When(model="m", stream=stream), then=Behaviour(text="Mine."))
    async with Mock(Answering(Script(rules=(mine,)))) as mock:
        got, _ = await exchange(mock.port, request(wire, stream=stream))
        assert b"Mine." in body(got)
        got, _ = await exchange(mock.port, request(wire, stream=not stream))
        assert b"Mine." not in body(got)
        assert [(one.wire.NAME, one.model, one.stream) for one in mock.received] == [
            (wire, "m", stream),
            (wire, "m", not stream),
        ]


async def test_bedrock_refuses_who_brings_no_credentials_and_looks_at_none():
    unsigned = request("bedrock").replace(f"{SIGNED}\r\n".encode(), b"")
    async with Mock(Answering()) as mock:
        got, _ = await exchange(mock.port, unsigned)
        assert got.startswith(b"HTTP/1.1 403 ")
        assert b"x-amzn-errortype: MissingAuthenticationTokenException" in got
        got, _ = await exchange(mock.port, request("bedrock"))
        assert got.startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize("wire", ASK)
async def test_a_body_without_its_messages_gets_its_vendors_error(wire):
    path, _, fields = ASK[wire]
    auth = (SIGNED,) if wire == "bedrock" else ()
    lacking = next(name for name in ("messages", "contents", "input") if name in fields)
    async with Mock(Answering()) as mock:
        got, _ = await exchange(mock.port, post(path, {"model": "m"}, *auth))
    assert got.startswith(b"HTTP/1.1 400 ")
    error = json.loads(body(got))
    assert f"`{lacking}`" in error.get("error", error)["message"]


ERRORS: Final[dict[str, dict[int, str]]] = {
    "openai": {401: "authentication_error", 429: "rate_limit_error", 503: "server_error"},
    "openai-responses": {401: "authentication_error", 429: "rate_limit_error", 503: "server_error"},
    "azure": {401: "PermissionDenied", 429: "RateLimitReached", 503: "InternalServerError"},
    "anthropic": {401: "authentication_error", 429: "rate_limit_error", 503: "api_error"},
    "gemini": {401: "UNAUTHENTICATED", 429: "RESOURCE_EXHAUSTED", 503: "UNAVAILABLE"},
    "bedrock": {
        401: "UnrecognizedClientException",
        429: "ThrottlingException",
        503: "ServiceUnavailableException",
    },
}


@pytest.mark.parametrize("status", [401, 429, 503])
@pytest.mark.parametrize("wire", ASK)
async def test_an_error_has_its_vendors_code_and_says_how_long_to_wait_where_that_vendor_does(wire, status):
    failing = Answering(Script(default=Behaviour(status=status, retry_after="12")))
    async with Mock(failing) as mock:
        got, _ = await exchange(mock.port, request(wire))
    assert got.startswith(f"HTTP/1.1 {status} ".encode())
    assert ERRORS[wire][status].encode() in got
    details = json.loads(body(got)).get("error", {}).get("details", [])
    in_body = [detail["retryDelay"] for detail in details] == ["12s"]
    assert (b"retry-after: 12" in got, in_body) == (wire != "gemini", wire == "gemini")


NAMES: Final = (
    "messages", "input", "tools", "tool_choice", "response_format", "stream_options", "dimensions", "text",
    "output_config", "contents", "toolConfig", "toolChoice", "functionCallingConfig", "generationConfig",
    "allowedFunctionNames", "mode", "any", "tool", "toolSpec", "function", "functionDeclarations", "name",
    "requests", "content", "parts", "outputDimensionality", "format", "schema", "type", "outputConfig",
)  # fmt: skip
JSON: Final = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(max_size=3)
    | st.sampled_from(["ANY", "required", "tool"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=4),
    max_leaves=12,
)


@for_all(
    st.sampled_from([*(ask[0] for ask in ASK.values()), *PLACES]),
    st.dictionaries(st.sampled_from(NAMES), JSON, max_size=6),
)
@example(
    ASK["gemini"][0], {"toolConfig": {"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": 1}}}
)
def test_whatever_stands_in_a_body_it_is_read(path, fields):
    wire, wanted = spoken(path.partition("?")[0], {}, fields)
    assert wire in WIRES
    assert wanted.kind in FAULTS["hang"].kinds


# --- what makes no sense ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "wire", "stream", "why"),
    [
        ("crlf", "openai", False, "`crlf` is a fault of streams, recorded streams, not of whole answers"),
        ("cr", "bedrock", True, "frames of bytes, not lines of text"),
        ("bad_checksum", "anthropic", True, "text, which has no checksums"),
        ("no_end", "gemini", True, "`no_finish` and `cut` come nearest"),
        ("refused", "anthropic", False, "that is `filtered`"),
    ],
)
async def test_a_fault_that_makes_no_sense_is_an_error_that_says_why(fault, wire, stream, why):
    async with Mock(Answering()) as mock:
        got, _ = await exchange(mock.port, request(wire, f"x-mock: {fault}", stream=stream))
    assert got.startswith(b"HTTP/1.1 400 ")
    assert why in body(got).decode()


@pytest.mark.parametrize(
    ("behaviour", "why"),
    [
        (Behaviour(body="{}", faults=("cut_short",)), "as they were written or recorded"),
        (Behaviour(body="{}", faults=("no_end",)), "as they were written or recorded"),
        (Behaviour(status=503, faults=("no_usage",)), "not of errors"),
    ],
)
async def test_a_fault_of_what_is_said_is_refused_where_a_script_says_it_word_for_word(behaviour, why):
    async with Mock(Answering(Script(default=behaviour))) as mock:
        got, _ = await exchange(mock.port, request("openai", stream=True))
    assert got.startswith(b"HTTP/1.1 400 ")
    assert why in body(got).decode()


def test_each_fault_can_be_had_on_some_wire():
    for name, fault in FAULTS.items():
        assert any(impossible([name], wire, kind) is None for wire in WIRES for kind in fault.kinds), name


def test_a_wire_excludes_these_faults_and_no_others():
    lines = {"comments", "multiline", "bom", "crlf", "cr", "no_last_break"}
    of_gemini = {"crlf", "duplicate_start", "interleaved_tools", "no_end", "refused"}
    assert {wire.NAME: {*wire.WITHOUT} for wire in WIRES} == {
        "openai": {"bad_checksum"},
        "openai-responses": {"bad_checksum"},
        "azure": {"bad_checksum"},
        "anthropic": {"bad_checksum", "refused"},
        "gemini": {"bad_checksum", *of_gemini},
        "bedrock": {"refused", *lines},
    }
