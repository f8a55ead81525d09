"""What one server process holds: the state in force, the store, the services, the log.

`state` is replaced whole, never changed; requests under way keep the one they began with.
"""

import traceback
from asyncio import get_running_loop
from collections import deque
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from msgspec import Struct

from interlock.adapters.failures import SPENT
from interlock.config.checked import Config
from interlock.config.loading import Loaded
from interlock.errors import ApiError, StoreError, let_go
from interlock.execute.apart import apart
from interlock.execute.executor import Execution
from interlock.execute.setting import Services
from interlock.live.amounts import Amount
from interlock.release import revisions
from interlock.release.controller import Controller
from interlock.release.graders import refuse_bad_graders
from interlock.release.pool import follow_pool
from interlock.resilience.health import Health
from interlock.resilience.load import Degrade, Load
from interlock.server.beside import Beside
from interlock.server.case import LARGE, Case
from interlock.server.content import content_of, is_kept
from interlock.server.exchange import Exchange
from interlock.server.ids import Clock, fresh_name, fresh_nonce
from interlock.server.lately import Lately
from interlock.server.latency import Latencies
from interlock.server.lines import Lines
from interlock.server.log import Log
from interlock.server.mirrors import Mirrors
from interlock.server.noticing import Noticer
from interlock.server.outages import Outages
from interlock.server.records import budgets_used
from interlock.server.rows import Rows
from interlock.server.state import State, make_state, with_world
from interlock.stats.rounding import milliseconds
from interlock.store.rollouts import live
from interlock.store.sqlite import DAY_US, Store
from interlock.types.record import Attempt, Record, Status
from interlock.wiring import KEYS_SECRET, now_us, open_store, put_world, services, world_of

RETRY_S: Final = 5
MOST_WAITING: Final = 64
MOST_BYTES: Final = 8 * 1024 * 1024
"""Of requests that wait to be copied, or answers to be graded; more are left out and counted."""
ALERT_EVERY_S: Final = 60.0
MOST_LATE: Final = 10_000
"""Signals that wait for the collector; of more, the oldest are let go."""


class Swap(Struct, frozen=True):
    """A config that took another's place, by the number of its revision."""

    revision: int
    before: Config
    after: Config


class Gateway:
    """Mutable. `folder` is where the config's paths begin."""

    def __init__(
        self,
        state: State,
        store: Store,
        services: Services,
        clock: Clock,
        log: Log,
        health: Health,
        folder: Path,
    ) -> None:
        self.state = state
        self.store = store
        self.services = services
        self.clock = clock
        self.log = log
        self.lines = Lines()
        self._ended: list[tuple[Exchange, float]] = []
        self.health = health
        self.folder = folder
        self.draining = False
        self.unkept = False
        """Whether the latest record could not be kept. Then the next has to be before money is spent."""
        self.reloads = 0
        self.reloads_failed = 0
        self.latencies = Latencies()
        self.lately = Lately()
        self._rows = Rows(store.put_shape)
        self._alerted: dict[str, float] = {}
        self.outages = Outages()
        self.load = Load(state.config.resilience.max_in_flight)
        self.degrade = Degrade(state.config.resilience.degrade)
        self.controller = Controller(store, fresh_name(), self.say)
        self.noticer = Noticer(store, self.came_late)
        self.late: deque[Amount] = deque(maxlen=MOST_LATE)
        self.to_replay: Swap | None = None
        """A change of the config whose effect this process has to compute, beside the requests."""
        self.mirrors = Mirrors(store, self.fault)
        self.copies = Beside(MOST_WAITING, MOST_BYTES, self.fault)
        self.gradings = Beside(MOST_WAITING, MOST_BYTES, self.fault)

    def came_late(self, record: Record, amount: Amount | None) -> None:
        """Keep for the collector what became known of a record after its end. Nothing of strict ones."""
        exported = self.state.config.telemetry.otlp_endpoint is not None
        if exported and amount is not None and record.decision.policy.logging != "strict":
            self.late.append(amount)

    def say(self, event: str, **fields: Any) -> None:
        """One line about the server itself."""
        self._log_ended()
        self.log.line({"at": self.clock.now(), "event": event, **fields})

    def refresh_world(self) -> None:
        """Take aliases and latencies as they are now. Requests that have begun keep theirs."""
        rollouts = self.store.read(live)
        world = world_of(self.store, self.latencies.bands(), self.degrade.mode, rollouts)
        if world != self.state.setting.world:
            self.state = with_world(self.state, world)
            put_world(self.store, self.state.world_hash, world)
        self.mirrors.follow(rollouts, self.state)

    def measure(self, now: float, late_s: float) -> None:
        """Note how late the loop runs; enter or leave a degrade mode; tell of breakers.

        Called a few times a second.
        """
        self.outages.look(self.state.setting, now, self.say)
        rules = self.state.config.resilience
        self.load.max_in_flight, self.degrade.modes = rules.max_in_flight, rules.degrade
        self.load.measure(late_s)
        before = self.degrade.mode
        self.degrade.observe(now, self.load.value)
        if self.degrade.mode != before:
            self.say("degrade", mode=self.degrade.mode, before=before, load=round(self.load.value, 3))
            self.refresh_world()

    def expect_record(self, exchange: Exchange) -> None:
        """Have done for the record of a request what can be done while its upstream works."""
        get_running_loop().call_soon(self._begin_record, exchange)

    def _begin_record(self, exchange: Exchange) -> None:
        if exchange.outcome is None and exchange.decision is not None:
            with suppress(StoreError):  # it is met again, and told, when the record is made
                exchange.row = self._rows.begin(exchange.decision)
            self.store.writer.probe(exchange.began)

    async def record(
        self,
        exchange: Exchange,
        case: Case,
        status: Status,
        execution: Execution | None = None,
        *,
        durable: bool = False,
    ) -> None:
        """Keep the record of a request: when this returns, the end of the process does not lose it.

        Raises ApiError: overloaded, where the store cannot.
        """
        decision, config = case.decision, exchange.state.config
        logging = decision.policy.logging
        exchange.outcome = status
        if execution is not None:
            exchange.attempts = execution.attempts
            exchange.used = budgets_used(execution)
            for attempt in execution.attempts:
                if attempt.outcome == "ok" and case.request.operation != "count":
                    self.latencies.note(attempt.model, attempt.latency_ms)
                elif attempt.status in (401, 402, 403) or attempt.detail.endswith(SPENT):
                    self._alert(attempt)
        content = None
        if is_kept(config, logging):
            text = execution.text if execution is not None else ""
            if len(case.body) + len(text) > LARGE:
                content = await apart(content_of, config, logging, case.body, text)
            else:
                content = content_of(config, logging, case.body, text)
        try:
            row = self._rows.row(
                decision, status, execution, content, at=case.at, used=exchange.used, begun=exchange.row
            )
            strict = durable or logging == "strict"
            if strict or not self.store.note_row(row, since=exchange.began):
                await self.store.put_row(row, durable=strict)
        except StoreError as error:
            raise self.store_failed(error) from None
        self.unkept = False
        if execution is not None and case.asker is not None:
            self.noticer.note(case, status)

    def _alert(self, attempt: Attempt) -> None:
        """Say that a provider refuses our account, or that it is used up: once a minute."""
        now = get_running_loop().time()
        if now - self._alerted.get(attempt.provider, -ALERT_EVERY_S) >= ALERT_EVERY_S:
            self._alerted[attempt.provider] = now
            event = "account_used_up" if attempt.detail.endswith(SPENT) else "credentials_refused"
            self.say(event, provider=attempt.provider, status=attempt.status)

    def fault(self, during: str, error: Exception) -> ApiError:
        """Log a fault of ours, and give what callers are told: where it was, never its words."""
        frames = traceback.extract_tb(error.__traceback__)
        where = [f"{frame.filename.rpartition('interlock/')[2]}:{frame.lineno}" for frame in frames[-4:]]
        self.say("fault", during=during, error=type(error).__name__, where=where)
        return ApiError("internal", "something went wrong on our side")

    def store_failed(self, error: StoreError) -> ApiError:
        """Log that the store cannot be used. What callers are told: without a record nothing is served."""
        let_go(error)
        self.unkept = True
        self.say("store", error=error.problem)
        return ApiError("overloaded", "the store cannot be used at the moment", retry_after_s=RETRY_S)

    async def expire(self) -> None:
        """Delete records that are older than the config keeps them."""
        kept_us = self.state.config.telemetry.retention_days * DAY_US
        try:
            await self.store.expire(now_us() - kept_us)
        except StoreError as error:
            self.say("store", error=error.problem)

    def log_request(self, exchange: Exchange) -> None:
        """Have one line written for one request, behind its answer: never content, never keys."""
        loop = get_running_loop()
        if not self._ended:
            loop.call_soon(self._log_ended)
        self._ended.append((exchange, loop.time()))

    def _log_ended(self) -> None:
        ended, self._ended = self._ended, []
        if ended:
            now, line = self.clock.now(), self.lines.of
            self.log.requests([line(one, now, milliseconds(at - one.began)) for one, at in ended])

    async def close(self) -> None:
        """Let go of upstreams and store. Nothing may be served any more."""
        await self.copies.close()
        await self.gradings.close()
        try:
            await self.mirrors.flush()
        except StoreError as error:
            self.say("store", error=error.problem)
        await self.services.transport.close()
        self._log_ended()
        self.store.close()


def make_gateway(loaded: Loaded, log: Log) -> Gateway:
    """A gateway for a config that has just been loaded. Raises StoreError, and ConfigError for a gate."""
    refuse_bad_graders(loaded.config, loaded.path)
    store = open_store(loaded)
    follow_pool(store, loaded.config, loaded.path)
    revisions.note(store, loaded, "start")
    clock, health = Clock(), Health()
    secret = store.secret(KEYS_SECRET)
    state = make_state(loaded.config, loaded.secrets, world_of(store), secret, health)
    put_world(store, state.world_hash, state.setting.world)
    acting = services(now=clock.now, fresh=fresh_nonce)
    gateway = Gateway(state, store, acting, clock, log, health, loaded.path.parent)
    gateway.mirrors.follow(store.read(live), state)
    if loaded.config.server.workers == 1:  # else another worker might be asked for a record too early
        store.go_ahead(gateway.store_failed)
    return gateway
