"""Errors that somebody can act on: where, problem, hint.

    InterlockError
    ├── ConfigError      the file, for its operator: carries every Problem found, not just the first
    ├── StoreError       the store cannot be opened, is newer than this program, or is corrupt
    └── ApiError         an answer to a caller: a stable code, its status, a message and a hint

Expected failures of upstreams are values (`types.answer.Failure`), not exceptions.
A caller is never shown another tenant's data, a key, or the inside of a policy it may not read.
"""

from typing import Any, Final, Literal

from msgspec import Struct

Severity = Literal["error", "warning"]

ErrorCode = Literal[
    "invalid_request",
    "content_filtered",
    "unauthenticated",
    "budget_exceeded",
    "policy_denied",
    "tool_denied",
    "approval_required",
    "unknown_model",
    "not_found",
    "method_not_allowed",
    "request_timeout",
    "conflict",
    "stale_version",
    "gate_failed",
    "context_too_large",
    "request_too_large",
    "unsupported_media_type",
    "idempotency_mismatch",
    "rate_limited",
    "client_closed",
    "internal",
    "upstream_failed",
    "overloaded",
    "deadline_exceeded",
]

STATUS: Final[dict[ErrorCode, int]] = {
    "invalid_request": 400,
    "content_filtered": 400,
    "unauthenticated": 401,
    "budget_exceeded": 402,
    "policy_denied": 403,
    "tool_denied": 403,
    "approval_required": 403,
    "unknown_model": 404,
    "not_found": 404,
    "method_not_allowed": 405,
    "request_timeout": 408,
    "conflict": 409,
    "stale_version": 409,
    "gate_failed": 409,
    "context_too_large": 413,
    "request_too_large": 413,
    "unsupported_media_type": 415,
    "idempotency_mismatch": 422,
    "rate_limited": 429,
    "client_closed": 499,
    "internal": 500,
    "upstream_failed": 502,
    "overloaded": 503,
    "deadline_exceeded": 504,
}


class Problem(Struct, frozen=True, kw_only=True):
    """One thing wrong with a config: where it is, what it is, and what to do."""

    file: str
    path: str
    problem: str
    hint: str = ""
    severity: Severity = "error"
    line: int | None = None

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}" if self.line is not None else self.file
        text = f"{where}: `{self.path}`: {self.problem}" if self.path else f"{where}: {self.problem}"
        return f"{text}\nhint: {self.hint}" if self.hint else text


class InterlockError(Exception):
    """Base of every error that Interlock raises on purpose."""


class ConfigError(InterlockError):
    """A config that cannot be used. `problems` holds all of them, errors first."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        self.problems = problems
        super().__init__("\n".join(str(problem) for problem in problems))


class StoreError(InterlockError):
    """The store cannot be used; `hint` says what an operator can do."""

    def __init__(self, problem: str, *, hint: str = "") -> None:
        self.problem = problem
        self.hint = hint
        super().__init__(f"{problem}\nhint: {hint}" if hint else problem)


def let_go(error: BaseException) -> None:
    """Take from an error that has been met the frames that it came through, which hold a whole request.

    Whoever keeps the error is known to one of them, mostly: that is a circle, which waits for the garbage
    collector, and that comes by when so many objects were made, however large they are.
    """
    error.__traceback__ = error.__context__ = None


class ApiError(InterlockError):
    """What a caller is told. The dialect of the caller gives it its shape on the wire.

    `details` are what an SDK of Anthropic's dialect goes by where it mends a request by itself.
    """

    def __init__(
        self,
        code: ErrorCode,
        message: str,
        *,
        hint: str = "",
        param: str | None = None,
        decision_id: str | None = None,
        retry_after_s: int | None = None,
        status: int | None = None,
        details: dict[str, Any] | None = None,
    ) -> None:
        self.code: ErrorCode = code
        self.status = STATUS[code] if status is None else status
        self.message = message
        self.hint = hint
        self.param = param
        self.decision_id = decision_id
        self.retry_after_s = retry_after_s
        self.details = details
        super().__init__(message)
