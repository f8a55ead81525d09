"""Embeddings, by each Python client that asks for some: texts in, vectors out, in the order of the texts."""

from typing import Any

import litellm
import openai
import pytest
from langchain_openai import OpenAIEmbeddings
from langchain_tests.integration_tests import EmbeddingsIntegrationTests
from openai import AsyncOpenAI
from pydantic_ai import Embedder
from pydantic_ai.embeddings.openai import OpenAIEmbeddingModel
from pydantic_ai.exceptions import ModelHTTPError
from pydantic_ai.providers.openai import OpenAIProvider

from tests.clients.suites.given import KEY, OPENAI, SLOW_DOWN

GIVEN: dict[str, Any] = {"base_url": OPENAI, "api_key": KEY, "max_retries": 0}
TEXTS = ["one", "two words", "three of them"]


def reference(texts: list[str]) -> list[list[float]]:
    """What the vendor's own SDK gets, asked for plain numbers."""
    client = openai.OpenAI(**GIVEN)
    answer = client.embeddings.create(model="embed", input=texts, encoding_format="float")
    assert [row.index for row in answer.data] == list(range(len(texts)))
    assert answer.model == "embed"
    return [row.embedding for row in answer.data]


def test_the_vendors_sdk_gets_the_same_numbers_in_base64():
    client = openai.OpenAI(**GIVEN)
    answer = client.embeddings.create(model="embed", input=TEXTS)
    assert [row.embedding for row in answer.data] == reference(TEXTS)
    assert answer.usage.prompt_tokens == 6
    short = client.embeddings.create(model="embed", input="one", dimensions=3)
    assert len(short.data[0].embedding) == 3


def test_litellm():
    given = {"model": "openai/embed", "api_base": OPENAI, "api_key": KEY}
    answer = litellm.embedding(input=TEXTS, **given)
    assert [row["embedding"] for row in answer.data] == reference(TEXTS)
    with pytest.raises(litellm.RateLimitError):
        litellm.embedding(input=[SLOW_DOWN], max_retries=0, num_retries=0, **given)


async def test_pydantic_ai():
    client = AsyncOpenAI(**GIVEN)
    embedder = Embedder(OpenAIEmbeddingModel("embed", provider=OpenAIProvider(openai_client=client)))
    answer = await embedder.embed_documents(TEXTS)
    assert [list(row) for row in answer.embeddings] == reference(TEXTS)
    with pytest.raises(ModelHTTPError) as caught:
        await embedder.embed_query(SLOW_DOWN)
    assert caught.value.status_code == 429


class TestLangChain(EmbeddingsIntegrationTests):
    @property
    def embeddings_class(self):
        return OpenAIEmbeddings

    @property
    def embedding_model_params(self):
        # Else it fetches a tokenizer from the web, to send numbers of tokens instead of texts.
        return {**GIVEN, "model": "embed", "check_embedding_ctx_length": False}


def test_langchain_gets_the_same_numbers():
    model = OpenAIEmbeddings(**GIVEN, model="embed", check_embedding_ctx_length=False)
    assert model.embed_documents(TEXTS) == reference(TEXTS)
    with pytest.raises(openai.RateLimitError):
        model.embed_query(SLOW_DOWN)


def test_a_model_that_answers_embeds_nothing_and_the_other_way_round():
    client = openai.OpenAI(**GIVEN)
    with pytest.raises(openai.PermissionDeniedError):
        client.embeddings.create(model="gpt", input="hi")
    with pytest.raises(openai.PermissionDeniedError):
        client.chat.completions.create(model="embed", messages=[{"role": "user", "content": "hi"}])
