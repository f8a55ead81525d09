"""Other gateways in front of the same upstream, started as `make peers` installed them.

They come as they are, with few of their features on; Interlock has all of its own on. A peer that is not
installed, or does not start, is reported as not measured.
"""

import json
import os
import subprocess
import time
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from msgspec import Struct

from bench.lab import CORES, HERE, NotMeasured, free_port, running, wait_until_open

PYTHON: Final = Path(os.environ.get("BENCH_PEERS", HERE.parent / ".venv-peers")) / "bin" / "python"
START_WITHIN_S: Final = 120

_TENSORZERO: Final = """
import asyncio, pathlib, sys, tensorzero

async def main():
    gateway = await tensorzero._start_http_gateway(
        config_file=sys.argv[1], clickhouse_url=None, postgres_url=None, valkey_url=None, async_setup=True
    )
    pathlib.Path(sys.argv[2]).write_text(gateway.base_url)
    await asyncio.Event().wait()

asyncio.run(main())
"""


class Peer(Struct, frozen=True, kw_only=True):
    """A running gateway: where it listens, what it calls the mock's model, and where chat completions are."""

    port: int
    pid: int
    model: str
    path: str = "/v1/chat/completions"


def start_peers(stack: ExitStack, folder: Path, upstream_port: int, key: str) -> Mapping[str, Peer | str]:
    """Each peer by name, running; or, in its place, why it is not measured."""
    found: dict[str, Peer | str] = {}
    for name, start in (("tensorzero", start_tensorzero), ("litellm", start_litellm)):
        place = folder / name
        place.mkdir()
        try:
            found[name] = start(stack, place, upstream_port, key)
        except NotMeasured as reason:
            found[name] = str(reason)
    return found


def _installed(package: str) -> None:
    """Raises NotMeasured where the peers' environment lacks a package."""
    looked = PYTHON.exists() and subprocess.run(
        [PYTHON, "-c", f"import {package}"], check=False, capture_output=True
    )
    if not looked or looked.returncode:
        raise NotMeasured(f"`{package}` is not installed: `make peers`")


def start_tensorzero(stack: ExitStack, folder: Path, upstream_port: int, key: str) -> Peer:  # noqa: ARG001 - has no keys
    """TensorZero's HTTP gateway, as its wheel brings it: no database, no observability."""
    _installed("tensorzero")
    config = folder / "tensorzero.toml"
    config.write_text(
        f"""
        [gateway]
        observability.enabled = false
        [models."mock"]
        routing = ["one"]
        [models."mock".providers.one]
        type = "openai"
        model_name = "mock"
        api_base = "http://127.0.0.1:{upstream_port}/v1/"
        api_key_location = "none"
        """,
        "utf-8",
    )
    told, log = folder / "url", folder / "tensorzero.log"
    process = stack.enter_context(running([PYTHON, "-c", _TENSORZERO, config, told], CORES[0], log=log))
    until = time.monotonic() + START_WITHIN_S
    while not (told.exists() and told.read_text()):
        if process.poll() is not None or time.monotonic() > until:
            raise NotMeasured("tensorzero did not start")
        time.sleep(0.05)
    url = urlsplit(told.read_text())
    port = url.port or 80
    wait_until_open(port)
    name = "tensorzero::model_name::mock"
    return Peer(port=port, pid=process.pid, model=name, path=f"{url.path.rstrip('/')}/chat/completions")


def start_litellm(stack: ExitStack, folder: Path, upstream_port: int, key: str) -> Peer:
    """LiteLLM's proxy with one worker, as for production: no database, no logs."""
    _installed("litellm")
    port = free_port()
    config = folder / "litellm.yaml"  # JSON is YAML
    target = {"model": "openai/mock", "api_base": f"http://127.0.0.1:{upstream_port}/v1", "api_key": "sk-x"}
    settings = {"telemetry": False, "num_retries": 0, "set_verbose": False}
    general = {"master_key": key, "disable_spend_logs": True, "disable_error_logs": True}
    models = [{"model_name": "mock", "litellm_params": target}]
    config.write_text(
        json.dumps({"model_list": models, "litellm_settings": settings, "general_settings": general}), "utf-8"
    )
    env = {
        "LITELLM_MODE": "PRODUCTION",
        "LITELLM_LOG": "ERROR",
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        "NO_PROXY": "*",
    }
    command = [PYTHON.with_name("litellm"), "--config", config, "--port", port, "--host", "127.0.0.1"]
    log = folder / "litellm.log"
    process = stack.enter_context(running([*command, "--num_workers", 1], CORES[0], env=env, log=log))
    began = time.monotonic()
    while process.poll() is None and time.monotonic() - began < START_WITHIN_S:
        try:
            wait_until_open(port, within_s=1)
        except Exception:  # noqa: BLE001 - not yet
            continue
        time.sleep(2)  # it opens its port before it has read its models
        return Peer(port=port, pid=process.pid, model="mock")
    raise NotMeasured("litellm did not start")
