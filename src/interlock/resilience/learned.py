"""What the headers of an upstream's answers say of its limits, and how long it is left in peace after a 429.

Vendors say how much of a limit is left and when all of it will be there again. Whose limit it is:

- `x-ratelimit-{limit,remaining,reset}-{requests,tokens}` (OpenAI, Azure, Groq and those who copy it), the
  same with `-{minute,day}` behind (Cerebras), and Anthropic's
  `anthropic-ratelimit-{requests,tokens,…}-{limit,remaining,reset}`: of one model in the account. It fills
  up steadily.
- `ratelimit-{limit,remaining,reset}` (the IETF's draft) and the same with `x-`: of the whole account, since
  it names no model. All of it comes back at the reset, and nothing before.

A reset is a length of time (`20`, `6m0s`, `120ms`), or an instant: RFC 3339, or seconds or milliseconds since
1970. An instant counts from the answer's own `date`, so no clock is needed. What cannot be read says nothing.
"""

import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import lru_cache
from typing import Final, Literal

from msgspec import Struct

LONGEST_S: Final = 60.0
"""However long an upstream asks for: after a minute one call finds out again."""
UNSAID_S: Final = 1.0
"""How long a target is left in peace after a 429, and a limit is believed, where nothing says."""

Unit = Literal["calls", "tokens"]


class Said(Struct, frozen=True, kw_only=True):
    """One limit as an answer told it. `full_s` counts from when its call was sent; None: it did not say.

    `unit` is what a call takes of it: one, or its input's tokens. `most`: all of it, where that was told.
    """

    name: str
    unit: Unit
    remaining: int
    most: int | None
    full_s: float | None
    steady: bool
    account: bool


class _Row(Struct, frozen=True):
    remaining: str
    limit: str
    reset: str
    unit: Unit
    steady: bool = True
    account: bool = False


def _rows() -> tuple[_Row, ...]:
    # What an answer will take of a limit on output nobody knows before: such a call takes one.
    units: dict[str, Unit] = {
        "requests": "calls",
        "tokens": "tokens",
        "input-tokens": "tokens",
        "output-tokens": "calls",
    }
    rows = [
        _Row(f"x-ratelimit-remaining-{what}", f"x-ratelimit-limit-{what}", f"x-ratelimit-reset-{what}", unit)
        for what, unit in (
            (f"{kind}{span}", units[kind])
            for kind in ("requests", "tokens")
            for span in ("", "-minute", "-day")
        )
    ]
    rows += [
        _Row(
            f"anthropic-ratelimit-{what}-remaining",
            f"anthropic-ratelimit-{what}-limit",
            f"anthropic-ratelimit-{what}-reset",
            unit,
        )
        for what, unit in units.items()
    ]
    rows += [
        _Row(f"{x}ratelimit-remaining", f"{x}ratelimit-limit", f"{x}ratelimit-reset", "calls", False, True)
        for x in ("", "x-")
    ]
    return tuple(rows)


_ROWS: Final = _rows()
_TELLS: Final = frozenset(row.remaining for row in _ROWS)
_LENGTH: Final = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
_SECONDS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_EPOCH: Final = 1e9
_EPOCH_MS: Final = 1e12
_LONGEST_NUMBER: Final = 15
_LONGEST_RESET: Final = 64
"""Characters: looking for lengths of time takes the square of them, and a header may have 64 KB."""


def says(headers: Mapping[str, str]) -> bool:
    """Whether an answer says anything of limits; most say nothing."""
    return not _TELLS.isdisjoint(headers)


def said(headers: Mapping[str, str], age_s: float) -> list[Said]:
    """The limits that an answer tells of whose call was sent `age_s` seconds ago."""
    found = []
    for row in _ROWS:
        text = headers.get(row.remaining)
        remaining = None if text is None else _count(text)
        if remaining is not None:
            found.append(
                Said(
                    name=row.remaining,
                    unit=row.unit,
                    remaining=remaining,
                    most=_count(headers.get(row.limit, "")) or None,
                    full_s=_full_s(headers.get(row.reset, ""), headers.get("date", ""), age_s),
                    steady=row.steady,
                    account=row.account,
                )
            )
    return found


def peace_s(asked_s: float | None) -> float:
    """How long a target is left in peace after a 429; `asked_s` is what it asked for, if anything."""
    if asked_s is None or not 0 <= asked_s < math.inf:
        return UNSAID_S
    return min(asked_s, LONGEST_S)


def _count(text: str) -> int | None:
    """A whole number of a limit: `100`, `100, 100;w=60` or `12.0`."""
    number = text.partition(",")[0].partition(";")[0].strip().partition(".")[0]
    return int(number) if number.isascii() and number.isdecimal() and len(number) <= _LONGEST_NUMBER else None


def _full_s(reset: str, date: str, age_s: float) -> float | None:
    """Seconds until a reset, from when the call was sent: limits are looked at when a call comes in."""
    reset = reset.strip()
    if len(reset) > _LONGEST_RESET:
        return None
    pieces = _LENGTH.findall(reset)
    if pieces and "".join(number + unit for number, unit in pieces) == reset:
        return sum(float(number) * _SECONDS[unit] for number, unit in pieces)
    try:
        seconds = float(reset)
    except ValueError:
        until = _instant(reset)
    else:
        if not 0 <= seconds < math.inf:
            return None
        if seconds < _EPOCH:
            return seconds
        until = seconds / 1000 if seconds >= _EPOCH_MS else seconds
    since = _dated(date)
    return None if until is None or since is None else max(0.0, until - since) + age_s


@lru_cache(maxsize=64)
def _dated(date: str) -> float | None:
    """Seconds since 1970 of a `date` header, of which all answers of a second have the same."""
    try:
        return _aware(parsedate_to_datetime(date)).timestamp()
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


@lru_cache(maxsize=64)
def _instant(text: str) -> float | None:
    """Seconds since 1970 of an instant in RFC 3339."""
    try:
        return _aware(datetime.fromisoformat(text)).timestamp()
    except (ValueError, OverflowError):
        return None


def _aware(instant: datetime) -> datetime:
    return instant.replace(tzinfo=UTC) if instant.tzinfo is None else instant
