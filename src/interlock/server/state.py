"""Everything that answers depend on, as one frozen value: config, world, destinations, callers' keys.

A reload or a moved alias makes a new one; nothing in it ever changes.
"""

from typing import Final

import msgspec
from msgspec import Struct

from interlock.adapters import ADAPTERS, CALLS, WholeCall
from interlock.classify.standing import Standings
from interlock.config.checked import Config, Secrets
from interlock.config.written import EventKind
from interlock.execute.setting import Setting
from interlock.resilience.health import Health
from interlock.route.decide import hash_world
from interlock.route.memory import Memory
from interlock.server.auth import KeyTable, key_table
from interlock.types.labels import Wire
from interlock.types.request import Request
from interlock.types.world import World
from interlock.wire.webhook import key_of
from interlock.wiring import setting


class Hook(Struct, frozen=True, kw_only=True):
    """Who is told of events (`events`; empty: of all). `key` is what they are signed with."""

    name: str
    url: str
    key: bytes
    events: tuple[EventKind, ...] = ()

    def __repr__(self) -> str:
        return f"Hook({self.name})"


Calls = tuple[tuple[Wire, WholeCall | None], ...]
"""What asks a model, by each wire format that is spoken; None where it has no such call."""
_ALL_IS_CARRIED: Final[dict[Wire, tuple[str, ...]]] = {}


class State(Struct, frozen=True, kw_only=True):
    """`answerers` and `embedders` are of the wire formats that the config's providers speak and that we have
    adapters for. `max_body` is in bytes.

    `memory` decides under exactly this config and world, and goes with them; `standings` go with the config.
    """

    config: Config
    setting: Setting
    world_hash: str
    memory: Memory
    standings: Standings
    keys: KeyTable
    answerers: Calls
    embedders: Calls
    max_body: int
    max_bodies: int
    hooks: tuple[Hook, ...] = ()

    def cannot_carry(self, request: Request) -> dict[Wire, tuple[str, ...]]:
        """By wire format, the fields of a request that it has no place for; empty where it has all."""
        found: dict[Wire, tuple[str, ...]] = {}
        for wire, call in self.embedders if request.operation == "embed" else self.answerers:
            fields = ("input",) if call is None else call.cannot_carry(request)
            if fields:
                found[wire] = fields
        return found or _ALL_IS_CARRIED


def make_state(config: Config, secrets: Secrets, world: World, secret: bytes, health: Health) -> State:
    """The state of a config that has just been loaded. `secret` is the store's, for hashing keys."""
    spoken = {provider.wire for provider in config.providers.values()}
    wires = tuple(wire for wire in ADAPTERS if wire in spoken)
    going_by, world_hash = setting(config, secrets, world, health), hash_world(world)
    return State(
        config=config,
        setting=going_by,
        world_hash=world_hash,
        memory=Memory(going_by.snapshot, world, world_hash),
        standings=Standings(config),
        keys=key_table(config, secrets, secret),
        answerers=tuple((wire, ADAPTERS[wire]) for wire in wires),
        embedders=tuple((wire, CALLS["embed"].get(wire)) for wire in wires),
        max_body=int(config.server.max_body_mb * 1_000_000),
        max_bodies=int(config.server.max_bodies_mb * 1_000_000),
        hooks=tuple(
            Hook(name=name, url=hook.url, key=key_of(secrets.webhooks[name]), events=hook.events)
            for name, hook in config.webhooks.items()
            if name in secrets.webhooks
        ),
    )


def with_world(state: State, world: World) -> State:
    """The same state in another world."""
    world_hash = hash_world(world)
    return msgspec.structs.replace(
        state,
        setting=msgspec.structs.replace(state.setting, world=world),
        world_hash=world_hash,
        memory=Memory(state.setting.snapshot, world, world_hash),
    )
