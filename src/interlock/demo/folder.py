"""The demo's own folder: a config that any of the demo's requests can be explained from, and its keys.

The config has the shape of a real one. The providers `onprem` and `abroad` are two servers of one
small model on this machine, and `gone` is a port where nothing listens; where the environment has
a vendor's key, that vendor joins them. Prices of local models are made up, so that costs show.
"""

import json
import secrets
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from msgspec import Struct

KEYS: Final = ("INTERLOCK_DEMO_APP_KEY", "INTERLOCK_DEMO_FREE_KEY")

CONFIG: Final = """\
# Written by `interlock demo`. The shape is that of a real config; only the providers are small.
version: 1

providers:
  onprem:                              # a small model on this machine: may see everything
    kind: openai
    base_url: http://127.0.0.1:{onprem}/v1
    local_model: smollm2-135m
    regions: [eu]
    jurisdiction: eu
    trusted_for: regulated
  abroad:                              # plays a vendor in the US: the same weights with a larger window
    kind: openai
    base_url: http://127.0.0.1:{abroad}/v1
    local_model: smollm2-135m-8k
    regions: [us]
    jurisdiction: us
  gone:                                # plays a vendor that is down: nothing listens here
    kind: openai
    base_url: http://127.0.0.1:{gone}/v1
    regions: [us]
    jurisdiction: us
{vendor_providers}
models:                                # prices of the first three are made up
  small-eu:
    provider: onprem
    upstream: smollm2-135m
    version: "2"
    context_tokens: 2048
    max_output_tokens: 512
    capabilities: [tools, json_schema]
    price: {{input: 0.02, output: 0.06}}
  roomy-us:
    provider: abroad
    upstream: smollm2-135m-8k
    version: "2"
    context_tokens: 8192
    max_output_tokens: 1024
    capabilities: [tools, json_schema]
    price: {{input: 10.00, output: 40.00}}
  gone-us:
    provider: gone
    version: "1"
    context_tokens: 8192
    max_output_tokens: 1024
    capabilities: [tools, json_schema]
    price: {{input: 5.00, output: 20.00}}
{vendor_models}
aliases:
  prod-stable: roomy-us
  prod-cheap: small-eu
  prod-flaky: gone-us
{vendor_aliases}
tools:
  default: {{effects: [write]}}
  search: {{effects: [read, external], family: search}}
  kb_retrieve: {{effects: [read], family: search}}
  email_send: {{effects: [write, external], approval: required}}
  delete_record: {{effects: [critical]}}

sources: {{kb: trusted, email: untrusted}}

latency_classes:
  interactive:
    {{deadline_ms: 60000, max_input_tokens: 1500, max_output_tokens: 300, max_tool_calls: 5, max_attempts: 3}}

lanes:
  support-triage:
    match: {{task: triage}}
    cascade:
      - {{model: prod-cheap, escalate_when: [schema_invalid]}}
      - {{model: prod-stable}}
    output: {{json_schema: ./triage.json}}
    budgets: {{max_output_tokens: 80, max_cost_usd: 0.01}}

default: {{model: prod-stable}}

fallbacks:
  - {{from: "*", to: roomy-us, when: timeout_or_5xx}}
  - {{from: "*", to: small-eu, when: not_permitted}}     # what may not leave is answered at home

policy:
  - name: eu-residency
    when: {{residency: eu}}
    then: {{regions: [eu]}}
  - name: us-residency
    when: {{residency: us}}
    then: {{regions: [us]}}
  - name: confidential-stays-close
    when: {{data_class: {{gte: confidential}}}}
    then: {{vendors: [onprem], logging: strict, deny_tool_effects: [external]}}
  - name: untrusted-content
    when: {{trust: untrusted}}
    then: {{layout: fenced, safety_mode: strict, deny_tool_effects: [external, critical]}}
  - name: free-tier
    when: {{user_tier: free}}
    then: {{max_output_tokens: 40, max_cost_usd: 0.01}}

store: {{url: "sqlite:///interlock.db"}}
server: {{host: 127.0.0.1, port: {server}}}
keys:
  - {{id: app, key: "${{INTERLOCK_DEMO_APP_KEY}}", tenant: demo, user_tier: paid}}
  - {{id: visitor, key: "${{INTERLOCK_DEMO_FREE_KEY}}", tenant: demo, user_tier: free}}
"""

TRIAGE: Final = {
    "type": "object",
    "properties": {
        "category": {"type": "string", "enum": ["billing", "outage", "account", "other"]},
        "urgency": {"type": "string", "enum": ["low", "normal", "high"]},
    },
    "required": ["category", "urgency"],
    "additionalProperties": False,
}


class Vendor(Struct, frozen=True, kw_only=True):
    """A real vendor that joins the demo where its key is in the environment."""

    key: str
    provider: str
    model: str
    alias: str


VENDORS: Final = (
    Vendor(
        key="OPENAI_API_KEY",
        provider="""\
  openai:
    kind: openai
    base_url: https://api.openai.com/v1
    api_key: ${OPENAI_API_KEY}
    regions: [us]
    jurisdiction: us
""",
        model="  gpt-5.4: {provider: openai, capabilities: [tools, json_schema, vision]}\n",
        alias="  vendor-openai: gpt-5.4\n",
    ),
    Vendor(
        key="ANTHROPIC_API_KEY",
        provider="""\
  anthropic:
    kind: anthropic
    base_url: https://api.anthropic.com
    api_key: ${ANTHROPIC_API_KEY}
    regions: [us]
    jurisdiction: us
""",
        model=(
            '  claude-sonnet: {provider: anthropic, upstream: claude-sonnet-4-6, version: "4.6", '
            "capabilities: [tools, vision, reasoning]}\n"
        ),
        alias="  vendor-anthropic: claude-sonnet\n",
    ),
)


class Ports(Struct, frozen=True, kw_only=True):
    onprem: int
    abroad: int
    gone: int
    server: int


def config_text(ports: Ports, env: Mapping[str, str]) -> str:
    """The demo's config for these ports, with the vendors whose keys `env` has."""
    present = [vendor for vendor in VENDORS if env.get(vendor.key)]
    return CONFIG.format(
        onprem=ports.onprem,
        abroad=ports.abroad,
        gone=ports.gone,
        server=ports.server,
        vendor_providers="".join(vendor.provider for vendor in present),
        vendor_models="".join(vendor.model for vendor in present),
        vendor_aliases="".join(vendor.alias for vendor in present),
    )


def fresh_keys() -> dict[str, str]:
    """A new key for each caller of the demo, by the name of its environment variable."""
    return {name: f"ilk_{secrets.token_urlsafe(24)}" for name in KEYS}


def write(folder: Path, ports: Ports, env: Mapping[str, str], keys: Mapping[str, str]) -> Path:
    """Write config, lane schema and `env.sh` (the keys, readable by the owner only). Returns the config."""
    file = folder / "interlock.yaml"
    file.write_text(config_text(ports, env), "utf-8")
    (folder / "triage.json").write_text(json.dumps(TRIAGE, indent=2) + "\n", "utf-8")
    environment = folder / "env.sh"
    environment.touch(mode=0o600)
    lines = [f"export {name}={shlex.quote(value)}" for name, value in keys.items()]
    environment.write_text(
        "\n".join([*lines, f"export INTERLOCK_CONFIG={shlex.quote(str(file))}", ""]), "utf-8"
    )
    return file
