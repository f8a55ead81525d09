"""The order in which models are tried under one decision. Pure: a driver calls them and reports back.

It does not call, wait, or judge answers, and it never retries the model that just failed.
"""

from collections.abc import Generator
from typing import Final, Literal

from msgspec import Struct

from interlock.types.answer import AttemptOutcome
from interlock.types.decision import Decision
from interlock.types.labels import When

Skipped = Literal["budget", "not_permitted"]

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
}


class Step(Struct, frozen=True, kw_only=True):
    """A model to try. `spare` says that another model would be tried if this one timed out."""

    provider: str
    model: str
    endpoint: str | None
    region: str | None
    spare: bool


class AttemptEnd(Struct, frozen=True, kw_only=True):
    """How a step ended. `final`: nothing else may be tried. `called`: it counts towards `max_attempts`."""

    outcome: AttemptOutcome | Skipped
    final: bool = False
    called: bool = True


def attempts(decision: Decision) -> Generator[Step, AttemptEnd, None]:
    """Yield the steps of a decision in order; send back how each ended.

    A step that was skipped before it was called leaves the earlier failure in place: the next
    fallback is looked up for the model that really failed.
    """
    route = decision.route
    assert route is not None, "a decision without a route is never executed"
    limit = decision.budgets.max_attempts
    tried = {route.model}
    calls = 0
    failed: tuple[str, When] | None = None
    provider, model, endpoint, region = route.provider, route.model, route.endpoint, route.region
    while True:
        may_call_again = limit is None or calls + 1 < limit
        spare = may_call_again and _find(decision, tried, model, "timeout_or_5xx") is not None
        end = yield Step(provider=provider, model=model, endpoint=endpoint, region=region, spare=spare)
        calls += end.called
        when = FAILS_AS.get(end.outcome)
        if when is None or end.final or (limit is not None and calls >= limit):
            return
        if end.called or failed is None:
            failed = (model, when)
        found = _find(decision, tried, *failed)
        if found is None:
            return
        step = decision.fallbacks[found]
        provider, model, endpoint, region = step.provider, step.model, step.endpoint, step.region
        tried.add(model)


def _find(decision: Decision, tried: set[str], failed: str, when: When) -> int | None:
    """The place of the first fallback that follows `failed` by `when` and has not been tried."""
    for place, step in enumerate(decision.fallbacks):
        if step.from_ in ("*", failed) and step.when in (when, "any") and step.model not in tried:
            return place
    return None
