"""What a change of the config would do to requests that were decided: counted and grouped, never by tenant.
Pure.

Both configs decide each request from its recorded inputs, so that only the change between them shows. What
becomes possible that was not comes first: requests that were refused, places that could not be reached, tools
that were denied, looser modes. What could not be computed is counted by its reason, and what no replay can
see is named.
"""

from collections.abc import Iterator
from typing import Any, Final, Literal

from msgspec import Struct

from interlock.config.checked import Config
from interlock.replay.again import Place, cost_delta, new_drop, place_of
from interlock.types.decision import Decision, FallbackStep, Route
from interlock.types.labels import LOGGING_RANK, RANK
from interlock.types.record import Record

Kind = Literal["allowed", "reaches", "tools", "looser", "refused", "moved", "cost", "other"]

KINDS: Final[dict[Kind, str]] = {
    "allowed": "were refused and would be served",
    "reaches": "could reach a place that they could not, at once or as a fallback",
    "tools": "could call a tool, or call it without a human, that they could not",
    "looser": "would be held to a looser mode or limit",
    "refused": "were served and would be refused",
    "moved": "would go elsewhere",
    "cost": "would cost another price at the same place",
    "other": "would differ in something else",
}
"""What is newly allowed comes first."""
WIDER: Final[tuple[Kind, ...]] = ("allowed", "reaches", "tools", "looser")
MOST_GROUPS: Final = 100
EXAMPLES: Final = 3
_FOR_SIGNALS: Final = ("classification", "sources", "metadata", "tools", "default_tool", "keys")
"""Sections that signals were made from; signals are taken as they were recorded."""


class Finding(Struct, frozen=True):
    """One thing that would be different for one request. `rule` is the one that made or makes it so."""

    kind: Kind
    what: str
    rule: str | None = None


class Group(Struct, frozen=True, kw_only=True):
    """Requests that would differ alike. `cost_delta_usd` sums those whose prices are known; `unpriced` are
    not.

    `examples` are ids of decisions.
    """

    kind: Kind
    what: str
    lane: str | None
    rule: str | None
    count: int
    cost_delta_usd: float
    unpriced: int
    examples: tuple[str, ...]


class Effect(Struct, frozen=True, kw_only=True):
    """What a change would do to `decisions` requests, of which `changed` would be different.

    `counts` has by kind how many (one may be of several), and `model`, `provider`, `region`: how many would
    go to another one. `not_replayed` counts by reason those that could not be computed; they are not in
    `decisions`. `all_seen` is false where older ones were not looked at. `ungrouped` findings are counted,
    and in no group.
    """

    decisions: int
    changed: int
    counts: dict[str, int]
    cost_delta_usd: float
    unpriced: int
    groups: tuple[Group, ...]
    ungrouped: int
    not_replayed: dict[str, int]
    unseen: tuple[str, ...]
    all_seen: bool

    @property
    def wider(self) -> int:
        """How many findings allow something that was not."""
        return sum(self.counts.get(kind, 0) for kind in WIDER)


class _Sum:
    """Mutable: one group while it grows."""

    def __init__(self) -> None:
        self.count = self.unpriced = 0
        self.cost = 0.0
        self.examples: list[str] = []

    def add(self, name: str, delta: float | None) -> None:
        self.count += 1
        if delta is None:
            self.unpriced += 1
        else:
            self.cost += delta
        if len(self.examples) < EXAMPLES:
            self.examples.append(name)


class Tally:
    """Mutable: adds up requests one by one, in bounded memory. `old` and `new` are the configs compared."""

    def __init__(self, old: Config, new: Config) -> None:
        self._old = old
        self._new = new
        self._all = _Sum()
        self._decisions = 0
        self._ungrouped = 0
        self._counts: dict[str, int] = {}
        self._groups: dict[tuple[Finding, str | None], _Sum] = {}
        self._not_replayed: dict[str, int] = {}

    def add(self, record: Record, before: Decision, after: Decision) -> None:
        """A recorded request, as each config decides it."""
        self._decisions += 1
        delta = cost_delta(record, before, after, self._old, self._new)
        found = dict.fromkeys(findings(before, after, delta))
        if not found:
            return
        self._all.add(record.decision.id, delta)
        for name in (*dict.fromkeys(finding.kind for finding in found), *_elsewhere(before, after)):
            self._counts[name] = self._counts.get(name, 0) + 1
        route = after.route or before.route
        lane = route.lane if route is not None else None
        for finding in found:
            key = finding, lane
            if key not in self._groups and len(self._groups) >= MOST_GROUPS:
                self._ungrouped += 1
                continue
            self._groups.setdefault(key, _Sum()).add(record.decision.id, delta)

    def skip(self, reason: str) -> None:
        """A request that cannot be computed again."""
        self._not_replayed[reason] = self._not_replayed.get(reason, 0) + 1

    def effect(self, *, all_seen: bool) -> Effect:
        order = list(KINDS)
        groups = [
            Group(
                kind=finding.kind,
                what=finding.what,
                lane=lane,
                rule=finding.rule,
                count=found.count,
                cost_delta_usd=round(found.cost, 9),
                unpriced=found.unpriced,
                examples=tuple(found.examples),
            )
            for (finding, lane), found in self._groups.items()
        ]
        groups.sort(key=lambda group: (order.index(group.kind), -group.count, group.what))
        return Effect(
            decisions=self._decisions,
            changed=self._all.count,
            counts=self._counts,
            cost_delta_usd=round(self._all.cost, 9),
            unpriced=self._all.unpriced,
            groups=tuple(groups),
            ungrouped=self._ungrouped,
            not_replayed=self._not_replayed,
            unseen=tuple(
                name for name in _FOR_SIGNALS if getattr(self._old, name) != getattr(self._new, name)
            ),
            all_seen=all_seen,
        )


def findings(before: Decision, after: Decision, delta: float | None) -> Iterator[Finding]:
    """Everything that would be different for one request.

    `delta` is what it would cost more, if that is known.
    """
    differing = _differing(before, after)
    if not differing and not delta:
        return
    was, now = place_of(before), place_of(after)
    told = False
    for finding in (*_served(before, after), *_reached(before, after), *_tools(before, after)):
        told = True
        yield finding
    if now is not None:
        for what in _looser(before, after):
            told = True
            yield Finding("looser", what)
    if was is not None and now is not None and was != now:
        drop = new_drop(before, after, was.model) or new_drop(after, before, now.model)
        yield Finding("moved", f"{_shown(was)} → {_shown(now)}", drop.rule if drop is not None else None)
    elif not told and delta:
        yield Finding("cost", _shown(now))
    elif not told:
        yield Finding("other", ", ".join(differing))


def _served(before: Decision, after: Decision) -> Iterator[Finding]:
    """Whether it is served at all."""
    if before.route is None and after.route is not None:
        yield Finding("allowed", f"refused → {_shown(place_of(after))}", _denied_by(before))
    elif before.route is not None and after.route is None:
        drop = new_drop(before, after, before.route.model)
        rule = drop.rule if drop is not None else _denied_by(after)
        yield Finding("refused", f"{_shown(place_of(before))} → refused", rule)


def _denied_by(decision: Decision) -> str | None:
    dropped = decision.why.dropped
    return dropped[0].rule if dropped else None


def _reached(before: Decision, after: Decision) -> Iterator[Finding]:
    """Places that a request may come to now, as the first or as a stand-in."""
    if before.route is None:
        return  # said already: it was refused
    known = _places(before)
    for (model, region), where in _places(after).items():
        if (model, region) not in known:
            rule = next((drop.rule for drop in before.why.dropped if drop.model == model), None)
            yield Finding("reaches", where, rule)


def _places(decision: Decision) -> dict[tuple[str, str | None], str]:
    """By model and region, every place that a decision may send its request to, in words."""
    first = () if decision.route is None else (decision.route,)
    steps: tuple[Route | FallbackStep, ...] = (*first, *decision.fallbacks)
    found = {
        (step.model, step.region): _shown(Place(provider=step.provider, model=step.model, region=step.region))
        for step in steps
    }
    known = {model for model, _ in found}
    for step in decision.cascade:  # a step names no region
        if step.model not in known:
            found[step.model, None] = f"{step.provider}/{step.model}"
    return found


def _tools(before: Decision, after: Decision) -> Iterator[Finding]:
    """Tools of the request that are denied, or wait for a human, no more."""
    if after.route is None:
        return
    was, now = before.policy, after.policy
    rules = {denied.tool: denied.rule for denied in was.tools_denied}
    held = {*was.requires_approval_for, *was.step_up_for}
    still = {*now.requires_approval_for, *now.step_up_for}
    for tool in now.tools_allowed:
        if tool not in was.tools_allowed:
            yield Finding("tools", f"`{tool}` is allowed", rules.get(tool))
        elif tool in held and tool not in still:
            yield Finding("tools", f"`{tool}` needs no human")


def _looser(before: Decision, after: Decision) -> Iterator[str]:
    """Modes that are less strict, and limits that are higher or gone."""
    was, now = before.policy, after.policy
    for name in ("safety_mode", "layout", "risk_tier"):
        one, other = getattr(was, name), getattr(now, name)
        if RANK[other] < RANK[one]:
            yield f"{name} {one} → {other}"
    if LOGGING_RANK[now.logging] < LOGGING_RANK[was.logging]:
        yield f"logging {was.logging} → {now.logging}"
    if before.route is None:
        return
    for name in before.budgets.__struct_fields__:
        if _rises(getattr(before.budgets, name), getattr(after.budgets, name)):
            yield f"`{name}` is higher or gone"


def _rises(was: Any, now: Any) -> bool:
    """Whether a limit holds less. One that was not set cannot."""
    if isinstance(was, dict):
        return any(_rises(limit, now.get(effect)) for effect, limit in was.items())
    if was is None or isinstance(was, str):
        return False
    return now is None or now > was


def _elsewhere(before: Decision, after: Decision) -> Iterator[str]:
    was, now = place_of(before), place_of(after)
    if was is not None and now is not None:
        for name in ("model", "provider", "region"):
            if getattr(was, name) != getattr(now, name):
                yield name


def _differing(before: Decision, after: Decision) -> list[str]:
    """The parts of a decision that differ, apart from its explanation and its origin."""
    parts = ("route", "budgets", "policy", "fallbacks", "cascade")
    return [name for name in parts if getattr(before, name) != getattr(after, name)]


def _shown(place: Place | None) -> str:
    if place is None:
        return "nobody"
    where = f" in {place.region}" if place.region is not None else ""
    return f"{place.provider}/{place.model}{where}"
