"""Token counts one can account by: what the upstream said where that can be true, else our own estimate."""

from collections.abc import Callable
from typing import Final

import msgspec

from interlock.types.answer import Usage

MOST: Final = 100_000_000
"""More tokens than any call can have; a count above it is not one."""
Count = Callable[[str, str], int]
"""How many tokens a text is for a model (its upstream name)."""


def credible(usage: Usage) -> Usage:
    """The counts that can be true; a negative or absurd one becomes None: unknown."""
    read, cached, kept = usage.input_tokens, usage.cached_tokens, usage.cache_write_tokens
    written, thought = usage.output_tokens, usage.reasoning_tokens
    if (
        (read is None or 1 <= read <= MOST)
        and (cached is None or 0 <= cached <= MOST)
        and (kept is None or 0 <= kept <= MOST)
        and (written is None or 0 <= written <= MOST)
        and (thought is None or 0 <= thought <= MOST)
    ):
        return usage
    return Usage(
        input_tokens=_count(usage.input_tokens, 1),
        cached_tokens=_count(usage.cached_tokens),
        cache_write_tokens=_count(usage.cache_write_tokens),
        output_tokens=_count(usage.output_tokens),
        reasoning_tokens=_count(usage.reasoning_tokens),
        estimated=usage.estimated,
    )


def complete(usage: Usage, *, input_tokens: int, output_tokens: int) -> Usage:
    """`usage` with the estimates filled in where the upstream gave no count, and flagged if any was."""
    if usage.input_tokens is not None and usage.output_tokens is not None:
        return usage
    return msgspec.structs.replace(
        usage,
        input_tokens=input_tokens if usage.input_tokens is None else usage.input_tokens,
        output_tokens=output_tokens if usage.output_tokens is None else usage.output_tokens,
        estimated=True,
    )


def _count(tokens: int | None, least: int = 0) -> int | None:
    """A request always has input, so that an input of 0 is no count; an answer may be empty."""
    return tokens if tokens is not None and least <= tokens <= MOST else None
