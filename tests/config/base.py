"""A small config to vary, and the complete one, for tests of the config."""

from pathlib import Path

from hypothesis import settings

from interlock import config
from interlock.config import Loaded
from interlock.config.catalogue import bundled
from interlock.config.decode import decode_file
from interlock.config.environment import fill
from interlock.config.resolve import resolve
from interlock.config.source import read_source
from interlock.config.whole import Whole
from interlock.errors import Problem

COMPLETE = Path(__file__).parent / "complete" / "interlock.yaml"
# No deadline: how long an example takes is the machine's business, not a claim.
many = settings(max_examples=100, deadline=None)
some = settings(max_examples=25, deadline=None)
CANARY = "canary-f3a9"
ENV = {
    "HOOK_SECRET": "hook-secret-of-sufficient-length",
    "CLOUD_KEY": f"sk-{CANARY}-cloud",
    "EU_KEY": f"sk-{CANARY}-eu",
    "APP_KEY": f"ik-{CANARY}-app",
    "OPS_KEY": f"ik-{CANARY}-ops",
    "PORT": "8085",
}
SMALL = """\
providers:
  home: {kind: openai, base_url: "http://127.0.0.1:8081/v1", regions: [eu], trusted_for: regulated}
  cloud: {kind: openai, base_url: "https://cloud.example/v1", regions: [us]}
models:
  small: {provider: home, version: "1", context_tokens: 8192, max_output_tokens: 2048,
          capabilities: [tools], price: {input: 0, output: 0}}
  large: {provider: cloud, version: "2", context_tokens: 128000, max_output_tokens: 8192,
          capabilities: [tools, vision], price: {input: 2, output: 8}}
aliases: {main: small, strong: large}
"""


def written(folder: Path, extra: str = "", text: str = SMALL) -> Path:
    """`text` and `extra` as a file in `folder`."""
    file = folder / "interlock.yaml"
    file.write_text(text + extra, "utf-8")
    return file


def loaded(folder: Path, extra: str = "", env: dict[str, str] | None = None) -> Loaded:
    return config.load(written(folder, extra), env or {})


def problems(folder: Path, extra: str = "", env: dict[str, str] | None = None) -> tuple[Problem, ...]:
    return config.check(written(folder, extra), env or {})


def errors(folder: Path, extra: str = "", env: dict[str, str] | None = None) -> list[str]:
    """`PATH: PROBLEM` of each error."""
    return [f"{p.path}: {p.problem}" for p in problems(folder, extra, env) if p.severity == "error"]


def whole(text: str = SMALL) -> Whole:
    """A text of the right shape, as the checks of the whole see it; files lie beside the complete one."""
    filled = fill(read_source(text.encode()).tree, ENV)
    file, found = decode_file(filled.tree)
    assert file is not None, found
    return Whole(file, resolve(file, filled.secrets, COMPLETE.parent, bundled()).config)
