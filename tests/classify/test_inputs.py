"""Inputs of an embedding model: counted one by one, and looked into even where they come as ids."""

import msgspec
from splintr import Tokenizer

from interlock.config.checked import Model
from interlock.types.request import Message, Request, Text, Tokens
from tests.classify.build import CARD, CONFIG, signals

_ids = Tokenizer.from_pretrained("cl100k_base").encode_ordinary


def embed(*inputs, model="embedder"):
    parts = [Text(text=one) if isinstance(one, str) else Tokens(ids=tuple(one)) for one in inputs]
    return Request(
        dialect="openai-chat",
        operation="embed",
        model=model,
        messages=tuple(Message(role="user", parts=(part,)) for part in parts),
    )


def config(upstream="text-embedding-3-small"):
    models = {**CONFIG.models, "embedder": Model(name="embedder", provider="openai", upstream=upstream)}
    return msgspec.structs.replace(CONFIG, models=models)


def test_tokens_are_those_of_the_texts_alone_and_the_longest_is_known():
    found = signals(embed("hello world", "hello"), config=config())
    assert (found.input_tokens, found.longest_input, found.input_tokens_estimated) == (3, 2, False)
    assert found.needs == ("embeddings",)


def test_ids_are_counted_as_they_are():
    found = signals(embed(_ids("hello world")), config=config())
    assert (found.input_tokens, found.input_tokens_estimated) == (2, False)


def test_a_card_in_ids_is_found_where_it_stands():
    found = signals(embed("nothing", _ids(f"pay with {CARD}")), config=config())
    assert found.data_class == "regulated"
    assert [(finding.kind, finding.where) for finding in found.findings] == [("card", "messages[1].parts[0]")]


def test_a_card_in_ids_is_found_for_a_model_whose_tokenizer_nobody_knows():
    found = signals(embed(_ids(f"pay with {CARD}")), config=config("nomic-embed-text"))
    assert found.data_class == "regulated"
    assert found.input_tokens_estimated


def test_ids_that_stand_for_nothing_are_no_fault_of_ours():
    assert signals(embed([4_000_000_000]), config=config()).input_tokens == 1
