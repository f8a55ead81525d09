"""Token counts as servers of OpenAI responses give them."""

from typing import Any, Final

from interlock.types.answer import Usage

_OURS: Final = ("input_tokens", "output_tokens", "total_tokens")


def read_usage(raw: Any) -> tuple[Usage, dict[str, Any]]:
    """Our counts, and what else the vendor counted. A count that is no number is unknown."""
    if type(raw) is not dict:
        return Usage(), {}
    read, written = _count(raw.get("input_tokens")), _count(raw.get("output_tokens"))
    of_read, of_written = _details(raw, "input_tokens_details"), _details(raw, "output_tokens_details")
    usage = Usage(
        input_tokens=read,
        cached_tokens=_count(of_read.pop("cached_tokens", None)),
        cache_write_tokens=_count(of_read.pop("cache_write_tokens", None)),
        output_tokens=written,
        reasoning_tokens=_count(of_written.pop("reasoning_tokens", None)),
    )
    more = {name: value for name, value in raw.items() if name not in _OURS and value is not None}
    more |= {"input_tokens_details": of_read, "output_tokens_details": of_written}
    return usage, {name: value for name, value in more.items() if value != {}}


def _details(raw: dict[str, Any], name: str) -> dict[str, Any]:
    found = raw.get(name)
    return {key: value for key, value in found.items() if value is not None} if type(found) is dict else {}


def _count(value: Any) -> int | None:
    return value if type(value) is int else None
