"""What an upstream's account allows: calls and tokens in a minute, calls at once; configured, or learned.

A minute is any sixty seconds, not one of the clock's: what a provider counts, whichever way it counts, is
never more. Who has to wait is told for how long, or stands in a short queue; nobody waits for ever.
"""

from bisect import insort
from collections import deque
from collections.abc import Hashable
from typing import Final, Generic, TypeVar

from interlock.config.written import Limits as Rules
from interlock.resilience.crowd import Crowd
from interlock.resilience.quota import Begun, Quota

SPAN_S: Final = 60.0
PLACES_PER_SLOT: Final = 4
"""Room in the queue, for each call that may run at once; and never less than LEAST_PLACES in all."""
LEAST_PLACES: Final = 16

Ticket = TypeVar("Ticket")


class Window:
    """Mutable: at most `most` units in any SPAN_S seconds. Reservations are made in order of time."""

    __slots__ = ("_last", "_noted", "_total", "most")

    def __init__(self, most: int) -> None:
        self.most = most
        self._noted: deque[tuple[float, int]] = deque()
        self._total = 0
        self._last = 0.0

    def start_at(self, now: float, units: int) -> float:
        """The first instant at which so many units fit. More than `most` count as `most`."""
        self._forget(now)
        at = max(now, self._last) if self._noted else now
        over = self._total + min(units, self.most) - self.most
        for noted_at, noted in self._noted:
            if over <= 0:
                break
            over -= noted
            at = max(at, noted_at + SPAN_S)
        return at

    def leaves_half(self, now: float, units: int) -> bool:
        """Whether half of the units of a span are still free with so many more."""
        self._forget(now)
        return 2 * (self._total + units) <= self.most

    def reserve(self, at: float, units: int) -> None:
        """Count so many units at an instant that `start_at` gave."""
        units = min(units, self.most)
        self._noted.append((at, units))
        self._total += units
        self._last = at

    def note(self, now: float, units: int) -> None:
        """Count units that were known only once they had been used."""
        self.reserve(max(now, self._last), units)

    def _forget(self, now: float) -> None:
        while self._noted and self._noted[0][0] <= now - SPAN_S:
            self._total -= self._noted.popleft()[1]


class Slots(Generic[Ticket]):
    """Mutable: the calls under way, and a bounded queue ordered by rank, then arrival.

    At most `most` at once: as is configured (None: any number), or fewer, while `crowd` has learned so.
    """

    __slots__ = ("_allowed", "_number", "_queue", "crowd", "places", "taken")

    def __init__(self, most: int | None = None) -> None:
        self.crowd = Crowd()
        self.places = LEAST_PLACES
        self.taken = 0
        self._queue: list[tuple[int, int, Ticket]] = []
        self._number = 0
        self.allow(most)

    def allow(self, most: int | None) -> None:
        """Take on another configured number."""
        self._allowed = most
        self.places = max(LEAST_PLACES, (most or 0) * PLACES_PER_SLOT)

    @property
    def most(self) -> int | None:
        allowed, learned = self._allowed, self.crowd.most
        return min(allowed, learned) if allowed and learned else allowed or learned

    @property
    def is_full(self) -> bool:
        most = self.most
        return most is not None and self.taken >= most

    def overload(self, now: float, began: float) -> bool:
        """A call that began at `began`, and is still counted, was too much. Whether fewer may go now."""
        self.places = max(self.places, self.taken * PLACES_PER_SLOT)
        return self.crowd.overload(now, began, self.taken)

    @property
    def waiting(self) -> int:
        return len(self._queue)

    def enter(self) -> bool:
        """Take a slot, if one is free."""
        if self.is_full:
            return False
        self.taken += 1
        return True

    def queue(self, ticket: Ticket, rank: int) -> tuple[bool, Ticket | None]:
        """Stand in the queue; a lower rank goes first. Where it is full, the last of a higher rank gives way.

        The answer is whether the ticket stands in the queue now, and who had to give way.
        """
        gone: Ticket | None = None
        if len(self._queue) >= self.places:
            if self._queue[-1][0] <= rank:
                return False, None
            gone = self._queue.pop()[2]
        self._number += 1
        insort(self._queue, (rank, self._number, ticket))
        return True, gone

    def leave(self) -> None:
        """Give a slot back. Whoever waits has it by `following`."""
        assert self.taken > 0, "nobody had a slot"
        self.taken -= 1

    def following(self) -> Ticket | None:
        """Who is first in the queue, where there is a slot, which it has at once."""
        if not self._queue or self.is_full:
            return None
        self.taken += 1
        return self._queue.pop(0)[2]

    def give_up(self, ticket: Ticket) -> None:
        """Leave the queue without having had a slot."""
        self._queue = [entry for entry in self._queue if entry[2] is not ticket]


class Quotas:
    """Mutable: the quotas that the headers of an account told of: by model, and of all of it."""

    __slots__ = ("_by_model", "account")

    def __init__(self) -> None:
        self.account: Quota | None = None
        self._by_model: dict[Hashable, Quota] = {}

    def __bool__(self) -> bool:
        return self.account is not None or bool(self._by_model)

    def of(self, model: Hashable) -> tuple[Quota, ...]:
        """Those that a call of a model comes under."""
        mine = self._by_model.get(model)
        return tuple(quota for quota in (mine, self.account) if quota is not None)

    def made(self, model: Hashable | None) -> Quota:
        """The quota of a model, or the account's (None), from now on."""
        if model is None:
            self.account = self.account or Quota()
            return self.account
        return self._by_model.setdefault(model, Quota())


class Throttle(Generic[Ticket]):
    """Mutable: the limits of one upstream. `slots` and `quotas` are what it has learned, and outlive this."""

    def __init__(
        self, rules: Rules, slots: Slots[Ticket] | None = None, quotas: Quotas | None = None
    ) -> None:
        self.rules = rules
        self.slots: Slots[Ticket] = slots or Slots(rules.concurrency)
        self.quotas = quotas or Quotas()
        self._calls = Window(rules.requests_per_minute) if rules.requests_per_minute else None
        self._tokens = Window(rules.tokens_per_minute) if rules.tokens_per_minute else None

    def start_at(self, now: float, tokens: int) -> float:
        """The first instant at which a call with so many tokens is within both rates."""
        at = now
        if self._calls is not None:
            at = max(at, self._calls.start_at(now, 1))
        if self._tokens is not None:
            at = max(at, self._tokens.start_at(now, tokens))
        return at

    def is_quiet(self, now: float, tokens: int, model: Hashable) -> bool:
        """Whether nobody waits, and one more call with so many tokens leaves half of every limit free."""
        most = self.slots.most
        if self.slots.waiting or (most is not None and 2 * (self.slots.taken + 1) > most):
            return False
        if not all(quota.leaves_half(now, tokens) for quota in self.quotas.of(model)):
            return False
        return all(
            window is None or window.leaves_half(now, units)
            for window, units in ((self._calls, 1), (self._tokens, tokens))
        )

    def reserve(self, at: float, tokens: int) -> None:
        """Count a call that begins at an instant that `start_at` gave."""
        if self._calls is not None:
            self._calls.reserve(at, 1)
        if self._tokens is not None:
            self._tokens.reserve(at, tokens)

    def fits(self, now: float, tokens: int, model: Hashable) -> bool:
        """Whether one more call of a model may begin within one that is under way."""
        quotas = self.quotas.of(model)
        return self.start_at(now, tokens) <= now and all(q.start_at(now, tokens) <= now for q in quotas)

    def begin(self, now: float, tokens: int, model: Hashable) -> Begun:
        """Count one that `fits`."""
        self.reserve(now, tokens)
        return tuple((quota, quota.begin(now, tokens)) for quota in self.quotas.of(model))

    def produced(self, now: float, tokens: int) -> None:
        """Count the tokens of an answer, which nobody could know before."""
        if self._tokens is not None and tokens > 0:
            self._tokens.note(now, tokens)
