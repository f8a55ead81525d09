"""The real application under the real server on loopback, for tests: a config in, a base URL out."""

import asyncio
import inspect
import json
import os
import socket
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import msgspec
import yaml

from interlock.config import load
from interlock.server.app import Application
from interlock.server.gateway import Gateway, make_gateway
from interlock.server.http1 import Listener
from interlock.server.log import Log
from interlock.server.records import to_record
from interlock.server.rehearsal import Rehearsal
from interlock.server.reload import Reloader
from interlock.server.watch import watch
from interlock.server.webhooks import tell
from interlock.server.worker import tick
from interlock.types.record import Record

DRAIN_S = 1.0
CANARY = "sk-canary-4f9a8b7c6d5e"


def pool(openai: str, anthropic: str = "http://127.0.0.1:9", **sections: Any) -> dict[str, Any]:
    """A config with two providers at these URLs: `gpt` and `small` speak OpenAI's, `claude` Anthropic's."""
    can = ["tools", "json_schema", "vision", "reasoning", "files"]
    entry = {"context_tokens": 100_000, "max_output_tokens": 4096, "capabilities": can}
    price = {"input": 2.0, "output": 10.0}
    return {
        "providers": {
            "alpha": {
                "kind": "openai",
                "base_url": f"{openai}/v1",
                "api_key": "${ALPHA_KEY}",
                "regions": ["eu"],
            },
            "beta": {"kind": "anthropic", "base_url": anthropic, "api_key": "${BETA_KEY}", "regions": ["us"]},
        },
        "models": {
            "gpt": {"provider": "alpha", "upstream": "up-1", "price": price, **entry},
            "small": {"provider": "alpha", "upstream": "up-s", "price": price, **entry},
            "claude": {"provider": "beta", "upstream": "up-2", "price": price, **entry},
        },
        "aliases": {"prod": "gpt"},
        "tools": {name: {"effects": ["write"]} for name in ("search", "deploy", "wire", "pay")},
        "default": {"model": "prod"},
        **sections,
    }


def keyed(*keys: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"tenant": "acme", **key} for key in keys]


@dataclass
class Running:
    """A server under test, kept warm as any other. `log` reads the lines that it has written so far."""

    url: str
    gateway: Gateway
    reloader: Reloader
    rehearsal: Rehearsal
    file: Path
    client: httpx2.AsyncClient
    log_file: Path
    stopping: asyncio.Event

    def stop(self) -> None:
        """What SIGTERM does."""
        self.gateway.draining = True
        self.stopping.set()

    @property
    def log(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.log_file.read_text().splitlines()]

    async def chat(
        self, text: str = "hi", *, headers: Mapping[str, str] = {}, **fields: Any
    ) -> httpx2.Response:
        body = {"model": "prod", "messages": [{"role": "user", "content": text}], **fields}
        return await self.client.post("/v1/chat/completions", json=body, headers=headers)

    async def message(
        self, text: str = "hi", *, headers: Mapping[str, str] = {}, **fields: Any
    ) -> httpx2.Response:
        body = {"model": "prod", "max_tokens": 50, "messages": [{"role": "user", "content": text}], **fields}
        return await self.client.post(
            "/v1/messages", json=body, headers={"anthropic-version": "2023-06-01", **headers}
        )

    def record(self, answer: httpx2.Response | str) -> Record:
        name = answer if isinstance(answer, str) else answer.headers["x-interlock-decision-id"]
        for _ in range(200):
            row = self.gateway.store.get_record(name)
            if row is not None:
                break
            time.sleep(0.005)  # the store's thread has it in hand
        assert row is not None, "nothing was recorded"
        return to_record(row)

    def write(self, config: dict[str, Any]) -> None:
        self.file.write_text(yaml.safe_dump(config, sort_keys=False))


@asynccontextmanager
async def serving(
    folder: Path, config: dict[str, Any], env: Mapping[str, str] = {}
) -> AsyncIterator[Running]:
    """Run the server in this loop on a free port until the block ends."""
    file = folder / "interlock.yaml"
    file.write_text(yaml.safe_dump(config, sort_keys=False))
    full = {"ALPHA_KEY": f"{CANARY}-alpha", "BETA_KEY": f"{CANARY}-beta", **env}
    loaded = load(file, full)
    log_file = folder / "log.jsonl"
    descriptor = os.open(log_file, os.O_CREAT | os.O_APPEND | os.O_WRONLY)
    gateway = make_gateway(loaded, Log(descriptor))
    reloader = Reloader(gateway, loaded, full, "127.0.0.1")
    server, rehearsal = Listener(Application(gateway)), Rehearsal(gateway)
    stopping = asyncio.Event()
    listener = socket.create_server(("127.0.0.1", 0))
    listener.setblocking(False)
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    await server.start(listener)

    async def ending() -> None:
        await stopping.wait()
        await server.stop(DRAIN_S)

    running = asyncio.create_task(ending())
    beside = [asyncio.create_task(work) for work in (tick(reloader), watch(gateway), tell(gateway))]
    try:
        async with httpx2.AsyncClient(base_url=url, timeout=10, trust_env=False) as client:
            yield Running(url, gateway, reloader, rehearsal, file, client, log_file, stopping)
    finally:
        stopping.set()
        await running
        rehearsal.close()
        for task in beside:
            task.cancel()
        await asyncio.gather(*beside, return_exceptions=True)
        await gateway.close()
        os.close(descriptor)


async def until(condition: Callable[[], object], within: float = 20) -> None:
    """Wait for something that another task or process brings about."""
    async with asyncio.timeout(within):
        while True:
            found = condition()
            if await found if inspect.isawaitable(found) else found:
                return
            await asyncio.sleep(0.01)


def events(text: str) -> list[Any]:
    """The JSON of every `data:` line of a stream; `[DONE]` as it is."""
    lines = [line.removeprefix("data: ") for line in text.splitlines() if line.startswith("data: ")]
    return [line if line == "[DONE]" else msgspec.json.decode(line) for line in lines]
