"""What a worker does for its watchers, behind the requests and apart from the tick that reloads.

It puts the process's own counts with those of all others, and keeps the counters from falling far behind the
records where nobody scrapes. Records go to a collector of OpenTelemetry from here. What a new config changes
of the traffic before it is computed here.
"""

import asyncio
from typing import Final

import msgspec

from interlock.errors import StoreError
from interlock.live.exposition import LOG_DROPPED, RELOADS, series
from interlock.release.past import Replay
from interlock.server.export import Exporter, export
from interlock.server.following import in_thread
from interlock.server.gateway import Gateway
from interlock.server.metrics import count_up
from interlock.store.revisions import put_effect
from interlock.wiring import now_us

LOOK_S: Final = 5.0
COUNT_EVERY: Final = 12
"""In looks: about once a minute."""

REPLAYED: Final = 500
"""How many decisions a change of the config is tried on; `interlock config diff --replay` takes more."""
AT_ONCE: Final = 25
PAUSE_S: Final = 0.02


async def replay_change(gateway: Gateway) -> None:
    """Keep with a new revision what it changes of the traffic before it. Raises StoreError.

    In small steps with pauses: deciding a page again keeps the loop from its turn for a few milliseconds.
    """
    swap, gateway.to_replay = gateway.to_replay, None
    if swap is None:
        return
    replay = Replay(gateway.store, swap.before, swap.after, last=REPLAYED)
    more = True
    while more:
        more = await in_thread(lambda: replay.page(AT_ONCE))
        await asyncio.sleep(PAUSE_S)
    effect = replay.effect()
    await gateway.store.writer.call(
        lambda db: put_effect(db, swap.revision, msgspec.json.encode(effect)),
    )
    gateway.say(
        "config_effect",
        revision=swap.revision,
        decisions=effect.decisions,
        changed=effect.changed,
        counts=effect.counts,
        not_replayed=effect.not_replayed,
    )


class OwnCounts:
    """Mutable: what this process counts in memory, and how much of it is in the store already."""

    def __init__(self) -> None:
        self._told: dict[str, float] = {}

    async def tell(self, gateway: Gateway) -> None:
        """Add what is new to the counters of all processes. Raises StoreError."""
        now: dict[str, float] = {
            series(RELOADS, {"result": "ok"}): gateway.reloads,
            series(RELOADS, {"result": "failed"}): gateway.reloads_failed,
            LOG_DROPPED: gateway.log.dropped,
            **gateway.outages.counts,
        }
        new = {name: more for name, value in now.items() if (more := value - self._told.get(name, 0))}
        if new:
            await gateway.store.counts.add(new)
            self._told = now


async def watch(gateway: Gateway) -> None:
    """Run until it is cancelled."""
    own, exporter = OwnCounts(), Exporter(gateway)
    looks = 0
    while True:
        looks += 1
        try:
            await own.tell(gateway)
            if looks % COUNT_EVERY == 0:
                await in_thread(lambda: count_up(gateway.store, now_us()))
            await replay_change(gateway)
        except StoreError as error:
            gateway.say("store", error=error.problem)
        except Exception as error:  # noqa: BLE001 - a fault in one look must not end all of them
            gateway.fault("watch", error)
        await export(gateway, exporter)
        await asyncio.sleep(LOOK_S)
