"""The turn after a model has shown thoughts: whoever sends the answer back as it came is not refused.

The vendor that thought gets its thought as it was; every other one gets the words or is spared them, and the
call says what is not in it.
"""

import json
from typing import Any, Final

import pytest

from interlock.adapters import ADAPTERS, HttpCall, Target
from interlock.config.vendors import VENDORS
from interlock.dialects import DIALECTS
from interlock.types.answer import Answer, Event
from interlock.types.labels import Dialect, Wire
from interlock.types.quirks import Quirks
from interlock.types.request import Text, Thinking
from tests.adapters.carried import TARGETS
from tests.adapters.every import DIALECTS_IN
from tests.adapters.recorded import ask
from tests.aws_frames import event as frame

SIGNATURE: Final = "c2ln"
USER: Final = {"role": "user", "content": "hi"}
USAGE: Final = {"input_tokens": 1, "output_tokens": 2}


def lines(*events: dict[str, Any]) -> bytes:
    return b"".join(f"data: {json.dumps(event)}\n\n".encode() for event in events)


def blocks(*found: dict[str, Any]) -> dict[str, Any]:
    stop = "tool_use" if found[-1]["type"] == "tool_use" else "end_turn"
    return {"id": "a", "model": "m", "content": [*found], "stop_reason": stop, "usage": USAGE}


def block_events(*found: dict[str, Any]) -> bytes:
    events: list[dict[str, Any]] = [
        {"type": "message_start", "message": {"id": "a", "model": "m", "usage": USAGE}}
    ]
    empty: dict[str, dict[str, Any]] = {
        "thinking": {"thinking": "", "signature": ""},
        "text": {"text": ""},
        "tool_use": {"input": {}},
        "redacted_thinking": {},
    }
    for at, block in enumerate(found):
        kind = block["type"]
        begun = {**block, **empty[kind]}
        events.append({"type": "content_block_start", "index": at, "content_block": begun})
        deltas: dict[str, list[dict[str, Any]]] = {
            "thinking": [
                *({"type": "thinking_delta", "thinking": word} for word in block.get("thinking", "")),
                {"type": "signature_delta", "signature": block.get("signature")},
            ],
            "text": [{"type": "text_delta", "text": block.get("text")}],
            "tool_use": [{"type": "input_json_delta", "partial_json": json.dumps(block.get("input"))}],
            "redacted_thinking": [],
        }
        events += [{"type": "content_block_delta", "index": at, "delta": delta} for delta in deltas[kind]]
        events.append({"type": "content_block_stop", "index": at})
    stop = "tool_use" if found[-1]["type"] == "tool_use" else "end_turn"
    events += [{"type": "message_delta", "delta": {"stop_reason": stop}, "usage": USAGE}]
    return lines(*events, {"type": "message_stop"})


def thinking(words: str, signature: str = SIGNATURE) -> dict[str, Any]:
    return {"type": "thinking", "thinking": words, "signature": signature}


REDACTED: Final = {"type": "redacted_thinking", "data": "b3BhcXVl"}
WORDS: Final = {"type": "text", "text": "so"}


def use(number: int) -> dict[str, Any]:
    return {"type": "tool_use", "id": f"c{number}", "name": "f", "input": {"q": number}}


TURNS: Final = {
    "words": [thinking("hm é"), WORDS],
    "words, nothing shown": [REDACTED, WORDS],
    "words, thoughts that are not shown": [thinking(""), WORDS],
    "several thoughts": [thinking("hm"), REDACTED, thinking("yes", "c2lnMg=="), WORDS],
    "a call": [thinking("hm"), use(1)],
    "words and a call": [thinking("hm"), WORDS, use(1)],
    "a thought behind the words": [thinking("hm"), WORDS, thinking("yes", "c2lnMg=="), use(1)],
    "a thought before each call": [thinking("hm"), use(1), thinking("yes", "c2lnMg=="), use(2)],
    "a thought at the end": [WORDS, thinking("hm")],
    "a thought behind a call": [use(1), thinking("hm")],
}
"""What Claude may say in one go."""


def in_converse(block: dict[str, Any]) -> dict[str, Any]:
    match block:
        case {"type": "thinking"}:
            told = {"text": block["thinking"], "signature": block["signature"]}
            return {"reasoningContent": {"reasoningText": told}}
        case {"type": "redacted_thinking"}:
            return {"reasoningContent": {"redactedContent": block["data"]}}
        case {"type": "text"}:
            return {"text": block["text"]}
    return {"toolUse": {"toolUseId": block["id"], "name": block["name"], "input": block["input"]}}


def converse(*found: dict[str, Any]) -> dict[str, Any]:
    stop = "tool_use" if found[-1]["type"] == "tool_use" else "end_turn"
    content = [in_converse(block) for block in found]
    return {"output": {"message": {"content": content}}, "stopReason": stop}


def converse_frames(*found: dict[str, Any]) -> bytes:
    out = b""
    for at, block in enumerate(map(in_converse, found)):
        index = {"contentBlockIndex": at}
        if "toolUse" in block:
            used = {name: block["toolUse"][name] for name in ("toolUseId", "name")}
            out += frame("contentBlockStart", **index, start={"toolUse": used})
            deltas: list[dict[str, Any]] = [{"toolUse": {"input": json.dumps(block["toolUse"]["input"])}}]
        elif "text" in block:
            deltas = [{"text": block["text"]}]
        else:
            told = block["reasoningContent"].get("reasoningText", block["reasoningContent"])
            deltas = [{"reasoningContent": {name: value}} for name, value in told.items()]
        for delta in deltas:
            out += frame("contentBlockDelta", **index, delta=delta)
        out += frame("contentBlockStop", **index)
    stop = "tool_use" if found[-1]["type"] == "tool_use" else "end_turn"
    return out + frame("messageStop", stopReason=stop) + frame("metadata", usage={})


# --- a caller, and the next turn --------------------------------------------------------------------


def answered(wire: Wire, body: dict[str, Any], dialect: Dialect) -> dict[str, Any]:
    """What a caller is shown of a whole answer."""
    answer = ADAPTERS[wire].decode_answer(json.dumps(body).encode())
    assert isinstance(answer, Answer), answer
    shown: dict[str, Any] = json.loads(DIALECTS[dialect].encode_answer(answer, ask(dialect), "m"))
    return shown


def streamed(wire: Wire, data: bytes, dialect: Dialect, size: int = 7) -> dict[str, Any]:
    """What a caller makes of a stream, as the SDK of the dialect puts it together."""
    decoder, encoder = ADAPTERS[wire].StreamDecoder(), DIALECTS[dialect].StreamEncoder(ask(dialect), "m")
    events: list[Event] = []
    out = b""
    for at in range(0, len(data), size):
        found = decoder.feed(data[at : at + size])
        events += found
        out += encoder.encode(found)
    out += encoder.encode(decoder.end())
    told = [json.loads(line[6:]) for line in out.decode().splitlines() if line.startswith("data: {")]
    return _TOGETHER[dialect](told)


def of_chunks(chunks: list[dict[str, Any]]) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": None}
    calls: dict[int, dict[str, Any]] = {}
    for delta in (chunk["choices"][0]["delta"] for chunk in chunks if chunk["choices"]):
        for name in ("content", "reasoning_content"):
            if delta.get(name):
                message[name] = (message.get(name) or "") + delta[name]
        if "extra_content" in delta:
            message["extra_content"] = delta["extra_content"]
        for piece in delta.get("tool_calls", ()):
            arguments = piece["function"]["arguments"]
            if piece["index"] not in calls:
                calls[piece["index"]] = {name: value for name, value in piece.items() if name != "index"}
            else:
                calls[piece["index"]]["function"]["arguments"] += arguments
    if calls:
        message["tool_calls"] = list(calls.values())
    return {"choices": [{"message": message}]}


def of_block_events(events: list[dict[str, Any]]) -> dict[str, Any]:
    content: list[dict[str, Any]] = []
    arguments: dict[int, str] = {}
    for event in events:
        if event["type"] == "content_block_start":
            content.append(event["content_block"])
        elif event["type"] == "content_block_delta":
            block, delta = content[event["index"]], event["delta"]
            if "partial_json" in delta:
                so_far = arguments.get(event["index"], "")
                arguments[event["index"]] = so_far + delta["partial_json"]
            for name in ("text", "thinking", "signature"):
                if name in delta:
                    block[name] = block.get(name, "") + delta[name]
    for index, text in arguments.items():
        content[index]["input"] = json.loads(text)
    return {"content": content}


def of_responses(events: list[dict[str, Any]]) -> dict[str, Any]:
    response: dict[str, Any] = events[-1]["response"]
    return response


_TOGETHER: Final = {
    "openai-chat": of_chunks,
    "anthropic-messages": of_block_events,
    "openai-responses": of_responses,
}


def said_again(dialect: Dialect, shown: dict[str, Any]) -> dict[str, Any]:
    """The next turn of a caller that sends back what it was shown, with results for all calls."""
    match dialect:
        case "openai-chat":
            message = shown["choices"][0]["message"]
            calls = message.get("tool_calls") or ()
            results = [{"role": "tool", "tool_call_id": call["id"], "content": "x"} for call in calls]
            return {"messages": [USER, message, *(results or [USER])]}
        case "openai-responses":
            calls = [item["call_id"] for item in shown["output"] if item["type"] == "function_call"]
            outputs = [{"type": "function_call_output", "call_id": call, "output": "x"} for call in calls]
            return {"input": [USER, *shown["output"], *(outputs or [USER])]}
    used = [block["id"] for block in shown["content"] if block["type"] == "tool_use"]
    found = [{"type": "tool_result", "tool_use_id": call, "content": "x"} for call in used]
    turn = {"role": "assistant", "content": shown["content"]}
    return {"messages": [USER, turn, {"role": "user", "content": found or "hi"}], "max_tokens": 9}


def sent(wire: Wire, dialect: Dialect, body: dict[str, Any], target: Target | None = None) -> HttpCall:
    request = DIALECTS[dialect].decode_request(json.dumps({"model": "m", **body}).encode(), {})
    assert ADAPTERS[wire].cannot_carry(request) == ()
    return ADAPTERS[wire].encode_request(request, target or TARGETS[wire])


def turn_in(call: HttpCall) -> Any:
    """What the model is told that it has said."""
    body = json.loads(call.body)
    if "input" in body:
        return [item for item in body["input"] if item.get("role") != "user" and "output" not in item]
    place = "contents" if "contents" in body else "messages"
    turn = body[place][1]
    return turn.get("parts") or turn["content"]


SHOWN: Final[dict[str, tuple[Any, Any, Any]]] = {
    "whole": (blocks, converse, answered),
    "streamed": (block_events, converse_frames, streamed),
}


@pytest.mark.parametrize("way", SHOWN)
@pytest.mark.parametrize("dialect", DIALECTS_IN)
@pytest.mark.parametrize("turn", TURNS)
def test_claude_gets_its_thoughts_back_as_they_were(turn, dialect, way):
    said, show = TURNS[turn], SHOWN[way][2]
    shown = show("anthropic", SHOWN[way][0](*said), dialect)
    call = sent("anthropic", dialect, said_again(dialect, shown))
    assert turn_in(call) == said
    assert call.left_out == ()


@pytest.mark.parametrize("way", SHOWN)
@pytest.mark.parametrize("dialect", DIALECTS_IN)
@pytest.mark.parametrize("turn", TURNS)
def test_claude_at_bedrock_gets_its_thoughts_back_as_they_were(turn, dialect, way):
    said, show = TURNS[turn], SHOWN[way][2]
    shown = show("bedrock", SHOWN[way][1](*said), dialect)
    call = sent("bedrock", dialect, said_again(dialect, shown))
    assert turn_in(call) == [in_converse(block) for block in said]
    assert call.left_out == ()


ENCRYPTED: Final = "gAAAAAB"
REASONED: Final = {
    "shown": [{"type": "summary_text", "text": "hm"}, {"type": "summary_text", "text": "yes"}],
    "not shown": [],
}
REPLY: Final = {
    "type": "message",
    "id": "msg_1",
    "role": "assistant",
    "status": "completed",
    "content": [{"type": "output_text", "text": "so", "annotations": []}],
}
CALLED: Final = {"type": "function_call", "id": "fc_1", "call_id": "c1", "name": "f", "arguments": "{}"}


def reasoning(summary: list[dict[str, Any]]) -> dict[str, Any]:
    return {"type": "reasoning", "id": "rs_1", "summary": summary, "encrypted_content": ENCRYPTED}


def response(*output: dict[str, Any]) -> dict[str, Any]:
    return {"id": "resp_1", "model": "m", "status": "completed", "output": [*output]}


def response_events(*output: dict[str, Any]) -> bytes:
    events: list[dict[str, Any]] = [{"type": "response.created", "response": {**response(), "status": "x"}}]
    for at, item in enumerate(output):
        where = {"output_index": at, "item_id": item["id"]}
        begun = {name: value for name, value in item.items() if name != "encrypted_content"}
        empty: dict[str, Any] = {name: [] for name in ("summary", "content") if name in item}
        events.append({"type": "response.output_item.added", **where, "item": {**begun, **empty}})
        for place, part in enumerate(item.get("summary", ())):
            told = {**where, "summary_index": place, "delta": part["text"]}
            events.append({"type": "response.reasoning_summary_text.delta", **told})
        events.append({"type": "response.output_item.done", "output_index": at, "item": item})
    return lines(*events, {"type": "response.completed", "response": response(*output)})


@pytest.mark.parametrize("way", ["whole", "streamed"])
@pytest.mark.parametrize("dialect", DIALECTS_IN)
@pytest.mark.parametrize("then", [REPLY, CALLED], ids=["words", "a call"])
@pytest.mark.parametrize("summary", REASONED)
def test_openai_responses_get_their_encrypted_thoughts_back(summary, then, dialect, way):
    output = [reasoning(REASONED[summary]), then]
    if way == "whole":
        shown = answered("openai-responses", response(*output), dialect)
    else:
        shown = streamed("openai-responses", response_events(*output), dialect)
    call = sent("openai-responses", dialect, said_again(dialect, shown))
    thought, _ = turn_in(call)
    if dialect == "openai-responses":
        assert thought == output[0]
    else:
        assert thought == {"type": "reasoning", "summary": [], "encrypted_content": ENCRYPTED}
    assert call.left_out == ()


VENDORS_SAY: Final[dict[str, tuple[Wire, dict[str, Any]]]] = {
    "claude": ("anthropic", blocks(thinking("hm"), REDACTED, WORDS)),
    "claude, with a call": ("anthropic", blocks(thinking("hm"), use(1))),
    "bedrock": ("bedrock", converse(thinking("hm"), REDACTED, WORDS)),
    "gemini": (
        "gemini",
        {
            "responseId": "a",
            "candidates": [
                {
                    "content": {
                        "parts": [
                            {"text": "hm", "thought": True},
                            {"text": "so", "thoughtSignature": SIGNATURE},
                        ]
                    },
                    "finishReason": "STOP",
                }
            ],
        },
    ),
    "responses": ("openai-responses", response(reasoning(REASONED["shown"]), REPLY)),
    "deepseek": (
        "openai",
        {
            "id": "a",
            "model": "m",
            "choices": [
                {"message": {"content": "so", "reasoning_content": "hm"}, "finish_reason": "stop"},
            ],
        },
    ),
}


@pytest.mark.parametrize("wire", ADAPTERS)
@pytest.mark.parametrize("dialect", DIALECTS_IN)
@pytest.mark.parametrize("vendor", VENDORS_SAY)
def test_whoever_thought_any_model_can_go_on_and_is_not_sent_what_another_has_signed(vendor, dialect, wire):
    first, body = VENDORS_SAY[vendor]
    shown = answered(first, body, dialect)
    call = sent(wire, dialect, said_again(dialect, shown))
    text = call.body.decode()
    assert "so" in text or '"f"' in text
    if {first, wire} <= {"anthropic", "bedrock"} or first == wire:
        return
    for state in (SIGNATURE, REDACTED["data"], ENCRYPTED):
        assert state not in text
    assert "google" not in text
    assert call.left_out or '"hm"' in text, "the words were carried, or the record says so"


def test_claude_signs_the_same_at_anthropic_and_at_bedrock():
    shown = answered("anthropic", blocks(thinking("hm"), use(1)), "openai-chat")
    call = sent("bedrock", "openai-chat", said_again("openai-chat", shown))
    assert turn_in(call)[0] == in_converse(thinking("hm"))
    other = Target(
        upstream_model="amazon.nova-pro-v1:0", base_url="https://x", api_key="k", max_output_tokens=None
    )
    nova = sent("bedrock", "openai-chat", said_again("openai-chat", shown), other)
    assert [list(block) for block in turn_in(nova)] == [["toolUse"]]
    assert nova.left_out == ("messages[].reasoning_content",)


def test_a_caller_that_keeps_the_words_alone_is_answered_and_the_record_says_what_was_left_out():
    shown = answered("anthropic", blocks(thinking("hm"), use(1)), "openai-chat")
    body = said_again("openai-chat", shown)
    del body["messages"][1]["tool_calls"][0]["extra_content"]
    for wire in ("anthropic", "bedrock", "openai-responses", "openai", "azure"):
        call = sent(wire, "openai-chat", body)
        assert "hm" not in call.body.decode()
        assert call.left_out == ("messages[].reasoning_content",)
    gemini = sent("gemini", "openai-chat", body)
    assert turn_in(gemini)[0] == {"text": "hm", "thought": True}
    assert gemini.left_out == ()


@pytest.mark.parametrize("way", SHOWN)
def test_a_thought_is_known_again_where_one_that_nobody_has_signed_follows_it(way):
    said = (thinking("hm"), use(1), thinking("then", ""), use(2))
    shown = SHOWN[way][2]("anthropic", SHOWN[way][0](*said), "openai-chat")
    call = sent("anthropic", "openai-chat", said_again("openai-chat", shown))
    assert turn_in(call) == [said[0], said[1], said[3]]


@pytest.mark.parametrize("words", [None, "", "h", "other words"])
def test_a_signature_without_the_words_that_it_signs_is_not_sent(words):
    shown = answered("anthropic", blocks(thinking("hm"), REDACTED, use(1)), "openai-chat")
    body = said_again("openai-chat", shown)
    body["messages"][1]["reasoning_content"] = words
    call = sent("anthropic", "openai-chat", body)
    assert [block["type"] for block in turn_in(call)] == ["redacted_thinking", "tool_use"]


@pytest.mark.parametrize(
    "kept",
    [
        "thoughts:",
        "thoughts:{}",
        "thoughts:[[1]]",
        'thoughts:[["x",1,2]]',
        'thoughts:[[0,"",[]]]',
        'thoughts:[[2,"",""],[-2,"",""],[2,"",""]]',
        'thoughts:[[2,"","x"]]',
        "",
        "x",
        7,
    ],
)
def test_what_is_no_state_of_ours_is_not_read_and_goes_to_nobody(kept):
    extra = {"google": {"thought_signature": kept}}
    message = {"role": "assistant", "content": "so", "reasoning_content": "hm", "extra_content": extra}
    body = {"messages": [USER, message, USER]}
    assert turn_in(sent("anthropic", "openai-chat", body)) == "so"
    assert sent("anthropic", "openai-chat", body).left_out[0] == "messages[].extra_content"
    if isinstance(kept, str) and kept.startswith("thoughts:"):
        assert "google" not in sent("openai", "openai-chat", body).body.decode()


def test_a_forged_count_of_words_does_not_have_them_sent_more_than_once():
    items = [*([[999, "", ""], [-999, "", ""]] * 50), [1000, "", ""]]
    extra = {"google": {"thought_signature": f"thoughts:{json.dumps(items)}"}}
    message = {"role": "assistant", "content": "so", "reasoning_content": "m" * 1000, "extra_content": extra}
    call = sent("gemini", "openai-chat", {"messages": [USER, message, USER]})
    assert call.body.decode().count("m" * 999) == 1


def test_chat_servers_are_sent_the_words_of_any_thought_where_they_have_a_field_for_them():
    shown = answered("anthropic", blocks(thinking("hm"), WORDS), "openai-chat")
    body = said_again("openai-chat", shown)
    deepseek = Target(
        upstream_model="m",
        base_url="https://x",
        api_key="k",
        max_output_tokens=None,
        quirks=VENDORS["deepseek"].quirks,
    )
    call = sent("openai", "openai-chat", body, deepseek)
    assert json.loads(call.body)["messages"][1] == {
        "role": "assistant",
        "content": "so",
        "reasoning_content": "hm",
    }
    assert call.left_out == ("messages[].extra_content",)


def test_servers_of_anthropics_wire_format_that_sign_nothing_are_sent_their_thoughts_again():
    body = {
        "max_tokens": 9,
        "messages": [USER, {"role": "assistant", "content": [thinking("hm", ""), WORDS]}, USER],
    }
    local = Target(
        upstream_model="m", base_url="http://127.0.0.1", api_key="k", max_output_tokens=None, quirks=Quirks()
    )
    assert turn_in(sent("anthropic", "anthropic-messages", body, local)) == [thinking("hm", ""), WORDS]
    vendor = sent("anthropic", "anthropic-messages", body)
    assert turn_in(vendor) == "so"
    assert vendor.left_out == ("messages[].content[].thinking",)


def test_a_turn_of_nothing_but_a_thought_that_is_left_out_is_none():
    alone = {"role": "assistant", "content": [thinking("hm", "")]}
    call = sent("anthropic", "anthropic-messages", {"max_tokens": 9, "messages": [USER, alone, USER]})
    assert [turn["role"] for turn in json.loads(call.body)["messages"]] == ["user"]


def test_what_is_said_between_words_and_seals_is_classified_like_any_other_text():
    shown = answered("anthropic", blocks(thinking("hm"), WORDS), "openai-chat")
    request = DIALECTS["openai-chat"].decode_request(
        json.dumps({"model": "m", **said_again("openai-chat", shown)}).encode(), {}
    )
    thought, words = request.messages[1].parts
    assert (thought, words) == (Thinking(text="hm", signature=SIGNATURE), Text(text="so"))
