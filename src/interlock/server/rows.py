"""Rows of the store, made quickly and small: records of one shape have most of their bytes in common.

The shape goes to the store once; each row has what fills its holes. A decision's is found by what it shares
with an earlier one, as `route.memory` makes them; where that leads nowhere, by the bytes themselves.
Numbers and mappings are in holes, or compared by identity: 1 and 1.0 are equal, and other bytes.
"""

from collections.abc import Callable
from typing import Any, Final

import msgspec
from msgspec import Struct
from msgspec.structs import astuple, replace

from interlock.execute.executor import Execution
from interlock.route.decide import encode_decision
from interlock.server.records import Rest, encode_rest, to_row
from interlock.store.records import shared, written_row
from interlock.store.shapes import HOLE, Shape, shape
from interlock.types.decision import Budgets, Decision, PolicyOutcome, Provenance, Why
from interlock.types.record import Attempt, Status, Validation
from interlock.types.signals import Signals

MOST: Final = 1024
"""How many decisions, names and verdicts are remembered; past that, all are forgotten and learned again."""

_encode: Final = msgspec.json.Encoder().encode


def _span(of: type[Struct], first: str, last: str) -> slice:
    """Where some neighbours are among the values of a struct."""
    return slice(of.__struct_fields__.index(first), of.__struct_fields__.index(last) + 1)


# What goes into holes, beside `id` and `created_at`, and what is between; in the order on the wire.
_FIGURES: Final = _span(Why, "dropped", "propensity")
_BEFORE_FIGURES, _AFTER_FIGURES = slice(_FIGURES.start), slice(_FIGURES.stop, None)
_SIZES: Final = _span(Signals, "endpoint", "longest_input")
_TERMS: Final = _span(Signals, "session", "max_cost_usd")
_FINDINGS: Final = _span(Signals, "findings", "findings")
_BEFORE_SIZES, _BEFORE_TERMS = slice(_SIZES.start), slice(_SIZES.stop, _TERMS.start)
_BEFORE_FINDINGS, _AFTER_FINDINGS = slice(_TERMS.stop, _FINDINGS.start), slice(_FINDINGS.stop, None)
_CHANCE: Final = _span(Provenance, "world_hash", "draw")
_BEFORE_CHANCE, _AFTER_CHANCE = slice(_CHANCE.start), slice(_CHANCE.stop, None)
_VALIDATED: Final = Attempt.__struct_fields__.index("validation")


class _Like(Struct, frozen=True):
    """A decision whose shape is in the store: the shape's name, and the columns that go with it."""

    policy: PolicyOutcome
    """Kept, so that nothing else has its identity."""
    budgets: Budgets
    limits: dict[str, str]
    others: tuple[Any, ...]
    name: str
    columns: tuple[Any, ...]


class Rows:
    """Mutable: the shapes that records have had. `keep` puts one before whatever is written later."""

    def __init__(self, keep: Callable[[Shape], object]) -> None:
        self._keep = keep
        self._likes: dict[int, _Like] = {}
        self._once: set[str] = set()
        self._kept: set[str] = set()
        self._rests: dict[tuple[Validation | str | None, ...], str] = {}

    def row(
        self,
        decision: Decision,
        status: Status,
        execution: Execution | None,
        content: msgspec.Raw | None,
        *,
        at: int,
        used: dict[str, float] | None,
    ) -> tuple[Any, ...]:
        """The values of a record's row: once shapes are filled, what `to_row` gives. Raises StoreError."""
        like = self._likes.get(id(decision.policy))
        holes, others = _parted(decision)
        if (
            like is None
            or like.budgets is not decision.budgets
            or like.limits is not decision.why.limits
            or like.others != others
        ):
            like = self._learn(decision, others)
            if like is None:
                return written_row(to_row(decision, status, execution, content, at=at, used=used))
        rest = None
        if execution is not None and content is None:
            rest = self._plain_rest(decision, status, execution, used)
        return (
            decision.id,
            at,
            status,
            decision.provenance.world_hash,
            decision.signals.session,
            _encode((like.name, *holes)),
            rest or encode_rest(decision, status, execution, content, used),
            *like.columns,
        )

    def _learn(self, decision: Decision, others: tuple[Any, ...]) -> _Like | None:
        """The shape of a decision, kept from the second of its kind on; None where it is stored in full."""
        if decision.route is None:
            return None
        made = shape(_with_holes(decision))
        if made.hash not in self._kept and not self._keeps(made):
            return None
        if len(self._likes) >= MOST:
            self._likes.clear()
        columns = shared(to_row(decision, "ok"))
        like = _Like(decision.policy, decision.budgets, decision.why.limits, others, made.hash, columns)
        self._likes[id(decision.policy)] = like
        return like

    def _keeps(self, made: Shape) -> bool:
        """Put a shape into the store, if it has been seen before, and not too many others have."""
        if len(self._kept) >= MOST:
            return False
        if made.hash not in self._once:
            if len(self._once) >= MOST:
                self._once.clear()
            self._once.add(made.hash)
            return False
        self._keep(made)
        self._kept.add(made.hash)
        return True

    def _plain_rest(
        self, decision: Decision, status: Status, execution: Execution, used: dict[str, float] | None
    ) -> bytes | None:
        """`rest` of a request that one attempt at its first model has ended, small; None for any other."""
        attempts, validation = execution.attempts, execution.validation
        if len(attempts) != 1 or execution.error is not None or execution.skipped or used is None:
            return None
        attempt, route = attempts[0], decision.route
        if (
            attempt.validation is not validation
            or route is None
            or attempt.model != route.model
            or execution.counted is not None
        ):
            return None
        name = self._rests.get((validation, *used))
        if name is None:
            name = self._learn_rest(validation, used)
            if name is None:
                return None
        values = astuple(attempt)
        return _encode(
            (
                name,
                status,
                *values[:_VALIDATED],
                *values[_VALIDATED + 1 :],
                execution.cost_usd,
                *used.values(),
            )
        )

    def _learn_rest(self, validation: Validation | None, used: dict[str, float]) -> str | None:
        if len(self._rests) >= MOST or (validation is not None and validation.violations):
            return None
        holes: dict[str, Any] = dict.fromkeys(Attempt.__struct_fields__, HOLE)
        attempt = Attempt(**{**holes, "validation": validation})
        status: Any = HOLE
        cost: Any = HOLE
        body = _encode(
            Rest(
                status=status,
                attempts=(attempt,),
                cost_usd=cost,
                budgets_used=dict.fromkeys(used, cost),
                validation=validation,
            )
        )
        made = shape(body)
        self._keep(made)
        self._rests[validation, *used] = made.hash
        return made.hash


def _parted(decision: Decision) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    """The values of a decision that go into holes, in order, and all others but its budgets."""
    why, signals, provenance = astuple(decision.why), astuple(decision.signals), astuple(decision.provenance)
    holes = (
        decision.id,
        decision.created_at,
        *why[_FIGURES],
        *signals[_SIZES],
        *signals[_TERMS],
        *signals[_FINDINGS],
        *provenance[_CHANCE],
    )
    others = (
        decision.route,
        decision.policy,
        decision.fallbacks,
        decision.cascade,
        why[_BEFORE_FIGURES],
        why[_AFTER_FIGURES],
        signals[_BEFORE_SIZES],
        signals[_BEFORE_TERMS],
        signals[_BEFORE_FINDINGS],
        signals[_AFTER_FINDINGS],
        provenance[_BEFORE_CHANCE],
        provenance[_AFTER_CHANCE],
    )
    return holes, others


def _holed(of: Struct, *spans: slice) -> Any:
    names = [name for span in spans for name in of.__struct_fields__[span]]
    return replace(of, **dict.fromkeys(names, HOLE))


def _with_holes(decision: Decision) -> bytes:
    return encode_decision(
        replace(
            decision,
            id=HOLE,
            created_at=HOLE,
            why=_holed(decision.why, _FIGURES),
            signals=_holed(decision.signals, _SIZES, _TERMS, _FINDINGS),
            provenance=_holed(decision.provenance, _CHANCE),
        )
    )
