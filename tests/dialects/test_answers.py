"""Answers to callers of OpenAI chat: one of plain words is written on a short way, to the same bytes."""

from itertools import permutations

import msgspec
import pytest
from hypothesis import given as for_all
from hypothesis import strategies as st

from interlock.dialects.openai_chat import answer as chat
from interlock.dialects.vendor import vendor_fields
from interlock.types.answer import Answer, Usage
from interlock.types.request import Refusal, Request, Text

ASKED = Request(dialect="openai-chat", model="m", messages=())
COUNTS = st.none() | st.integers(0, 10**9)
VALUES = st.none() | st.text(max_size=5) | st.integers(-9, 9) | st.just({"a": [1]})
TOP = st.lists(
    st.tuples(st.sampled_from(["service_tier", "system_fingerprint", "x_groq", "usage"]), VALUES), max_size=3
).map(dict)
EXTRA = st.none() | st.fixed_dictionaries(
    {},
    optional={
        "openai-chat": st.fixed_dictionaries(
            {}, optional={"top": TOP, "choice": TOP, "message": TOP, "usage": st.just({"queue_time": 1})}
        ),
        "anthropic-messages": TOP,
    },
)


PLAIN = st.fixed_dictionaries({"openai-chat": st.fixed_dictionaries({"top": TOP})})


@for_all(
    st.builds(
        Answer,
        id=st.text(st.characters(codec="utf-8"), max_size=9),
        upstream_model=st.just("up"),
        parts=st.just((Text(text="so"),))
        | st.lists(st.builds(Text, text=st.text(st.characters(codec="utf-8"))), max_size=2).map(tuple)
        | st.just((Refusal(text="no"),)),
        finish=st.sampled_from([*chat.FINISH]),
        usage=st.builds(
            Usage, input_tokens=COUNTS, output_tokens=COUNTS, cached_tokens=COUNTS, reasoning_tokens=COUNTS
        )
        | st.builds(Usage, input_tokens=COUNTS, output_tokens=COUNTS),
        created=st.none() | st.integers(0, 2**40),
        extra=EXTRA | PLAIN,
    )
)
def test_an_answer_of_plain_words_has_the_bytes_that_any_answer_would(answer):
    fields = vendor_fields(answer.extra, "openai-chat")
    assert chat.encode_answer(answer, ASKED, "pool") == chat._of_anything(answer, fields, "pool")


@pytest.mark.parametrize("top", [(), *permutations(["service_tier", "system_fingerprint"]), ("x_groq",)])
@pytest.mark.parametrize("usage", [Usage(), Usage(input_tokens=2, output_tokens=3), Usage(cached_tokens=0)])
def test_the_vendors_fields_stand_in_the_order_in_which_they_came(top, usage):
    answer = Answer(
        id="a",
        upstream_model="up",
        parts=(Text(text="so"),),
        finish="stop",
        usage=usage,
        extra={"openai-chat": {"top": dict.fromkeys(top, "v")}},
    )
    got = chat.encode_answer(answer, ASKED, "pool")
    assert got == chat._of_anything(answer, {"top": dict.fromkeys(top, "v")}, "pool")
    assert [name for name in msgspec.json.decode(got) if name in top] == list(top)
