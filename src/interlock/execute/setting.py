"""What an execution is given: what is the same for all requests, and what acts on the outside."""

from collections.abc import Callable, Mapping
from typing import Protocol

from msgspec import Struct

from interlock.adapters import AdapterModule, Target, WholeCall
from interlock.config.checked import Model
from interlock.execute.layout import Fresh, Untrusted
from interlock.execute.plan import Step
from interlock.execute.usage import Count
from interlock.execute.validation.contract import Contract
from interlock.resilience.health import TargetHealth, UpstreamHealth
from interlock.route.snapshot import Snapshot
from interlock.transport import Transport
from interlock.types.labels import Operation
from interlock.types.proxy import Proxy
from interlock.types.world import World


class Destination(Struct, frozen=True, kw_only=True):
    """A model at one deployment, ready to be called: for whole answers by one of `calls`, else by `adapter`.

    `health` and `upstream` outlive the config. All calls go through `proxy`, if there is one.
    """

    model: Model
    adapter: AdapterModule
    calls: Mapping[Operation, WholeCall]
    target: Target
    health: TargetHealth
    upstream: UpstreamHealth
    proxy: Proxy | None = None


class Setting(Struct, frozen=True, kw_only=True):
    """What is the same for every request under one config and world.

    Destinations go by (model, endpoint); `contracts` are of the lanes that demand something of answers.
    """

    snapshot: Snapshot
    world: World
    destinations: Mapping[tuple[str, str | None], Destination]
    is_untrusted: Untrusted
    contracts: Mapping[str, Contract] = {}


class Services(Struct, frozen=True, kw_only=True):
    """What acts on the outside: the transport, the wall clock, randomness, and the token counter.

    `now` is RFC 3339 for records, `epoch_s` whole seconds for answers, `draw` a number in [0, 1).
    """

    transport: Transport
    now: Callable[[], str]
    epoch_s: Callable[[], int]
    fresh: Fresh
    draw: Callable[[], float]
    count: Count


class Sink(Protocol):
    """Where a stream goes: `begin` once, with the model that answers, then bytes."""

    async def begin(self, step: Step, attempt: int) -> None: ...
    async def write(self, data: bytes) -> None: ...
