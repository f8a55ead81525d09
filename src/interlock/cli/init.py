"""`interlock init`: a first config that runs as it stands, for the vendors whose keys are at hand."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import click
from msgspec import Struct

from interlock.cli.context import DEFAULT_CONFIG, common
from interlock.cli.output import Stop, say, write_json

HEAD: Final = """\
# The config of Interlock. `interlock check` validates it, `interlock serve` runs it.
# For completion in an editor: interlock config schema > interlock.schema.json
# yaml-language-server: $schema=./interlock.schema.json
version: 1

providers:
"""


class Source(Struct, frozen=True, kw_only=True):
    """One provider with its model, as text; `key` is the variable that a vendor's key is looked for in."""

    provider: str
    model: str
    name: str
    key: str | None = None


VENDORS: Final = (
    Source(
        key="OPENAI_API_KEY",
        name="gpt-5.4",
        provider="""\
  openai:
    kind: openai                       # the wire format; any OpenAI-compatible server is only such a row
    base_url: https://api.openai.com/v1
    api_key: ${OPENAI_API_KEY}
    regions: [us]                      # where this base URL may process data
    trusted_for: internal              # the highest data class it may see
""",
        model="""\
  gpt-5.4:
    provider: openai
    capabilities: [tools, json_schema, vision]
""",
    ),
    Source(
        key="ANTHROPIC_API_KEY",
        name="claude-sonnet",
        provider="""\
  anthropic:
    kind: anthropic
    base_url: https://api.anthropic.com
    api_key: ${ANTHROPIC_API_KEY}
    regions: [us]
    trusted_for: internal
""",
        model="""\
  claude-sonnet:
    provider: anthropic
    upstream: claude-sonnet-4-6        # the name the vendor knows; default: the key
    version: "4.6"
    capabilities: [tools, vision, reasoning]
""",
    ),
)
AT_HOME: Final = Source(
    name="local-small",
    provider="""\
  local:
    kind: openai                       # the wire format; any OpenAI-compatible server is only such a row
    base_url: http://127.0.0.1:8081/v1
    local_model: smollm2-135m          # `serve` runs this small model there, if nothing answers yet
    regions: [local]                   # where this base URL may process data
    trusted_for: regulated             # the highest data class it may see
""",
    model="""\
  local-small:
    provider: local
    upstream: smollm2-135m             # the name the server knows; default: the key
    version: "2"
    context_tokens: 2048
    max_output_tokens: 512
    capabilities: [tools, json_schema]
    price: {input: 0, output: 0}       # USD per million tokens
""",
)
TAIL: Final = """\
latency_classes:
  interactive: {deadline_ms: 60000, max_input_tokens: 100000, max_tool_calls: 10, max_attempts: 3}

tools:
  default: {effects: [write]}          # a tool that is not listed here
  search: {effects: [read, external]}  # a web search carries the query outside

policy:                                # each rule can only restrict; all that match apply
  - name: untrusted-content
    when: {trust: untrusted}
    then: {layout: fenced, safety_mode: strict, deny_tool_effects: [external, critical]}

store: {url: "sqlite:///interlock.db"}
server: {host: 127.0.0.1, port: 8080}
# Without `keys` the gateway serves this machine only. With some, each caller needs one:
# keys:
#   - {id: dev, key: "${INTERLOCK_DEV_KEY}", role: admin}
"""


def first_config(env: Mapping[str, str]) -> str:
    """The text of a config for the vendors whose keys `env` has; for none of them, a local model."""
    sources = [vendor for vendor in VENDORS if vendor.key and env.get(vendor.key)] or [AT_HOME]
    first, *others = (source.name for source in sources)
    fallbacks = [
        f'  - {{from: "*", to: {other}, when: {when}}}\n'
        for other in others
        for when in ("timeout_or_5xx", "rate_limit")
    ]
    return "".join(
        (
            HEAD,
            *(source.provider for source in sources),
            "\nmodels:                                # what is left out comes from the bundled catalogue\n",
            *(source.model for source in sources),
            "\naliases:                               # the names that applications ask for\n",
            f"  prod-stable: {first}\n\n",
            "default: {model: prod-stable}          # what `auto` leads to\n\n",
            *(("fallbacks:\n", *fallbacks, "\n") if fallbacks else ()),
            TAIL,
        )
    )


@click.command("init")
@common
@click.option("--force", is_flag=True, help="Replace a config that is there.")
def command(config_file: Path | None, as_json: bool, force: bool) -> None:
    """Write a first interlock.yaml.

    It reaches OpenAI and Anthropic where $OPENAI_API_KEY or $ANTHROPIC_API_KEY are set; otherwise a
    small model on this machine, which needs the extra `interlock[demo]`.
    """
    path = config_file or DEFAULT_CONFIG
    if path.exists() and not force:
        raise Stop("there is a config already", where=str(path), hint="--force replaces it")
    try:
        path.write_text(first_config(os.environ), "utf-8")
    except OSError as error:
        raise Stop(error.strerror or str(error), where=str(path)) from None
    if as_json:
        write_json({"file": str(path)})
    else:
        say(f"wrote {path}\nnext: `interlock check`, then `interlock serve`")
