"""What a version of an alias is: everything that decides what really answers, and which change a gate is
about.

Two models of the pool with the same identity answer alike; a change to any part of it (another upstream
model, its version, parameters, an effort, a prompt laid over, other weights behind its provider) is another
version and needs the gate again.
"""

import hashlib
from typing import Any, Final

import msgspec
from msgspec import Struct

from interlock.config.checked import Config
from interlock.config.written import Check
from interlock.evals.checks import BUILT_IN
from interlock.evals.suite import Suite

# What a model may change in without answering differently. Anything else in it, also what will be added to
# the pool one day, is part of its identity.
_NO_PART: Final = ("name", "price", "quality", "origin", "context_tokens", "capabilities")

# Parts that came later. Unset, they are absent as they were: a version from before them stays the same.
_IF_SET: Final = ("temperature", "top_p", "effort", "system")

_encode: Final = msgspec.json.Encoder(order="sorted").encode


def identity(config: Config, name: str) -> dict[str, Any]:
    """The parts that decide what answers for a model of the pool, by name: its entry's, and of its provider
    which weights `interlock serve` runs and in which API they are spoken to.

    Where a provider's address leads is not known here, so it is no part.
    """
    model = config.models[name]
    provider = config.providers[model.provider]
    parts: dict[str, Any] = msgspec.to_builtins(model)
    found = {
        part: value
        for part, value in parts.items()
        if part not in _NO_PART and not (value is None and part in _IF_SET)
    }
    if provider.local_model is not None:
        found["local_model"] = provider.local_model
    if provider.api != "chat":
        found["api"] = provider.api
    return found


def identity_text(config: Config, name: str) -> str:
    """The same as text, equal for equal models: what the store keeps of a version."""
    return _encode(identity(config, name)).decode()


def digest(value: Any) -> str:
    """A hash of a value of plain parts and Structs, whatever the order of its names."""
    return hashlib.sha256(_encode(value)).hexdigest()


def identity_hash(config: Config, name: str) -> str:
    return digest(identity(config, name))


class Change(Struct, frozen=True, kw_only=True):
    """Exactly one change: from what an alias is to what it would be, under one gate. Hashes all, but the
    alias.
    """

    alias: str
    gate: str
    baseline: str
    candidate: str


def differences(before: dict[str, Any], after: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    """By part, what two identities differ in: before and after. A part that one lacks is None there."""
    names = dict.fromkeys((*before, *after))
    pairs = {name: (before.get(name), after.get(name)) for name in names}
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


def change(config: Config, suites: tuple[Suite, ...], alias: str, from_model: str, to_model: str) -> Change:
    """The change that a promotion would make. Both models are keys of the pool; `suites` are the gate's
    own.
    """
    return change_of(config, suites, alias, identity_hash(config, from_model), to_model)


def change_of(config: Config, suites: tuple[Suite, ...], alias: str, baseline: str, to_model: str) -> Change:
    """The same, from an identity (its hash) that the pool may not have any more."""
    gate = config.gates.get(alias)
    checks: tuple[Check, ...] = gate.checks if gate is not None else ()
    return Change(
        alias=alias,
        gate=digest((checks, BUILT_IN, sorted(suite.hash for suite in suites))),
        baseline=baseline,
        candidate=identity_hash(config, to_model),
    )


def are_related(config: Config, judge: str, model: str) -> bool:
    """Whether two models are of one family: one vendor's, or named alike (`llama-3`, `llama-4`).

    True where one is not in the pool (any more): nothing says that they are not.
    """
    one, other = config.models.get(judge), config.models.get(model)
    if one is None or other is None:
        return True
    vendors = {config.providers[found.provider].vendor for found in (one, other)}
    return len(vendors) == 1 or _stem(one.upstream) == _stem(other.upstream)


def _stem(upstream: str) -> str:
    """The first word of a model's name, behind an owner's name: `meta-llama/Llama-3.1-8B` gives `llama`."""
    name = upstream.rsplit("/", 1)[-1].casefold()
    letters = next((place for place, char in enumerate(name) if not char.isalpha()), len(name))
    return name[:letters] or name
