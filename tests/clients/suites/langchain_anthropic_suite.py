"""LangChain's `ChatAnthropic`: its standard tests through the gateway, and the errors that it raises."""

from typing import Any

import anthropic
from langchain_anthropic import ChatAnthropic

from tests.clients.suites.given import KEY, URL
from tests.clients.suites.langchain_given import OurTests, StandardTests

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
    def supported_usage_metadata_details(self):
        return {"invoke": ["cache_read_input"], "stream": ["cache_read_input"]}


class TestOfOurs(OurTests):
    sdk = anthropic
    thinking = {"thinking": {"type": "adaptive"}}
    chat = staticmethod(chat)
