"""What a caller is told when no attempt could answer. Pure.

A provider's own words reach the caller only where they are about the request itself; its refusals
of our credentials, its outages and its names for things stay with the operator.
"""

import math
from collections.abc import Sequence
from typing import Final

from interlock.errors import ApiError, ErrorCode
from interlock.types.answer import Failure
from interlock.types.record import Attempt

RETRY_S: Final = 5
LONGEST_RETRY_S: Final = 600
_STATUSES: Final = (400, 413, 422)

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


def to_error(failure: Failure, attempts: Sequence[Attempt]) -> ApiError:
    """The error for a request whose last attempt ended in `failure`."""
    if failure.final and failure.outcome == "upstream_error":
        return _about_the_request(failure)
    code = _CODES.get(failure.outcome, "upstream_failed")
    retry_after: int | None = None
    if code == "rate_limited":
        retry_after = _seconds(failure.retry_after_s)
    elif attempts and all(attempt.outcome == "connect_failed" for attempt in attempts):
        code, retry_after = "overloaded", RETRY_S
    return ApiError(code, _MESSAGES[code], hint=_hint(failure, attempts), retry_after_s=retry_after)


def _about_the_request(failure: Failure) -> ApiError:
    """A 4xx that blames the request: the provider's words, without its secrets, under our code."""
    if failure.status == 404:
        return ApiError(
            "unknown_model", failure.message, hint="the provider does not know what was asked for"
        )
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
