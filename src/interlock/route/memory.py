"""`decide`, remembering: requests of the same shape are decided once, and the answer is used again.

Traffic has few shapes: the same key asks for the same alias with the same tools and labels, and only
size, id, time and draw differ. A decision is remembered by everything that it depends on but those.
It is used again only where they cannot change it: nothing was dropped (a reason may quote the size),
nobody was chosen by lot or by price, and the request is no larger than the one decided on, because
every objection to a size is one to larger sizes too. What is computed is always what `decide` says;
`tests/route/test_memory.py` compares them byte for byte.
"""

from bisect import bisect_right
from collections.abc import Iterator, Mapping
from operator import itemgetter
from typing import Any, Final

from msgspec import Struct
from msgspec.structs import astuple, replace

from interlock.policy.condition import COMBINERS
from interlock.policy.rules import rule_on
from interlock.route.ask import lane_before_policy
from interlock.route.decide import decide
from interlock.route.limits import smallest, sources
from interlock.route.select import score
from interlock.route.snapshot import Candidate, Snapshot
from interlock.types.decision import Budgets, Decision
from interlock.types.signals import Signals
from interlock.types.world import World

MOST: Final = 2048
"""How many shapes are remembered; past that, all are forgotten and learned again."""

# What a decision does not depend on (`session` only where no condition asks for it). `input_tokens`
# enters by the steps that conditions set, `metadata` and `cannot_carry` as pairs.
_FREE: Final = frozenset(
    {
        "input_tokens",
        "input_tokens_estimated",
        "longest_input",
        "session",
        "findings",
        "endpoint",
        "stream",
    }
)
_DICTS: Final = ("metadata", "cannot_carry")


class Remembered(Struct, frozen=True):
    """A decision, the size it was made for, and what its score is computed from."""

    decision: Decision
    tokens: int
    at_once: int
    candidate: Candidate
    budgets: Budgets


class Memory:
    """Decides under one snapshot and world. Mutable only in what it remembers; not for several threads."""

    def __init__(self, snapshot: Snapshot, world: World, world_hash: str) -> None:
        self._snapshot = snapshot
        self._world = world
        self._world_hash = world_hash
        self._known: dict[tuple[Any, ...], Remembered] = {}
        asked = list(_asked(snapshot))
        self._steps = sorted(
            {step for name, spec in asked if name == "input_tokens" for step in _numbers(spec)}
        )
        free = _FREE - {"session"} if any(name == "session" for name, _ in asked) else _FREE
        fields = enumerate(Signals.__struct_fields__)
        self._shape = itemgetter(
            *[place for place, name in fields if name not in free and name not in _DICTS]
        )

    @property
    def known(self) -> int:
        """How many shapes it remembers."""
        return len(self._known)

    def decide(self, *, id: str, now: str, signals: Signals, draw: float) -> Decision:  # noqa: A002 - as in decide
        """Exactly what `decide` gives for these inputs."""
        shape = (
            self._shape(astuple(signals)),
            bisect_right(self._steps, signals.input_tokens),
            tuple(signals.metadata.items()) if signals.metadata else None,
            tuple(signals.cannot_carry.items()) if signals.cannot_carry else None,
        )
        known = self._known.get(shape)
        tokens, longest = signals.input_tokens, signals.longest_input
        if known is None or tokens > known.tokens or (tokens if longest is None else longest) > known.at_once:
            return self._learn(shape, id, now, signals, draw)
        like = known.decision
        figures = score(known.candidate, signals, known.budgets, self._world)
        return replace(
            like,
            id=id,
            created_at=now,
            why=replace(like.why, scores=(figures,)),
            signals=signals,
            provenance=replace(like.provenance, draw=draw),
        )

    def afresh(self, *, id: str, now: str, signals: Signals, draw: float) -> Decision:  # noqa: A002 - as in decide
        """The same, neither from memory nor into it: for shapes too large to keep, and in any thread."""
        return decide(
            id=id,
            now=now,
            signals=signals,
            snapshot=self._snapshot,
            world=self._world,
            world_hash=self._world_hash,
            draw=draw,
        )

    def _learn(self, shape: tuple[Any, ...], name: str, now: str, signals: Signals, draw: float) -> Decision:
        snapshot = self._snapshot
        decision = self.afresh(id=name, now=now, signals=signals, draw=draw)
        route, why = decision.route, decision.why
        if route is None or why.dropped or len(why.scores) != 1 or why.propensity != 1.0:
            return decision
        ruling = rule_on(snapshot.rules, signals, lane_before_policy(signals, snapshot))
        candidate = next(
            candidate
            for candidate in snapshot.candidates[route.model]
            if candidate.deployment.endpoint == route.endpoint
        )
        budgets, _ = smallest(sources(signals, snapshot, ruling))
        if len(self._known) >= MOST:
            self._known.clear()
        self._known[shape] = Remembered(
            decision, signals.input_tokens, signals.read_at_once, candidate, budgets
        )
        return decision


def _asked(snapshot: Snapshot) -> Iterator[tuple[str, Any]]:
    """Every signal that some condition of the config asks for, with what it asks."""
    for rule in snapshot.config.rules:
        yield from _conditions(rule.when)
    for lane in snapshot.config.lanes:
        yield from _conditions(lane.match)


def _conditions(when: Mapping[str, Any] | None) -> Iterator[tuple[str, Any]]:
    for key, spec in (when or {}).items():
        if key == "not":
            yield from _conditions(spec)
        elif key in COMBINERS:
            for branch in spec:
                yield from _conditions(branch)
        else:
            yield key, spec


def _numbers(spec: Any) -> Iterator[int]:
    """Where the answer of a condition over a number can change: at each number, and just above it."""
    if isinstance(spec, Mapping):
        for value in spec.values():
            yield from _numbers(value)
    elif isinstance(spec, list | tuple):
        for value in spec:
            yield from _numbers(value)
    else:
        yield spec
        yield spec + 1
