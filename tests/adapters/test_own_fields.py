"""What a server says in fields of its own reaches callers of its dialect, streamed as well as whole."""

import json
from typing import Any, Final

import pytest

from interlock.adapters import openai
from interlock.adapters.openai.chunks import NOTHING, read_chunk
from interlock.dialects import DIALECTS
from interlock.types.answer import Answer, BlockDelta, BlockStarted, Event, Failure, Finished
from tests.adapters.carried import TARGETS
from tests.adapters.every import streams, wholes
from tests.adapters.recorded import ask, payloads, write
from tests.adapters.test_recorded_answers import chat_of


def chunk(delta: dict[str, Any], choice: dict[str, Any] | None = None, **top: Any) -> dict[str, Any]:
    return {"id": "c", "model": "m", "choices": [{"index": 0, "delta": delta, **(choice or {})}], **top}


def _stream(*made: dict[str, Any]) -> bytes:
    return b"".join(b"data: %b\n\n" % json.dumps(one).encode() for one in made) + b"data: [DONE]\n\n"


def feed(*made: dict[str, Any]) -> list[Event]:
    decoder = openai.StreamDecoder()
    return decoder.feed(_stream(*made)) + decoder.end()


def shown(*made: dict[str, Any], **asked: Any) -> list[dict[str, Any]]:
    events = feed(*made)
    assert isinstance(events[-1], Finished), events[-1]
    return payloads(write("openai-chat", events, **asked))


END: Final = chunk({}, {"finish_reason": "stop"})
ROUTED: Final = (
    chunk({"role": "assistant", "content": ""}, provider="Groq", x_groq={"id": "r"}),
    chunk({"content": "so", "marked": 1}, {"native_finish_reason": None, "token_ids": [7]}, provider="Groq"),
    chunk({"content": " it"}, provider="Groq"),
    chunk(
        {},
        {"finish_reason": "stop", "native_finish_reason": "STOP"},
        provider="Groq",
        timings={"a": 1},
        x_groq={"id": "r", "usage": {}},
    ),
)


@pytest.mark.parametrize("counted", [False, True])
def test_fields_of_a_chunk_are_told_with_the_last_one_and_those_of_words_with_the_words(counted):
    told = shown(*ROUTED, include_usage=counted)
    words = [one for one in told if one["choices"] and one["choices"][0]["delta"].get("content")]
    assert [one["choices"][0]["delta"]["content"] for one in words] == ["so", " it"]
    assert words[0]["choices"][0]["delta"]["marked"] == 1
    assert words[0]["choices"][0]["token_ids"] == [7]
    (last,) = (one for one in told if one["choices"] and one["choices"][0]["finish_reason"])
    assert last["choices"][0]["native_finish_reason"] == "STOP"
    assert (last["provider"], last["timings"], last["x_groq"]) == ("Groq", {"a": 1}, {"id": "r", "usage": {}})
    assert [one for one in told if not one["choices"]] == (told[-1:] if counted else [])


def test_what_google_s_compatible_server_wants_back_with_a_call_reaches_its_caller_and_goes_back():
    kept = {"google": {"thought_signature": "sig"}}
    call = {
        "id": "c1",
        "type": "function",
        "function": {"name": "f", "arguments": "{}"},
        "extra_content": kept,
    }
    message = {"role": "assistant", "content": None, "tool_calls": [call]}
    body = {"id": "c", "choices": [{"index": 0, "message": message, "finish_reason": "tool_calls"}]}
    answer = openai.decode_answer(json.dumps(body).encode())
    assert isinstance(answer, Answer)
    whole = json.loads(DIALECTS["openai-chat"].encode_answer(answer, ask("openai-chat"), "m"))
    told = shown(chunk({"tool_calls": [{"index": 0, **call}]}), chunk({}, {"finish_reason": "tool_calls"}))
    streamed = [one["choices"][0]["delta"].get("tool_calls", [{}])[0] for one in told]
    assert [one["extra_content"] for one in streamed if "extra_content" in one] == [kept]
    again = whole["choices"][0]["message"]
    assert again["tool_calls"] == [call]
    asked = {"model": "m", "messages": [{"role": "user", "content": "hi"}, again]}
    request = DIALECTS["openai-chat"].decode_request(json.dumps(asked).encode(), {})
    sent = json.loads(openai.encode_request(request, TARGETS["openai"]).body)
    assert sent["messages"][1]["tool_calls"] == [call]


def test_a_stream_has_no_chunk_without_a_choice_that_its_caller_did_not_ask_for():
    assert all(one["choices"] for one in shown(*ROUTED))


def test_what_is_said_without_words_opens_no_block_and_comes_with_the_end():
    call = {"index": 0, "id": "a", "function": {"name": "f", "arguments": "{}"}}
    made = (
        chunk({"role": "assistant", "marked": 1}, {"filtered": True}),
        chunk({"tool_calls": [call]}),
        chunk({}, {"finish_reason": "tool_calls"}),
    )
    assert [event.kind for event in feed(*made) if isinstance(event, BlockStarted)] == ["tool_call"]
    last = shown(*made)[-1]["choices"][0]
    assert (last["delta"], last["filtered"]) == ({"marked": 1}, True)


class Counting(openai.StreamDecoder):
    """Counts the chunks that it reads field by field."""

    whole = 0

    def _read_whole(self, data: bytes, out: list[Event]) -> None:
        self.whole += 1
        super()._read_whole(data, out)


def test_the_same_fields_in_every_chunk_cost_the_words_nothing():
    """Chunks that say again what is known of the whole differ in their words alone, and are read as such."""
    made = [chunk({"content": f"w{at}"}, provider="Groq", x=[1]) for at in range(40)]
    decoder = Counting()
    deltas = [event for event in decoder.feed(_stream(*made, END)) if isinstance(event, BlockDelta)]
    assert [event.text for event in deltas] == [f"w{at}" for at in range(40)]
    assert all(event.extra is None for event in deltas)
    assert decoder.whole <= 3


def test_a_field_that_changes_is_the_last_that_was_said():
    told = [chunk({"content": "a"}, at=at) for at in (1, 1, 2, 2, 1)]
    assert shown(*told, END)[-1]["at"] == 1
    assert shown(*told[:-1], END)[-1]["at"] == 2


def test_padding_is_not_passed_on():
    told = shown(chunk({"content": "a"}, obfuscation="xyz", p="ab"), END)
    assert not any({"obfuscation", "p"} & one.keys() for one in told)


@pytest.mark.parametrize(
    "made",
    [
        chunk({"content": "a"}, tool_calls=[{}]),
        chunk({"content": "a"}, {"tool_calls": [{}]}),
        chunk({"content": "a", "toolCalls": [{}]}),
        chunk({"content": "a", "function_call": {"name": "f"}}),
        chunk({"content": "a", "custom_tool_calls": [{}]}),
    ],
)
def test_a2_calls_that_nobody_has_judged_do_not_pass_as_a_field_of_the_server_s_own(made):
    failed = feed(made, END)[-1]
    assert isinstance(failed, Failure)
    assert "calls in" in failed.detail


def test_words_that_are_said_once_more_beside_a_delta_are_not_passed_on():
    """Whoever screens a stream screens its deltas."""
    told = shown(chunk({"content": "a", "token_id": 7}, {"text": "a"}), END)
    (words,) = (one["choices"][0] for one in told if one["choices"][0]["delta"].get("content"))
    assert (words["delta"], "text" in words) == ({"content": "a", "token_id": 7}, False)


def test_a2_a_message_beside_the_deltas_does_not_pass_with_calls_in_it():
    call = {"id": "x", "type": "function", "function": {"name": "rm", "arguments": "{}"}}
    told = shown(chunk({"content": "a"}, {"message": {"content": "a", "tool_calls": [call]}}), END)
    assert "rm" not in json.dumps(told)


@pytest.mark.parametrize("body", [b"[]", b'{"choices":7}', b'{"choices":[7]}', b'{"choices":[{"delta":7}]}'])
def test_u11_a_chunk_in_an_impossible_shape_is_a_failure(body):
    decoder = openai.StreamDecoder()
    assert isinstance(decoder.feed(b"data: " + body + b"\n\n")[-1], Failure)
    spoilt = body.replace(b"{", b'{"own":1,', 1)
    decoder = openai.StreamDecoder()
    assert isinstance(decoder.feed(b"data: " + spoilt + b"\n\n")[-1], Failure)


def test_every_field_of_a_recorded_answer_is_in_its_stream_too():
    """What recorded whole answers say in fields of their own, said in a stream, reaches its caller."""
    seen = 0
    for one in wholes("openai"):
        body = json.loads(one.data)
        (choice,) = body.pop("choices")
        own = {name: value for name, value in body.items() if value is not None}
        said = choice.pop("message")
        content = said.get("content")
        if type(content) is not str or not content or said.get("tool_calls"):
            continue
        beside = {name: value for name, value in choice.items() if name != "finish_reason"}
        made = [
            {**own, "choices": [{**beside, "delta": {"role": "assistant", "content": content}}]},
            {**own, "choices": [{"index": 0, "delta": {}, "finish_reason": choice["finish_reason"]}]},
        ]
        told = shown(*made)
        known = {"id", "object", "created", "model", "usage"}
        for name in own.keys() - known:
            assert any(chunk_.get(name) == own[name] for chunk_ in told), (one.name, name)
        seen += len(own.keys() - known)
    assert seen > 20


def test_recorded_chunks_are_nearly_all_read_as_usual_ones():
    for one in streams("openai"):
        listed = [line[6:] for line in one.data.split(b"\n") if line.startswith(b"data: {")]
        usual = [read_chunk(line)[1] is NOTHING for line in listed]
        assert all(usual), one.name
        chat_of(write("openai-chat", feed(*map(json.loads, listed))))
