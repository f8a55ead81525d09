"""What is wrong with rules: conditions that cannot hold, demands that contradict each other."""

from collections import Counter
from collections.abc import Iterator

from interlock.config.problems import error, listed, warning
from interlock.config.reach import objection
from interlock.config.whole import Whole
from interlock.config.written import Rule, Then
from interlock.errors import Problem
from interlock.policy.satisfy import satisfiable

_ALLOW_LISTS = ("vendors", "providers", "models", "regions", "jurisdictions")


def check_policy(whole: Whole) -> Iterator[Problem]:
    yield from _conditions(whole)
    yield from _duplicates(whole)
    for place, rule in enumerate(whole.file.policy):
        yield from _contradictions(whole, f"policy[{place}].then", rule)
    yield from _dead(whole)
    yield from _pins(whole)


def _conditions(whole: Whole) -> Iterator[Problem]:
    for place, faults in enumerate(whole.rule_faults):
        for fault in faults:
            yield error(_inside(f"policy[{place}].when", fault.path), fault.problem, fault.hint)
    for name, faults in whole.match_faults.items():
        for fault in faults:
            yield error(_inside(f"lanes.{name}.match", fault.path), fault.problem, fault.hint)


def _inside(path: str, rest: str) -> str:
    return f"{path}.{rest}" if rest else path


def _duplicates(whole: Whole) -> Iterator[Problem]:
    counts = Counter(rule.name for rule in whole.file.policy)
    seen: set[str] = set()
    for place, rule in enumerate(whole.file.policy):
        if counts[rule.name] > 1 and rule.name in seen:
            yield error(
                f"policy[{place}].name",
                f"a second rule is called `{rule.name}`",
                "name each rule once: decisions show rules by name",
            )
        seen.add(rule.name)


def _contradictions(whole: Whole, path: str, rule: Rule) -> Iterator[Problem]:
    then = rule.then
    if then == Then():
        yield error(path, f"the rule `{rule.name}` does nothing", "give it a demand, or remove it")
        return
    for name in _ALLOW_LISTS:
        if getattr(then, name) == ():
            yield error(f"{path}.{name}", "an empty list leaves nobody to serve", "say so: `deny: REASON`")
            return
    for tool in then.tools or ():
        if tool in then.deny_tools:
            yield error(path, f"the tool `{tool}` is both in `tools` and in `deny_tools`", "keep one")
    if then.pin is not None and then.deny is not None:
        yield error(path, "has both `pin` and `deny`", "who is denied is not served by the pinned model")
        return
    if then.deny is None and _names_are_known(whole, then) and _leaves_nobody(whole, then):
        if then.pin is not None:
            yield error(
                path,
                f"`pin: {then.pin}` is ruled out by the same rule",
                "let the lists include it, or drop one",
            )
        else:
            yield warning(
                path,
                f"nobody in the pool satisfies `{rule.name}`: what it matches is refused",
                "if that is meant, `deny: REASON` tells the caller why",
            )


def _names_are_known(whole: Whole, then: Then) -> bool:
    """Whether every name it restricts by exists; one that does not is reported by itself."""
    pools = ((then.vendors, whole.vendors), (then.providers, whole.providers))
    return (
        all(set(named or ()) <= set(known) for named, known in pools)
        and all(whole.model_of(name) is not None for name in then.models or ())
        and (then.pin is None or then.pin in whole.models)
    )


def _leaves_nobody(whole: Whole, then: Then) -> bool:
    config = whole.config
    candidates = [
        (model, config.providers[model.provider], deployment)
        for model in config.models.values()
        for deployment in config.providers[model.provider].deployments
    ]
    return bool(candidates) and all(
        objection(then, *candidate, whole) is not None for candidate in candidates
    )


def _dead(whole: Whole) -> Iterator[Problem]:
    for place, rule in whole.sound_rules:
        if not satisfiable(rule.when):
            yield error(
                f"policy[{place}].when",
                f"the rule `{rule.name}` can never apply: no request meets its condition",
                "its parts exclude each other, or how risk tiers are derived excludes them",
            )


def _pins(whole: Whole) -> Iterator[Problem]:
    pinned = [(place, rule) for place, rule in whole.sound_rules if rule.then.pin is not None]
    for index, (place, rule) in enumerate(pinned):
        clashes = [
            other.name
            for _, other in pinned[:index]
            if other.then.pin != rule.then.pin and satisfiable(rule.when, other.when)
        ]
        if clashes:
            yield warning(
                f"policy[{place}].then.pin",
                f"a request may also match {listed(clashes)}, which pins another model: then nobody serves",
                "make their conditions exclude each other",
            )
