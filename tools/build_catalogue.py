# ruff: noqa: INP001 - a script, not a package
"""Build `src/interlock/config/catalogue.json`: what is publicly known about current models.

It merges two public packages, read as data: genai-prices (prices, context windows, names) and the
JSON that litellm carries (capabilities, output limits, and what the first does not have). Run it
in an environment of its own, never in the project's:

    uv venv /tmp/catalogue && uv pip install --python /tmp/catalogue genai-prices
    uv pip install --python /tmp/catalogue --no-deps litellm
    /tmp/catalogue/bin/python tools/build_catalogue.py --date 2026-11-24

The same packages and date give the same bytes. litellm is never imported, only its file is read.
What neither knows is left out, because unknown is not zero.
"""

import argparse
import datetime as dt
import hashlib
import importlib.metadata
import importlib.resources
import importlib.util
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

OUT = Path(__file__).resolve().parent.parent / "src" / "interlock" / "config" / "catalogue.json"


class Vendor(NamedTuple):
    """Where a vendor's models stand in the two sources; `prefix` stands before a name in litellm's."""

    prices: str | None
    facts: tuple[str, ...]
    prefix: str = ""
    origin: str | None = None


# Hosts of other people's models have no origin of their own: `origin_of` looks at the name.
VENDORS = {
    "openai": Vendor("openai", ("openai",), "", "us"),
    "anthropic": Vendor("anthropic", ("anthropic",), "", "us"),
    "google": Vendor("google", ("gemini",), "gemini/"),
    "azure": Vendor("azure", ("azure",), "azure/", "us"),
    "bedrock": Vendor("aws", ("bedrock_converse",), ""),
    "mistral": Vendor("mistral", ("mistral",), "mistral/", "fr"),
    "groq": Vendor("groq", ("groq",), "groq/"),
    "together": Vendor("together", ("together_ai",), "together_ai/"),
    "fireworks": Vendor("fireworks", ("fireworks_ai",), "fireworks_ai/"),
    "deepseek": Vendor("deepseek", ("deepseek",), "deepseek/", "cn"),
    "xai": Vendor("x-ai", ("xai",), "xai/", "us"),
    "cohere": Vendor("cohere", ("cohere_chat", "cohere"), "", "ca"),
    "cerebras": Vendor("cerebras", ("cerebras",), "cerebras/"),
    "perplexity": Vendor("perplexity", (), ""),
    "moonshot": Vendor("moonshotai", ("moonshot",), "moonshot/", "cn"),
    "zai": Vendor("zai", ("zai",), "zai/", "cn"),
    "minimax": Vendor("minimax", ("minimax",), "minimax/", "cn"),
}

CHAT_MODES = ("chat", "responses")
EMBEDDING = re.compile(r"embed|bge-", re.IGNORECASE)
DEAREST_EMBEDDING = 5.0  # USD per million tokens; a figure above it is a slip of the source
CAPABILITIES = {
    "tools": "supports_function_calling",
    "json_schema": "supports_response_schema",
    "vision": "supports_vision",
    "files": "supports_pdf_input",
    "audio": "supports_audio_input",
    "reasoning": "supports_reasoning",
}

# Who made a model, by words in its name; the first that fits, so that a distillation counts as its maker's.
MAKERS = (
    ("cn", r"deepseek|qwen|qwq|kimi|moonshot|glm|minimax|yi-\d|ernie|hunyuan|baichuan|mimo"),
    ("fr", r"mistral|mixtral|codestral|devstral|ministral|magistral|pixtral|voxtral"),
    ("ca", r"command|aya-|cohere"),
    ("il", r"jamba|ai21"),
    ("ae", r"falcon"),
    ("us", r"gpt|llama|gemma|gemini|phi-|claude|nova|titan|nemotron|dbrx|olmo|grok|granite|palmyra|^o\d"),
)
NOT_CHAT = re.compile(
    r"embed|tts|whisper|image|audio|realtime|moderation|transcri|dall-e|sora|veo|imagen|rerank|ocr|sonic|voice"
    r"|orpheus|davinci|curie|babbage|^ada$|instruct-0914|guard|live|lyria|robotics|computer-use|container|ft[:-]"
    r"|titan|j2-|text-|pegasus|canary|:free|:extended|:thinking|translate|clip|search-api"
)
TOO_OLD = re.compile(
    r"llama-?2|llama-?3-|codellama|gpt-3\.5|claude-(v1|2|instant|3-(haiku|opus|sonnet))|vicuna|qwen1\.5|mythomax|wizardlm"
    r"|llama-v[23]-|code-llama|flux|qwen-?v?[12]|gemini-1|palm|pplx|starcoder|falcon|nous-|hermes|mixtral|gemma-[127]b|yi-|firefunction|chronos|alpaca|dolphin|zephyr"
)
HOSTED = re.compile(
    r"commitment|/\d+-month|^ft:|^(apac|au|jp|us-gov|us-east|us-west|eu-)[./-]|^(us|eu|global)/|1024-x"
)
DATED = re.compile(r"(?:^|[-@])(20\d\d)-?([01]\d)-?([0-3]\d)(?:$|[-:])")


def main() -> None:
    parser = argparse.ArgumentParser(description="build the bundled catalogue of models")
    parser.add_argument("--date", required=True, help="the day the prices are taken for: YYYY-MM-DD")
    parser.add_argument("--out", type=Path, default=OUT)
    given = parser.parse_args()
    day = dt.datetime.fromisoformat(given.date).replace(tzinfo=dt.UTC)
    models = {
        name: share(vendor_models(vendor, day) | embedding_models(vendor, day))
        for name, vendor in VENDORS.items()
    }
    body = json.dumps(models, sort_keys=True, separators=(",", ":"))
    catalogue = {
        "about": "Prices are USD per million tokens, batch_discount a share. "
        "A text in place of a mapping means: the same facts as the model of that name.",
        "version": f"{given.date}-{hashlib.sha256(body.encode()).hexdigest()[:8]}",
        "sources": {
            "prices, context": f"genai-prices {importlib.metadata.version('genai-prices')}, else litellm's",
            "capabilities, max_output": f"litellm {importlib.metadata.version('litellm')}, its bundled JSON",
            "origin": "read from the model's name",
        },
        "models": models,
    }
    given.out.write_text(one_line_per_model(catalogue), "utf-8")
    print(f"{given.out}: {given.out.stat().st_size} bytes, {sum(map(len, models.values()))} names")  # noqa: T201 - a script


def one_line_per_model(catalogue: dict[str, Any]) -> str:
    """JSON with a line for each model, so that a new build gives a diff that can be read."""

    def compact(value: Any) -> str:
        return json.dumps(value, sort_keys=True, separators=(",", ":"))

    lines = [f'  "{key}": {compact(catalogue[key])},' for key in ("about", "version", "sources")]
    vendors = []
    for vendor, models in sorted(catalogue["models"].items()):
        rows = ",\n".join(f"      {compact(name)}:{compact(facts)}" for name, facts in sorted(models.items()))
        vendors.append(f'    "{vendor}": {{\n{rows}\n    }}')
    return "{\n" + "\n".join(lines) + '\n  "models": {\n' + ",\n".join(vendors) + "\n  }\n}\n"


def vendor_models(vendor: Vendor, day: dt.datetime) -> dict[str, Any]:
    """Facts of chat models by name."""
    priced = price_models(vendor.prices)
    flags = dict(litellm_entries(vendor, day))
    names = {*flags, *(name for model in priced for name in names_of(model))}
    found = {}
    for name in sorted(filter(is_chat, names)):
        model = next((model for model in priced if model.is_match(name)), None)
        facts = facts_of(name, model, flags, day)
        if "price" in facts or "context" in facts:
            origin = vendor.origin or origin_of(name)
            found[name] = facts | ({"origin": origin} if origin else {})
    return found


def embedding_models(vendor: Vendor, day: dt.datetime) -> dict[str, Any]:
    """Facts of embedding models by name. They write nothing, so what they write costs nothing."""
    found: dict[str, Any] = {}
    for name, entry in litellm_entries(vendor, day, ("embedding",)):
        price = {"input": round((entry.get("input_cost_per_token") or 0) * 1e6, 6), "output": 0.0}
        if not 0 < price["input"] < DEAREST_EMBEDDING or not EMBEDDING.search(name) or HOSTED.search(name):
            continue
        context, origin = whole(entry.get("max_input_tokens")), vendor.origin or origin_of(name)
        found[name.removeprefix(f"{entry['litellm_provider']}/")] = {
            "can": "embeddings",
            "price": price,
            **({"context": context} if context else {}),
            **({"origin": origin} if origin else {}),
        }
    return found


def is_chat(name: str) -> bool:
    low = name.lower()
    return not (NOT_CHAT.search(low) or TOO_OLD.search(low) or HOSTED.search(low) or "*" in low)


def facts_of(name: str, model: Any, flags: dict[str, Any], day: dt.datetime) -> dict[str, Any]:
    """What the sources say about one name. A dated name without an entry has its family's abilities."""
    entry = flags.get(name) or flags.get(DATED.sub("", name)) or {}
    if not entry and model is not None:
        entry = next((flags[other] for other in names_of(model) if other in flags), {})
    context = (model.context_window if model is not None else None) or whole(entry.get("max_input_tokens"))
    output = whole(entry.get("max_output_tokens"))
    price = genai_price(model, day) if model is not None else None
    facts: dict[str, Any] = {}
    if context:
        facts["context"] = context
    if output and context and output < context:  # an output limit as large as the window is a copy of it
        facts["max_output"] = output
    if entry:
        facts["can"] = " ".join(word for word, flag in CAPABILITIES.items() if entry.get(flag))
    price = price or litellm_price(entry)
    if price:
        facts["price"] = price
    return facts


def price_models(provider: str | None) -> list[Any]:
    from genai_prices.data_snapshot import get_snapshot  # noqa: PLC0415 - only in the build's own environment

    providers = get_snapshot().providers
    return next((list(entry.models) for entry in providers if entry.id == provider), [])


def names_of(model: Any) -> Iterator[str]:
    """The names that a model of genai-prices is written under in full."""
    yield model.id
    clauses = [model.match]
    while clauses:
        clause = clauses.pop()
        if getattr(clause, "equals", None):
            yield clause.equals
        clauses += [*(getattr(clause, "or_", None) or ())]


def litellm_entries(
    vendor: Vendor, day: dt.datetime, modes: tuple[str, ...] = CHAT_MODES
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Models of a vendor that are still offered on that day, without litellm's prefixes."""
    for key, entry in litellm_file().items():
        if entry.get("litellm_provider") not in vendor.facts or entry.get("mode") not in modes:
            continue
        if str(entry.get("deprecation_date", "9999")) < day.date().isoformat():
            continue
        yield key.removeprefix(vendor.prefix).removeprefix("accounts/fireworks/models/"), entry


def litellm_file() -> dict[str, dict[str, Any]]:
    spec = importlib.util.find_spec("litellm")
    if spec is None or spec.origin is None:
        raise SystemExit("litellm is not installed here")
    file = Path(spec.origin).parent / "model_prices_and_context_window_backup.json"
    entries: dict[str, dict[str, Any]] = json.loads(file.read_text("utf-8"))
    return entries


def genai_price(model: Any, day: dt.datetime) -> dict[str, float] | None:
    standard = model.get_prices(day)
    found = {
        "input": base(standard.input_mtok),
        "output": base(standard.output_mtok),
        "cached_input": base(standard.cache_read_mtok),
        "cache_write": base(standard.cache_write_mtok),
    }
    batch = model.get_prices(day, {"processing": "batch"})
    return with_discount(found, base(batch.input_mtok), base(batch.output_mtok))


def base(price: Any) -> float | None:
    """The price of the first tier: dearer tiers for long prompts are not modelled."""
    if price is None:
        return None
    return round(float(getattr(price, "base", price)), 6)


def litellm_price(entry: dict[str, Any]) -> dict[str, float] | None:
    def million(field: str) -> float | None:
        value = entry.get(field)
        return round(value * 1e6, 6) if isinstance(value, int | float) else None

    found = {
        "input": million("input_cost_per_token"),
        "output": million("output_cost_per_token"),
        "cached_input": million("cache_read_input_token_cost"),
        "cache_write": million("cache_creation_input_token_cost"),
    }
    return with_discount(
        found, million("input_cost_per_token_batches"), million("output_cost_per_token_batches")
    )


def with_discount(
    found: dict[str, float | None], batch_input: float | None, batch_output: float | None
) -> dict[str, float] | None:
    """The known prices, and the share that batch takes off where it takes the same off input and output.

    None where a price is missing or everything is free: a preview that costs nothing today is not free.
    """
    price = {key: value for key, value in found.items() if value is not None}
    if not price.keys() >= {"input", "output"} or not price["input"] + price["output"]:
        return None
    if batch_input and batch_output and price["input"] and price["output"]:
        off = {round(1 - batch_input / price["input"], 4), round(1 - batch_output / price["output"], 4)}
        if len(off) == 1 and 0 < min(off) < 1:
            price["batch_discount"] = off.pop()
    return price


def whole(value: Any) -> int | None:
    return int(value) if isinstance(value, int | float) and value > 0 else None


def origin_of(name: str) -> str | None:
    low = name.lower()
    return next((country for country, words in MAKERS if re.search(words, low)), None)


def share(found: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Replace repeated facts by the name that has them, where one name begins with the other."""
    first: dict[str, list[str]] = {}
    shared: dict[str, Any] = {}
    for name in sorted(found, key=lambda name: (len(name), name)):
        same = first.setdefault(json.dumps(found[name], sort_keys=True), [])
        near = next((other for other in same if name.startswith(other)), None)
        shared[name] = near or found[name]
        if near is None:
            same.append(name)
    return shared


if __name__ == "__main__":
    main()
