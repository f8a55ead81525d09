"""What to do next under one decision: which model to call, after which wait. Pure.

A driver calls, waits and reports back; nothing here does. The order is the decision's: its route, then
its fallbacks as their `when` applies. The target that just failed is called again only where that is safe
and sensible, before another takes over: see `_pause_s`.
"""

from collections.abc import Container, Generator, Sequence
from typing import Final, Literal

from msgspec import Struct

from interlock.types.answer import AttemptOutcome
from interlock.types.decision import Decision, FallbackStep
from interlock.types.labels import When
from interlock.types.record import Attempt

Skipped = Literal["budget", "not_permitted", "open", "cooled", "busy", "no_retry"]
"""Why a step was not called: money, policy, its breaker, its rate limit, the account's limits, the
upstream's retry budget."""

FAILS_AS: Final[dict[str, When]] = {
    "timeout": "timeout_or_5xx",
    "connect_failed": "timeout_or_5xx",
    "upstream_error": "timeout_or_5xx",
    "malformed": "timeout_or_5xx",
    "rate_limited": "rate_limit",
    "context_length": "context_length",
    "content_filtered": "content_filter",
    "schema_invalid": "schema_invalid",
    "budget": "budget",
    "not_permitted": "not_permitted",
    "open": "timeout_or_5xx",
    "cooled": "rate_limit",
    "busy": "rate_limit",
}
_THEIRS: Final = ("budget", "not_permitted")
"""Skipped for what the request is, not for how the model does: an earlier failure stays the one to follow."""

LEAST_S: Final = 0.05
"""Nothing is started with less time left than this."""
MOST_CALLS: Final = 3
"""Calls of one request where no budget sets `max_attempts`: repeats and fallbacks together."""
BASE_S: Final = 0.05
THROTTLED_BASE_S: Final = 1.0
LONGEST_BACKOFF_S: Final = 20.0
"""Full jitter, as the AWS SDKs do it: a wait is drawn evenly from 0 to base * 2**n, at most this."""
LONGEST_WAIT_S: Final = 60.0
"""An upstream that asks for more is not waited for."""
WORTH_WAITING_S: Final = 2.0
"""An upstream that asks for more is not waited for where another model stands by."""


class Step(Struct, frozen=True, kw_only=True, gc=False):
    """A model to call, `after_s` seconds from now.

    `spare` says that another model would be tried if this one timed out. `again`: it was called
    already, so this takes from its upstream's retry budget.
    """

    provider: str
    model: str
    endpoint: str | None
    region: str | None
    spare: bool
    after_s: float = 0.0
    again: bool = False
    hedge: "Hedge | None" = None


class Hedge(Struct, frozen=True, kw_only=True):
    """A second call, begun where the first has said nothing after so long. The first answer wins."""

    after_s: float
    step: Step


class AttemptEnd(Struct, frozen=True, kw_only=True):
    """How a step ended. `final`: nothing else may be tried. `calls` count towards `max_attempts`.

    `safe`: the upstream said itself that it did nothing, so it may be called again. `asked_s` is how long
    it, or its limit, wants to be left in peace. `left_s` is the time to the deadline, and `draw`, in
    [0, 1), the chance for a wait. `hedged`: the step's hedge was begun too.
    """

    outcome: AttemptOutcome | Skipped
    final: bool = False
    calls: int = 1
    hedged: bool = False
    safe: bool = False
    asked_s: float | None = None
    left_s: float = 0.0
    draw: float = 0.0


def first_step(decision: Decision, hedge_after_s: float | None = None) -> Step:
    """Where a decision begins, and mostly ends.

    With `hedge_after_s` it has a hedge: the model that would follow a timeout, else itself.
    """
    here, limit = decision.route, decision.budgets.max_attempts or MOST_CALLS
    assert here is not None, "a decision without a route is never executed"
    model = here.model
    may_call_again = limit > 1
    return Step(
        provider=here.provider,
        model=model,
        endpoint=here.endpoint,
        region=here.region,
        spare=may_call_again and _find(decision, (model,), model, "timeout_or_5xx") is not None,
        hedge=None if hedge_after_s is None else _hedge(decision, hedge_after_s),
    )


def attempts(decision: Decision, first: Step) -> Generator[Step, AttemptEnd, None]:
    """Yield the steps of a decision in order from `first`; send back how each ended. The end is to give up.

    A step that was skipped for what the request is leaves the earlier failure in place: the next
    fallback is looked up for the model that really failed.
    """
    limit = decision.budgets.max_attempts or MOST_CALLS
    step, hedge = first, first.hedge
    tried = {step.model}
    calls = repeats = 0
    failed: tuple[str, When] | None = None
    while True:
        end = yield step
        if hedge is not None and end.hedged:
            tried.add(hedge.step.model)
        hedge = None
        calls += end.calls
        when = FAILS_AS.get(end.outcome)
        if end.final or (when is None and end.outcome != "no_retry"):
            return
        if calls >= limit:
            return
        if when is not None and (failed is None or end.outcome not in _THEIRS):
            failed = (step.model, when)
        assert failed is not None, "a repeat follows a failure"
        found = _find(decision, tried, *failed)
        pause_s = _pause_s(end, repeats, limit - calls, stands_by=found is not None)
        place: Step | FallbackStep
        if pause_s is not None:
            repeats, place, again = repeats + 1, step, end.calls > 0 or step.again
        elif found is not None:
            repeats, place, again = 0, decision.fallbacks[found], False
            tried.add(place.model)
        else:
            return
        may_call_again = calls + 1 < limit
        step = Step(
            provider=place.provider,
            model=place.model,
            endpoint=place.endpoint,
            region=place.region,
            spare=may_call_again and _find(decision, tried, place.model, "timeout_or_5xx") is not None,
            after_s=pause_s or 0.0,
            again=again,
        )


def follower(decision: Decision, before: Sequence[Attempt], model: str, when: When) -> FallbackStep | None:
    """Which other model would be asked if a call of `model`, after those before it, failed so; None: none."""
    if len(before) + 1 >= (decision.budgets.max_attempts or MOST_CALLS):
        return None
    tried = {model, *(attempt.model for attempt in before)}
    found = _find(decision, tried, model, when)
    return None if found is None else decision.fallbacks[found]


def _hedge(decision: Decision, after_s: float) -> Hedge | None:
    """The hedge of a decision's first step; None where there may be only one call."""
    here = decision.route
    if here is None or decision.budgets.max_attempts == 1:
        return None
    found = _find(decision, (here.model,), here.model, "timeout_or_5xx")
    place = here if found is None else decision.fallbacks[found]
    step = Step(
        provider=place.provider,
        model=place.model,
        endpoint=place.endpoint,
        region=place.region,
        spare=False,
        again=True,
    )
    return Hedge(after_s=after_s, step=step)


def _find(decision: Decision, tried: Container[str], failed: str, when: When) -> int | None:
    """The place of the first fallback that follows `failed` by `when` and has not been tried."""
    for place, step in enumerate(decision.fallbacks):
        if step.from_ in ("*", failed) and step.when in (when, "any") and step.model not in tried:
            return place
    return None


def _pause_s(end: AttemptEnd, repeats: int, room: int, *, stands_by: bool) -> float | None:
    """How long to wait before the same target is called again; None: it is not.

    Twice at most, and once where another model stands by, for which one of the `room` calls left is
    kept. A model that stands by goes first at once where nothing could be reached, or where the
    wait would be long or is unknown. What an upstream asks for is waited for in full, or not at all.
    """
    kept = 1 if stands_by else 0
    if not end.safe or repeats >= 2 - kept or room < 1 + kept:
        return None
    limited = FAILS_AS[end.outcome] == "rate_limit"
    if stands_by and (end.outcome == "connect_failed" or (limited and end.asked_s is None)):
        return None
    if end.asked_s is None:
        pause_s = backoff_s(THROTTLED_BASE_S if limited else BASE_S, repeats, end.draw)
    elif end.asked_s > (WORTH_WAITING_S if stands_by else LONGEST_WAIT_S):
        return None
    else:
        pause_s = end.asked_s + backoff_s(BASE_S, repeats, end.draw)
    return pause_s if pause_s + LEAST_S < end.left_s else None


def backoff_s(base_s: float, repeats: int, draw: float) -> float:
    """A wait with full jitter before the repeat after so many, in seconds."""
    return draw * min(LONGEST_BACKOFF_S, base_s * 2.0**repeats)
