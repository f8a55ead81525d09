"""LangChain's `ChatOpenAI`: its standard tests through the gateway, and the errors that it raises."""

from typing import Any

import openai
import pytest
from langchain_openai import ChatOpenAI
from pydantic import BaseModel

from tests.clients.suites.given import BEHIND, BROKEN, CARD, CUT, KEY, OPENAI, SLOW_DOWN
from tests.clients.suites.langchain_given import StandardTests


def chat(model: str, **more: Any) -> ChatOpenAI:
    return ChatOpenAI(**{**GIVEN, "model": model, **more})


GIVEN: dict[str, Any] = {"base_url": OPENAI, "api_key": KEY, "max_retries": 0, "stream_usage": True}


class OpenAITests(StandardTests):
    name = "gpt"
    api: dict[str, Any] = {}

    @property
    def chat_model_class(self):
        return ChatOpenAI

    @property
    def chat_model_params(self):
        return {**GIVEN, "model": self.name, **self.api}

    @property
    def model_override_value(self):
        return "claude" if self.name == "gpt" else "gpt"

    @property
    def supports_json_mode(self):
        return self.name != "claude"

    @property
    def supports_anthropic_inputs(self):
        return True

    @property
    def supports_pdf_inputs(self):
        return True

    @property
    def supported_usage_metadata_details(self):
        details = ["cache_read_input"] if self.name == "claude" else ["cache_read_input", "reasoning_output"]
        return {"invoke": details, "stream": details}


class TestChatBeforeOpenAI(OpenAITests):
    pass


class TestChatBeforeAnthropic(OpenAITests):
    name = "claude"

    @pytest.mark.xfail(
        raises=openai.BadRequestError,
        strict=True,
        reason="Anthropic has no `name` of who speaks: Interlock refuses it, by that name",
    )
    def test_message_with_name(self, model):
        super().test_message_with_name(model)


class TestResponsesBeforeOpenAI(OpenAITests):
    name = "answers"
    api = {"use_responses_api": True}


class TestResponsesBeforeAnthropic(OpenAITests):
    name = "claude"
    api = {"use_responses_api": True}


class Person(BaseModel):
    name: str
    age: int


@pytest.mark.parametrize("model", BEHIND)
@pytest.mark.parametrize("method", ["json_schema", "function_calling"])
def test_structured_output_by_either_way(model, method):
    structured = chat(model).with_structured_output(Person, method=method)
    assert structured.invoke("'Ada' is 36") == Person(name="Ada", age=36)


@pytest.mark.parametrize("model", BEHIND)
@pytest.mark.parametrize(
    ("text", "error"),
    [
        (SLOW_DOWN, openai.RateLimitError),
        (BROKEN, openai.InternalServerError),
        (CARD, openai.PermissionDeniedError),
    ],
)
def test_errors_are_those_of_the_sdk_below(model, text, error):
    with pytest.raises(error):
        chat(model).invoke(text)


def test_errors_before_any_vendor_is_asked():
    with pytest.raises(openai.NotFoundError):
        chat("nobody").invoke("hi")
    with pytest.raises(openai.AuthenticationError):
        chat("gpt", api_key="wrong").invoke("hi")


@pytest.mark.parametrize("model", BEHIND)
def test_u8_a_stream_that_is_cut_raises(model):
    with pytest.raises(openai.APIError):
        list(chat(model).stream(CUT))
