"""Token counts as OpenAI-compatible servers give them."""

from typing import Any, Final

from interlock.types.answer import Usage

_OURS: Final = ("prompt_tokens", "completion_tokens", "total_tokens")


def read_usage(raw: Any) -> tuple[Usage, dict[str, Any]]:
    """Our counts, and what else the vendor counted. A count that is no number is unknown."""
    if type(raw) is not dict:
        return Usage(), {}
    read, written = raw.get("prompt_tokens"), raw.get("completion_tokens")
    if type(read) is int and type(written) is int and len(raw) == len(_OURS) and "total_tokens" in raw:
        return Usage(input_tokens=read, output_tokens=written), {}
    read, written = _count(read), _count(written)
    of_read, of_written = _details(raw, "prompt_tokens_details"), _details(raw, "completion_tokens_details")
    reasoning = _count(of_written.pop("reasoning_tokens", None))
    if reasoning and read is not None and written is not None:
        # Some count reasoning beside the output; only the total tells.
        apart = _count(raw.get("total_tokens")) == read + written + reasoning
        written = written + reasoning if apart else written
    usage = Usage(
        input_tokens=read,
        cached_tokens=_count(of_read.pop("cached_tokens", None)),
        cache_write_tokens=_count(of_read.pop("cache_write_tokens", None)),
        output_tokens=written,
        reasoning_tokens=reasoning,
    )
    more = {**raw, "prompt_tokens_details": of_read, "completion_tokens_details": of_written}
    for name in _OURS:
        more.pop(name, None)
    return usage, {name: value for name, value in more.items() if value is not None and value != {}}


def _details(raw: dict[str, Any], name: str) -> dict[str, Any]:
    found = raw.get(name)
    if type(found) is not dict:
        return {}
    if None not in found.values():
        return dict(found)
    return {key: value for key, value in found.items() if value is not None}


def _count(value: Any) -> int | None:
    return value if type(value) is int else None
