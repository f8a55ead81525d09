"""A provider on loopback with two models, a config over it, and the harness as a command would build it."""

import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import yaml
from tests.server.upstream import Reply, Seen, Upstream, answer

from interlock.config import load
from interlock.config.loading import Loaded
from interlock.evals.loading import load_suite
from interlock.evals.suite import Suite
from interlock.harness.asking import Asker
from interlock.harness.running import Harness, Purse
from interlock.store.sqlite import Store

PRICE = {"input": 1.0, "output": 10.0}
Say = Callable[[str, list[dict[str, Any]]], Any]
"""From the model's upstream name and its messages to what it says: a text, calls, or a whole Reply."""


def reply(say: Say) -> Callable[[Seen], Reply]:
    """A provider that answers what `say` says, and counts tokens by characters."""

    def respond(seen: Seen) -> Reply:
        said = say(seen.json["model"], seen.json["messages"])
        if isinstance(said, Reply):
            return said
        message: dict[str, Any] = {"role": "assistant", "content": said if isinstance(said, str) else None}
        if not isinstance(said, str):
            message["tool_calls"] = [
                {
                    "id": f"c{place}",
                    "type": "function",
                    "function": {"name": name, "arguments": json.dumps(given)},
                }
                for place, (name, given) in enumerate(said)
            ]
        usage = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
        choice = {
            "index": 0,
            "message": message,
            "finish_reason": "stop" if isinstance(said, str) else "tool_calls",
        }
        return answer(
            {
                "id": "x",
                "object": "chat.completion",
                "created": 1,
                "model": "up",
                "choices": [choice],
                "usage": usage,
            }
        )

    return respond


def write_config(folder: Path, url: str, **sections: Any) -> Path:
    entry = {"provider": "home", "context_tokens": 8000, "max_output_tokens": 500, "price": PRICE}
    config = {
        "providers": {
            "home": {"kind": "openai", "base_url": f"{url}/v1", "regions": ["eu"]},
            "other": {"kind": "openai", "base_url": f"{url}/v1", "regions": ["eu"], "vendor": "elsewhere"},
        },
        "models": {
            "old": {**entry, "upstream": "alpha-1", "version": "1", "capabilities": ["tools"]},
            "new": {**entry, "upstream": "beta-2", "version": "2", "capabilities": ["tools"]},
            "wise": {**entry, "provider": "other", "upstream": "gamma", "version": "1"},
        },
        "aliases": {"prod": "old"},
        "tools": {
            "find": {"effects": ["read"]},
            "pay": {"effects": ["write"]},
            "wipe": {"effects": ["critical"]},
        },
        **sections,
    }
    (folder / "interlock.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    return folder / "interlock.yaml"


def write_suite(
    folder: Path, cases: list[dict[str, Any]], graders: list[dict[str, Any]], **fields: Any
) -> Suite:
    suite = {"suite": "basics", "cases": cases, "graders": graders, **fields}
    (folder / "suite.yaml").write_text(yaml.safe_dump(suite, sort_keys=False))
    return load_suite(folder / "suite.yaml")


def asks(text: str, name: str = "", **fields: Any) -> dict[str, Any]:
    """A case that asks this."""
    return {"id": name or text, "messages": [{"role": "user", "content": text}], **fields}


class Place:
    """A config, its store and its provider. `harness` may be made again, as after a kill."""

    def __init__(self, loaded: Loaded, store: Store, upstream: Upstream) -> None:
        self.loaded = loaded
        self.store = store
        self.upstream = upstream

    @asynccontextmanager
    async def harness(self, budget_usd: float | None = None, **options: Any) -> AsyncIterator[Harness]:
        asker = Asker(self.loaded, self.store)
        try:
            yield Harness(asker, self.store, purse=Purse(budget_usd), **options)
        finally:
            await asker.close()


@asynccontextmanager
async def place(folder: Path, say: Say, **sections: Any) -> AsyncIterator[Place]:
    async with Upstream(reply(say)) as upstream:
        loaded = load(write_config(folder, upstream.url, **sections), {})
        store = Store.open(folder / "interlock.db", now=lambda: 0)
        store.seed_aliases(loaded.config.aliases, now=0, by="test")
        try:
            yield Place(loaded, store, upstream)
        finally:
            store.close()


def last(messages: Sequence[Mapping[str, Any]]) -> str:
    """What was said last."""
    return str(messages[-1]["content"])
