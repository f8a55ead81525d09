"""Vendors that are known by name: where they serve, what their key is called, and their ways as data.

A provider that names a vendor and gives no address is served at the vendor's. Every vendor that speaks
OpenAI's wire format is a row here and nothing else. What a row does not say is unknown: a jurisdiction is
given only where the vendor itself processes what it is sent, regions never.
"""

from typing import Final
from urllib.parse import urlsplit

from msgspec import Struct

from interlock.types.labels import Kind
from interlock.types.quirks import Quirks


class Vendor(Struct, frozen=True, kw_only=True):
    """`base_url` is its one public address, `variable` where its key usually is in the environment.

    `hosts` are those that only this vendor serves at, `also` other names that people know it by.
    """

    name: str
    kind: Kind = "openai"
    base_url: str | None = None
    variable: str | None = None
    jurisdiction: str | None = None
    hosts: tuple[str, ...] = ()
    also: tuple[str, ...] = ()
    quirks: Quirks = Quirks()


_OPENAI: Final = Quirks(limit="max_completion_tokens", reasoning=None)

VENDORS: Final[dict[str, Vendor]] = {
    vendor.name: vendor
    for vendor in (
        Vendor(
            name="openai",
            base_url="https://api.openai.com/v1",
            variable="OPENAI_API_KEY",
            jurisdiction="us",
            hosts=("api.openai.com",),
            quirks=_OPENAI,
        ),
        Vendor(
            name="anthropic",
            kind="anthropic",
            base_url="https://api.anthropic.com",
            variable="ANTHROPIC_API_KEY",
            jurisdiction="us",
            hosts=("api.anthropic.com",),
            quirks=Quirks(unsigned=False),
        ),
        Vendor(
            name="google",
            kind="gemini",
            base_url="https://generativelanguage.googleapis.com",
            variable="GEMINI_API_KEY",
            jurisdiction="us",
            hosts=("googleapis.com",),
            also=("gemini", "vertex", "vertexai"),
        ),
        Vendor(
            name="azure",
            kind="azure",
            variable="AZURE_OPENAI_API_KEY",
            hosts=("openai.azure.com", "services.ai.azure.com"),
            also=("azure-openai", "azure_openai"),
            quirks=_OPENAI,
        ),
        Vendor(name="bedrock", kind="bedrock", hosts=("amazonaws.com",), also=("aws", "amazon")),
        Vendor(
            name="mistral",
            base_url="https://api.mistral.ai/v1",
            variable="MISTRAL_API_KEY",
            jurisdiction="eu",
            hosts=("api.mistral.ai",),
            also=("mistralai",),
            # It refuses every field that it does not know.
            quirks=Quirks(seed="random_seed", stream_options=False, developer=False, reasoning="parts"),
        ),
        Vendor(
            name="groq",
            base_url="https://api.groq.com/openai/v1",
            variable="GROQ_API_KEY",
            jurisdiction="us",
            hosts=("api.groq.com",),
            quirks=Quirks(limit="max_completion_tokens", reasoning="reasoning"),
        ),
        Vendor(
            name="together",
            base_url="https://api.together.xyz/v1",
            variable="TOGETHER_API_KEY",
            jurisdiction="us",
            hosts=("api.together.xyz", "api.together.ai"),
            also=("together-ai", "together_ai", "togetherai"),
            quirks=Quirks(developer=False),
        ),
        Vendor(
            name="fireworks",
            base_url="https://api.fireworks.ai/inference/v1",
            variable="FIREWORKS_API_KEY",
            jurisdiction="us",
            hosts=("api.fireworks.ai",),
            also=("fireworks-ai", "fireworks_ai"),
            quirks=Quirks(developer=False),
        ),
        Vendor(
            name="deepseek",
            base_url="https://api.deepseek.com/v1",
            variable="DEEPSEEK_API_KEY",
            jurisdiction="cn",
            hosts=("api.deepseek.com",),
            quirks=Quirks(developer=False),
        ),
        Vendor(
            name="xai",
            base_url="https://api.x.ai/v1",
            variable="XAI_API_KEY",
            jurisdiction="us",
            hosts=("api.x.ai",),
            also=("x-ai", "grok"),
            quirks=Quirks(limit="max_completion_tokens", developer=False),
        ),
        Vendor(
            name="cohere",
            base_url="https://api.cohere.ai/compatibility/v1",
            variable="COHERE_API_KEY",
            jurisdiction="ca",
            hosts=("api.cohere.com", "api.cohere.ai"),
            quirks=Quirks(stream_options=False),
        ),
        # It passes requests on to others, wherever they are: its own jurisdiction says nothing.
        Vendor(
            name="openrouter",
            base_url="https://openrouter.ai/api/v1",
            variable="OPENROUTER_API_KEY",
            hosts=("openrouter.ai",),
            also=("open-router",),
            quirks=Quirks(reasoning="reasoning"),
        ),
        Vendor(
            name="perplexity",
            base_url="https://api.perplexity.ai/chat/completions",
            variable="PERPLEXITY_API_KEY",
            jurisdiction="us",
            hosts=("api.perplexity.ai",),
            quirks=Quirks(stream_options=False, developer=False),
        ),
        Vendor(
            name="cerebras",
            base_url="https://api.cerebras.ai/v1",
            variable="CEREBRAS_API_KEY",
            jurisdiction="us",
            hosts=("api.cerebras.ai",),
            quirks=Quirks(limit="max_completion_tokens", reasoning="reasoning"),
        ),
        Vendor(
            name="nvidia",
            base_url="https://integrate.api.nvidia.com/v1",
            variable="NVIDIA_API_KEY",
            jurisdiction="us",
            hosts=("integrate.api.nvidia.com",),
            also=("nim", "nvidia-nim"),
            quirks=Quirks(developer=False),
        ),
        # Servers of one's own, where they listen by default. Ollama can pass on to its cloud.
        Vendor(name="ollama", base_url="http://127.0.0.1:11434/v1", quirks=Quirks(reasoning="reasoning")),
        Vendor(name="vllm", base_url="http://127.0.0.1:8000/v1"),
        Vendor(
            name="llamacpp",
            base_url="http://127.0.0.1:8080/v1",
            also=("llama.cpp", "llama-cpp", "llama_cpp"),
        ),
        Vendor(name="moonshot", hosts=("api.moonshot.ai", "api.moonshot.cn"), also=("moonshotai", "kimi")),
        Vendor(name="zai", hosts=("api.z.ai",), also=("z-ai", "zhipu")),
        Vendor(name="minimax", hosts=("api.minimax.io",)),
    )
}
_BY_NAME: Final = {name: vendor for vendor in VENDORS.values() for name in (vendor.name, *vendor.also)}
_BY_HOST: Final = {host: vendor for vendor in VENDORS.values() for host in vendor.hosts}
# A wire format that only its own vendor speaks by default; everybody speaks OpenAI's.
_BY_KIND: Final = {
    kind: VENDORS[name]
    for kind, name in (
        ("anthropic", "anthropic"),
        ("gemini", "google"),
        ("bedrock", "bedrock"),
        ("azure", "azure"),
    )
}


def by_name(name: str) -> Vendor | None:
    """The vendor that a config names, by whichever of its names."""
    return _BY_NAME.get(name.lower())


def vendor_at(*, vendor: str, kind: Kind, base_url: str) -> Vendor | None:
    """Who serves at a base URL; None for a server that is not known.

    The name in the config goes first, then the host, then a wire format of one vendor's own.
    """
    named = by_name(vendor)
    if named is not None:
        return named
    host = _host(base_url)
    for suffix, known in _BY_HOST.items():
        if host == suffix or host.endswith(f".{suffix}"):
            return known
    is_local = host in ("localhost", "::1") or host.startswith(("127.", "10.", "192.168."))
    return None if is_local else _BY_KIND.get(kind)


def _host(url: str) -> str:
    """The host of an address; empty for what is none."""
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""
