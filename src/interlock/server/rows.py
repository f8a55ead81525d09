"""Rows of the store, made quickly and small: records of one shape have most of their bytes in common.

The shape goes to the store once; each row has what fills its holes. A decision's is found by what it shares
with an earlier one, as `route.memory` makes them: the very same objects. Where nothing is shared, because
something was dropped or drawn by lot, or the request was large, the row holds everything.

Shapes outlive records, so there is nothing in them that a caller can choose freely: what they hold is the
config's and the program's own. That keeps them few, too. Numbers and mappings are in holes, or compared by
identity: 1 and 1.0 are equal, and other bytes.
"""

from collections.abc import Callable
from operator import attrgetter
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
"""How many decisions and verdicts are remembered, each; past that, all are forgotten and learned again."""
MOST_ONCE: Final = 256
"""How many decisions are remembered that have come once; past that, all are forgotten."""
MOST_TOOLS: Final = 64
LARGEST: Final = 16 * 1024
"""A decision with more tools, or of more bytes, is stored in full: its parts would have to stay here too."""

_encode: Final = msgspec.json.Encoder().encode


def _span(of: type[Struct], first: str, last: str) -> slice:
    """Where some neighbours are among the values of a struct."""
    return slice(of.__struct_fields__.index(first), of.__struct_fields__.index(last) + 1)


# What goes into holes beside `id` and `created_at`, in the order on the wire: what callers choose, and what
# is another each time. Between them is what the operator has written, or a label out of a few.
_GIVEN: Final = ("max_output_tokens", "deadline_ms", "max_cost_usd")
_TOOLS: Final = PolicyOutcome.__struct_fields__[_span(PolicyOutcome, "tools_allowed", "step_up_for")]
_FIGURES: Final = _span(Why, "dropped", "denied_code")
_BEFORE_FIGURES: Final = slice(_FIGURES.start)
_ASKED: Final = _span(Signals, "model", "modalities")
_TERMS: Final = _span(Signals, "residency", "max_cost_usd")
_FINDINGS: Final = _span(Signals, "findings", "findings")
_LABELS, _GRANTED = slice(_ASKED.stop, _TERMS.start), slice(_TERMS.stop, _FINDINGS.start)
_CHANCE: Final = _span(Provenance, "world_hash", "draw")
_BEFORE_CHANCE: Final = slice(_CHANCE.start)
_VALIDATED: Final = Attempt.__struct_fields__.index("validation")

_given: Final = attrgetter(*_GIVEN)
_tools: Final = attrgetter(*_TOOLS)


class _Like(Struct, frozen=True):
    """A decision whose shape is in the store: the shape's name, and the columns that go with it.

    Policy, budgets and limits are kept, so that nothing else has their identity; `filled` is the JSON of what
    they put into holes, without brackets.
    """

    policy: PolicyOutcome
    budgets: Budgets
    limits: dict[str, str]
    others: tuple[Any, ...]
    name: str
    filled: msgspec.Raw
    columns: tuple[Any, ...]


class Begun(Struct, frozen=True, gc=False):
    """Of a row: its decision as it is stored, and the columns that go with the shape."""

    decision: bytes
    columns: tuple[Any, ...]


class Rows:
    """Mutable: the decisions that have come lately. `keep` puts a shape before whatever is written later.

    `keep` has to be cheap to repeat: what was forgotten here is learned and kept again.
    """

    def __init__(self, keep: Callable[[Shape], object]) -> None:
        self._keep = keep
        self._likes: dict[int, _Like] = {}
        self._once: dict[int, tuple[PolicyOutcome, Budgets, dict[str, str]]] = {}
        self._rests: dict[tuple[Validation | str | None, ...], str] = {}

    def begin(self, decision: Decision) -> Begun | None:
        """What can be written of a decision's row before it has been carried out; None where that is nothing.

        Raises StoreError.
        """
        like = self._likes.get(id(decision.policy))
        if like is None and id(decision.policy) not in self._once:
            return None
        holes, others = _parted(decision)
        if (
            like is None
            or like.budgets is not decision.budgets
            or like.limits is not decision.why.limits
            or like.others != others
        ):
            like = self._learn(decision, others)
            if like is None:
                return None
        return Begun(
            _encode((like.name, decision.id, decision.created_at, like.filled, *holes)), like.columns
        )

    def row(
        self,
        decision: Decision,
        status: Status,
        execution: Execution | None,
        content: msgspec.Raw | None,
        *,
        at: int,
        used: dict[str, float] | None,
        begun: Begun | None = None,
    ) -> tuple[Any, ...]:
        """The values of a record's row: once shapes are filled, what `to_row` gives. Raises StoreError.

        `begun` is what `begin` gave for the decision, if it was asked.
        """
        begun = begun or self.begin(decision)
        if begun is None:
            stored = to_row(decision, status, execution, content, at=at, used=used)
            self._note(decision, len(stored.decision))
            return written_row(stored)
        rest = None
        if execution is not None and content is None:
            rest = self._plain_rest(decision, status, execution, used)
        return (
            decision.id,
            at,
            status,
            decision.provenance.world_hash,
            decision.signals.session,
            begun.decision,
            rest or encode_rest(decision, status, execution, content, used),
            *begun.columns,
        )

    def _note(self, decision: Decision, size: int) -> None:
        """Remember what was stored in full, in so many bytes, if it may be learned when it comes again."""
        if decision.route is None or len(decision.signals.tools) > MOST_TOOLS or size > LARGEST:
            return
        if len(self._once) >= MOST_ONCE:
            self._once.clear()
        self._once[id(decision.policy)] = (decision.policy, decision.budgets, decision.why.limits)

    def _learn(self, decision: Decision, others: tuple[Any, ...]) -> _Like | None:
        """The shape of a decision that has come before as the very same objects; None for any other."""
        policy, budgets, limits = decision.policy, decision.budgets, decision.why.limits
        before = self._once.get(id(policy))
        if before is None or before[1] is not budgets or before[2] is not limits:
            return None
        name = self._kept(_with_holes(decision))
        if name is None:
            return None
        if len(self._likes) >= MOST:
            self._likes.clear()
        filled = msgspec.Raw(_encode((*_given(budgets), *_tools(policy)))[1:-1])
        columns = shared(to_row(decision, "ok"))
        like = _Like(policy, budgets, limits, others, name, filled, columns)
        self._likes[id(policy)] = like
        del self._once[id(policy)]
        return like

    def _kept(self, body: bytes) -> str | None:
        """The name of a shape that is in the store from now on; None where it is too large to be."""
        if len(body) > LARGEST:
            return None
        made = shape(body)
        self._keep(made)
        return made.hash

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
        if validation is not None and validation.violations:
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
        name = self._kept(body)
        if name is not None:
            if len(self._rests) >= MOST:
                self._rests.clear()
            self._rests[validation, *used] = name
        return name


def _parted(decision: Decision) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    """The values of a decision that go into holes from `why` on, in order; and all that go into none.

    Without policy, budgets and limits: those are compared by identity.
    """
    why, signals, provenance = astuple(decision.why), astuple(decision.signals), astuple(decision.provenance)
    holes = (
        *why[_FIGURES],
        *signals[_ASKED],
        *signals[_TERMS],
        *signals[_FINDINGS],
        *provenance[_CHANCE],
    )
    others = (
        decision.route,
        decision.fallbacks,
        decision.cascade,
        why[_BEFORE_FIGURES],
        signals[_LABELS],
        signals[_GRANTED],
        provenance[_BEFORE_CHANCE],
    )
    return holes, others


def _holed(of: Struct, *spans: slice) -> Any:
    return _without(of, *[name for span in spans for name in of.__struct_fields__[span]])


def _without(of: Struct, *names: str) -> Any:
    return replace(of, **dict.fromkeys(names, HOLE))


def _with_holes(decision: Decision) -> bytes:
    return encode_decision(
        replace(
            decision,
            id=HOLE,
            created_at=HOLE,
            budgets=_without(decision.budgets, *_GIVEN),
            policy=_without(decision.policy, *_TOOLS),
            why=_holed(decision.why, _FIGURES),
            signals=_holed(decision.signals, _ASKED, _TERMS, _FINDINGS),
            provenance=_holed(decision.provenance, _CHANCE),
        )
    )
