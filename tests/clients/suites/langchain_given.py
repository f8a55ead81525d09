"""What both LangChain suites share: the standard tests with files at hand, and tests of our own."""

from collections.abc import Callable, Iterable
from functools import reduce
from operator import add
from typing import Any, Final

import pytest
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_tests.integration_tests import ChatModelIntegrationTests, chat_models
from pydantic import BaseModel

from tests.clients.suites.given import BEHIND, BROKEN, CARD, CITE, CUT, PICTURE, SLOW_DOWN

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

    @property
    def supports_anthropic_inputs(self) -> bool:
        return True

    @property
    def supports_pdf_inputs(self) -> bool:
        return True

    def said(self, text: str, *, stream: bool) -> AIMessage:
        """The answer to a prompt, streamed and added up, or whole."""
        model = self.chat_model_class(**{**self.standard_chat_model_params, **self.chat_model_params})
        return added_up(model.stream(text)) if stream else model.invoke(text)

    def invoke_with_cache_read_input(self, *, stream: bool = False) -> AIMessage:
        return self.said("[[cached]]", stream=stream)

    def invoke_with_cache_creation_input(self, *, stream: bool = False) -> AIMessage:
        return self.said("[[cached]]", stream=stream)

    def invoke_with_reasoning_output(self, *, stream: bool = False) -> AIMessage:
        return self.said("[[think]]", stream=stream)


class Person(BaseModel):
    name: str
    age: int


class Weather(BaseModel):
    """The weather of a city."""

    city: str


def added_up(pieces: Iterable[Any]) -> AIMessage:
    """A streamed answer."""
    whole = reduce(add, pieces)
    assert isinstance(whole, AIMessage)
    return whole


class OurTests:
    """The same for both: structured output, and errors typed as the SDK below types them."""

    sdk: Any
    chat: Callable[..., Any]
    thinking: dict[str, Any] = {}
    """How thinking is asked for, where the client goes by that."""

    @pytest.mark.parametrize("model", BEHIND)
    @pytest.mark.parametrize("method", ["json_schema", "function_calling"])
    def test_structured_output_by_either_way(self, model: str, method: str) -> None:
        structured = self.chat(model).with_structured_output(Person, method=method)
        assert structured.invoke("'Ada' is 36") == Person(name="Ada", age=36)

    @pytest.mark.parametrize("model", BEHIND)
    @pytest.mark.parametrize("streamed", [False, True])
    def test_a_conversation_goes_on_after_thoughts(self, model: str, streamed: bool) -> None:
        chat = self.chat(model, **self.thinking)
        said: list[Any] = [HumanMessage("[[think]]")]
        said += [added_up(chat.stream(said)) if streamed else chat.invoke(said), HumanMessage("and now")]
        assert chat.invoke(said).text == "You said: and now."

    @pytest.mark.parametrize("model", BEHIND)
    def test_a_tool_loop_goes_on_after_thoughts(self, model: str) -> None:
        chat = self.chat(model, **self.thinking).bind_tools([Weather])
        said: list[Any] = [HumanMessage("[[think]] 'Bern'")]
        said.append(chat.invoke(said))
        said.append(ToolMessage("rain", tool_call_id=said[-1].tool_calls[0]["id"]))
        assert chat.invoke(said).text == "The tool said rain."

    @pytest.mark.parametrize("model", BEHIND)
    @pytest.mark.parametrize(
        ("text", "error"),
        [
            (SLOW_DOWN, "RateLimitError"),
            (BROKEN, "InternalServerError"),
            (CARD, "PermissionDeniedError"),
        ],
    )
    def test_errors_are_those_of_the_sdk_below(self, model: str, text: str, error: str) -> None:
        with pytest.raises(getattr(self.sdk, error)):
            self.chat(model).invoke(text)

    @pytest.mark.parametrize("model", BEHIND)
    def test_an_answer_that_cites_is_read_and_the_conversation_goes_on(self, model: str) -> None:
        chat = self.chat(model)
        first = chat.invoke(CITE)
        assert first.text == "".join(piece.text for piece in chat.stream(CITE)) == f"You said: {CITE}."
        assert chat.invoke([("user", CITE), first, ("user", "and now")]).text == "You said: and now."

    def test_errors_before_any_vendor_is_asked(self) -> None:
        with pytest.raises(self.sdk.NotFoundError):
            self.chat("nobody").invoke("hi")
        with pytest.raises(self.sdk.AuthenticationError):
            self.chat("gpt", api_key="wrong").invoke("hi")

    @pytest.mark.parametrize("model", BEHIND)
    def test_u8_a_stream_that_is_cut_raises(self, model: str) -> None:
        with pytest.raises(self.sdk.APIError):
            list(self.chat(model).stream(CUT))
