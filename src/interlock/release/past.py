"""What was: the configs and worlds of recorded decisions, read back, and what a change would have done to
them.
"""

from collections import OrderedDict
from collections.abc import Callable
from typing import Final, TypeVar

import msgspec
from msgspec import Struct

from interlock.config.checked import Config
from interlock.config.checked import decode as decode_config
from interlock.measures import is_a_callers
from interlock.replay.again import recompute
from interlock.replay.effect import Effect, Tally
from interlock.route.ask import model_of
from interlock.route.decide import decode_decision
from interlock.route.snapshot import Snapshot, snapshot
from interlock.store.records import BadCursor, StoredRecord
from interlock.store.sqlite import Store
from interlock.types.decision import Decision
from interlock.types.record import Attempt, Record
from interlock.types.world import World

T = TypeVar("T")

MOST_KEPT: Final = 256
"""How many configs, and worlds, are kept in memory; a world is another one every few seconds."""
PAGE: Final = 200
LAST: Final = 1000
"""How many decisions are looked at, where nobody says."""
MOST: Final = 100_000
"""How many are looked at with `since` alone: about a quarter of a minute."""
PASSED: Final = 10
"""How many records are read at most for each that is looked at: others are nobody's requests."""


class Past:
    """The configs and worlds of recorded decisions, each read and prepared once. None: not in the store."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._snapshots: OrderedDict[str, Snapshot | None] = OrderedDict()
        self._worlds: OrderedDict[str, World | None] = OrderedDict()

    def snapshot(self, decision: Decision) -> Snapshot | None:
        """The config that a decision was made under, prepared for deciding."""
        return _kept(self._snapshots, decision.provenance.config_hash, self._read_snapshot)

    def config(self, decision: Decision) -> Config | None:
        found = self.snapshot(decision)
        return None if found is None else found.config

    def world(self, decision: Decision) -> World | None:
        """The world that a decision was made in."""
        return _kept(self._worlds, decision.provenance.world_hash, self._read_world)

    def stands_for(self, decision: Decision) -> str | None:
        """The model that the name asked for stood for then; None where that is not known, or was a lane."""
        found, world, asked = self.snapshot(decision), self.world(decision), decision.signals.model
        if found is None or world is None:
            return None
        if asked == "auto" and decision.why.selected_by == "default":
            asked = found.config.default_model or asked
        return model_of(asked, found, world)

    def _read_snapshot(self, digest: str) -> Snapshot | None:
        body = self._store.get_config(digest)
        return None if body is None else snapshot(decode_config(body))

    def _read_world(self, digest: str) -> World | None:
        body = self._store.get_world(digest)
        return None if body is None else msgspec.json.decode(body, type=World)


def _kept(known: OrderedDict[str, T | None], name: str, read: Callable[[str], T | None]) -> T | None:
    """What a name stands for, read at most once while it is kept; the one unused for longest goes."""
    if name in known:
        known.move_to_end(name)
        return known[name]
    while len(known) >= MOST_KEPT:
        known.popitem(last=False)
    found = known[name] = read(name)
    return found


class _Rest(Struct):
    attempts: tuple[Attempt, ...] = ()


class Replay:
    """Mutable: takes recorded decisions on what callers asked, the newest first and a page at a time, and has
    both configs decide them. Copies, judges and evals are passed over.

    `since` (microseconds since the epoch) and `last` bound which; see `MOST`.
    """

    def __init__(
        self, store: Store, old: Config, new: Config, *, since: int | None = None, last: int | None = None
    ) -> None:
        self._store = store
        self._past = Past(store)
        self._old, self._new = snapshot(old), snapshot(new)
        self._tally = Tally(old, new)
        self._since = since
        self._left = last if last is not None else LAST if since is None else MOST
        self._to_read = max(self._left, min(PASSED * self._left, MOST))
        self._cursor: str | None = None
        self._all_seen = False

    def page(self, size: int = PAGE) -> bool:
        """Look at the next ones; False: there are no more.

        Blocks for a few ms per hundred. Raises StoreError.
        """
        size = min(size, self._to_read)
        try:
            rows, self._cursor = self._store.list_records(since=self._since, limit=size, cursor=self._cursor)
        except BadCursor:  # it has been deleted for its age, and so has all that is older
            self._all_seen = True
            return False
        self._to_read -= len(rows)
        for row in rows:
            if not is_a_callers(row.tenant):
                continue
            if self._left == 0:
                return False
            self._look_at(row)
            self._left -= 1
        self._all_seen = self._cursor is None
        return not self._all_seen and self._left > 0 and self._to_read > 0

    def all(self) -> Effect:
        """Look at all of them. Blocks."""
        while self.page():
            pass
        return self.effect()

    def effect(self) -> Effect:
        """What the change does to those that were looked at."""
        return self._tally.effect(all_seen=self._all_seen)

    def _look_at(self, row: StoredRecord) -> None:
        try:
            decision = decode_decision(row.decision)
            rest = msgspec.json.decode(row.rest, type=_Rest)
        except msgspec.DecodeError:
            self._tally.skip("the record cannot be read")
            return
        world = self._past.world(decision)
        if world is None:
            self._tally.skip("its world is not in the store")
            return
        record = Record(decision=decision, status=row.status, attempts=rest.attempts)
        before, after = (
            decision
            if decision.provenance.config_hash == prepared.config.config_hash
            else recompute(decision, prepared, world)
            for prepared in (self._old, self._new)
        )
        self._tally.add(record, before, after)
