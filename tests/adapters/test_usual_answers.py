"""Most completions have no fields but the dialect's own, and are read in one go: as any other would be."""

import itertools
import json
from collections.abc import Iterable
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from interlock.adapters.openai import decode_answer
from interlock.adapters.openai.answer import decode_unusual
from interlock.dialects import DIALECTS
from interlock.types.answer import Answer, Failure
from tests.adapters.every import wholes
from tests.adapters.recorded import ask

USUAL: dict[str, Any] = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1790000000,
    "model": "m",
    "choices": [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "fine", "refusal": None, "annotations": []},
            "logprobs": None,
            "finish_reason": "stop",
        }
    ],
    "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5},
    "service_tier": "default",
    "system_fingerprint": "fp_1",
}
CALL = {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{}"}}

PLACES = ["top", "choice", "message", "usage"]
FIELDS = [
    *("annotations", "content", "created", "error", "finish_reason", "function_call", "id", "index"),
    *("logprobs", "model", "object", "prompt_tokens", "prompt_tokens_details", "reasoning", "refusal"),
    *("role", "search_calls", "service_tier", "system_fingerprint", "tool_calls", "usage", "x_vendor"),
]

ODD = [None, False, 0, 1, 1.0, 2**70, "", "stop", '"service_tier"', [], ["x"], {}, {"a": None}]

odd = st.sampled_from(ODD)
counts = st.dictionaries(
    st.sampled_from(
        ["prompt_tokens", "completion_tokens", "total_tokens", "reasoning_tokens", "cached_tokens"]
    ),
    odd,
)
usages = st.one_of(
    odd,
    counts,
    st.builds(
        lambda top, read, written: {
            **top,
            "prompt_tokens_details": read,
            "completion_tokens_details": written,
        },
        counts,
        counts | odd,
        counts | odd,
    ),
)
own = {"x_vendor": odd, "tool_call": odd, "search_calls": odd}


def some(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """An object that has any of these fields, in any order."""
    chosen = st.fixed_dictionaries({}, optional=fields)
    return chosen.flatmap(lambda found: st.permutations(list(found.items())).map(dict))


messages = some(
    role=st.just("assistant") | odd,
    content=st.text(max_size=5) | odd | st.just([{"type": "text", "text": "t"}, {"type": "image"}]),
    refusal=odd,
    reasoning=odd,
    reasoning_content=odd,
    annotations=odd,
    tool_calls=odd | st.just([CALL]),
    function_call=odd,
    **own,
)
choices = some(index=odd, message=messages, finish_reason=st.just("stop") | odd, logprobs=odd, **own)
completions = some(
    id=odd,
    object=odd,
    created=odd,
    model=odd,
    choices=odd | st.lists(choices, max_size=2),
    usage=usages,
    system_fingerprint=odd,
    service_tier=odd,
    error=odd,
    **own,
)


def shown(found: Answer | Failure) -> Any:
    """What is known of an answer, and the very bytes that a caller of the same dialect is sent."""
    if isinstance(found, Failure):
        return found
    return found, DIALECTS["openai-chat"].encode_answer(found, ask("openai-chat"), "m")


def is_read_alike(body: bytes) -> None:
    assert shown(decode_answer(body)) == shown(decode_unusual(body))


def changed(changes: Iterable[tuple[str, str, Any]]) -> dict[str, Any]:
    """The usual answer with some fields set, at a place of it."""
    whole: dict[str, Any] = json.loads(json.dumps(USUAL))
    places = {
        "top": whole,
        "choice": whole["choices"][0],
        "message": whole["choices"][0]["message"],
        "usage": whole["usage"],
    }
    for place, field, value in changes:
        places[place][field] = value
    return whole


def test_a_usual_answer_is_what_it_is_read_as_in_full():
    is_read_alike(json.dumps(USUAL).encode())
    found = decode_answer(json.dumps(USUAL).encode())
    assert isinstance(found, Answer)
    assert found.extra == {
        "openai-chat": {
            "top": {"service_tier": "default", "system_fingerprint": "fp_1"},
            "message": {"annotations": []},
        }
    }


def test_a_field_anywhere_makes_no_difference_to_how_an_answer_is_read():
    for change in itertools.product(PLACES, FIELDS, ODD):
        is_read_alike(json.dumps(changed([change])).encode())


@given(st.lists(st.tuples(st.sampled_from(PLACES), st.sampled_from(FIELDS), odd), min_size=2, max_size=4))
def test_several_fields_anywhere_make_none_either(changes):
    is_read_alike(json.dumps(changed(changes)).encode())


@given(completions)
@example({**USUAL, "system_fingerprint": '"service_tier"'})
@example({name: USUAL[name] for name in sorted(USUAL, reverse=True)})
def test_every_answer_is_read_as_it_would_be_in_full(body):
    is_read_alike(json.dumps(body).encode())


@given(st.data())
def test_an_answer_cut_anywhere_or_with_a_byte_changed_is_read_as_it_would_be_in_full(data):
    body = bytearray(json.dumps(USUAL).encode())
    at = data.draw(st.integers(0, len(body) - 1))
    is_read_alike(bytes(body[:at]))
    body[at] = data.draw(st.integers(0, 255))
    is_read_alike(bytes(body))


def test_of_a_field_that_comes_twice_the_last_counts():
    text = json.dumps(USUAL)
    for twice in (
        text.replace('"content":', '"content": "not this", "content":'),
        text.replace('"content":', '"content": 5, "content":'),
        text.replace('"service_tier":', '"service_tier": "old", "x": 1, "service_tier":'),
        text.replace('"system_fingerprint"', '"service_tier": "scale", "system_fingerprint"'),
    ):
        assert twice != text
        is_read_alike(twice.encode())


def test_every_recorded_answer_is_read_as_it_would_be_in_full():
    for one in wholes("openai"):
        is_read_alike(one.data)
