"""Token counts as Bedrock gives them: what came from the cache stands beside the input, not in it."""

from typing import Any

from interlock.types.answer import Usage


def read_usage(raw: Any) -> Usage:
    """Our counts from a `usage`. A count that is no number is unknown; reasoning is not counted apart."""
    if type(raw) is not dict:
        return Usage()
    read = _count(raw.get("inputTokens"))
    cached, written = _count(raw.get("cacheReadInputTokens")), _count(raw.get("cacheWriteInputTokens"))
    return Usage(
        input_tokens=None if read is None else read + (cached or 0) + (written or 0),
        cached_tokens=cached,
        cache_write_tokens=written,
        output_tokens=_count(raw.get("outputTokens")),
    )


def _count(value: Any) -> int | None:
    return value if type(value) is int else None
