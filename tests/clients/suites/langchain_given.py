"""What the suites of both LangChain packages share: the standard tests, with files at hand."""

from typing import Any, Final

import pytest
from langchain_core.messages import AIMessage
from langchain_tests.integration_tests import ChatModelIntegrationTests, chat_models

from tests.clients.suites.given import PICTURE

PAPER: Final = b"%PDF-1.4\n1 0 obj<</Type/Catalog>>endobj\ntrailer<</Root 1 0 R>>\n%%EOF\n"


class StandardTests(ChatModelIntegrationTests):
    """LangChain's own tests of a chat model."""

    @pytest.fixture(autouse=True)
    def _files_are_at_hand(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The tests fetch a picture and a paper from the web; here they get small ones."""

        class File:
            def __init__(self, url: str, **_: Any) -> None:
                self.content = PAPER if url.endswith(".pdf") else PICTURE

        monkeypatch.setattr(chat_models.httpx, "get", File)

    @property
    def supports_image_inputs(self) -> bool:
        return True

    @property
    def supports_image_urls(self) -> bool:
        return True

    def said(self, text: str, *, stream: bool) -> AIMessage:
        """The answer to a prompt, streamed and added up, or whole."""
        model = self.chat_model_class(**{**self.standard_chat_model_params, **self.chat_model_params})
        if not stream:
            return model.invoke(text)
        whole: Any = None
        for piece in model.stream(text):
            whole = piece if whole is None else whole + piece
        assert isinstance(whole, AIMessage)
        return whole

    def invoke_with_cache_read_input(self, *, stream: bool = False) -> AIMessage:
        return self.said("[[cached]]", stream=stream)

    def invoke_with_cache_creation_input(self, *, stream: bool = False) -> AIMessage:
        return self.said("[[cached]]", stream=stream)

    def invoke_with_reasoning_output(self, *, stream: bool = False) -> AIMessage:
        return self.said("[[think]]", stream=stream)
