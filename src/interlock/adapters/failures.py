"""What adapters share in reading how an upstream failed: by status and the vendor's codes, not by words."""

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final

from msgspec import Struct

from interlock.types.answer import AttemptOutcome, Failure

_MOST_MESSAGE: Final = 1000
_MOST_DETAIL: Final = 300
_MOST_CODE: Final = 64
_CODE_CHARACTERS: Final = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.")
_BY_STATUS: Final[dict[int, AttemptOutcome]] = {
    408: "timeout",
    413: "context_length",
    429: "rate_limited",
}
_CREDENTIALS: Final = (401, 402, 403, 407)
"""Statuses that concern our account at the vendor. What it says of that is not for the caller."""
_NO_CREDIT: Final = 402
_SPENT: Final = frozenset(
    {
        "BILLING_DISABLED",  # Google
        "ServiceQuotaExceededException",  # AWS, whose own SDKs do not repeat it either
        "billing_error",  # Anthropic
        "billing_hard_limit_reached",  # OpenAI
        "billing_not_active",  # OpenAI
        "exceeded_current_quota_error",  # Moonshot
        "insufficient_balance",
        "insufficient_credits",
        "insufficient_quota",  # OpenAI and many after it: with status 429, like any rate limit
    }
)
"""Vendors' codes for an account whose quota or credit is used up: no waiting gives it any."""
SPENT: Final = "the quota or the credit of the provider's account is used up"

MESSAGES: Final[dict[AttemptOutcome, str]] = {
    "timeout": "the provider did not answer in time",
    "context_length": "the request is too long for the model",
    "rate_limited": "the provider's rate limit is reached",
    "content_filtered": "the provider's content filter stopped the request",
    "upstream_error": "the provider failed",
    "malformed": "the provider's answer is not one",
    "schema_invalid": "the model's answer does not match the schema",
}


class Broken(Exception):  # noqa: N818 - what it carries is a value, and leaves the adapter as one
    """A stream cannot be read on."""

    def __init__(self, failure: Failure) -> None:
        self.failure = failure
        super().__init__(failure.detail)


class Complaint(Struct, frozen=True, kw_only=True):
    """What a vendor says went wrong: the codes that it has for it, the most telling first, and its words."""

    codes: tuple[str, ...] = ()
    message: str = ""


def code_of(value: Any) -> str:
    """A vendor's code as one; empty for anything that is not shaped like a code."""
    if type(value) is not str or not 0 < len(value) <= _MOST_CODE or not _CODE_CHARACTERS.issuperset(value):
        return ""
    return value


def message_of(value: Any) -> str:
    return value[:_MOST_MESSAGE] if type(value) is str else ""


def to_failure(
    complaint: Complaint,
    outcomes: Mapping[str, AttemptOutcome],
    status: int | None,
    retry_after_s: float | None = None,
    *,
    credentials: bool = False,
) -> Failure:
    """The failure that a vendor's complaint stands for. `outcomes` is what its codes mean.

    `credentials`: a code says what the status does not, that it is our account that is refused.
    """
    codes = ", ".join(code for code in complaint.codes if code)
    where = f"status {status}" if status is not None else "in the answer"
    detail = f"{where}: {codes}" if codes else where
    if status == _NO_CREDIT or not _SPENT.isdisjoint(complaint.codes):
        # For fallbacks it is a limit of the account, unless the status says that the account is refused.
        refused = credentials or status in _CREDENTIALS
        return Failure(
            outcome="upstream_error" if refused else "rate_limited",
            message=SPENT,
            status=status,
            detail=f"{detail}: {SPENT}",
            spent=True,
        )
    if credentials or status in _CREDENTIALS:
        return Failure(
            outcome="upstream_error",
            message="the provider refused our credentials",
            status=status,
            detail=detail,
        )
    if complaint.message:
        detail = f"{detail}: {complaint.message[:_MOST_DETAIL]}"
    outcome = next((outcomes[code] for code in complaint.codes if code in outcomes), None)
    if outcome is None and status is not None:
        outcome = _BY_STATUS.get(status)
    if outcome is None and status is not None and 400 <= status < 500:
        message = complaint.message or f"the provider refused the request with status {status}"
        return Failure(outcome="upstream_error", message=message, status=status, detail=detail, final=True)
    outcome = outcome or "upstream_error"
    return Failure(
        outcome=outcome,
        message=MESSAGES[outcome],
        status=status,
        detail=detail,
        retry_after_s=retry_after_s,
    )


def malformed(detail: str) -> Failure:
    """An answer that is none. `detail` says why and quotes nothing."""
    return Failure(outcome="malformed", message="the provider's answer is not one", detail=detail)


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """How long an upstream asks to wait; None if it does not say, or says nonsense.

    A date counts from the upstream's own `date`, so that no clock is needed, ours or another.
    """
    milliseconds = _positive(headers.get("retry-after-ms", ""))
    if milliseconds is not None:
        return milliseconds / 1000
    given = headers.get("retry-after", "").strip()
    seconds = _positive(given)
    if seconds is not None or not given:
        return seconds
    until, since = _instant(given), _instant(headers.get("date", ""))
    if until is None or since is None:
        return None
    return max(0.0, (until - since).total_seconds())


def _positive(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if 0 <= value < math.inf else None


def _instant(text: str) -> datetime | None:
    try:
        found = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found
