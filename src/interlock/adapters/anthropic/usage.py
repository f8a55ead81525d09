"""Token counts as Anthropic gives them: what came from the cache stands beside the input, not in it."""

from typing import Any, Final

from interlock.types.answer import Usage

_OURS: Final = frozenset(
    {
        "input_tokens",
        "output_tokens",
        "cache_creation_input_tokens",
        "cache_read_input_tokens",
        "output_tokens_details",
    }
)


def read_usage(raw: Any) -> tuple[Usage, dict[str, Any]]:
    """Our counts, and what else the vendor counted. A count that is no number is unknown."""
    if type(raw) is not dict:
        return Usage(), {}
    read = _count(raw.get("input_tokens"))
    cached = _count(raw.get("cache_read_input_tokens"))
    written = _count(raw.get("cache_creation_input_tokens"))
    details = raw.get("output_tokens_details")
    thought = details.get("thinking_tokens") if type(details) is dict else None
    usage = Usage(
        input_tokens=None if read is None else read + (cached or 0) + (written or 0),
        cached_tokens=cached,
        cache_write_tokens=written,
        output_tokens=_count(raw.get("output_tokens")),
        reasoning_tokens=_count(thought),
    )
    return usage, {name: value for name, value in raw.items() if name not in _OURS and value is not None}


def _count(value: Any) -> int | None:
    return value if type(value) is int else None
