"""What a caller is told when no attempt could answer. Pure.

A provider's own words reach the caller only where they are about the request itself; its refusals
of our credentials, its outages and its names for things stay with the operator.
"""

import math
from collections.abc import Sequence
from typing import Final, Literal

from interlock.errors import ApiError, ErrorCode
from interlock.types.answer import Failure
from interlock.types.decision import Dropped
from interlock.types.record import Attempt

Verdict = Literal["answered", "failed", "limited", "nothing"]
"""What a call says about its target: it works, it does not, its rate limit is reached, or nothing."""

RETRY_S: Final = 5
LONGEST_RETRY_S: Final = 600
_STATUSES: Final = (400, 413, 422)

_BROKEN: Final = ("timeout", "connect_failed", "upstream_error", "malformed")

_CODES: Final[dict[str, ErrorCode]] = {
    "timeout": "deadline_exceeded",
    "rate_limited": "rate_limited",
    "context_length": "context_too_large",
    "content_filtered": "content_filtered",
}
_MESSAGES: Final[dict[ErrorCode, str]] = {
    "deadline_exceeded": "no model answered within the deadline",
    "rate_limited": "the provider's rate limit is reached",
    "context_too_large": "the request is too long for the model",
    "content_filtered": "the provider's content filter stopped the request or its answer",
    "overloaded": "none of the providers that may serve this request can be reached",
    "upstream_failed": "the provider failed to answer",
}


def verdict_on(failure: Failure | None) -> Verdict:
    """What a call that ended so says about its target.

    A status of the 4xx range is an answer: it is about the request, or about our account, and leaving the
    target alone would mend neither.
    """
    if failure is None:
        return "answered"
    if failure.outcome == "cancelled":
        return "nothing"
    if failure.outcome == "rate_limited":
        return "limited"
    if failure.status is not None and failure.status < 500:
        return "answered"
    return "failed" if failure.outcome in _BROKEN else "answered"


def is_safe_to_repeat(failure: Failure | None, *, has_effects: bool) -> bool:
    """Whether the same target may be called again: it said itself that it did not do the work.

    A call that timed out or was cut may have been worked on, and charged. With `has_effects` (tools that
    the provider runs) a 5xx may have had them.
    """
    if failure is None or failure.final or failure.spent:
        return False
    if failure.outcome in ("connect_failed", "rate_limited"):
        return True
    broken = failure.outcome == "upstream_error" and failure.status is not None and failure.status >= 500
    return broken and not has_effects


def to_error(failure: Failure, attempts: Sequence[Attempt]) -> ApiError:
    """The error for a request whose last attempt ended in `failure`."""
    if failure.final and failure.outcome == "upstream_error":
        return _about_the_request(failure)
    if failure.spent:
        return ApiError("upstream_failed", failure.message, hint=_hint(failure, attempts))
    code = _CODES.get(failure.outcome, "upstream_failed")
    retry_after: int | None = None
    if code == "rate_limited":
        retry_after = _seconds(failure.retry_after_s)
    elif attempts and all(attempt.outcome == "connect_failed" for attempt in attempts):
        code, retry_after = "overloaded", RETRY_S
    return ApiError(code, _MESSAGES[code], hint=_hint(failure, attempts), retry_after_s=retry_after)


def refused(skipped: str, dropped: Dropped, wait_s: float) -> ApiError:
    """The error for a request whose last hope was left alone: by its breaker, or by a limit."""
    code: ErrorCode = "overloaded" if skipped == "open" else "rate_limited"
    hint = f"`{dropped.model}`: {dropped.why}"
    return ApiError(code, _MESSAGES[code], hint=hint, retry_after_s=_seconds(wait_s))


def _about_the_request(failure: Failure) -> ApiError:
    """A 4xx that blames the request: the provider's words, without its secrets, under our code."""
    if failure.status == 404:
        return ApiError(
            "unknown_model", failure.message, hint="the provider does not know what was asked for"
        )
    if failure.status == 409:
        return ApiError("conflict", failure.message, hint="the provider is at odds with the request")
    status = failure.status if failure.status in _STATUSES else None
    return ApiError(
        "invalid_request", failure.message, hint="the provider refused the request", status=status
    )


def _hint(failure: Failure, attempts: Sequence[Attempt]) -> str:
    tried = ", ".join(f"`{attempt.model}` {attempt.outcome}" for attempt in attempts)
    if failure.outcome == "schema_invalid":
        return f"{failure.message}; tried: {tried}"
    return f"tried: {tried}" if tried else ""


def _seconds(retry_after_s: float | None) -> int:
    """A wait that a client can follow, whatever the provider wrote."""
    if retry_after_s is None or not retry_after_s >= 0:
        return RETRY_S
    return max(1, math.ceil(min(LONGEST_RETRY_S, retry_after_s)))
