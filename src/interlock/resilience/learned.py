"""How long an upstream wants to be left in peace, read off the headers of its answers.

Vendors say what is left of a limit and when all of it will be there again:
`x-ratelimit-{limit,remaining,reset}-{requests,tokens}` (OpenAI and those who copy it; a reset is a length
of time: `1s`, `6m0s`, `120ms`) and `anthropic-ratelimit-{requests,tokens,…}-{limit,remaining,reset}` (a
reset is an instant). A limit fills up steadily, so where nothing is left, the next call fits after the
time to the reset divided by the limit.
"""

import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

LONGEST_S: Final = 60.0
"""However long an upstream asks for: after a minute one call finds out again."""
UNSAID_S: Final = 1.0
"""How long a target is left in peace after a 429 that does not say."""

_OPENAI: Final = ("requests", "tokens")
_ANTHROPIC: Final = ("requests", "tokens", "input-tokens", "output-tokens")
_SAID: Final = tuple(
    (f"x-ratelimit-remaining-{what}", f"x-ratelimit-limit-{what}", f"x-ratelimit-reset-{what}")
    for what in _OPENAI
) + tuple(
    (
        f"anthropic-ratelimit-{what}-remaining",
        f"anthropic-ratelimit-{what}-limit",
        f"anthropic-ratelimit-{what}-reset",
    )
    for what in _ANTHROPIC
)
_OPENAI_SAYS: Final = "x-ratelimit-remaining-requests"
_ANTHROPIC_SAYS: Final = "anthropic-ratelimit-requests-remaining"
"""Who says anything about limits says this; most answers are done with after two looks."""
_LENGTH: Final = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
_SECONDS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def rest_s(headers: Mapping[str, str]) -> float:
    """How long the next call should wait by what an answer's headers say, in seconds; mostly 0."""
    if _OPENAI_SAYS not in headers and _ANTHROPIC_SAYS not in headers:
        return 0.0
    longest = 0.0
    for remaining, limit, reset in _SAID:
        if headers.get(remaining) == "0":
            longest = max(longest, _next_s(headers, limit, reset))
    return min(longest, LONGEST_S)


def peace_s(asked_s: float | None) -> float:
    """How long a target is left in peace after a 429; `asked_s` is what it asked for, if anything."""
    if asked_s is None or not 0 <= asked_s < math.inf:
        return UNSAID_S
    return min(asked_s, LONGEST_S)


def _next_s(headers: Mapping[str, str], limit: str, reset: str) -> float:
    until = _until_s(headers.get(reset, ""), headers.get("date", ""))
    if until is None:
        return 0.0
    most = headers.get(limit, "")
    return until / int(most) if most.isdecimal() and len(most) < 12 and int(most) > 0 else until


def _until_s(reset: str, date: str) -> float | None:
    """Seconds until a reset. An instant counts from the answer's own `date`, so no clock is needed."""
    reset = reset.strip()
    pieces = _LENGTH.findall(reset)
    if pieces and "".join(number + unit for number, unit in pieces) == reset:
        return sum(float(number) * _SECONDS[unit] for number, unit in pieces)
    try:
        return max(0.0, float(reset)) if not math.isnan(float(reset)) else None
    except ValueError:
        pass
    try:
        until, since = datetime.fromisoformat(reset), parsedate_to_datetime(date)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return max(0.0, (_aware(until) - _aware(since)).total_seconds())


def _aware(instant: datetime) -> datetime:
    return instant.replace(tzinfo=UTC) if instant.tzinfo is None else instant
