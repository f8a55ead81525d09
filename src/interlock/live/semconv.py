"""Names of OpenTelemetry's semantic conventions for generative AI, as data.

Source: open-telemetry/semantic-conventions, model/gen-ai, as of 2026-05 (stability: development). A test
compares them with those files. What OpenTelemetry has no name for is called `interlock.…`.
"""

from typing import Final

SCHEMA_URL: Final = "https://opentelemetry.io/schemas/1.41.0"

OPERATION: Final = "gen_ai.operation.name"
PROVIDER: Final = "gen_ai.provider.name"
REQUEST_MODEL: Final = "gen_ai.request.model"
MAX_TOKENS: Final = "gen_ai.request.max_tokens"
STREAM: Final = "gen_ai.request.stream"
FINISH_REASONS: Final = "gen_ai.response.finish_reasons"
FIRST_CHUNK: Final = "gen_ai.response.time_to_first_chunk"
INPUT_TOKENS: Final = "gen_ai.usage.input_tokens"
CACHED_TOKENS: Final = "gen_ai.usage.cache_read.input_tokens"
OUTPUT_TOKENS: Final = "gen_ai.usage.output_tokens"
REASONING_TOKENS: Final = "gen_ai.usage.reasoning.output_tokens"
TOKEN_TYPE: Final = "gen_ai.token.type"  # noqa: S105 - a name, not a secret
ERROR_TYPE: Final = "error.type"

DURATION: Final = "gen_ai.client.operation.duration"
FIRST_CHUNK_METRIC: Final = "gen_ai.client.operation.time_to_first_chunk"
TOKEN_USAGE: Final = "gen_ai.client.token.usage"  # noqa: S105 - a name, not a secret

ATTRIBUTES: Final = (
    OPERATION,
    PROVIDER,
    REQUEST_MODEL,
    MAX_TOKENS,
    STREAM,
    FINISH_REASONS,
    FIRST_CHUNK,
    INPUT_TOKENS,
    CACHED_TOKENS,
    OUTPUT_TOKENS,
    REASONING_TOKENS,
    TOKEN_TYPE,
)
UNITS: Final = {DURATION: "s", FIRST_CHUNK_METRIC: "s", TOKEN_USAGE: "{token}"}
"""The metrics, all histograms, and their units."""

OPERATIONS: Final = {"/v1/embeddings": "embeddings"}
"""By endpoint; every other one is CHAT."""
CHAT: Final = "chat"

BY_VENDOR: Final = {
    "openai": "openai",
    "anthropic": "anthropic",
    "cohere": "cohere",
    "deepseek": "deepseek",
    "groq": "groq",
    "mistral": "mistral_ai",
    "perplexity": "perplexity",
    "xai": "x_ai",
}
BY_KIND: Final = {"azure": "azure.ai.openai", "bedrock": "aws.bedrock", "gemini": "gcp.gemini"}
"""The values of `PROVIDER` that the conventions know; another vendor goes by its own name."""


def provider_name(kind: str, vendor: str) -> str:
    """What the conventions call a provider of a wire format and a vendor."""
    return BY_KIND.get(kind) or BY_VENDOR.get(vendor, vendor)
