"""A message that is one text is written in one step: byte for byte as the way for all others writes it."""

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from interlock.adapters import Target
from interlock.adapters.openai import cannot_carry, encode_request
from interlock.adapters.openai.request import encode_body
from interlock.errors import ApiError
from interlock.types.quirks import Quirks
from interlock.types.request import (
    AnyPart,
    Extra,
    Image,
    Message,
    MessageRole,
    Refusal,
    Request,
    Text,
    Thinking,
    ToolCall,
)
from tests.adapters.recorded import TARGETS, ask
from tests.adapters.test_recorded_requests import decode, requests
from tests.dialects.bodies import BOTH

TARGET = TARGETS["openai"]

extras: st.SearchStrategy[Extra | None] = st.sampled_from([None, {}, {"x_own": 1}, {"content": "other"}])
texts = st.builds(Text, text=st.text(max_size=8), extra=extras, trust=st.sampled_from([None, "untrusted"]))
images = st.builds(Image, url=st.just("https://x.test/i.png"))
said = st.one_of(
    texts,
    st.builds(Refusal, text=st.text(max_size=3)),
    st.builds(Thinking, text=st.text(max_size=3)),
    st.builds(ToolCall, id=st.just("c"), name=st.just("f"), arguments=st.just("{}")),
)


def turns(roles: list[MessageRole], parts: st.SearchStrategy[AnyPart]) -> st.SearchStrategy[Message]:
    return st.builds(
        Message,
        role=st.sampled_from(roles),
        parts=st.lists(parts, max_size=2).map(tuple),
        name=st.sampled_from([None, "ada"]),
        extra=extras,
    )


messages = turns(["system", "developer", "user"], texts | images) | turns(["assistant"], said)
quirks = st.builds(Quirks, developer=st.booleans(), reasoning=st.sampled_from([None, "reasoning", "parts"]))


def is_written_alike(request: Request, target: Target = TARGET) -> None:
    """A message with a place for uninterpreted fields is not taken for a plain one, though it has none."""
    odd = [replace(one, extra={}) if one.extra is None else one for one in request.messages]
    in_full = encode_body(replace(request, messages=tuple(odd)), target, "openai")
    assert encode_body(request, target, "openai") == in_full


@given(st.lists(messages, min_size=1, max_size=3).map(tuple), quirks)
def test_a_plain_message_is_written_as_any_other_would_be(conversation, quirks):
    is_written_alike(replace(ask("openai-chat"), messages=conversation), replace(TARGET, quirks=quirks))


@given(st.lists(st.text(max_size=8), min_size=1, max_size=3))
def test_one_of_another_dialect_is_too(words):
    said = tuple(Message(role="user", parts=(Text(text=text),)) for text in words)
    is_written_alike(replace(ask("anthropic-messages"), messages=said))


def test_every_recorded_request_is_written_as_it_would_be_in_full():
    for dialect in BOTH:
        for _, body in requests(dialect):
            try:
                request = decode(dialect, body)
            except ApiError:
                continue  # it asks for several answers, for instance
            if not cannot_carry(request):
                is_written_alike(request)


def test_a_plain_request_is_these_very_bytes():
    said = (
        Message(role="developer", parts=(Text(text="Be brief."),)),
        Message(role="user", parts=(Text(text="Grüße"),)),
        Message(role="assistant", parts=(Text(text=""),)),
    )
    request = replace(ask("openai-chat", temperature=0.5, stream=True), messages=said)
    found = encode_request(request, TARGET)
    model = TARGET.upstream_model.encode()
    assert found.body == (
        b'{"model":"' + model + b'","messages":[{"role":"developer","content":"Be brief."},'
        b'{"role":"user","content":"Gr\xc3\xbc\xc3\x9fe"},{"role":"assistant","content":""}],'
        b'"temperature":0.5,"stream":true,"stream_options":{"include_usage":true}}'
    )
