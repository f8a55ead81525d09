"""What checks find: values that name rules, tools, sources and schema paths, never the answer's text."""

from collections.abc import Callable

from msgspec import Struct

from interlock.errors import ErrorCode
from interlock.execute.validation.said import Said
from interlock.types.answer import Failure
from interlock.types.labels import EscalateWhen
from interlock.types.record import Validation


class Violation(Struct, frozen=True, kw_only=True):
    """One thing that is wrong with an answer.

    `code` is what a caller is told of a call that is withheld for it. `final`: another model's answer
    would be withheld just the same. `held`: nothing is wrong, but a human has to agree first. `noted`:
    it is said in the record, and the answer passes.
    """

    rule: str
    message: str
    code: ErrorCode = "upstream_failed"
    hint: str = ""
    final: bool = False
    held: bool = False
    noted: bool = False
    trigger: EscalateWhen = "schema_invalid"


class Finding(Struct, frozen=True):
    """What one check found. `unchecked` says why it could not be carried out; it is then no pass."""

    violations: tuple[Violation, ...] = ()
    unchecked: str = ""


class Judge(Struct, frozen=True):
    """A check as one request needs it. `name` is what records call it.

    `gather` finds out once what the check needs of the request; else `judge` does that.
    """

    name: str
    judge: Callable[[Said], Finding]
    gather: Callable[[], object] | None = None


class Verdict(Struct, frozen=True, kw_only=True):
    """What becomes of an answer: it passes, or there is a `failure`, or a call is withheld (`violation`)."""

    validation: Validation
    failure: Failure | None = None
    violation: Violation | None = None


PASSED = Finding()
