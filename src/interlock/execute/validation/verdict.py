"""From a request to what its answer has to be, and from an answer to its verdict.

A plain request costs a few comparisons here: nothing is expected of its answers, and of those that need
more, the offer is made when something is called.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Final

from msgspec.structs import replace

from interlock.config.written import ToolSpec
from interlock.errors import ApiError
from interlock.execute.validation import citations, required, schemas
from interlock.execute.validation.calls import NOTHING_OFFERED, Calls, Offer, nobody, offer_of
from interlock.execute.validation.contract import Asked, Contract
from interlock.execute.validation.findings import Finding, Judge, Verdict, Violation
from interlock.execute.validation.said import Said, calls_of, is_empty, refuses, said_of, state_of
from interlock.types.answer import Answer, Failure
from interlock.types.decision import Decision
from interlock.types.labels import EscalateWhen
from interlock.types.record import Validation
from interlock.types.request import Request, Text

CHECKS: Final[tuple[Callable[[Asked], Iterable[Judge]], ...]] = (
    required.judges,
    schemas.judges,
    citations.judges,
)
"""Every check of what an answer says, in the order in which records name them."""

_NOTHING_CHECKED: Final = Validation(verdict="unchecked")
WORDS: Final = Verdict(validation=_NOTHING_CHECKED)
"""The verdict on a whole answer of one text, and nothing else, of which nothing was asked."""
_NOT_JUDGED: Final = {
    "cut": "the answer was cut before it was complete, so it was not judged",
    "refused": "the model refused, so there was nothing to judge",
}


class Expected:
    """What one request's answers have to be. Made once per request, shared by its attempts.

    `inert`: their links and images are taken apart, after they were judged.
    """

    def __init__(
        self,
        request: Request,
        decision: Decision,
        contract: Contract | None,
        specs: Mapping[str, ToolSpec],
        default: ToolSpec,
    ) -> None:
        self.judges: tuple[Judge, ...] = ()
        self.inert = decision.policy.safety_mode == "sandbox"
        self._asked = Asked(request, contract)
        self._decision = decision
        self._specs = specs
        self._default = default
        self._offer: Offer | None = None if request.tools else NOTHING_OFFERED
        if contract is not None or request.response_format is not None or request.tool_choice is not None:
            self.judges = tuple(judge for judges in CHECKS for judge in judges(self._asked))
        else:  # nothing looks at what was said, and this lives as long as an answer
            self._asked = Asked(replace(request, messages=()), contract)

    @property
    def offer(self) -> Offer:
        """What may be called; made when it is first asked for."""
        if self._offer is None:
            asked = self._asked
            strict = asked.contract is not None and asked.contract.strict_arguments
            self._offer = offer_of(asked.request, self._decision, self._specs, self._default, strict=strict)
        return self._offer

    def gather(self) -> None:
        """Find out everything that answers will be judged by, which takes as long as the request is large."""
        _ = self.offer
        for judge in self.judges:
            if judge.gather is not None:
                judge.gather()

    def impossible(self) -> ApiError | None:
        """The error for a request that no answer could satisfy: nothing is called for it in vain."""
        request, contract = self._asked.request, self._asked.contract
        own = request.response_format
        if own is not None and own.json_schema is not None and schemas.validator_of(own.json_schema) is None:
            return _unusable("of the answer", "response_format")
        for tool in request.tools:
            strict = tool.strict or (contract is not None and contract.strict_arguments)
            if strict and tool.parameters and schemas.validator_of(tool.parameters) is None:
                return _unusable(f"of the strict tool `{tool.name[:64]}`", "tools")
        missing = required.missing_before(self._asked)
        return _not_offered(missing, self.offer, contract) if missing and contract is not None else None


class _Nothing(Expected):
    """Of a request that offers and demands nothing: whatever it is answered is taken."""

    def __init__(self) -> None:
        self.judges = ()
        self.inert = False
        self._offer = NOTHING_OFFERED

    def impossible(self) -> ApiError | None:
        return None


NOTHING_EXPECTED: Final[Expected] = _Nothing()


def expect(
    request: Request,
    decision: Decision,
    contract: Contract | None,
    specs: Mapping[str, ToolSpec],
    default: ToolSpec,
) -> Expected:
    """What a request's answers have to be: mostly nothing in particular, and that is one value for all."""
    if (
        request.tools
        or contract is not None
        or request.response_format is not None
        or request.tool_choice is not None
        or decision.policy.safety_mode == "sandbox"
    ):
        return Expected(request, decision, contract, specs, default)
    return NOTHING_EXPECTED


def judge_answer(answer: Answer, expected: Expected, stands_by: Callable[[], bool] = nobody) -> Verdict:
    """The verdict on a whole answer. `stands_by`: whether another model would be asked in its place."""
    if not expected.judges and answer.finish == "stop" and len(answer.parts) == 1:
        only = answer.parts[0]
        if type(only) is Text and only.text:
            return WORDS
    said = said_of(answer)
    calls: Calls | None = None
    for call in calls_of(said.parts):
        calls = calls or Calls(expected.offer)
        calls.take(call, stands_by)
    return conclude(said, calls, expected.judges)


def conclude(said: Said, calls: Calls | None, judges: tuple[Judge, ...]) -> Verdict:
    """The verdict on an answer that has ended, and whose calls (None: it makes none) have been judged."""
    if calls is not None and calls.violation is not None:
        return withheld(calls)
    failure = _says_nothing(said)
    if failure is not None:
        return failure
    noted = tuple(calls.noted) if calls is not None else ()
    if calls is None and not judges and not refuses(said):
        return Verdict(validation=_NOTHING_CHECKED)
    checks = ["tool_calls"] if calls is not None else []
    violations, unchecked = list(noted), []
    state = state_of(said)
    for judge in judges if state != "calling" else ():
        reason = _NOT_JUDGED.get(state)
        found = judge.judge(said) if reason is None else Finding(unchecked=reason)
        checks.append(judge.name)
        violations += found.violations
        if found.unchecked:
            unchecked.append(f"{judge.name}: {found.unchecked}")
    validation = Validation(
        verdict="failed" if violations else "unchecked" if unchecked or not checks else "passed",
        checks=tuple(checks),
        violations=(*map(_line, violations), *unchecked),
        triggers=_triggers(violations, refused=state == "refused"),
    )
    bad = [violation for violation in violations if not violation.noted]
    return Verdict(validation=validation, failure=_failed(bad) if bad else None)


def withheld(calls: Calls) -> Verdict:
    """The verdict on an answer of which a call may not reach the caller."""
    found = calls.violation
    assert found is not None
    validation = Validation(
        # A call that waits for a human broke no rule; nor has everything after it been judged.
        verdict="unchecked" if found.held else "failed",
        checks=("tool_calls",),
        violations=tuple(map(_line, (*calls.noted, found))),
        triggers=_triggers(calls.noted if found.held else (*calls.noted, found), refused=False),
    )
    return Verdict(validation=validation, violation=found)


def _says_nothing(said: Said) -> Verdict | None:
    """An answer without a word is none, unless it was cut, refused or paused before its first."""
    if said.finish not in ("stop", "tool_calls", "content_filter") or not is_empty(said):
        return None
    if said.finish == "content_filter":
        message = "the provider's content filter stopped the answer"
        return Verdict(
            validation=_NOTHING_CHECKED, failure=Failure(outcome="content_filtered", message=message)
        )
    message = "the provider's answer is empty"
    found = Validation(verdict="failed", checks=("not_empty",), violations=(f"not_empty: {message}",))
    return Verdict(validation=found, failure=Failure(outcome="malformed", message=message))


def _failed(violations: list[Violation]) -> Failure:
    message = "; ".join(violation.message for violation in violations)
    return Failure(outcome="schema_invalid", message=message)


def _triggers(violations: Iterable[Violation], *, refused: bool) -> tuple[EscalateWhen, ...]:
    hit: list[EscalateWhen] = [violation.trigger for violation in violations]
    return tuple(dict.fromkeys((*hit, "refused") if refused else hit))


def _line(violation: Violation) -> str:
    return f"{violation.rule}: {violation.message}"


def _unusable(whose: str, param: str) -> ApiError:
    return ApiError(
        "invalid_request",
        f"the JSON Schema {whose} cannot be used",
        hint="it must be a valid JSON Schema without references to other documents",
        param=param,
    )


def _not_offered(missing: tuple[str, ...], offer: Offer, contract: Contract) -> ApiError | None:
    for tool in missing:
        if tool in offer.denied:
            return ApiError(
                "tool_denied",
                f"the {contract.owner} requires a call of `{tool}`, which policy denies",
                hint="the decision lists it in `policy.tools_denied` with the rule",
                param="tools",
            )
        if tool not in offer.tools:
            return ApiError(
                "invalid_request",
                f"the {contract.owner} requires a call of `{tool}`, which the request does not offer",
                hint=f"offer `{tool}` among `tools`, or choose another lane",
                param="tools",
            )
    return None
