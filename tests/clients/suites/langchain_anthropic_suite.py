"""LangChain's `ChatAnthropic`: its standard tests through the gateway, and the errors that it raises."""

from typing import Any

import anthropic
import pytest
from langchain_anthropic import ChatAnthropic
from pydantic import BaseModel

from tests.clients.suites.given import BEHIND, BROKEN, CARD, CUT, KEY, SLOW_DOWN, URL
from tests.clients.suites.langchain_given import StandardTests

DETAILS = ["cache_read_input", "cache_creation_input"]
GIVEN: dict[str, Any] = {"base_url": URL, "api_key": KEY, "max_retries": 0}


def chat(model: str, **more: Any) -> ChatAnthropic:
    return ChatAnthropic(**{**GIVEN, "model": model, "max_tokens": 200, **more})


class TestMessagesBeforeAnthropic(StandardTests):
    @property
    def chat_model_class(self):
        return ChatAnthropic

    @property
    def chat_model_params(self):
        return {**GIVEN, "model": "claude"}

    @property
    def model_override_value(self):
        return "gpt"

    @property
    def supports_anthropic_inputs(self):
        return True

    @property
    def supports_pdf_inputs(self):
        return True

    @property
    def supports_image_tool_message(self):
        return True

    @property
    def supports_pdf_tool_message(self):
        return True

    @property
    def supported_usage_metadata_details(self):
        return {"invoke": DETAILS, "stream": DETAILS}


class TestMessagesBeforeOpenAI(StandardTests):
    @property
    def chat_model_class(self):
        return ChatAnthropic

    @property
    def chat_model_params(self):
        return {**GIVEN, "model": "gpt"}

    @property
    def model_override_value(self):
        return "claude"

    @property
    def supports_anthropic_inputs(self):
        return True

    @property
    def supports_pdf_inputs(self):
        return True

    @property
    def supported_usage_metadata_details(self):
        return {"invoke": ["cache_read_input"], "stream": ["cache_read_input"]}

    @pytest.mark.xfail(
        raises=anthropic.BadRequestError,
        strict=True,
        reason="OpenAI's chat takes no reasoning back: Interlock refuses `thinking`, by that name",
    )
    def test_anthropic_inputs(self, model):
        super().test_anthropic_inputs(model)


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
        (SLOW_DOWN, anthropic.RateLimitError),
        (BROKEN, anthropic.InternalServerError),
        (CARD, anthropic.PermissionDeniedError),
    ],
)
def test_errors_are_those_of_the_sdk_below(model, text, error):
    with pytest.raises(error):
        chat(model).invoke(text)


def test_errors_before_any_vendor_is_asked():
    with pytest.raises(anthropic.NotFoundError):
        chat("nobody").invoke("hi")
    with pytest.raises(anthropic.AuthenticationError):
        chat("gpt", api_key="wrong").invoke("hi")


@pytest.mark.parametrize("model", BEHIND)
def test_u8_a_stream_that_is_cut_raises(model):
    with pytest.raises(anthropic.APIError):
        list(chat(model).stream(CUT))
