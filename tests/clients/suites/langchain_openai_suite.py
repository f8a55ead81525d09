"""LangChain's `ChatOpenAI`: its standard tests through the gateway, and the errors that it raises."""

from typing import Any

import openai
from langchain_openai import ChatOpenAI

from tests.clients.suites.given import KEY, OPENAI
from tests.clients.suites.langchain_given import OurTests, StandardTests


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
    def supported_usage_metadata_details(self):
        details = ["cache_read_input"] if self.name == "claude" else ["cache_read_input", "reasoning_output"]
        return {"invoke": details, "stream": details}


class TestChatBeforeOpenAI(OpenAITests):
    pass


class TestChatBeforeAnthropic(OpenAITests):
    name = "claude"


class TestResponsesBeforeOpenAI(OpenAITests):
    name = "answers"
    api = {"use_responses_api": True}


class TestResponsesBeforeAnthropic(OpenAITests):
    name = "claude"
    api = {"use_responses_api": True}


class TestOfOurs(OurTests):
    sdk = openai
    chat = staticmethod(chat)
