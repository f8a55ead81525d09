"""Instructor in both dialects: typed answers, streamed, in lists, and mended where they do not hold."""

from collections.abc import Iterable
from typing import Annotated, Any

import anthropic
import instructor
import openai
import pytest
from instructor import Mode
from instructor.exceptions import InstructorRetryException
from pydantic import AfterValidator, BaseModel

from tests.clients.suites.given import BEHIND, BROKEN, CARD, CUT, KEY, OPENAI, SLOW_DOWN, URL


def chat(mode: Mode, key: str = KEY) -> Any:
    return instructor.from_openai(openai.OpenAI(base_url=OPENAI, api_key=key, max_retries=0), mode=mode)


def messages(mode: Mode, key: str = KEY) -> Any:
    return instructor.from_anthropic(anthropic.Anthropic(base_url=URL, api_key=key, max_retries=0), mode=mode)


MODES = [
    (chat, Mode.TOOLS),
    (chat, Mode.JSON_SCHEMA),
    (messages, Mode.ANTHROPIC_TOOLS),
    (chat, Mode.RESPONSES_TOOLS),
]
CALLING = [row for row in MODES if row[1] != Mode.JSON_SCHEMA]
"""Each dialect once."""
DIALECTS = ["chat", "messages", "responses"]
SDKS = {chat: openai, messages: anthropic}


def in_capitals(name: str) -> str:
    if name != name.upper():
        raise ValueError(f"write it like this: '{name.upper()}'")
    return name


class Person(BaseModel):
    name: str
    age: int


class Shouted(BaseModel):
    name: Annotated[str, AfterValidator(in_capitals)]


@pytest.fixture(params=MODES, ids=lambda row: f"{row[0].__name__}-{row[1].value}")
def client(request: pytest.FixtureRequest) -> Any:
    connect, mode = request.param
    return connect(mode)


@pytest.fixture(params=BEHIND)
def model(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def ask(text: str, model: str, **more: Any) -> dict[str, Any]:
    return {
        "model": model,
        "max_tokens": 300,
        "messages": [{"role": "user", "content": text}],
        "max_retries": 0,
        **more,
    }


def test_a_typed_answer(client, model):
    person, whole = client.chat.completions.create_with_completion(
        response_model=Person, **ask("'Ada' is 36", model)
    )
    assert person.model_dump() == {"name": "Ada", "age": 36}
    assert whole.model == model


def test_a_typed_answer_grows_as_it_is_streamed(client, model):
    grown = list(client.chat.completions.create_partial(response_model=Person, **ask("'Ada' is 36", model)))
    assert len(grown) > 1
    assert (grown[-1].name, grown[-1].age) == ("Ada", 36)


def test_a_list_of_typed_answers(client, model):
    people = client.chat.completions.create(
        response_model=Iterable[Person], **ask("'Ada' and 'Bob' are 36 and 40", model)
    )
    assert list(people) == [Person(name="Ada", age=36), Person(name="Bob", age=40)]


def test_an_answer_that_does_not_hold_is_asked_for_again(client, model):
    shouted = client.chat.completions.create(
        response_model=Shouted, **ask("call 'ada'", model, max_retries=2)
    )
    assert shouted.name == "ADA"


@pytest.mark.parametrize(
    ("text", "error"),
    [(SLOW_DOWN, "RateLimitError"), (BROKEN, "InternalServerError"), (CARD, "PermissionDeniedError")],
)
@pytest.mark.parametrize(("connect", "mode"), CALLING, ids=DIALECTS)
def test_an_error_keeps_the_sdks_type_as_its_cause(connect, mode, model, text, error):
    with pytest.raises(InstructorRetryException) as caught:
        connect(mode).chat.completions.create(response_model=Person, **ask(text, model))
    assert isinstance(first_cause(caught.value), getattr(SDKS[connect], error))


@pytest.mark.parametrize(("connect", "mode"), CALLING, ids=DIALECTS)
def test_errors_before_any_vendor_is_asked_keep_their_types_too(connect, mode):
    for key, model, error in ((KEY, "nobody", "NotFoundError"), ("wrong", "gpt", "AuthenticationError")):
        with pytest.raises(InstructorRetryException) as caught:
            connect(mode, key).chat.completions.create(response_model=Person, **ask("hi", model))
        assert isinstance(first_cause(caught.value), getattr(SDKS[connect], error))


@pytest.mark.parametrize(("connect", "mode"), MODES)
def test_u8_a_stream_that_is_cut_raises(connect, mode, model):
    """A call of a tool is cut before anything of it is shown, a text in the middle."""
    asked = ask(f"'Ada' is 36. {CUT}", model)
    with pytest.raises((SDKS[connect].APIError, InstructorRetryException)) as caught:
        list(connect(mode).chat.completions.create_partial(response_model=Person, **asked))
    assert isinstance(first_cause(caught.value), SDKS[connect].APIError)


def first_cause(error: BaseException) -> BaseException:
    while error.__cause__ is not None:
        error = error.__cause__
    return error
