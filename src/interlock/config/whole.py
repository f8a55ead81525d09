"""The whole config under scrutiny, as written and as checked, with the names that it declares."""

from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any

from interlock.config import checked, written
from interlock.config.resolve import DEFAULT_TOOL
from interlock.policy.condition import COMBINERS, OPERATORS, Fault, Vocabulary, check_condition


class Whole:
    """What every check of `lint` reads. Nothing in it changes after it is made."""

    def __init__(self, file: written.File, config: checked.Config) -> None:
        self.file = file
        self.config = config
        self.providers = tuple(file.providers)
        self.models = tuple(file.models)
        self.aliases = tuple(file.aliases)
        self.lanes = tuple(file.lanes)
        self.tools = tuple(name for name in file.tools if name != DEFAULT_TOOL)
        self.vendors = tuple(dict.fromkeys(p.vendor or name for name, p in file.providers.items()))
        self.regions = tuple(
            dict.fromkeys(
                region
                for provider in config.providers.values()
                for deployment in provider.deployments
                for region in deployment.regions
            )
        )
        self.jurisdictions = tuple(
            dict.fromkeys(p.jurisdiction for p in file.providers.values() if p.jurisdiction is not None)
        )
        self.vocabulary = Vocabulary(metadata=file.metadata, lanes=self.lanes, aliases=self.aliases)

    def model_of(self, name: str) -> str | None:
        """The pool's key that an alias or model stands for; None where it stands for nothing."""
        target = self.file.aliases.get(name, name)
        return target if target in self.file.models else None

    @cached_property
    def rule_faults(self) -> tuple[tuple[Fault, ...], ...]:
        """The faults in each rule's `when`, in the order of the rules."""
        return tuple(check_condition(rule.when, self.vocabulary) for rule in self.file.policy)

    @cached_property
    def match_faults(self) -> dict[str, tuple[Fault, ...]]:
        """The faults in each lane's `match`."""
        return {name: check_condition(lane.match, self.vocabulary) for name, lane in self.file.lanes.items()}

    @cached_property
    def sound_rules(self) -> tuple[tuple[int, written.Rule], ...]:
        """The rules whose conditions can be reasoned about, with their places."""
        return tuple(
            (place, rule) for place, rule in enumerate(self.file.policy) if not self.rule_faults[place]
        )


def mentions(when: Mapping[str, Any] | None, signal: str, path: str) -> Iterator[tuple[str, Any]]:
    """Every value that a sound condition compares a signal with, and its path."""
    for key, spec in (when or {}).items():
        here = f"{path}.{key}"
        if key == "not":
            yield from mentions(spec, signal, here)
        elif key in COMBINERS:
            for place, branch in enumerate(spec):
                yield from mentions(branch, signal, f"{here}[{place}]")
        elif key == signal:
            yield from _values(spec, here)


def _values(spec: Any, path: str) -> Iterator[tuple[str, Any]]:
    if isinstance(spec, Mapping):
        for operator in OPERATORS:
            if operator in spec:
                yield from _values(spec[operator], f"{path}.{operator}")
    elif isinstance(spec, list | tuple):
        for place, value in enumerate(spec):
            yield f"{path}[{place}]", value
    else:
        yield path, spec
