"""`when` and `match`: mappings over signals, checked at load and compiled to closures.

A condition is either definitely true, definitely false, or unknown, because a signal it names is
missing; only "definitely true" matches, and `not` turns only "definitely false" into true. So a
signal that is missing never matches, under `not` neither.

The signal `lane` is read twice. A rule may choose a lane, and other rules may look at it: what is
asked positively sees every lane in force, what is asked under `not` sees only the lane that was
there before policy. Both readings make more rules match, never fewer, when a rule is added; that
is what keeps "adding a rule never widens a permission" true.

There is no expression language on purpose: every condition here is finite and can be analysed
(`satisfy.satisfiable`).
"""

import difflib
from collections.abc import Callable, Iterable, Mapping, Sequence
from operator import attrgetter
from typing import Any, Final, Literal

from msgspec import Struct

from interlock.types.labels import (
    DATA_CLASSES,
    EFFECTS,
    LATENCY_CLASSES,
    RISK_TIERS,
    TRUSTS,
)
from interlock.types.signals import Signals

Lanes = tuple[str, ...]
Test = Callable[[Signals, Lanes, Lanes], bool]
"""`test(signals, lanes in force, lanes before policy)`: is the condition definitely true?"""
Atom = Callable[[Any], bool]

Shape = Literal["label", "number", "flag", "set", "lane", "map"]


class Domain(Struct, frozen=True, kw_only=True):
    """What a signal may hold. `values` is closed where given; `scale` orders them for gte and lte."""

    shape: Shape
    values: tuple[str, ...] = ()
    ordered: bool = False
    may_miss: bool = False
    below: int | None = None


DOMAINS: Final[dict[str, Domain]] = {
    "input_tokens": Domain(shape="number", ordered=True),
    "hour_utc": Domain(shape="number", ordered=True, below=24),
    "has_schema": Domain(shape="flag"),
    "asks_for_depth": Domain(shape="flag"),
    "data_class": Domain(shape="label", values=DATA_CLASSES, ordered=True),
    "risk_tier": Domain(shape="label", values=RISK_TIERS, ordered=True),
    "trust": Domain(shape="label", values=TRUSTS, ordered=True),
    "latency_class": Domain(shape="label", values=LATENCY_CLASSES),
    "tool_effect": Domain(shape="set", values=EFFECTS),
    "modalities": Domain(shape="set", values=("text", "image", "file", "audio")),
    "tools": Domain(shape="set"),
    "tool_family": Domain(shape="set"),
    "residency": Domain(shape="set", may_miss=True),
    "tenant": Domain(shape="label"),
    "task": Domain(shape="label"),
    "difficulty": Domain(shape="label"),
    "user_tier": Domain(shape="label", may_miss=True),
    "team": Domain(shape="label", may_miss=True),
    "key": Domain(shape="label", may_miss=True),
    "environment": Domain(shape="label", may_miss=True),
    "alias": Domain(shape="label", may_miss=True),
    "session": Domain(shape="label", may_miss=True),
    "lane": Domain(shape="lane", may_miss=True),
    "metadata": Domain(shape="map"),
}
COMBINERS: Final = ("all", "any", "not")
OPERATORS: Final = ("gte", "lte", "any", "all", "not")


class Vocabulary(Struct, frozen=True, kw_only=True):
    """The names of one config that conditions may use; a closed set, so a typo is an error."""

    metadata: tuple[str, ...] = ()
    lanes: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()


class Fault(Struct, frozen=True):
    """Something wrong in a condition, at a path inside it."""

    path: str
    problem: str
    hint: str = ""


# --- checking ---------------------------------------------------------------------------------


def check_condition(when: object, vocabulary: Vocabulary, path: str = "") -> tuple[Fault, ...]:
    """Every fault of a `when` or `match` as written; () means that it can be compiled."""
    if when is None:
        return ()
    if not isinstance(when, Mapping):
        return (Fault(path, "a condition is a mapping over signals", "write `{data_class: regulated}`"),)
    if not when:
        return (Fault(path, "an empty condition", "leave `when` out to mean always"),)
    faults: list[Fault] = []
    for key, spec in when.items():
        here = f"{path}.{key}" if path else str(key)
        if key == "not":
            faults += check_condition(spec, vocabulary, here)
        elif key in COMBINERS:
            faults += _check_branches(spec, vocabulary, here)
        elif key == "metadata":
            faults += _check_metadata(spec, vocabulary, here)
        elif key in DOMAINS:
            faults += _check_spec(str(key), DOMAINS[key], spec, vocabulary, here)
        else:
            faults.append(Fault(here, f"unknown signal `{key}`", _suggest(str(key), (*DOMAINS, *COMBINERS))))
    return tuple(faults)


def _check_branches(spec: object, vocabulary: Vocabulary, path: str) -> list[Fault]:
    if not isinstance(spec, list | tuple) or not spec:
        return [Fault(path, "needs a list of conditions", "write `any: [{…}, {…}]`")]
    faults: list[Fault] = []
    for index, branch in enumerate(spec):
        here = f"{path}[{index}]"
        faults += check_condition({} if branch is None else branch, vocabulary, here)
    return faults


def _check_metadata(spec: object, vocabulary: Vocabulary, path: str) -> list[Fault]:
    if not isinstance(spec, Mapping) or not spec:
        return [
            Fault(path, "needs a mapping of metadata keys", "write `metadata: {workflow: quarter-close}`")
        ]
    faults: list[Fault] = []
    for key, inner in spec.items():
        here = f"{path}.{key}"
        if key not in vocabulary.metadata:
            faults.append(
                Fault(here, f"`{key}` is not declared, so it is never seen", "add it to the list `metadata:`")
            )
        faults += _check_spec(str(key), Domain(shape="label", may_miss=True), inner, vocabulary, here)
    return faults


def _check_spec(name: str, domain: Domain, spec: object, vocabulary: Vocabulary, path: str) -> list[Fault]:
    if not isinstance(spec, Mapping):
        return _check_values(name, domain, spec, vocabulary, path)
    if not spec:
        return [Fault(path, "an empty condition", f"use one of {', '.join(OPERATORS)}")]
    faults: list[Fault] = []
    for operator, value in spec.items():
        here = f"{path}.{operator}"
        if operator not in OPERATORS:
            faults.append(Fault(here, f"unknown operator `{operator}`", _suggest(str(operator), OPERATORS)))
        elif operator in ("gte", "lte") and not domain.ordered:
            faults.append(Fault(here, f"`{name}` has no order", "use a value, a list of values, or `not`"))
        elif operator in ("gte", "lte") and isinstance(value, list | tuple | Mapping):
            faults.append(Fault(here, f"`{operator}` takes one value"))
        elif operator in ("any", "all") and not isinstance(value, list | tuple):
            faults.append(
                Fault(here, f"`{operator}` takes a list of values", f"write `{operator}: [{value}]`")
            )
        elif operator == "not":
            faults += _check_spec(name, domain, value, vocabulary, here)
        else:
            faults += _check_values(name, domain, value, vocabulary, here)
    return faults


def _check_values(name: str, domain: Domain, spec: object, vocabulary: Vocabulary, path: str) -> list[Fault]:
    values = spec if isinstance(spec, list | tuple) else (spec,)
    if not values:
        return [Fault(path, "an empty list matches nothing")]
    return [fault for value in values for fault in _check_value(name, domain, value, vocabulary, path)]


def _check_value(
    name: str, domain: Domain, value: object, vocabulary: Vocabulary, path: str
) -> Iterable[Fault]:
    if domain.shape == "number":
        if isinstance(value, bool) or not isinstance(value, int):
            yield Fault(path, f"`{name}` is a whole number, not `{value}`")
        elif value < 0 or (domain.below is not None and value >= domain.below):
            end = f" and below {domain.below}" if domain.below is not None else ""
            yield Fault(path, f"`{name}` is never `{value}`", f"it is 0 or more{end}")
    elif domain.shape == "flag":
        if not isinstance(value, bool):
            yield Fault(path, f"`{name}` is true or false, not `{value}`")
    elif not isinstance(value, str):
        yield Fault(path, f"`{name}` is text, not `{value}`", f'write "{value}" in quotes')
    else:
        closed = {"lane": vocabulary.lanes, "alias": vocabulary.aliases}.get(name, domain.values)
        if (domain.values or name in ("lane", "alias")) and value not in closed:
            yield Fault(path, f"`{name}` is never `{value}`", _suggest(value, closed))


def _suggest(word: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(word, known, n=1)
    return f"did you mean `{near[0]}`?" if near else f"known are {', '.join(known) or 'none'}"


# --- compiling --------------------------------------------------------------------------------


def always(_signals: Signals, _lanes: Lanes, _before: Lanes) -> bool:
    """The condition of a rule without `when`."""
    return True


def compile_condition(when: Mapping[str, Any] | None) -> Test:
    """The test for a condition that `check_condition` found no fault in. Pure and reusable."""
    return always if when is None else _compile_mapping(when, want=True)


def _compile_mapping(when: Mapping[str, Any], *, want: bool) -> Test:
    """Is the conjunction definitely `want`?"""
    tests = [_compile_entry(key, spec, want=want) for key, spec in when.items()]
    return _every(tests) if want else _some(tests)


def _compile_entry(key: str, spec: Any, *, want: bool) -> Test:
    if key == "not":
        return _compile_mapping(spec, want=not want)
    if key in COMBINERS:
        tests = [_compile_mapping(branch, want=want) for branch in spec]
        return _every(tests) if (key == "all") == want else _some(tests)
    if key == "metadata":
        tests = [_metadata_test(name, inner, want=want) for name, inner in spec.items()]
        return _every(tests) if want else _some(tests)
    return _signal_test(key, spec, want=want)


def _every(tests: list[Test]) -> Test:
    if len(tests) == 1:
        return tests[0]

    def test(signals: Signals, lanes: Lanes, before: Lanes) -> bool:
        for inner in tests:  # noqa: SIM110 - a plain loop: a generator costs more than the tests do
            if not inner(signals, lanes, before):
                return False
        return True

    return test


def _some(tests: list[Test]) -> Test:
    if len(tests) == 1:
        return tests[0]

    def test(signals: Signals, lanes: Lanes, before: Lanes) -> bool:
        for inner in tests:  # noqa: SIM110 - as above
            if inner(signals, lanes, before):
                return True
        return False

    return test


def _metadata_test(name: str, spec: Any, *, want: bool) -> Test:
    atom = atom_for(Domain(shape="label", may_miss=True), spec)

    def test(signals: Signals, _lanes: Lanes, _before: Lanes) -> bool:
        value = signals.metadata.get(name)
        return value is not None and atom(value) is want

    return test


def _signal_test(name: str, spec: Any, *, want: bool) -> Test:
    domain = DOMAINS[name]
    if domain.shape == "lane":
        return _lane_test(spec, want=want)
    atom = atom_for(domain, spec)
    get = attrgetter(name)
    if not domain.may_miss:

        def present(signals: Signals, _lanes: Lanes, _before: Lanes) -> bool:
            return atom(get(signals)) is want

        return present

    def test(signals: Signals, _lanes: Lanes, _before: Lanes) -> bool:
        value = get(signals)
        return value is not None and value != () and atom(value) is want

    return test


def _lane_test(spec: Any, *, want: bool) -> Test:
    """`lane: x` asks the lanes in force; anything that a further lane could make false, those before."""
    asks, denies = _split_not(spec)
    tests: list[Test] = []
    if asks is not None:
        atom = atom_for(DOMAINS["lane"], asks)

        def asked(_signals: Signals, lanes: Lanes, before: Lanes) -> bool:
            seen = lanes if want else before
            return bool(seen) and atom(seen) is want

        tests.append(asked)
    if denies is not None:
        inner = _lane_test(denies, want=not want)
        tests.append(inner)
    return _every(tests) if want else _some(tests)


def _split_not(spec: Any) -> tuple[Any | None, Any | None]:
    """A spec as what it asks for and what it denies: `{any: [a], not: b}` is `({any: [a]}, b)`."""
    if not isinstance(spec, Mapping) or "not" not in spec:
        return spec, None
    asks = {operator: value for operator, value in spec.items() if operator != "not"}
    return asks or None, spec["not"]


def atom_for(domain: Domain, spec: Any) -> Atom:
    """The test of one present value against one signal's spec."""
    if not isinstance(spec, Mapping):
        return _membership(domain, spec)
    atoms = [_operator(domain, operator, value) for operator, value in spec.items()]
    return atoms[0] if len(atoms) == 1 else (lambda value: all(atom(value) for atom in atoms))


def _membership(domain: Domain, spec: Any) -> Atom:
    values = frozenset(spec if isinstance(spec, list | tuple) else (spec,))
    if domain.shape in ("set", "lane"):
        return lambda value: not values.isdisjoint(value)
    if len(values) == 1:
        (only,) = values
        return lambda value: bool(value == only)
    return lambda value: value in values


def _operator(domain: Domain, operator: str, value: Any) -> Atom:
    if operator == "not":
        inner = atom_for(domain, value)
        return lambda seen: not inner(seen)
    if operator == "any":
        return _membership(domain, value)
    if operator == "all":
        wanted = frozenset(value)
        if domain.shape in ("set", "lane"):
            return wanted.issubset
        return lambda seen: wanted == {seen}
    rank = {label: place for place, label in enumerate(domain.values)}
    bound = rank[value] if domain.values else value
    if domain.values:
        return (lambda seen: rank[seen] >= bound) if operator == "gte" else (lambda seen: rank[seen] <= bound)
    return (lambda seen: seen >= bound) if operator == "gte" else (lambda seen: seen <= bound)
