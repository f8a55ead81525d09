"""Every recorded request: to its own vendor as it was, to the other whole or with its losses named."""

import json
from collections.abc import Iterable, Iterator
from typing import Any, Final, cast

import pytest
from anthropic.types.message_create_params import MessageCreateParams
from openai.types.chat.completion_create_params import CompletionCreateParams
from pydantic import TypeAdapter

from interlock.adapters import ADAPTERS
from interlock.adapters.anthropic import carry as anthropic_carry
from interlock.adapters.anthropic import request as anthropic_request
from interlock.adapters.openai import carry as openai_carry
from interlock.adapters.openai import request as openai_request
from interlock.dialects import DIALECTS
from interlock.errors import ApiError
from interlock.types.labels import Dialect, Wire
from interlock.types.request import Request
from tests.adapters.recorded import KINDS, OTHER, TARGETS, bare, calls

BOTH: Final[tuple[Dialect, ...]] = ("openai-chat", "anthropic-messages")
# What the SDKs of the vendors let their callers send.
VALID: Final[dict[Wire, TypeAdapter[Any]]] = {
    "openai": TypeAdapter(CompletionCreateParams),
    "anthropic": TypeAdapter(MessageCreateParams),
}
LEFT_OUT: Final = {"anthropic": anthropic_carry.LEFT_OUT, "openai": openai_carry.LEFT_OUT}
# Words of a wire format itself: each has its own for the same thing.
STRUCTURE: Final = ("type", "role", "model", "media_type")
UNTRANSLATED: Final = ("tool_choice", "stream_options")


def decode(dialect: Dialect, body: Any) -> Request:
    return DIALECTS[dialect].decode_request(json.dumps(body).encode(), {})


def encode(kind: Wire, request: Request) -> dict[str, Any]:
    return cast("dict[str, Any]", json.loads(ADAPTERS[kind].encode_request(request, TARGETS[kind]).body))


def requests(dialect: Dialect) -> Iterator[tuple[str, dict[str, Any]]]:
    for row in calls(dialect, status=None):
        yield f"{row['source']} {row['index']}", row["request"]


def normal(dialect: Dialect, body: dict[str, Any]) -> Any:
    """A request by what it means: each line stands for two spellings that the vendor takes as one."""
    body = bare(body)
    body.pop("model")
    body.pop("stream_options", None)  # usage is always asked for
    if not body.get("stream"):
        body.pop("stream", None)
    if body.get("n") == 1:
        del body["n"]
    body.setdefault("max_tokens", body.pop("max_completion_tokens", None))  # the name depends on the server
    if isinstance(body.get("system"), list | str):
        body["system"] = blocks(body["system"])
    if dialect == "anthropic-messages":
        for tool in body.get("tools", ()):
            if tool.get("type") == "custom":
                del tool["type"]
        body["messages"] = merged(body["messages"])
    for message in body["messages"]:
        message["content"] = blocks(message.get("content"))
    return bare(body)


def merged(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Consecutive turns of one side are one turn."""
    out: list[dict[str, Any]] = []
    for message in messages:
        if out and out[-1]["role"] == message["role"]:
            out[-1]["content"] = blocks(out[-1]["content"]) + blocks(message["content"])
        else:
            out.append(message)
    return out


def blocks(content: Any) -> Any:
    """A string is a list of one text; the content of results too; a result is no error unless it says so."""
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    for block in content or ():
        if block["type"] == "tool_result":
            block["content"] = blocks(block.get("content"))
            if not block.get("is_error"):
                block.pop("is_error", None)
    return content


@pytest.mark.parametrize("dialect", BOTH)
def test_a_recorded_request_reaches_its_own_vendor_as_it_was(dialect):
    recorded = list(requests(dialect))
    assert len(recorded) > 60
    for source, body in recorded:
        request = decode(dialect, body)
        assert ADAPTERS[KINDS[dialect]].cannot_carry(request) == ()
        sent = encode(KINDS[dialect], request)
        assert sent["model"] == "upstream-model"
        assert normal(dialect, sent) == normal(dialect, body), source


@pytest.mark.parametrize("dialect", BOTH)
def test_a_recorded_request_is_valid_for_the_other_vendor_or_names_what_it_cannot_be_sent(dialect):
    kind = KINDS[OTHER[dialect]]
    carried = 0
    for source, body in requests(dialect):
        request = decode(dialect, body)
        named = ADAPTERS[kind].cannot_carry(request)
        if named:
            with pytest.raises(ApiError) as caught:
                ADAPTERS[kind].encode_request(request, TARGETS[kind])
            assert caught.value.param == named[0]
            continue
        carried += 1
        try:
            exhaust(VALID[kind].validate_python(encode(kind, request)))
        except ValueError as error:
            pytest.fail(f"{source}: {error}")
    assert carried > 30


def exhaust(value: Any) -> None:
    """Pydantic checks the items of an Iterable only when somebody takes them."""
    if isinstance(value, dict):
        value = value.values()
    if isinstance(value, Iterable) and not isinstance(value, str | bytes):
        for item in value:
            exhaust(item)


def leaves(value: Any, words: tuple[str, ...] = ()) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Every text in a JSON value, with the names of the fields and the types of the objects around it."""
    if isinstance(value, dict):
        kind = value.get("type")
        around = (*words, kind) if isinstance(kind, str) else words
        for key, inner in value.items():
            yield from leaves(inner, (*around, key))
    elif isinstance(value, list):
        for inner in value:
            yield from leaves(inner, words)
    elif isinstance(value, str):
        if words[-1] == "arguments":  # JSON in a string here is an object there
            yield from leaves(json.loads(value or "{}"), words[:-1])
        else:
            yield value.partition(",")[2] if value.startswith("data:") else value, words


def texts(value: Any) -> Iterator[str]:
    return (text for text, _ in leaves(value, ("",)))


@pytest.mark.parametrize("dialect", BOTH)
def test_no_text_of_a_recorded_request_is_lost_on_the_way_to_the_other_vendor(dialect, monkeypatch):
    """Each text of the body is in what would be sent, in a field that is named, or left out with a reason."""
    kind = KINDS[OTHER[dialect]]
    for module in (openai_request, anthropic_request):  # look behind the guard
        monkeypatch.setattr(module, "refuse_loss", lambda *_: None)
    looked_at = 0
    for source, body in requests(dialect):
        request = decode(dialect, body)
        named = {
            word.removesuffix("[]").removesuffix("[-1]")
            for name in ADAPTERS[kind].cannot_carry(request)
            for word in [name.rpartition(".")[2]]
        }
        try:
            call = ADAPTERS[kind].encode_request(request, TARGETS[kind])
        except AssertionError:  # a part that has no form there at all
            assert named & {"input_audio"}, source
            continue
        sent = "\n".join(texts(json.loads(call.body)))
        for text, words in leaves(body):
            if words[-1] in STRUCTURE or {*words} & {*UNTRANSLATED, *LEFT_OUT[kind], *named}:
                continue
            looked_at += 1
            assert text in sent, (source, words, text[:50])
    assert looked_at > 400


SAMPLES: Final[dict[Dialect, dict[str, Any]]] = {
    "openai-chat": {
        "model": "m",
        "messages": [
            {"role": "system", "content": "s"},
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "t"},
                    {"type": "image_url", "image_url": {"url": "https://x.test/i.png"}},
                    {
                        "type": "file",
                        "file": {"file_data": "data:application/pdf;base64,AA==", "filename": "f"},
                    },
                ],
            },
            {
                "role": "assistant",
                "tool_calls": [{"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
            },
            {"role": "tool", "tool_call_id": "1", "content": [{"type": "text", "text": "r"}]},
        ],
        "tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}],
        "tool_choice": {"type": "function", "function": {"name": "f"}},
        "response_format": {
            "type": "json_schema",
            "json_schema": {
                "name": "n",
                "schema": {"type": "object", "properties": {"a": {"type": "string"}}},
            },
        },
        "stream": True,
        "stream_options": {"include_usage": True},
    },
    "anthropic-messages": {
        "model": "m",
        "max_tokens": 9,
        "system": [{"type": "text", "text": "s"}],
        "messages": [
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "t"},
                    {"type": "image", "source": {"type": "url", "url": "https://x.test/i.png"}},
                    {
                        "type": "document",
                        "source": {"type": "base64", "media_type": "application/pdf", "data": "AA=="},
                    },
                    {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "d"}},
                ],
            },
            {"role": "assistant", "content": [{"type": "tool_use", "id": "1", "name": "f", "input": {}}]},
            {
                "role": "user",
                "content": [
                    {"type": "tool_result", "tool_use_id": "1", "content": [{"type": "text", "text": "r"}]}
                ],
            },
        ],
        "tools": [{"name": "f", "input_schema": {"type": "object"}}],
        "tool_choice": {"type": "tool", "name": "f"},
        "thinking": {"type": "adaptive"},
        "output_config": {"effort": "low", "format": {"type": "json_schema", "schema": {"type": "object"}}},
    },
}
FREE: Final = ("schema", "input_schema", "parameters", "input")
"""Objects that are the caller's own, not the wire format's."""


def objects(value: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The paths of all objects of the wire format in a body."""
    if isinstance(value, dict):
        yield place
        for key, inner in value.items():
            if key not in FREE:
                yield from objects(inner, (*place, key))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from objects(inner, (*place, index))


def with_unknown(body: dict[str, Any], place: tuple[Any, ...]) -> dict[str, Any]:
    changed = json.loads(json.dumps(body))
    inner = changed
    for step in place:
        inner = inner[step]
    inner["x_unknown"] = "sentinel"
    return cast("dict[str, Any]", changed)


def decoded_or_refused(dialect: Dialect, body: dict[str, Any]) -> Request | ApiError:
    try:
        return decode(dialect, body)
    except ApiError as error:
        return error


@pytest.mark.parametrize("dialect", BOTH)
def test_c10_an_unknown_field_at_any_place_is_passed_on_or_named_and_never_lost(dialect):
    body = SAMPLES[dialect]
    places = list(objects(body))
    assert len(places) > 15
    refused = 0
    for place in places:
        request = decoded_or_refused(dialect, with_unknown(body, place))
        if isinstance(request, ApiError):
            assert (request.status, str(request.param)[-9:]) == (400, "x_unknown"), place
            refused += 1
            continue
        assert "sentinel" in json.dumps(encode(KINDS[dialect], request)), place
        named = ADAPTERS[KINDS[OTHER[dialect]]].cannot_carry(request)
        if place != ("stream_options",):  # left out, with its reason
            assert any(name.rpartition(".")[2] in (*place, "x_unknown") for name in named), (place, named)
    assert refused < 8


@pytest.mark.parametrize("dialect", BOTH)
def test_a_sample_of_everything_carries_over_and_is_valid(dialect):
    request = decode(dialect, SAMPLES[dialect])
    kind = KINDS[OTHER[dialect]]
    assert ADAPTERS[kind].cannot_carry(request) == ()
    sent = encode(kind, request)
    exhaust(VALID[kind].validate_python(sent))
