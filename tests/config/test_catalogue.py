"""The bundled facts: found by the names people use, never invented, never free by mistake."""

import json
from importlib import resources

import pytest

from interlock.config.catalogue import UNKNOWN, bundled, look_up
from interlock.config.init import CHOICES
from interlock.config.vendors import vendor_at

CATALOGUE = bundled()
FILE = resources.files("interlock.config").joinpath("catalogue.json")


def test_the_file_is_small_and_says_where_its_facts_are_from():
    data = FILE.read_bytes()
    assert len(data) < 300_000
    head = json.loads(data)
    assert head["version"] == CATALOGUE.version
    assert any("genai-prices" in source for source in head["sources"].values())
    assert CATALOGUE.version[:10].count("-") == 2


def test_current_models_of_every_large_vendor_are_in_it():
    for vendor, model in (
        ("openai", "gpt-5.5"),
        ("anthropic", "claude-sonnet-4-6"),
        ("google", "gemini-2.5-pro"),
        ("mistral", "mistral-large-latest"),
        ("groq", "openai/gpt-oss-120b"),
        ("deepseek", "deepseek-chat"),
        ("xai", "grok-4.5"),
        ("cohere", "command-a-03-2025"),
        ("together", "openai/gpt-oss-120b"),
        ("fireworks", "accounts/fireworks/models/gpt-oss-120b"),
    ):
        facts = look_up(CATALOGUE, vendor, model)
        assert facts.price is not None, model
        assert facts.context_tokens is not None, model


@pytest.mark.parametrize(
    ("vendor", "model"),
    [("openai", "text-embedding-3-small"), ("azure", "text-embedding-3-large"), ("cohere", "embed-v4.0")],
)
def test_embedding_models_are_in_it_and_can_do_nothing_else(vendor, model):
    facts = look_up(CATALOGUE, vendor, model)
    assert facts.capabilities == ("embeddings",)
    assert facts.price is not None
    assert facts.price.output == 0
    assert facts.context_tokens is not None


def test_no_entry_is_free_or_points_to_nothing_and_output_fits_the_window():
    for vendor, models in CATALOGUE.models.items():
        for name, entry in models.items():
            if isinstance(entry, str):
                assert not isinstance(models[entry], str), (vendor, name)
                continue
            assert entry.price is None or entry.price.input + entry.price.output > 0, (vendor, name)
            assert entry.context is None or entry.max_output is None or entry.max_output < entry.context


def test_a_dated_name_has_its_own_version_and_an_undated_one_only_where_it_is_certain():
    assert look_up(CATALOGUE, "openai", "gpt-4o-2024-11-20").version == "2024-11-20"
    assert look_up(CATALOGUE, "openai", "gpt-4o").version is None
    assert look_up(CATALOGUE, "openai", "gpt-5.4").version == "2026-03-05"
    assert look_up(CATALOGUE, "anthropic", "claude-sonnet-4-5-20250929").version == "2025-09-29"


def test_a_date_that_the_catalogue_does_not_know_has_its_family_s_facts():
    family = look_up(CATALOGUE, "openai", "gpt-5.5")
    later = look_up(CATALOGUE, "openai", "gpt-5.5-2099-01-31")
    assert (later.price, later.context_tokens) == (family.price, family.context_tokens)
    assert later.version == "2099-01-31"


@pytest.mark.parametrize("name", ["models/gemini-2.5-pro", "GEMINI-2.5-PRO", "google/gemini-2.5-pro"])
def test_other_spellings_of_a_name_are_understood(name):
    assert look_up(CATALOGUE, "google", name) == look_up(CATALOGUE, "google", "gemini-2.5-pro")


@pytest.mark.parametrize("name", ["", "gpt", "gpt-5.5-turbo-ultra", "llama3.2:3b", "../gpt-5.5x"])
def test_a_name_that_is_not_in_it_is_unknown_and_not_guessed(name):
    assert look_up(CATALOGUE, "openai", name) == UNKNOWN


def test_a_model_without_a_known_vendor_is_unknown():
    assert look_up(CATALOGUE, None, "gpt-5.5") == UNKNOWN
    assert look_up(CATALOGUE, "nobody", "gpt-5.5") == UNKNOWN


@pytest.mark.parametrize(
    ("vendor", "kind", "base_url", "found"),
    [
        ("openai", "openai", "http://127.0.0.1:9", "openai"),
        ("prod", "openai", "https://eu.api.openai.com/v1", "openai"),
        ("prod", "openai", "https://api.groq.com/openai/v1", "groq"),
        ("x-ai", "openai", "https://proxy.example", "xai"),
        ("claude", "anthropic", "https://proxy.example", "anthropic"),
        ("claude", "anthropic", "http://127.0.0.1:8080", None),
        ("onprem", "openai", "http://10.0.0.5:8000/v1", None),
        ("prod", "openai", "https://api.openai.com.evil.example/v1", None),
        ("prod", "bedrock", "https://bedrock-runtime.eu-west-1.amazonaws.com", "bedrock"),
    ],
)
def test_the_vendor_is_known_by_name_then_by_host_then_by_a_format_of_its_own(vendor, kind, base_url, found):
    known = vendor_at(vendor=vendor, kind=kind, base_url=base_url)
    assert (known.name if known is not None else None) == found


@pytest.mark.parametrize("choice", CHOICES, ids=[choice.vendor for choice in CHOICES])
def test_the_models_that_init_writes_down_are_priced(choice):
    for model in choice.models:
        facts = look_up(CATALOGUE, choice.vendor, model)
        assert facts.price is not None, model
        assert facts.context_tokens is not None, model
        assert "tools" in (facts.capabilities or ()), model
