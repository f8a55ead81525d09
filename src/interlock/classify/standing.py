"""What is known of a request before it is read: by who calls, what they ask for, and where.

It is the same for every request of one caller for one model, so a process finds it out once for each.
"""

from typing import Final

from msgspec import Struct

from interlock.classify.labels import risk_of, strictest
from interlock.classify.seen import Owner, owner
from interlock.classify.tokens import DEFAULT_FAMILY, FAMILIES, family_of
from interlock.config.checked import Config
from interlock.types.signals import Caller, Signals

AUTO: Final = "auto"
LANE: Final = "lane:"
MOST: Final = 1024
"""How many are remembered; callers choose the names of models freely."""


class Standing(Struct, frozen=True):
    """`signals` are those that stand on caller, model and config; all others are as they are of nothing.

    Tokens are counted as `family` does, for `upstream`; `exact`: that is the model's own tokenizer.
    Texts are those of `owner`; `names_lane`: the model is `lane:NAME`. While `caller` is held here, nobody
    else has its `id`.
    """

    caller: Caller
    signals: Signals
    upstream: str
    family: str
    exact: bool
    owner: Owner
    names_lane: bool


def standing_of(caller: Caller, config: Config, model: str, endpoint: str) -> Standing:
    """What is known of a caller's requests for a model."""
    upstream = _upstream(model, config)
    family, exact = family_of(upstream) if upstream else (DEFAULT_FAMILY, False)
    default = config.classification.default
    data_class = strictest((default, caller.data_class or default))
    return Standing(
        caller=caller,
        signals=Signals(
            model=model,
            endpoint=endpoint,
            alias=model if model in config.aliases else None,
            data_class=data_class,
            risk_tier=risk_of(data_class, "trusted"),
            user_tier=caller.user_tier,
            tenant=caller.tenant,
            team=caller.team,
            key=caller.key,
            role=caller.role,
            environment=caller.environment,
            residency=(caller.residency,) if caller.residency else (),
            max_data_class=caller.max_data_class,
            allow=caller.allow,
        ),
        upstream=upstream,
        family=family,
        exact=exact,
        owner=owner(f"{FAMILIES[family].vocabulary} {caller.tenant}"),
        names_lane=model.startswith(LANE),
    )


class Standings:
    """What is known of requests under one config. Mutable only in what it remembers; threads may share it."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._known: dict[tuple[str, str, int], Standing] = {}

    def of(self, caller: Caller, model: str, endpoint: str) -> Standing:
        """What `standing_of` gives."""
        name = (model, endpoint, id(caller))
        known = self._known.get(name)
        if known is None:
            known = standing_of(caller, self._config, model, endpoint)
            if len(self._known) >= MOST:
                self._known.clear()
            self._known[name] = known
        return known


def _upstream(model: str, config: Config) -> str:
    """The name that its vendor knows a model by; of a name that nobody knows, itself.

    Names are what they stand for in the file; aliases may have moved since.
    """
    name = model
    if name == AUTO:
        name = config.default_model or ""
    elif name.startswith(LANE):
        name = _first_of_lane(name.removeprefix(LANE), config)
    name = config.aliases.get(name, name)
    entry = config.models.get(name) or config.models.get(name.partition("/")[2])
    return entry.upstream if entry is not None else name


def _first_of_lane(name: str, config: Config) -> str:
    for lane in config.lanes:
        if lane.name == name:
            return next(iter((*(step.model for step in lane.cascade), *lane.models)), "")
    return ""
