"""The store: one SQLite file, shared by all processes of this machine that open it.

Reads are synchronous and see what is committed; each thread has a connection for them. Writes go to the
one writing thread and come back as a `Write`: await it in a coroutine, or call its `result()` where no
loop runs. Times are microseconds since the epoch. Whatever SQLite raises leaves here as StoreError.
"""

import secrets
import threading
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, TypeVar

import apsw

from interlock.errors import StoreError
from interlock.store import (
    aliases,
    control_log,
    evals,
    events,
    grades,
    live,
    records,
    responses,
    rollouts,
    shapes,
)
from interlock.store.ahead import begin, take_in
from interlock.store.aliases import AliasHistory, AliasState, Change
from interlock.store.connect import (
    as_store_error,
    check_library,
    close_reader,
    connect,
    connect_reader,
    create,
    locate,
)
from interlock.store.evals import StoredGate
from interlock.store.live import Counts
from interlock.store.migrate import migrate, scripts
from interlock.store.records import BadCursor, StoredRecord
from interlock.store.responses import StoredResponse
from interlock.store.shapes import Shape
from interlock.store.write import Write, done
from interlock.store.writer import MAX_PENDING, Writer
from interlock.types.labels import DATA_CLASSES, DataClass
from interlock.types.record import Noticed, Status

T = TypeVar("T")

BUSY_S: Final = 2.0
READ_BUSY_S: Final = 0.25  # a reader waits only while another process opens, closes or recovers the file
DAY_US: Final = 86_400_000_000
HOUR_US: Final = 3_600_000_000

_NONE: Final[Mapping[str, str]] = MappingProxyType({})

_RAISE_CLASS: Final = (
    "INSERT INTO sessions (tenant, session, data_class, expires_at) VALUES (?1, ?2, ?3, ?4 + ?5) "
    "ON CONFLICT (tenant, session) DO UPDATE SET "
    "data_class = iif(expires_at > ?4, max(data_class, excluded.data_class), excluded.data_class), "
    "expires_at = max(expires_at, excluded.expires_at)"
)


class Store:
    """Open one with `Store.open`, in each process for itself (never across a fork), and close it."""

    def __init__(
        self,
        path: Path,
        db: apsw.Connection,
        clock: Callable[[], int],
        *,
        busy_s: float,
        max_pending: int,
    ) -> None:
        self.path = path
        self._clock = clock
        self._read_busy_s = min(busy_s, READ_BUSY_S)
        self._local = threading.local()
        self._readers: list[apsw.Connection] = []
        self._watch = self._connect_reader()
        self._watching = threading.Lock()
        self._once: set[tuple[str, str]] = set()
        self.writer = Writer(db, path, busy_s=busy_s, max_pending=max_pending)
        self.counts = Counts(self._read, self.writer)

    @classmethod
    def open(
        cls,
        where: str | Path,
        *,
        now: Callable[[], int],
        base: Path = Path(),
        busy_s: float = BUSY_S,
        max_pending: int = MAX_PENDING,
    ) -> "Store":
        """Open the file that a path or a `sqlite:///` URL names (relative: to `base`); make and migrate it.

        `now` is the clock; `busy_s` bounds how long a write waits for another process. Raises StoreError
        where the file cannot be used, or this SQLite should not be.
        """
        check_library(apsw.sqlite_lib_version())
        path = locate(where, base)
        create(path)
        db = connect(path, busy_s=busy_s)
        try:
            migrate(db, path, scripts(), busy_s=busy_s)
            db.execute("PRAGMA foreign_keys = ON")
            take_in(db, path)
            return cls(path, db, now, busy_s=busy_s, max_pending=max_pending)
        except BaseException:
            db.close()
            raise

    def close(self) -> None:
        """Commit what is under way and let go of the file; a read in another thread is waited for a while."""
        self.writer.close()
        while self._readers:
            close_reader(self._readers.pop())

    # Records

    def put_record(self, record: StoredRecord, *, durable: bool = False) -> Write[None]:
        """Write a record, or write it again; its outcome is left alone. `durable`: synced to the disk."""
        return self.put_row(records.written_row(record), durable=durable)

    def put_row(self, row: tuple[Any, ...], *, durable: bool = False) -> Write[None]:
        """Write a record by the values of its row, `decision` and `rest` by their shapes or in full."""
        return self.writer.row(records.PUT, row, durable=durable)

    def go_ahead(self, told: Callable[[StoreError], object]) -> None:
        """Let a loop `note_row`, if no other process does. `told` hears there of rows that must wait."""
        self.writer.ahead = begin(self.path, told)

    def note_row(self, row: tuple[Any, ...], *, since: float) -> bool:
        """Take charge of a record by the values of its row, without a wait; see `Writer.note`."""
        return self.writer.note(records.PUT, row, since=since)

    def put_shape(self, shape: Shape) -> Write[None]:
        """Keep a shape by its hash: no later record is in the file without it. Cheap to repeat.

        It stays when records expire, and is tried again before every write until it is kept: only for what is
        small and holds nothing of a caller.
        """

        def work(db: apsw.Connection) -> None:
            db.execute(shapes.PUT, (shape.hash, shape.body))

        return self._put_once("shape", shape.hash, work)

    def get_record(self, record_id: str, tenant: str | None = None) -> StoredRecord | None:
        """A record; with a tenant, another's is as if absent."""
        found = self._records(records.GET, (record_id, tenant))
        return found[0] if found else None

    def list_records(
        self,
        *,
        tenant: str | None = None,
        key: str | None = None,
        status: Status | None = None,
        alias: str | None = None,
        model: str | None = None,
        since: int | None = None,
        limit: int = 50,
        cursor: str | None = None,
    ) -> tuple[tuple[StoredRecord, ...], str | None]:
        """Records newest first, and the cursor of the next page (None: that was the last).

        The cursor is the id of the last record seen. Raises BadCursor where the tenant has none of that id.
        """
        below = None
        if cursor is not None:
            below = self._row(records.PLACE, (cursor, tenant))
            if below is None:
                raise BadCursor(f"there is no record `{cursor}`")
        sql, values = records.listing(
            {"tenant": tenant, "key": key, "status": status, "alias": alias, "model": model, "since": since},
            below,
            limit + 1,
        )
        rows = self._records(sql, values)
        return tuple(rows[:limit]), rows[limit - 1].id if len(rows) > limit else None

    def each_record(self, since: int | None = None) -> Iterator[StoredRecord]:
        """All records up to now, oldest first, a page at a time."""
        self.writer.commit_noted()
        last = self._rows(records.LAST)[0][0] or 0
        place = (since or 0, -1)
        while rows := self._rows(records.AFTER, (*place, last)):
            yield from self._read(partial(records.from_rows, rows=[row[1:] for row in rows]))
            place = (rows[-1][2], rows[-1][0])

    def put_outcome(self, record_id: str, tenant: str | None, outcome: bytes) -> Write[bool]:
        """Keep the feedback on a record in place of any earlier; False if the tenant has no such record."""

        def work(db: apsw.Connection) -> bool:
            db.execute(records.PUT_OUTCOME, (record_id, tenant, outcome))
            return db.changes() == 1

        return self.writer.call(work)

    def notice(self, record_id: str, kind: Noticed, added: Mapping[str, float]) -> Write[bool]:
        """Keep what a caller did after an answer, and add to counters; False if something is kept already."""

        def work(db: apsw.Connection) -> bool:
            db.execute(records.NOTICE, (record_id, kind))
            if db.changes() != 1:
                return False
            live.add(db, added)
            return True

        return self.writer.call(work)

    async def expire(self, before: int) -> int:
        """Delete records, responses, grades and events from before an instant, and sessions over by then; how
        many records.

        In small steps, so that other writes come in between. Configs and worlds stay: records name them.
        """

        def delete(sql: str) -> Callable[[apsw.Connection], int]:
            def work(db: apsw.Connection) -> int:
                db.execute(sql, (before,))
                return db.changes()

            return work

        await self.writer.row("DELETE FROM sessions WHERE expires_at < ?", (before,))
        for sql in (responses.EXPIRE, grades.EXPIRE, events.EXPIRE):
            while await self.writer.call(delete(sql)):
                pass
        total = 0
        while deleted := await self.writer.call(delete(records.EXPIRE)):
            total += deleted
        self.writer.forget_noted()
        return total

    # Kept responses

    def put_response(self, response: StoredResponse, items: Sequence[str] = ()) -> Write[None]:
        if not items:  # which is most of them, and cheaper
            return self.writer.row(responses.PUT, responses.to_row(response))
        return self.writer.call(partial(responses.put, response=response, items=items))

    def get_response(self, response_id: str, tenant: str, since: int) -> StoredResponse | None:
        """A response; another tenant's, and one from before `since`, is as if absent."""
        row = self._row(responses.GET, (response_id, tenant, since))
        return None if row is None else responses.from_row(row)

    def conversation(self, response_id: str, tenant: str, since: int) -> tuple[StoredResponse, ...]:
        """A response and those that it follows, the first one first; see `get_response`.

        Where one is missing, the conversation begins behind the gap: its first one has a `previous`.
        """
        return tuple(map(responses.from_row, self._rows(responses.TURNS, (response_id, tenant, since))))

    def holders(self, item: str, tenant: str, most: DataClass, since: int) -> tuple[str, ...]:
        """Responses, two at most, of a data class up to `most`, that hold an item of a vendor's name."""
        values = (tenant, item, DATA_CLASSES.index(most), since)
        return tuple(row[0] for row in self._rows(responses.HOLDERS, values))

    def delete_response(self, response_id: str, tenant: str) -> Write[bool]:
        """Delete a response; False if the tenant has none of that id."""
        return self.writer.call(partial(responses.delete, response_id=response_id, tenant=tenant))

    # What decisions were made from

    def put_config(self, digest: str, body: bytes, *, policy_hash: str = "", by: str = "") -> Write[None]:
        """Keep a config by its hash: no later record is in the file without it. Cheap to repeat."""
        first_seen = self._clock()

        def work(db: apsw.Connection) -> None:
            sql = "INSERT INTO configs (hash, first_seen, body, policy_hash, by) VALUES (?, ?, ?, ?, ?) "
            values = (digest, first_seen, zlib.compress(body), policy_hash, by)
            db.execute(f"{sql} ON CONFLICT DO NOTHING", values)

        return self._put_once("config", digest, work)

    def get_config(self, digest: str) -> bytes | None:
        row = self._row("SELECT body FROM configs WHERE hash = ?", (digest,))
        return None if row is None else self._expand(row[0])

    def put_world(self, digest: str, body: bytes) -> Write[None]:
        """Keep a world by its hash: no later record is in the file without it. Cheap to repeat."""

        def work(db: apsw.Connection) -> None:
            sql = "INSERT INTO worlds (hash, body) VALUES (?, ?) ON CONFLICT DO NOTHING"
            db.execute(sql, (digest, zlib.compress(body)))

        return self._put_once("world", digest, work)

    def get_world(self, digest: str) -> bytes | None:
        row = self._row("SELECT body FROM worlds WHERE hash = ?", (digest,))
        return None if row is None else self._expand(row[0])

    # Aliases

    def seed_aliases(
        self, file_aliases: Mapping[str, str], *, now: int, by: str, identities: Mapping[str, str] = _NONE
    ) -> None:
        """Make version 1 of each alias of the file that the store lacks. Blocks: for the start only.

        `identities` has, by model, the JSON of what answers.
        """
        if file_aliases.keys() - self.aliases().keys():
            change = Change(by=by, at=now)
            self.writer.run(lambda db: aliases.seed(db, file_aliases, identities, change))

    def aliases(self) -> dict[str, AliasState]:
        return self._read(aliases.states)

    def alias_history(self, name: str) -> AliasHistory | None:
        return self._read(lambda db: aliases.history(db, name))

    def promote(
        self,
        alias: str,
        to_model: str,
        *,
        if_version: int | None,
        by: str,
        now: int,
        reason: str | None = None,
        gate: str | None = None,
        override: str | None = None,
        identity: str | None = None,
    ) -> Write[AliasState]:
        """Release a model as the next version of an alias; see `aliases.promote`.

        Raises UnknownAlias, RolloutUnderWay, or StaleVersion where `if_version` is not the active version.
        """
        change = Change(by=by, at=now, reason=reason)

        def work(db: apsw.Connection) -> AliasState:
            rollouts.refuse_under_way(db, alias)
            return aliases.promote(
                db,
                alias,
                to_model,
                change,
                if_version=if_version,
                gate=gate,
                override=override,
                identity=identity,
            )

        return self.writer.call(work, durable=True)

    def rollback(
        self,
        alias: str,
        to_version: int | None,
        *,
        if_version: int | None,
        by: str,
        now: int,
        reason: str | None = None,
        pool: Mapping[str, str] | None = None,
    ) -> Write[AliasState]:
        """Make an earlier version active, by default the one before the last release; see `aliases.rollback`.

        Raises UnknownAlias, UnknownVersion, TargetGone, or StaleVersion where `if_version` is not active.
        """
        change = Change(by=by, at=now, reason=reason)
        return self.writer.call(
            lambda db: rollouts.roll_back(db, alias, to_version, change, if_version=if_version, pool=pool),
            durable=True,
        )

    def read(self, work: Callable[[apsw.Connection], T]) -> T:
        """A read that a module of the store offers, in a connection of this thread: `rollouts.live`, …"""
        self.writer.commit_noted()
        return self._read(work)

    # Evals

    def put_eval_sample(self, key: str, at: int, model: str, body: bytes) -> Write[None]:
        """Keep what a model answered under a key of all that could change it; the first one stays."""
        return self.writer.row(evals.PUT_SAMPLE, evals.sample_row(key, at, model, body))

    def eval_sample(self, key: str) -> bytes | None:
        return self._read(lambda db: evals.sample(db, key))

    def put_gate_record(self, gate: StoredGate, *, actor: str) -> Write[None]:
        """Add a gate's record, which stays, and an entry of the control log that names it."""
        return self.writer.call(lambda db: evals.put_gate(db, gate, actor), durable=True)

    def gate_records(self, alias: str | None = None) -> tuple[StoredGate, ...]:
        """The records of an alias's gates (None: of all), the newest first."""
        return self._read(lambda db: evals.gates(db, alias))

    def data_version(self) -> int:
        """A number that changes whenever anybody commits anything to the file, this process too."""
        with self._watching:
            try:
                version: int = self._watch.execute("PRAGMA data_version").get
            except apsw.Error as error:
                raise as_store_error(error, self.path) from error
        return version

    # Control log, sessions, secrets

    def log_control(self, *, now: int, actor: str, action: str, body: Mapping[str, Any]) -> Write[int]:
        """Add an entry to the control log; its number."""
        return self.writer.call(
            lambda db: control_log.append(db, at=now, actor=actor, action=action, body=body), durable=True
        )

    def verify_control_log(self) -> int | None:
        """The number of the first entry that was edited, removed, added or moved; None: the chain holds."""
        return self._read(control_log.first_broken)

    def session_class(self, tenant: str, session: str, now: int) -> DataClass | None:
        """The strictest data class that a session has shown within its last day."""
        sql = "SELECT data_class FROM sessions WHERE tenant = ? AND session = ? AND expires_at > ?"
        row = self._row(sql, (tenant, session, now))
        return None if row is None else DATA_CLASSES[row[0]]

    def raise_session_class(self, tenant: str, session: str, data_class: DataClass, now: int) -> Write[None]:
        """Keep a session's class for a day from now, in which it never falls.

        It is kept for up to an hour longer: so a busy session is written once an hour, not with each request.
        """
        rank = DATA_CLASSES.index(data_class)
        sql = "SELECT data_class >= ?3 AND expires_at >= ?4 FROM sessions WHERE tenant = ?1 AND session = ?2"
        if self._row(sql, (tenant, session, rank, now + DAY_US)) == (1,):
            return done()
        return self.writer.row(_RAISE_CLASS, (tenant, session, rank, now, DAY_US + HOUR_US))

    def secret(self, name: str) -> bytes:
        """32 random bytes of this store, made when first asked for. May block: for the start only."""

        def work(db: apsw.Connection) -> bytes:
            sql = "INSERT INTO secrets (name, value) VALUES (?, ?) ON CONFLICT DO NOTHING"
            db.execute(sql, (name, secrets.token_bytes(32)))
            value: bytes = db.execute("SELECT value FROM secrets WHERE name = ?", (name,)).get
            return value

        row = self._row("SELECT value FROM secrets WHERE name = ?", (name,))
        return self.writer.run(work) if row is None else row[0]

    def integrity(self) -> tuple[str, ...]:
        """What is wrong with the file, read from end to end: seconds to minutes. Empty: nothing."""
        try:
            found = [row[0] for row in self._rows("PRAGMA integrity_check")]
        except StoreError as error:
            return (error.problem,)
        return () if found == ["ok"] else tuple(found)

    # Below here: connections

    def _put_once(self, kind: str, name: str, work: Callable[[apsw.Connection], None]) -> Write[None]:
        """Write what never changes, once in each process, and before every record that comes after."""
        if (kind, name) in self._once:
            return done()
        write = self.writer.call(work, owed=True)
        self._once.add((kind, name))
        return write

    def _read(self, work: Callable[[apsw.Connection], T]) -> T:
        try:
            return work(self._reader())
        except apsw.Error as error:
            raise as_store_error(error, self.path) from error

    def _rows(self, sql: str, values: tuple[Any, ...] = ()) -> list[Any]:
        return self._read(lambda db: db.execute(sql, values).fetchall())

    def _records(self, sql: str, values: tuple[Any, ...]) -> list[StoredRecord]:
        self.writer.commit_noted()
        return self._read(lambda db: records.from_rows(db, db.execute(sql, values).fetchall()))

    def _row(self, sql: str, values: tuple[Any, ...]) -> Any:
        return self._read(lambda db: db.execute(sql, values).fetchone())

    def _reader(self) -> apsw.Connection:
        try:
            db: apsw.Connection = self._local.db
        except AttributeError:
            db = self._local.db = self._connect_reader()
        return db

    def _connect_reader(self) -> apsw.Connection:
        db = connect_reader(self.path, busy_s=self._read_busy_s)
        self._readers.append(db)
        return db

    def _expand(self, body: bytes) -> bytes:
        try:
            return zlib.decompress(body)
        except zlib.error as error:
            raise as_store_error(apsw.CorruptError(), self.path) from error
