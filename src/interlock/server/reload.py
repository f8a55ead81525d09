"""Swaps the state of a running gateway: when the file changes, when SIGHUP comes, when an alias moves.

A new state is built completely before it replaces the old one, in one assignment. A config that cannot
be used changes nothing; it is logged and counted.
"""

import asyncio
from collections.abc import Mapping
from typing import Final

from interlock.classify import tokens
from interlock.config import load
from interlock.config.loading import Loaded
from interlock.errors import ConfigError, StoreError
from interlock.release import revisions
from interlock.release.graders import refuse_bad_graders
from interlock.release.pool import follow_pool
from interlock.server.exposure import check_exposure
from interlock.server.gateway import Gateway, Swap
from interlock.server.state import State, make_state
from interlock.store.revisions import Revision
from interlock.wiring import KEYS_SECRET, put_world, remember, world_of

LOOK_AT_LATENCIES_EVERY: Final = 20
"""In ticks: every five seconds."""
MOST_PROBLEMS: Final = 5
"""How many problems of a bad file one log line holds; `interlock check` has them all."""
FIRST_PAUSE: Final = 4
LONGEST_PAUSE: Final = 120
"""In ticks: how long after a reload that the store failed it is asked again, doubled each time."""


class Reloader:
    """Mutable: remembers what the running state was made from. `host` is the address that is bound."""

    def __init__(self, gateway: Gateway, loaded: Loaded, env: Mapping[str, str], host: str) -> None:
        self.gateway = gateway
        self._path = loaded.path
        self._env = env
        self._host = host
        self._asked = False
        self._ticks = 0
        self._again_at: int | None = None  # a tick
        self._pause = FIRST_PAUSE
        self._file = self._seen = self._stamp()
        self._data_version = gateway.store.data_version()

    def ask(self) -> None:
        """Reload at the next tick (SIGHUP)."""
        self._asked = True

    async def look(self) -> None:
        """One tick."""
        self._ticks += 1
        # Taken once it has been the same for a tick: an editor may be in the middle of writing it.
        stamp, before = self._stamp(), self._seen
        self._seen = stamp
        if stamp == before and stamp != self._file:
            self._file, self._asked = stamp, True
            self._pause = FIRST_PAUSE
        if self._asked or (self._again_at is not None and self._ticks >= self._again_at):
            self._asked = False
            await self.reload()
        self._look_at_store()

    async def reload(self) -> bool:
        """Load the file and swap; False where the running state stays, said in the log.

        Where that is the store's fault, a later look asks again: the file is as good as it was.
        """
        gateway, self._again_at = self.gateway, None
        try:
            # Not on the loop: reading and checking a large file takes longer than a stream may stall.
            state, revision = await asyncio.to_thread(self._build)
        except ConfigError as error:
            errors = [problem for problem in error.problems if problem.severity == "error"]
            return self._failed([f"{found.path}: {found.problem}" for found in errors[:MOST_PROBLEMS]])
        except StoreError as error:
            self._again_at = self._ticks + self._pause
            self._pause = min(2 * self._pause, LONGEST_PAUSE)
            return self._failed([error.problem])
        self._pause = FIRST_PAUSE
        before, gateway.state = gateway.state.config, state
        put_world(gateway.store, state.world_hash, state.setting.world)
        gateway.reloads += 1
        gateway.say("reloaded", config_hash=state.config.config_hash)
        if revision is not None:
            gateway.to_replay = Swap(revision.number, before, state.config)
        return True

    def _build(self) -> tuple[State, Revision | None]:
        """The state that the file makes, and its revision where this process is the first to see it."""
        loaded = load(self._path, self._env)
        check_exposure(loaded.config, self._host, self._path)
        refuse_bad_graders(loaded.config, self._path)
        upstreams = [model.upstream for model in loaded.config.models.values()]
        tokens.load(upstreams)
        tokens.make_tables(upstreams)
        store = self.gateway.store
        follow_pool(store, loaded.config, loaded.path)
        remember(store, loaded.config)
        world = world_of(store, self.gateway.latencies.bands(), self.gateway.degrade.mode)
        secret = store.secret(KEYS_SECRET)
        state = make_state(loaded.config, loaded.secrets, world, secret, self.gateway.health)
        return state, revisions.note(store, loaded, "reload")

    def _failed(self, problems: list[str]) -> bool:
        self.gateway.reloads_failed += 1
        self.gateway.say("reload_failed", problems=problems, failed=self.gateway.reloads_failed)
        return False

    def _look_at_store(self) -> None:
        try:
            version = self.gateway.store.data_version()
            if version != self._data_version or self._ticks % LOOK_AT_LATENCIES_EVERY == 0:
                self._data_version = version
                self.gateway.refresh_world()
        except StoreError as error:
            self.gateway.say("store", error=error.problem)

    def _stamp(self) -> tuple[int, int, int] | None:
        """What changes when the file does; None while there is none."""
        try:
            found = self._path.stat()
        except OSError:
            return None
        return found.st_mtime_ns, found.st_size, found.st_ino
