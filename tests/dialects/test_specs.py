"""What callers are sent, against the published specifications: OpenAI's own, and Open Responses.

Every recorded answer of every vendor, for callers of OpenAI's dialects. What a vendor's own answer breaks
of the specification of its own dialect is no fault of ours: a caller is sent it as it came.
"""

import json
from collections.abc import Iterator
from typing import Any, Final

import pytest

from interlock.dialects import DIALECTS, EMBEDDINGS
from interlock.errors import ApiError
from interlock.types.answer import Answer, Usage
from interlock.types.labels import Wire
from interlock.types.request import Embedding, Reasoning, Request, ResponseFormat, Tool, ToolChoice
from tests import specs
from tests.adapters import every
from tests.adapters.recorded import ask
from tests.adapters.test_every_recording import WIRES, Caller, is_answer, streams
from tests.specs import Spec, faults

CHAT: Final = "openai-chat"
RESPONSES: Final = "openai-responses"
RESPONSE: Final[dict[Spec, str]] = {"openai": "Response", "openresponses": "ResponseResource"}
KNOWN: Final[dict[Spec, dict[str, str]]] = {
    "openai": {
        "response.usage: type": "null until the end, as OpenAI sends it and Open Responses requires it",
        "usage: type": "null where the vendor has not counted, as before the end of a stream",
        "text.format: oneOf": "a `description` of null, as OpenAI sends it and Open Responses requires it",
    },
    "openresponses": {
        "text.format: oneOf": "the specification knows no JSON Schema but null",
    },
}
"""What our own answers break of a specification, and why."""


def own(wire: Wire, dialect: str) -> bool:
    return (wire, dialect) in (("openai", CHAT), ("openai-responses", RESPONSES))


def data_of(sent: bytes) -> Iterator[dict[str, Any]]:
    """The JSON of each event of a stream."""
    for event in sent.replace(b"\r\n", b"\n").split(b"\n\n"):
        data = event.partition(b"data: ")[2]
        if data.startswith(b"{"):
            yield json.loads(data)


@pytest.mark.parametrize("wire", WIRES)
def test_a_recorded_answer_is_a_chat_completion_by_the_specification(wire):
    for one in filter(is_answer, every.wholes(wire)):
        shown = DIALECTS[CHAT].encode_answer(every.decoded(wire, one.data), ask(CHAT), "m")
        wrong = faults("openai", "CreateChatCompletionResponse", json.loads(shown))
        if own(wire, CHAT):
            wrong -= faults("openai", "CreateChatCompletionResponse", json.loads(one.data))
        assert not wrong, one.name


@pytest.mark.parametrize("wire", WIRES)
def test_each_chunk_of_a_recorded_stream_is_one_by_the_specification(wire):
    for one in streams(wire):
        theirs = set()
        for event in data_of(one.data) if own(wire, CHAT) else ():
            theirs |= faults("openai", "CreateChatCompletionStreamResponse", event)
        for event in data_of(Caller(one, CHAT).sent(one.data)):
            name = "ErrorResponse" if "error" in event else "CreateChatCompletionStreamResponse"
            assert not faults("openai", name, event) - theirs, (one.name, event)


@pytest.mark.parametrize("spec", RESPONSE)
@pytest.mark.parametrize("wire", WIRES)
def test_a_recorded_answer_is_a_response_by_both_specifications(wire, spec):
    for one in filter(is_answer, every.wholes(wire)):
        shown = DIALECTS[RESPONSES].encode_answer(every.decoded(wire, one.data), ask(RESPONSES), "m")
        wrong = faults(spec, RESPONSE[spec], json.loads(shown)) - KNOWN[spec].keys()
        if own(wire, RESPONSES):
            wrong -= faults(spec, RESPONSE[spec], json.loads(one.data))
        assert not wrong, one.name


@pytest.mark.parametrize("spec", RESPONSE)
@pytest.mark.parametrize("wire", WIRES)
def test_each_event_of_a_recorded_stream_is_one_by_both_specifications(wire, spec):
    known = specs.events(spec)
    for one in streams(wire):
        theirs: dict[str, set[str]] = {}
        for event in data_of(one.data) if own(wire, RESPONSES) else ():
            kind = event["type"]
            theirs.setdefault(kind, set()).update(faults(spec, known[kind], event) if kind in known else ())
        for event in data_of(Caller(one, RESPONSES).sent(one.data)):
            kind = event["type"]
            assert kind in known or kind in theirs, (one.name, kind)
            if kind in known:
                wrong = faults(spec, known[kind], event) - KNOWN[spec].keys() - theirs.get(kind, set())
                assert not wrong, (one.name, kind)


def rich(**fields: Any) -> Request:
    """A request in whose answer everything is repeated that answers repeat."""
    schema = {"type": "object", "properties": {"q": {"type": "string"}}}
    return ask(
        RESPONSES,
        tools=(Tool(name="find", parameters=schema), Tool(name="look", description="?", strict=True)),
        user="u",
        reasoning=Reasoning(effort="low"),
        max_output_tokens=5,
        temperature=0.5,
        metadata={"a": "b"},
        extra={"service_tier": "flex", "presence_penalty": 1, "top_logprobs": 2, "max_tool_calls": 3},
        **fields,
    )


ASKED: Final = {
    "nothing": ask(RESPONSES),
    "a tool": rich(tool_choice=ToolChoice(mode="tool", name="find")),
    "any tool": rich(tool_choice=ToolChoice(mode="required")),
    "JSON": rich(response_format=ResponseFormat()),
    "a schema": rich(response_format=ResponseFormat(name="f", json_schema={"type": "object"})),
}


@pytest.mark.parametrize("spec", RESPONSE)
@pytest.mark.parametrize("asked", ASKED)
def test_what_a_response_repeats_of_its_request_is_as_both_specifications_have_it(asked, spec):
    answer = Answer(id="a", upstream_model="m", parts=(), finish="length", created=1)
    shown = json.loads(DIALECTS[RESPONSES].encode_answer(answer, ASKED[asked], "m"))
    assert not faults(spec, RESPONSE[spec], shown) - KNOWN[spec].keys()
    assert (shown["service_tier"], shown["temperature"]) in (("flex", 0.5), ("default", 1.0))


@pytest.mark.parametrize("vector", [[0.5, -1.0], "AAAAPwAAgL8="], ids=["floats", "base64"])
def test_embeddings_are_as_the_specification_has_them(vector):
    answer = Answer(
        id="",
        upstream_model="m",
        parts=(Embedding(vector=vector),) * 2,
        finish="stop",
        usage=Usage(input_tokens=3),
    )
    shown = json.loads(EMBEDDINGS.encode_answer(answer, ask(CHAT, operation="embed"), "m"))
    assert not faults("openai", "CreateEmbeddingResponse", shown)


@pytest.mark.parametrize(
    "code", ["invalid_request", "unauthenticated", "not_found", "rate_limited", "upstream_failed"]
)
def test_errors_are_as_the_specification_has_them(code):
    error = ApiError(code, "it went wrong", hint="do this", param="messages")
    assert not faults("openai", "ErrorResponse", json.loads(DIALECTS[CHAT].encode_error(error)))
    assert not faults("openai", "ErrorResponse", json.loads(DIALECTS[RESPONSES].encode_error(error)))


@pytest.mark.parametrize("spec", RESPONSE)
def test_the_error_that_ends_a_stream_of_responses_is_an_event_by_both_specifications(spec):
    encoder = DIALECTS[RESPONSES].StreamEncoder(ask(RESPONSES), "m")
    (event,) = data_of(encoder.fail(ApiError("upstream_failed", "it went wrong")))
    assert not faults(spec, specs.events(spec)["error"], event)
