"""The text of a first config that works at once, over whatever models are at hand. Pure.

It looks for the keys of known vendors in the environment given to it and asks `reachable` what the usual
local servers have; with neither, it names a small model that `interlock serve` runs itself. The aliases
are always the same four, so that what is written against one machine's config runs on another's.
"""

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Final

import re2
from msgspec import Struct

from interlock.config.vendors import VENDORS

ALIASES: Final = ("cheap", "hard", "long-context", "safe")
MAX_MODELS: Final = 4
"""How many models of one local server the config names; more can be added by hand."""
PORT: Final = 8080
OTHER_PORT: Final = 8090

_UNSAFE: Final = re2.compile(r"[^A-Za-z0-9._-]+")

# Where model servers usually listen. llama.cpp has 8080 by default, and 8081 beside another server.
LOCAL_SERVERS: Final[tuple[tuple[str, int], ...]] = (
    ("ollama", 11434),
    ("llamacpp", 8080),
    ("llamacpp-2", 8081),
    ("vllm", 8000),
)

Reachable = Callable[[str], list[str] | None]
"""`reachable(base_url)`: the models that a server lists at `/models` there; None if nothing answers."""


class _Choice(Struct, frozen=True, kw_only=True):
    """A vendor whose key may be in the environment: its models by what the aliases ask of them.

    Models by the names that the vendor knows; `provider` is what its entry says beside `api_key`.
    """

    vendor: str
    cheap: str
    hard: str
    long_context: str
    provider: str = """\
    trusted_for: internal            # the highest data class it may see
"""

    @property
    def variable(self) -> str:
        return VENDORS[self.vendor].variable or ""

    @property
    def models(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys((self.cheap, self.long_context, self.hard)))

    def key(self, model: str) -> str:
        """A model's name in the pool. Several vendors serve models of one name."""
        short = model.rsplit("/", 1)[-1]
        return short if self.vendor in _MAKERS else f"{self.vendor}-{short}"

    def entry(self) -> str:
        """The provider, as text. Its address is known by the vendor's name."""
        reference = f"${{{self.variable}}}"
        return f"  {self.vendor}:\n    api_key: {reference:<25}# from the environment\n{self.provider}"


_MAKERS: Final = ("openai", "anthropic")
CHOICES: Final = (
    _Choice(
        vendor="openai",
        provider="""\
    kind: openai                     # the wire format; most servers speak it
    base_url: https://api.openai.com/v1
    regions: [us]                    # where this address may process data
    jurisdiction: us
    trusted_for: internal            # the highest data class it may see
""",
        cheap="gpt-6-luna",
        hard="gpt-6.1-sol",
        long_context="gpt-6.1-terra",
    ),
    _Choice(
        vendor="anthropic",
        provider="""\
    kind: anthropic
    base_url: https://api.anthropic.com
    regions: [us]
    jurisdiction: us
    trusted_for: internal
""",
        cheap="claude-haiku-5-5",
        hard="claude-opus-5-5",
        long_context="claude-sonnet-5-5",
    ),
    _Choice(
        vendor="mistral",
        cheap="mistral-small-latest",
        hard="mistral-large-4",
        long_context="mistral-large-4",
    ),
    _Choice(vendor="xai", cheap="grok-4.3", hard="grok-4.7", long_context="grok-4.3"),
    _Choice(
        vendor="deepseek",
        cheap="deepseek-v4-flash",
        hard="deepseek-v4-pro",
        long_context="deepseek-v4-pro",
    ),
    _Choice(
        vendor="groq",
        cheap="openai/gpt-oss-20b",
        hard="openai/gpt-oss-120b",
        long_context="openai/gpt-oss-120b",
    ),
    _Choice(
        vendor="together",
        cheap="zai-org/GLM-5.3-Flash",
        hard="zai-org/GLM-5.3",
        long_context="zai-org/GLM-5.3",
    ),
    _Choice(
        vendor="fireworks",
        cheap="accounts/fireworks/models/glm-5p3-flash",
        hard="accounts/fireworks/models/glm-5p3",
        long_context="accounts/fireworks/models/glm-5p3",
    ),
    _Choice(vendor="cerebras", cheap="gpt-oss-120b", hard="gpt-oss-120b", long_context="gpt-oss-120b"),
    _Choice(
        vendor="cohere",
        cheap="command-r7b-12-2024",
        hard="command-a-03-2025",
        long_context="command-a-03-2025",
    ),
)
"""In the order of preference: the first that is there serves `cheap` and `long-context`."""


class _Home(Struct, frozen=True, kw_only=True):
    """A server on this machine: its provider as text, and its models with theirs."""

    name: str
    port: int
    provider: str
    models: tuple[tuple[str, str], ...]


_SMALL: Final = _Home(
    name="local",
    port=8091,
    provider="""\
  local:
    kind: openai                     # the wire format; most servers speak it
    base_url: http://127.0.0.1:8091/v1
    local_model: smollm2-135m        # `interlock serve` runs this small model here (the extra `demo`)
    regions: [local]                 # where this address may process data
    trusted_for: regulated           # the highest data class it may see
""",
    models=(
        (
            "local-small",
            """\
  local-small:
    provider: local
    upstream: smollm2-135m           # the name the server knows; default: the name here
    version: "2"
    context_tokens: 2048
    max_output_tokens: 512
    capabilities: [tools, json_schema]
    price: {input: 0, output: 0}     # USD per million tokens
""",
        ),
    ),
)


def starter(env: Mapping[str, str], reachable: Reachable) -> str:
    """The text of `interlock.yaml` for the vendors whose keys `env` has and the servers that answer."""
    vendors = [choice for choice in CHOICES if env.get(choice.variable, "").strip()]
    homes = list(_homes(reachable)) or ([] if vendors else [_SMALL])
    sections = (
        _HEAD,
        "providers:\n"
        + "".join((*(v.entry() for v in vendors), *(h.provider for h in homes), *_others(env))),
        _models(vendors, homes),
        _aliases(vendors, homes),
        _TOOLS,
        _BUDGETS,
        _fallbacks(vendors, homes),
        _policy(homes),
        _server(homes),
    )
    return "\n".join(section for section in sections if section)


def _others(env: Mapping[str, str]) -> Iterable[str]:
    """Vendors whose key is there and whose models the catalogue does not know well enough to choose."""
    chosen = {choice.vendor for choice in CHOICES}
    for name, vendor in VENDORS.items():
        if name not in chosen and vendor.base_url and env.get(vendor.variable or "", "").strip():
            yield f"  # ${vendor.variable} is set, too. Models of it need their prices here:\n"
            yield f'  # {name}: {{api_key: "${{{vendor.variable}}}"}}\n'


def _homes(reachable: Reachable) -> Iterable[_Home]:
    for name, port in LOCAL_SERVERS:
        address = f"http://127.0.0.1:{port}/v1"
        found = [model for model in reachable(address) or () if _is_usable(model)]
        if not found or set(ALIASES) <= set(found):  # the second is Interlock itself
            continue
        models: dict[str, str] = {}
        for model in found:
            key = f"{name}-{_UNSAFE.sub('-', model).strip('-')}"
            if key not in models and len(models) < MAX_MODELS:
                facts = f"provider: {name}, upstream: {_quoted(model)}, price: {{input: 0, output: 0}}"
                models[key] = f"  {key}: {{{facts}}}\n"
        yield _Home(
            name=name,
            port=port,
            provider=f"""\
  {name}:
    kind: openai                     # the wire format; most servers speak it
    base_url: {address}
    regions: [local]                 # where this address may process data
    trusted_for: regulated           # the highest data class it may see
""",
            models=tuple(models.items()),
        )


def _is_usable(model: str) -> bool:
    """A chat model by its name, as far as that says, and one that can be written down."""
    return (
        0 < len(model) <= 200
        and model.isprintable()
        and "${" not in model
        and "embed" not in model.lower()
        and bool(_UNSAFE.sub("", model).strip("-"))
    )


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _models(vendors: list[_Choice], homes: list[_Home]) -> str:
    used = {*_chosen(vendors, homes).values(), *_stand_ins(vendors, homes)}
    rows = [
        f"  {key}: {{provider: {vendor.vendor}{f', upstream: {model}' if model != key else ''}}}\n"
        for vendor in vendors
        for model in vendor.models
        if (key := vendor.key(model)) in used
    ]
    rows += [text for home in homes for _, text in home.models]
    return (
        "models:                              # the pool; what is left out comes from the catalogue\n"
        + "".join(rows)
    )


def _chosen(vendors: list[_Choice], homes: list[_Home]) -> dict[str, str]:
    """The model of each alias. Cheap and safe at home, where there is one."""
    home = homes[0].models[0][0] if homes else None
    if not vendors:
        assert home is not None, "there is always a vendor or a home"
        return dict.fromkeys(ALIASES, home)
    first = vendors[0]
    strongest = next((vendor for vendor in vendors if vendor.vendor == "anthropic"), first)
    hard = strongest.key(strongest.hard)
    return {
        "cheap": home or first.key(first.cheap),
        "hard": hard,
        "long-context": first.key(first.long_context),
        "safe": home or hard,
    }


def _stand_ins(vendors: list[_Choice], homes: list[_Home]) -> list[str]:
    """The models that take over when another fails: a vendor's middle one, where there is another."""
    if len(vendors) + len(homes) < 2:
        return []
    return [vendor.key(vendor.long_context) for vendor in vendors]


def _aliases(vendors: list[_Choice], homes: list[_Home]) -> str:
    notes = {
        "cheap": "for the many small requests",
        "hard": "for what needs the strongest model",
        "long-context": "for long documents",
        "safe": "stays on this machine" if homes else "point it at a server of your own, when there is one",
    }
    rows = "".join(
        f"  {f'{alias}: {model}':<34} # {notes[alias]}\n" for alias, model in _chosen(vendors, homes).items()
    )
    head = "aliases:                             # the names that applications ask for\n"
    return f"{head}{rows}\ndefault: {{model: cheap}}              # what `auto` leads to\n"


def _fallbacks(vendors: list[_Choice], homes: list[_Home]) -> str:
    """Each vendor stands in for the others; what may not leave is answered at home."""
    rows = [
        f'  - {{from: "*", to: {model}, when: {when}}}\n'
        for model in _stand_ins(vendors, homes)
        for when in ("timeout_or_5xx", "rate_limit")
    ]
    if homes and vendors:
        home = homes[0].models[0][0]
        rows.append(
            f'  - {{from: "*", to: {home}, when: not_permitted}}   # answered at home, if it can be\n'
        )
    head = "fallbacks:                           # tried in this order; no model is tried twice\n"
    return head + "".join(rows) if rows else ""


def _policy(homes: list[_Home]) -> str:
    if homes:
        names = ", ".join(home.name for home in homes)
        stays = f"{{providers: [{names}], logging: strict, deny_tool_effects: [external]}}"
    else:
        stays = "{deny: confidential data stays at home and no server at home is configured}"
    return f"""\
policy:                              # each rule can only restrict; all that match apply
  - name: confidential-stays-home    # secrets and bank details are found in the text; a caller may say so too
    when: {{data_class: {{gte: confidential}}}}
    then: {stays}
  - name: untrusted-content          # documents, mail, what tools return
    when: {{trust: untrusted}}
    then: {{layout: fenced, safety_mode: strict, deny_tool_effects: [critical]}}
  - name: writes-need-approval       # without its `when`, every write waits for a human
    when: {{trust: untrusted}}
    then: {{require_approval: [write, external]}}
"""


def _server(homes: list[_Home]) -> str:
    port = OTHER_PORT if any(home.port == PORT for home in homes) else PORT
    return f"""\
store: {{url: "sqlite:///interlock.db"}}   # decisions and records, in a file beside this one
server: {{host: 127.0.0.1, port: {port}}}
# Without `keys`, only this machine may call. With some, every caller needs one:
# keys:
#   - {{id: dev, key: "${{INTERLOCK_DEV_KEY}}", role: admin}}
"""


_HEAD: Final = """\
# The config of Interlock, written by `interlock init`. `interlock check` validates it,
# `interlock serve` runs it. For completion in an editor:
#   interlock config schema > interlock.schema.json
# yaml-language-server: $schema=./interlock.schema.json
version: 1
"""
_TOOLS: Final = """\
tools:                               # what models may ask for, by what it does
  default: {effects: [write]}        # every tool that is not listed
  search: {effects: [read, external], family: search}   # a web search carries the query outside
"""
_BUDGETS: Final = """\
latency_classes:                     # budgets of one request, everything included
  interactive: {deadline_ms: 120000, max_output_tokens: 8000, max_attempts: 3, max_cost_usd: 2}
  batch: {deadline_ms: 3600000, max_attempts: 5, max_cost_usd: 2}
"""
