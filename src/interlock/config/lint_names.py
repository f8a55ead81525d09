"""Every name that one part of a config uses of another must be declared there."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final, get_args

from interlock.classify.detect import DETECTORS, RULES
from interlock.config import written
from interlock.config.problems import below, error, suggest, warning
from interlock.config.whole import Whole, mentions
from interlock.errors import Problem
from interlock.types.labels import EFFECTS, Role

RESERVED: Final = ("auto", "*")
_ROLES: Final = get_args(Role)
# A finding's class may be set for a detector as a whole (`secret`) or for one of its kinds (`secret.jwt`).
_DETECTORS: Final = tuple(dict.fromkeys((*DETECTORS, *(rule.kind for rule in RULES))))


def check_names(whole: Whole) -> Iterator[Problem]:
    """Unknown references, and names that cannot be told apart."""
    yield from _declared(whole)
    yield from _aliases(whole)
    for name, model in whole.file.models.items():
        yield from _unknown(f"models.{name}.provider", model.provider, whole.providers, "provider")
    for name, lane in whole.file.lanes.items():
        yield from _lane(whole, f"lanes.{name}", lane)
    if whole.file.default is not None:
        yield from _model(whole, "default.model", whole.file.default.model)
    for place, row in enumerate(whole.file.fallbacks):
        if row.from_ != "*":
            yield from _model(whole, f"fallbacks[{place}].from", row.from_)
        yield from _model(whole, f"fallbacks[{place}].to", row.to)
    for place, rule in enumerate(whole.file.policy):
        yield from _then(whole, f"policy[{place}].then", rule.then)
    yield from _conditions(whole)
    yield from _sections(whole)


def _unknown(path: str, name: str, known: Sequence[str], what: str, *, hint: str = "") -> Iterator[Problem]:
    if name not in known:
        yield error(path, f"unknown {what} `{name}`", hint or suggest(name, known))


def _each(path: str, names: Iterable[str], known: Sequence[str], what: str) -> Iterator[Problem]:
    for place, name in enumerate(names):
        yield from _unknown(below(path, place), name, known, what)


def _model(whole: Whole, path: str, name: str) -> Iterator[Problem]:
    yield from _unknown(path, name, (*whole.models, *whole.aliases), "model or alias")


def _models(whole: Whole, path: str, names: Iterable[str]) -> Iterator[Problem]:
    for place, name in enumerate(names):
        yield from _model(whole, below(path, place), name)


def _declared(whole: Whole) -> Iterator[Problem]:
    """Names that a caller writes in a request, or that travel in a header."""
    for section, names in (
        ("providers", whole.providers),
        ("models", whole.models),
        ("aliases", whole.aliases),
        ("lanes", whole.lanes),
    ):
        for name in names:
            path = f"{section}.{name}"
            if not name or any(not "!" <= char <= "~" for char in name):
                yield error(
                    path, f"the name `{name}` cannot stand in a header", "use letters, digits, `-`, `_`, `.`"
                )
            elif name in RESERVED or name.startswith("lane:"):
                yield error(path, f"the name `{name}` has a meaning of its own in requests", "rename it")
            elif section == "providers" and "/" in name:
                yield error(path, "a provider's name has no `/`", "requests name models as PROVIDER/MODEL")


def _aliases(whole: Whole) -> Iterator[Problem]:
    for name, target in whole.file.aliases.items():
        path = f"aliases.{name}"
        if name in whole.models:
            yield error(path, f"`{name}` is also a model", "rename the alias: requests could mean either")
        if target in whole.models:
            continue
        if target in whole.aliases:
            behind = whole.file.aliases[target]
            yield error(path, f"`{target}` is an alias itself", f"name a model, such as `{behind}`")
        else:
            yield from _unknown(path, target, whole.models, "model")


def _lane(whole: Whole, path: str, lane: written.Lane) -> Iterator[Problem]:
    yield from _models(whole, f"{path}.models", lane.models)
    for place, step in enumerate(lane.cascade):
        yield from _model(whole, f"{path}.cascade[{place}].model", step.model)
    yield from _each(f"{path}.tools", lane.tools or (), whole.tools, "tool")
    yield from _each(f"{path}.require_tools", lane.require_tools, whole.tools, "tool")
    if lane.tools is not None:
        for place, tool in enumerate(lane.require_tools):
            if tool in whole.tools and tool not in lane.tools:
                yield error(
                    f"{path}.require_tools[{place}]",
                    f"`{tool}` is required, but not among the lane's `tools`",
                    f"add `{tool}` to `tools`",
                )
    yield from _escalate(whole, path, lane.escalate)


def _escalate(whole: Whole, path: str, entries: tuple[written.Escalate, ...]) -> Iterator[Problem]:
    for place, entry in enumerate(entries):
        here = f"{path}.escalate[{place}].to"
        if entry.to.startswith("role:"):
            yield from _unknown(here, entry.to.removeprefix("role:"), _ROLES, "role")
        else:
            yield from _unknown(here, entry.to, whole.aliases, "alias")


def _then(whole: Whole, path: str, then: written.Then) -> Iterator[Problem]:
    tools_and_effects = (*whole.tools, *EFFECTS)
    yield from _each(f"{path}.vendors", then.vendors or (), whole.vendors, "vendor")
    yield from _each(f"{path}.providers", then.providers or (), whole.providers, "provider")
    yield from _models(whole, f"{path}.models", then.models or ())
    yield from _each(f"{path}.tools", then.tools or (), whole.tools, "tool")
    yield from _each(f"{path}.deny_tools", then.deny_tools, whole.tools, "tool")
    yield from _each(f"{path}.require_approval", then.require_approval, tools_and_effects, "tool or effect")
    yield from _each(f"{path}.step_up", then.step_up, tools_and_effects, "tool or effect")
    yield from _escalate(whole, path, then.escalate)
    if then.lane is not None:
        yield from _unknown(f"{path}.lane", then.lane, whole.lanes, "lane")
    if then.pin is not None:
        behind = whole.file.aliases.get(then.pin)
        hint = f"a pin names a model of the pool, such as `{behind}`" if behind is not None else ""
        yield from _unknown(f"{path}.pin", then.pin, whole.models, "model", hint=hint)
    for name, named, known in (
        ("regions", then.regions, whole.regions),
        ("jurisdictions", then.jurisdictions, whole.jurisdictions),
    ):
        for place, one in enumerate(named or ()):
            if one not in known:
                yield warning(
                    f"{path}.{name}[{place}]",
                    f"no provider is in `{one}`",
                    suggest(one, known) if known else f"say where providers are: `{name}`",
                )


def _conditions(whole: Whole) -> Iterator[Problem]:
    """Names in conditions that nothing declares, and so nothing can be equal to."""
    conditions = [(f"policy[{place}].when", rule.when) for place, rule in whole.sound_rules]
    conditions += [
        (f"lanes.{name}.match", lane.match)
        for name, lane in whole.file.lanes.items()
        if not whole.match_faults[name]
    ]
    families = tuple(
        dict.fromkeys(spec.family for spec in whole.file.tools.values() if spec.family is not None)
    )
    for path, when in conditions:
        for where, family in mentions(when, "tool_family", path):
            yield from _unknown(where, str(family), families, "tool family")
        for where, tool in mentions(when, "tools", path):
            yield from _unknown(where, str(tool), whole.tools, "tool")


def _sections(whole: Whole) -> Iterator[Problem]:
    file = whole.file
    for name in file.classification.detectors:
        yield from _unknown(f"classification.detectors.{name}", name, _DETECTORS, "detector")
    for name, gate in file.gates.items():
        yield from _unknown(f"gates.{name}", name, whole.aliases, "alias")
        yield from _each(f"gates.{name}.suites", gate.suites, tuple(file.evals), "suite")
    yield from _each("resilience.essential_lanes", file.resilience.essential_lanes, whole.lanes, "lane")
    if file.cache.semantic is not None:
        yield from _each("cache.semantic.lanes", file.cache.semantic.lanes, whole.lanes, "lane")
    for place, key in enumerate(file.keys):
        if key.allow is not None:
            path = f"keys[{place}].allow"
            direct = [
                f"{model.provider}/{name}"
                for key_name, model in file.models.items()
                for name in (key_name, model.upstream)
                if name is not None
            ]
            yield from _each(f"{path}.aliases", key.allow.aliases, whole.aliases, "alias")
            yield from _each(f"{path}.lanes", key.allow.lanes, whole.lanes, "lane")
            yield from _each(f"{path}.models", key.allow.models, (*whole.models, *direct), "model")
    keys = tuple(key.id for key in file.keys)
    known = {
        "lane": whole.lanes,
        "alias": whole.aliases,
        "model": whole.models,
        "provider": whole.providers,
        "key": keys,
    }
    for place, budget in enumerate(file.budgets):
        if budget.id is not None and budget.scope in known:
            yield from _unknown(f"budgets[{place}].id", budget.id, known[budget.scope], budget.scope)
