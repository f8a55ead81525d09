"""Every wire that the mock speaks, behind the real server: a provider each, and a model per kind of call."""

from typing import Any, Final

from interlock.mock import Mock

PROVIDERS: Final[dict[str, dict[str, Any]]] = {
    "openai": {"kind": "openai", "base_url": "{url}/v1"},
    "openai-responses": {"kind": "openai", "api": "responses", "base_url": "{url}/v1"},
    "anthropic": {"kind": "anthropic", "base_url": "{url}"},
    "gemini": {"kind": "gemini", "base_url": "{url}"},
    "bedrock": {"kind": "bedrock", "base_url": "{url}", "api_key": "${ALPHA_KEY}"},
    "azure": {"kind": "azure", "base_url": "{url}", "api_version": "2024-10-21"},
}
"""How each wire is called, by the mock's name for it."""
EMBED: Final = ("openai", "azure", "gemini")
COUNT: Final = ("anthropic",)
STATUSES: Final = (400, 401, 403, 404, 413, 422, 429, 500, 503, 529)
WAIT_S: Final = 7
HOW: Final = ("whole", "stream")
_PLAIN: Final = {"context_tokens": 100_000, "price": {"input": 2.0, "output": 10.0}}
_ANSWERS: Final = {**_PLAIN, "max_output_tokens": 4096, "capabilities": ["tools", "json_schema"]}
_EMBEDS: Final = {**_PLAIN, "capabilities": ["embeddings"]}


def every(mock: Mock, spare: Mock | None = None) -> dict[str, Any]:
    """A config of one attempt per request, whose breakers stay shut: each request is the first to go wrong.

    A wire's models are called like it, `-vectors` behind it for embeddings, and a status behind it for those
    that ask by their name to fail so; no two of these are the same upstream, of which one that is busy rests.
    With a `spare` each request's second attempt goes there, and there are no models that fail by name.
    """
    providers = {
        wire: {**spec, "base_url": spec["base_url"].format(url=mock.url), "regions": ["eu"]}
        for wire, spec in PROVIDERS.items()
    }
    models = {wire: {"provider": wire, "upstream": "plain", **_ANSWERS} for wire in PROVIDERS}
    models |= {f"{wire}-vectors": {"provider": wire, "upstream": "plain", **_EMBEDS} for wire in EMBED}
    for wire in PROVIDERS if spare is None else ():
        for status in STATUSES:
            for how in HOW:
                name = f"{wire}-{status}-{how}"
                asks = f"fault:status={status},retry_after={WAIT_S},text={name}"
                models[name] = {"provider": wire, "upstream": asks, **_ANSWERS}
    config = {
        "providers": providers,
        "models": models,
        "default": {"model": "openai"},
        "tools": {"search": {"effects": ["read"]}},
        "policy": [{"name": "few", "then": {"max_attempts": 1 if spare is None else 2}}],
        "resilience": {"breaker": {"failures": 100_000}},
    }
    if spare is not None:
        providers["spare"] = {"kind": "openai", "base_url": f"{spare.url}/v1", "regions": ["eu"]}
        models["spare"] = {"provider": "spare", "upstream": "plain", **_ANSWERS}
        config["fallbacks"] = [{"from": "*", "to": "spare", "when": "any"}]
    return config
