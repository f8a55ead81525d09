"""What this process knows of each target and each upstream, kept over reloads of the config.

A target is one model at one deployment: what breaks or is rate-limited there says little about other
models of the vendor. An upstream is a provider's account: its limits and its retry budget are shared.
"""

from collections.abc import Sequence
from typing import Any, Literal

from msgspec import Struct

from interlock.config.written import Breaker as BreakerRules
from interlock.config.written import Limits, Resilience
from interlock.config.written import RetryBudget as RetryRules
from interlock.resilience.breaker import Breaker
from interlock.resilience.learned import Said, peace_s
from interlock.resilience.limits import Quotas, Slots, Throttle
from interlock.resilience.quota import Begun
from interlock.resilience.retries import RetryBudget


class Refusal(Struct, frozen=True):
    """Why a target is not called now: `open` (it keeps failing) or `cooled` (it asked for peace)."""

    kind: Literal["open", "cooled"]
    wait_s: float
    why: str


class TargetHealth:
    """Mutable: one model at one deployment."""

    __slots__ = ("breaker", "cooled_until")

    def __init__(self, rules: BreakerRules) -> None:
        self.breaker = Breaker(rules)
        self.cooled_until = 0.0

    def refuses(self, now: float) -> Refusal | None:
        """Why no call may begin at this instant; None where one may."""
        if self.breaker.open_until is None and self.cooled_until <= now:
            return None
        wait_s = self.breaker.wait_s(now)
        if wait_s is not None:
            why = f"its breaker is open, the next call is tried in {_shown(wait_s)}"
            return Refusal("open", wait_s, why)
        if self.cooled_until > now:
            wait_s = self.cooled_until - now
            return Refusal("cooled", wait_s, f"its limit is reached, for another {_shown(wait_s)}")
        return None

    def is_well(self, now: float) -> bool:
        """Whether calls go there as usual."""
        return self.breaker.open_until is None and self.cooled_until <= now

    def cool(self, now: float, asked_s: float | None) -> None:
        """The target said that a limit of it is reached."""
        self.cooled_until = max(self.cooled_until, now + peace_s(asked_s))


class UpstreamHealth:
    """Mutable: one provider's account. `throttle` is None while no limit is configured and none is learned.

    `slots` counts the calls under way always: what is too much is learned of them.
    """

    __slots__ = ("_quotas", "_rules", "retries", "slots", "throttle")

    def __init__(self, rules: RetryRules, limits: Limits | None) -> None:
        self.retries = RetryBudget(rules)
        self.slots: Slots[Any] = Slots()
        self.throttle: Throttle[Any] | None = None
        self._quotas = Quotas()
        self._rules = Limits()
        self.limit(limits)

    def limit(self, limits: Limits | None) -> None:
        """Take on other limits. What runs counts under them too, but for the minute's rates."""
        rules = limits or Limits()
        if rules != self._rules:
            self._rules, self.throttle = rules, None
            self.slots.allow(rules.concurrency)
        self._follow()

    def knows(self, target: TargetHealth, now: float) -> bool:
        """Whether what answers of a target tell of limits need not be read just now."""
        quotas = self._quotas.of(target)
        return bool(quotas) and all(quota.is_known(now) for quota in quotas)

    def hear(self, target: TargetHealth, told: Sequence[Said], now: float, sent: float, begun: Begun) -> bool:
        """What an answer of a target told of limits, whose call was sent at `sent` and counted in `begun`.

        True: it says that nothing is left of one.
        """
        for model, limits in (
            (target, [limit for limit in told if not limit.account]),
            (None, [limit for limit in told if limit.account]),
        ):
            if limits:
                quota = self._quotas.made(model)
                mark = next((mark for counted, mark in begun if counted is quota), None)
                quota.hear(limits, now, sent, mark)
        self._follow()
        return any(limit.remaining == 0 for limit in told)

    def answered(self, now: float) -> None:
        """A call of it, which is still counted, had an answer. Asked only while there is a throttle."""
        self.slots.crowd.succeed(now)
        self._follow()  # always: whoever waits, or comes, may have had it forget by itself

    def overloaded(self, now: float, began: float) -> None:
        """A call of it that began at `began`, and is still counted, came back as one too many."""
        if self.slots.overload(now, began):
            self._follow()

    def _follow(self) -> None:
        """Have a throttle just while there is something to hold back by."""
        slots = self.slots
        learned = self._quotas or slots.crowd.most is not None or slots.waiting
        if not learned and self._rules == Limits():
            self.throttle = None
        elif self.throttle is None:
            self.throttle = Throttle(self._rules, slots, self._quotas)


class Health:
    """Mutable: all targets and upstreams of a process, by name. A reload finds them as they are."""

    def __init__(self) -> None:
        self._targets: dict[tuple[str, str], TargetHealth] = {}
        self._upstreams: dict[str, UpstreamHealth] = {}

    def target(self, base_url: str, model: str, rules: Resilience) -> TargetHealth:
        """The health of an upstream's model at an address, under these rules from now on."""
        found = self._targets.get((base_url, model))
        if found is None:
            found = self._targets[base_url, model] = TargetHealth(rules.breaker)
        found.breaker.rules = rules.breaker
        return found

    def upstream(self, provider: str, rules: Resilience, limits: Limits | None) -> UpstreamHealth:
        """The health of a provider's account, under these rules and limits from now on."""
        found = self._upstreams.get(provider)
        if found is None:
            found = self._upstreams[provider] = UpstreamHealth(rules.retry_budget, limits)
        found.retries.rules = rules.retry_budget
        found.limit(limits)
        return found


def _shown(seconds: float) -> str:
    return f"{seconds:.1f} s"
