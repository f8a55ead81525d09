"""Why a candidate may not serve: every objection, in one fixed order, each with its rule.

The order is the order in which a caller can do something about it: what the key may ask, what
policy says, what the data needs, what the model can do, what fits, what it costs. The first
objection decides how a request that nobody may serve is answered.
"""

from msgspec import Struct

from interlock.policy.rules import Ruling
from interlock.route.ask import model_of
from interlock.route.snapshot import Candidate, Snapshot
from interlock.types.decision import Budgets
from interlock.types.labels import RANK, When
from interlock.types.signals import EMBEDS, Signals
from interlock.types.world import World


class Objection(Struct, frozen=True):
    """`kind` is the failure that a fallback's `when` must name to step in while deciding."""

    rule: str
    why: str
    kind: When


def objections(
    candidate: Candidate,
    signals: Signals,
    snapshot: Snapshot,
    world: World,
    ruling: Ruling,
    budgets: Budgets,
    limits: dict[str, str],
) -> list[Objection]:
    """Everything against this candidate; an empty list lets it serve."""
    found = _policy(candidate, snapshot, world, ruling)
    provider, model = candidate.provider, candidate.model
    if RANK[signals.data_class] > RANK[provider.trusted_for]:
        found.append(
            Objection(
                "trusted_for",
                f"`{provider.name}` is trusted for {provider.trusted_for} data, this is {signals.data_class}",
                "not_permitted",
            )
        )
    if candidate.embeds != (EMBEDS in signals.needs):
        why = "makes embeddings and nothing else" if candidate.embeds else "is not known to make embeddings"
        found.append(Objection("capability", why, "not_permitted"))
    elif signals.needs and model.capabilities is not None:
        missing = [need for need in signals.needs if not _can(need, model.capabilities)]
        if missing:
            found.append(Objection("capability", f"cannot do {', '.join(missing)}", "not_permitted"))
    if signals.tokenizer is not None and signals.tokenizer != candidate.tokenizer:
        why = "reads the token ids of another tokenizer: send the text"
        found.append(Objection("tokenizer", why, "not_permitted"))
    if signals.cannot_carry:
        fields = signals.cannot_carry.get(provider.wire)
        if fields:
            names = ", ".join(f"`{name}`" for name in fields)
            found.append(
                Objection("wire", f"{names} cannot be carried to the {provider.wire} format", "not_permitted")
            )
    found += _size(candidate, signals, budgets, limits)
    return found


def _can(need: str, capabilities: tuple[str, ...]) -> bool:
    """Pages of a document are read as pictures are: whoever has `vision` need not say `files`."""
    return need in capabilities or (need == "files" and "vision" in capabilities)


def _policy(candidate: Candidate, snapshot: Snapshot, world: World, ruling: Ruling) -> list[Objection]:
    found: list[Objection] = []
    for rule in ruling.matched:
        if not rule.who:
            continue
        static = candidate.objections.get(rule.name)
        if static is not None:
            found.append(Objection(rule.name, static, "not_permitted"))
        elif rule.then.models is not None and not any(
            model_of(name, snapshot, world) == candidate.model.name for name in rule.then.models
        ):
            named = ", ".join(f"`{name}`" for name in rule.then.models) or "none"
            found.append(Objection(rule.name, f"not among the models {named}", "not_permitted"))
    return found


def _size(
    candidate: Candidate, signals: Signals, budgets: Budgets, limits: dict[str, str]
) -> list[Objection]:
    found: list[Objection] = []
    model = candidate.model
    tokens = signals.input_tokens
    if budgets.max_input_tokens is not None and tokens > budgets.max_input_tokens:
        found.append(
            Objection(
                limits["max_input_tokens"],
                f"{tokens} input tokens are over max_input_tokens {budgets.max_input_tokens}",
                "context_length",
            )
        )
    at_once = signals.read_at_once + candidate.overlay_tokens
    if model.context_tokens is not None and at_once > model.context_tokens:
        found.append(
            Objection(
                "context", f"needs {at_once} tokens, has a window of {model.context_tokens}", "context_length"
            )
        )
    if budgets.max_cost_usd is not None:
        found += _money(candidate, signals, budgets.max_cost_usd, limits["max_cost_usd"])
    return found


def _money(candidate: Candidate, signals: Signals, most: float, source: str) -> list[Objection]:
    price = candidate.model.price
    if price is None:
        return [Objection(source, "unpriced: its cost is unknown, and max_cost_usd is set", "budget")]
    least = (signals.input_tokens * price.input + price.output) / 1_000_000
    if least > most:
        return [
            Objection(source, f"its input alone costs ${least:.6f}, over max_cost_usd ${most:g}", "budget")
        ]
    return []
