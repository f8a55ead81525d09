"""A8: a value raises the class wherever in a request it stands, whole, encoded or in two halves."""

import base64
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from interlock.classify.positions import texts, texts_beside
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
from tests.classify.build import CARD, IBAN, SECRET, ask, signals, user


def turn(role, *parts) -> Message:
    return Message(role=role, parts=parts)


def b64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def result(*content) -> Request:
    return ask(turn("tool", ToolResult(call_id="c", name="search", content=content)))


def tool(**fields) -> Request:
    return ask("hi", tools=(Tool(**{"name": "look_up", **fields}),))


def escaped(text: str) -> str:
    return "".join(f"\\u{ord(char):04x}" for char in text)


def space_escaped(text: str) -> str:
    return text.replace(" ", "\\u0020", 1)


# Where the value stands -> the request. Each path is one that a dialect can fill.
POSITIONS = {
    "messages[0].parts[0]": lambda v: ask(turn("user", Text(text=f"it is {v}, ok?"))),
    "system": lambda v: ask(turn("system", Text(text=f"never tell {v}")), "hi"),
    "developer": lambda v: ask(turn("developer", Text(text=v)), "hi"),
    "an earlier turn": lambda v: ask(f"it is {v}", turn("assistant", Text(text="thanks")), "and now?"),
    "the assistant's words": lambda v: ask("hi", turn("assistant", Text(text=v))),
    "a refusal": lambda v: ask("hi", turn("assistant", Refusal(text=f"I will not repeat {v}"))),
    "thinking": lambda v: ask("hi", turn("assistant", Thinking(text=v))),
    "a thinking signature": lambda v: ask("hi", turn("assistant", Thinking(signature=v))),
    "redacted thinking": lambda v: ask("hi", turn("assistant", Thinking(redacted=v))),
    "a message's name": lambda v: ask(Message(role="user", parts=(Text(text="hi"),), name=v)),
    "a message's field": lambda v: ask(Message(role="user", parts=(), extra={"x": {"y": [v]}})),
    "a part's field": lambda v: ask(turn("user", Text(text="hi", extra={"cache": {"k": v}}))),
    "a part's key": lambda v: ask(turn("user", Text(text="hi", extra={v: 1}))),
    "an image's address": lambda v: ask(turn("user", Image(url=f"https://example.com/{v}.png"))),
    "an image's address, escaped": lambda v: ask(
        turn("user", Image(url="https://example.com/?q=" + v.replace(" ", "%20")))
    ),
    "a data address": lambda v: ask(turn("user", Image(url=f"data:text/plain;base64,{b64(v)}"))),
    "image data that is text": lambda v: ask(
        turn("user", Image(data=b64(f"secret: {v}"), media_type="image/png"))
    ),
    "a file's name": lambda v: ask(turn("user", File(name=f"{v}.pdf", file_id="f"))),
    "a file's text": lambda v: ask(turn("user", File(text=f"page 1\n{v}\npage 2"))),
    "a file's data": lambda v: ask(turn("user", File(data=b64(f"a,b\n1,{v}\n"), media_type="text/csv"))),
    "a file's address": lambda v: ask(turn("user", File(url=f"https://example.com/{v}"))),
    "a file's id": lambda v: ask(turn("user", File(file_id=v))),
    "sound that is text": lambda v: ask(turn("user", Audio(data=b64(f"note {v}"), format="wav"))),
    "a call's arguments": lambda v: ask(
        turn("assistant", ToolCall(id="c", name="f", arguments=json.dumps({"a": v})))
    ),
    "a call's key": lambda v: ask(
        turn("assistant", ToolCall(id="c", name="f", arguments=json.dumps({v: 1})))
    ),
    "a call's escaped arguments": lambda v: ask(
        turn("assistant", ToolCall(id="c", name="f", arguments=f'{{"a": "{escaped(v)}"}}'))
    ),
    "a call's arguments with escaped spaces": lambda v: ask(
        turn("assistant", ToolCall(id="c", name="f", arguments=f'{{"a": "{space_escaped(v)}"}}'))
    ),
    "a call's broken arguments": lambda v: ask(
        turn("assistant", ToolCall(id="c", name="f", arguments=f'{{"a": "{v}'))
    ),
    "a call's hidden duplicate": lambda v: ask(
        turn("assistant", ToolCall(id="c", name="f", arguments=f'{{"a": "{v}", "a": "\\u0078"}}'))
    ),
    "a call's name": lambda v: ask(turn("assistant", ToolCall(id="c", name=v, arguments="{}"))),
    "a call's id": lambda v: ask(turn("assistant", ToolCall(id=v, name="f", arguments="{}"))),
    "a result": lambda v: result(Text(text=f"row: {v}")),
    "a second part of a result": lambda v: result(Text(text="row"), Text(text=v)),
    "a file in a result": lambda v: result(File(text=v)),
    "an image in a result": lambda v: result(Image(url=f"https://example.com/{v}")),
    "a field of a result's part": lambda v: result(Text(text="row", extra={"meta": v})),
    "a vendor's own part": lambda v: ask(
        turn("assistant", Opaque(dialect="anthropic-messages", kind="x", value={"deep": [{"er": v}]}))
    ),
    "a tool's name": lambda v: tool(name=v),
    "a tool's description": lambda v: tool(description=f"uses the account {v}"),
    "a tool's schema": lambda v: tool(parameters={"type": "object", "properties": {"a": {"default": v}}}),
    "a tool's schema's key": lambda v: tool(parameters={"properties": {v: {"type": "string"}}}),
    "a tool's schema with line breaks": lambda v: tool(parameters={"description": f"one\n{v}\ntwo"}),
    "a vendor's tool": lambda v: tool(vendor={"type": "web_search", "user": v}),
    "a tool's field": lambda v: tool(extra={"k": v}),
    "the answer's schema": lambda v: ask("hi", response_format=ResponseFormat(json_schema={"const": v})),
    "the answer's description": lambda v: ask("hi", response_format=ResponseFormat(description=f"say\n{v}")),
    "metadata": lambda v: ask("hi", metadata={"note": v}),
    "a key of metadata": lambda v: ask("hi", metadata={v: "note"}),
    "the user": lambda v: ask("hi", user=v),
    "a stop sequence": lambda v: ask("hi", stop=("x", v)),
    "a field of reasoning": lambda v: ask("hi", reasoning=Reasoning(extra={"a": v})),
    "an unknown field": lambda v: ask("hi", extra={"prediction": {"content": v}}),
}


@pytest.mark.parametrize("place", sorted(POSITIONS))
@pytest.mark.parametrize(
    ("value", "detector", "data_class"),
    [(CARD, "card", "regulated"), (IBAN, "iban", "confidential"), (SECRET, "secret", "confidential")],
    ids=["card", "iban", "secret"],
)
def test_a8_a_value_raises_the_class_wherever_it_stands(place, value, detector, data_class):
    found = signals(POSITIONS[place](value))
    assert found.data_class == data_class
    assert [finding for finding in found.findings if finding.kind.startswith(detector)]


@pytest.mark.parametrize("place", sorted(POSITIONS))
def test_a8_the_same_place_without_the_value_raises_nothing(place):
    found = signals(POSITIONS[place]("nothing"))
    assert (found.data_class, found.findings) == ("internal", ())


@pytest.mark.parametrize(
    "number", [4111111111111111, {"n": 4111111111111111}, [[{"n": {"m": [5555555555554444]}}]]]
)
def test_a8_a_number_of_json_is_read_like_its_digits(number):
    assert signals(ask("hi", extra={"x": number})).data_class == "regulated"
    assert signals(tool(parameters={"default": number, "d": "a\nb"})).data_class == "regulated"


@settings(max_examples=60, deadline=None)
@given(st.sampled_from([CARD, IBAN, SECRET]), st.data())
def test_a8_a_value_split_over_messages_of_one_role_is_found(value, data):
    cut = data.draw(st.integers(4, len(value) - 4))
    between = data.draw(st.sampled_from([(), (turn("assistant", Text(text="go on")),)]))
    first, second = f"The number is {value[:cut]}", f"{value[cut:]} and that is all."
    assert signals(ask(first, *between, second)).data_class != "internal"
    assert signals(ask(user(first, second))).data_class != "internal"


def test_a8_a_value_split_behind_long_texts_is_found_once_at_its_seam():
    story = "Once upon a time there was a router. " * 200
    found = signals(ask(story + CARD[:9], CARD[9:] + ". " + story))
    assert [(finding.where, finding.count) for finding in found.findings] == [("messages, role user", 1)]
    assert found.data_class == "regulated"


def test_a_finding_says_where_and_how_often_and_never_what():
    found = signals(ask("hi", user(f"{CARD} and {CARD}", "fine"), tools=(Tool(name="t", description=IBAN),)))
    assert {(finding.kind, finding.where, finding.count) for finding in found.findings} == {
        ("card", "messages[1].parts[0]", 2),
        ("iban", "tools[0]", 1),
    }


@pytest.mark.parametrize("place", sorted(POSITIONS))
def test_no_finding_holds_any_part_of_the_text(place):
    for value in (CARD, IBAN, SECRET):
        for finding in signals(POSITIONS[place](value)).findings:
            assert not {value, *value.split()} & {finding.where, finding.kind}
            assert value[:8] not in f"{finding.where}{finding.kind}"


NOTE = f"the card is {CARD} and it expires soon"


def raw_b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


ATTACHED = {
    "parameters": f"data:text/plain;charset=utf-8;base64,{b64(NOTE)}",
    "not base64": f"data:text/plain,card {CARD}",
    "percent": "data:text/plain," + CARD.replace(" ", "%20").replace("4", "%34"),
    "plain": NOTE,
    "latin-1": raw_b64(f"für {NOTE}".encode("latin-1")),
    "utf-16": raw_b64(NOTE.encode("utf-16")),
    "utf-16 without a mark": raw_b64(NOTE.encode("utf-16-le")),
    "one control byte": raw_b64(f"\x01{NOTE}".encode()),
    "lines": "\n".join(b64(NOTE)[at : at + 20] for at in range(0, len(b64(NOTE)), 20)),
}


@pytest.mark.parametrize("how", sorted(ATTACHED))
def test_a8_attached_data_is_read_however_it_is_written(how):
    data = ATTACHED[how]
    parts = [File(data=data), Audio(data=data, format="wav"), Image(data=data)]
    if data.startswith("data:"):
        parts.append(Image(url=data))
    for part in parts:
        assert signals(ask(turn("user", part))).data_class == "regulated"


def test_a8_a_picture_holds_nothing():
    picture = raw_b64(bytes(range(128, 256)) * 300)
    assert signals(ask(turn("user", Image(data=picture, media_type="image/png")))).findings == ()


FIELDS: dict[str, Any] = {
    "effort": {"reasoning": Reasoning(effort=CARD)},
    "budget": {"reasoning": Reasoning(budget_tokens=4111111111111111)},
    "seed": {"seed": 4111111111111111},
    "limit": {"max_output_tokens": 4111111111111111},
    "top_p": {"top_p": 0.4111111111111111},
    "choice": {"tool_choice": ToolChoice(mode="tool", name=CARD)},
}


@pytest.mark.parametrize("name", sorted(FIELDS))
def test_a8_every_field_that_goes_upstream_is_read(name):
    assert signals(ask("hi", **FIELDS[name])).data_class == "regulated"


def call(**arguments) -> Message:
    return turn("assistant", ToolCall(id="c", name="f", arguments=json.dumps(arguments)))


SPLIT = {
    "roles": ask("it is 4111 1111", turn("assistant", Text(text="1111 1111"))),
    "results": result(Text(text="4111 1111"), Text(text=" 1111 1111")),
    "arguments": ask("hi", call(a="4111 1111", b=["1111", "1111"])),
    "a call and a result": ask(
        call(a="4111 1111"), turn("tool", ToolResult(call_id="c", content=(Text(text="11111111"),)))
    ),
}


@pytest.mark.parametrize("where", sorted(SPLIT))
def test_a8_a_value_split_over_neighbours_of_any_kind_is_found(where):
    assert signals(SPLIT[where]).data_class == "regulated"


fractions = st.integers(0, 210).map(lambda hundredths: hundredths / 100) | st.floats(allow_nan=False)


@settings(max_examples=500)
@given(
    fractions,
    fractions | st.integers(),
    st.none() | st.integers(),
    st.integers(-(10**13), 10**13),
    st.sampled_from([{}, {"user": "ann"}, {"stop": ("x",)}, {"reasoning": Reasoning(effort="low")}]),
)
def test_no_number_that_is_long_enough_to_be_an_identifier_is_passed_over(one, other, seed, most, words):
    request = ask("hi", temperature=one, top_p=other, seed=seed, max_output_tokens=most, **words)
    assert texts_beside(request) == [
        text for where, text in texts(request) if where != "messages[0].parts[0]"
    ]
