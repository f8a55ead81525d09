"""Can these conditions ever hold together? The question behind dead rules and unreachable lanes.

Conditions are brought into disjunctive normal form; a conjunction is possible when, signal by
signal, some value passes all of its literals. Values to try are those that the conditions
mention, one that they do not, and "missing". Literals are judged by the very closures that judge
requests, so the analysis cannot disagree with the engine.

Sound in one direction: "impossible" is proven. Past `MAX_CONJUNCTIONS`, or with very long lists
of set members, the answer is "possible", because an accusation needs a proof.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain, combinations
from typing import Any, Final

from msgspec import Struct

from interlock.policy.condition import COMBINERS, DOMAINS, Domain, atom_for

MAX_CONJUNCTIONS: Final = 4096
MAX_SET_MEMBERS: Final = 10
OTHER: Final = "\x00other"
MISSING: Final = None

# What the classifier never produces, from how the contract derives the risk tier.
AXIOMS: Final[tuple[Mapping[str, Any], ...]] = (
    {"trust": "untrusted", "risk_tier": "low"},
    {"data_class": {"gte": "confidential"}, "risk_tier": "low"},
    {"data_class": {"gte": "confidential"}, "trust": "untrusted", "risk_tier": {"lte": "medium"}},
    {"data_class": "regulated", "risk_tier": {"lte": "medium"}},
)


class Literal(Struct, frozen=True):
    """One signal's spec: it must be definitely `want` (or, with `negated`, must not be)."""

    signal: str
    spec: Any
    want: bool
    negated: bool = False


Conjunction = tuple[Literal, ...]


class TooLargeError(Exception):
    """The normal form passed its bound; the caller answers "possible"."""


def satisfiable(
    *conditions: Mapping[str, Any] | None, never: Sequence[Mapping[str, Any] | None] = ()
) -> bool:
    """Whether some request makes every condition hold and none of `never` (and no axiom) hold.

    None stands for "always". Conditions must have passed `check_condition`.
    """
    if any(condition is None for condition in never):
        return False
    try:
        forms: list[list[Conjunction]] = [
            _normal(condition, want=True, negated=False) for condition in conditions if condition is not None
        ]
        forms += [
            _normal(condition, want=True, negated=True)
            for condition in (*never, *AXIOMS)
            if condition is not None
        ]
        return _possible(forms, ())
    except TooLargeError:
        return True


def _possible(forms: list[list[Conjunction]], chosen: Conjunction) -> bool:
    """Depth-first over one conjunction of each form, leaving as soon as a choice is impossible."""
    if not _consistent(chosen):
        return False
    if not forms:
        return True
    return any(_possible(forms[1:], (*chosen, *branch)) for branch in forms[0])


def _normal(condition: Mapping[str, Any], *, want: bool, negated: bool) -> list[Conjunction]:
    """Disjunctive normal form of "`condition` is definitely `want`", or of its denial."""
    parts = [_entry(key, spec, want=want, negated=negated) for key, spec in condition.items()]
    return _join(parts, conjunctive=want != negated)


def _entry(key: str, spec: Any, *, want: bool, negated: bool) -> list[Conjunction]:
    if key == "not":
        return _normal(spec, want=not want, negated=negated)
    if key in COMBINERS:
        parts = [_normal(branch, want=want, negated=negated) for branch in spec]
        return _join(parts, conjunctive=((key == "all") == want) != negated)
    if key == "metadata":
        parts = [[(Literal(f"metadata.{name}", inner, want, negated),)] for name, inner in spec.items()]
        return _join(parts, conjunctive=want != negated)
    return [(Literal(key, spec, want, negated),)]


def _join(parts: list[list[Conjunction]], *, conjunctive: bool) -> list[Conjunction]:
    if not conjunctive:
        return list(chain.from_iterable(parts))
    joined: list[Conjunction] = [()]
    for part in parts:
        if len(joined) * len(part) > MAX_CONJUNCTIONS:
            raise TooLargeError
        joined = [(*left, *right) for left in joined for right in part]
    return joined


def _consistent(literals: Conjunction) -> bool:
    by_signal: dict[str, list[Literal]] = {}
    for literal in literals:
        by_signal.setdefault(literal.signal, []).append(literal)
    return all(
        any(all(_holds(literal, value) for literal in group) for value in _values(signal, group))
        for signal, group in by_signal.items()
    )


def _domain(signal: str) -> Domain:
    return DOMAINS.get(signal) or Domain(shape="label", may_miss=True)


def _holds(literal: Literal, value: Any) -> bool:
    if value is MISSING:
        return literal.negated
    held = atom_for(_domain(literal.signal), literal.spec)(value) is literal.want
    return held is not literal.negated


def _values(signal: str, group: list[Literal]) -> Iterator[Any]:
    """Values of a signal that can tell its literals apart."""
    domain = _domain(signal)
    mentioned = sorted({value for literal in group for value in _mentioned(literal.spec)}, key=str)
    if domain.may_miss:
        yield MISSING
    if domain.shape == "flag":
        yield from (True, False)
    elif domain.shape == "number":
        near = {0, *(value + step for value in mentioned for step in (-1, 0, 1))}
        yield from (n for n in sorted(near) if n >= 0 and (domain.below is None or n < domain.below))
    elif domain.shape in ("set", "lane"):
        yield from _subsets(domain, mentioned)
    else:
        yield from domain.values or (*mentioned, OTHER)


def _subsets(domain: Domain, mentioned: list[Any]) -> Iterator[tuple[Any, ...]]:
    """Sets of mentioned members, with and without one that nobody mentions. A lane stands alone."""
    if domain.shape == "lane":
        yield from ((member,) for member in (*mentioned, OTHER))
        return
    if len(mentioned) > MAX_SET_MEMBERS:
        raise TooLargeError
    others: tuple[Any, ...] = () if domain.values and set(domain.values) <= set(mentioned) else (OTHER,)
    for size in range(len(mentioned) + 1):
        for members in combinations(mentioned, size):
            if members or not domain.may_miss:
                yield members
            if others:
                yield (*members, *others)


def _mentioned(spec: Any) -> Iterator[Any]:
    if isinstance(spec, Mapping):
        for value in spec.values():
            yield from _mentioned(value)
    elif isinstance(spec, list | tuple):
        yield from spec
    else:
        yield spec
