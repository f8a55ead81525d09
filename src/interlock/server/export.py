"""Sending finished records to an OpenTelemetry collector, in batches, behind the requests.

A batch is claimed before it is sent: so each record is sent by one worker, and a batch that cannot be
delivered after some tries is given up and counted. A slow or dead collector costs no request anything.
"""

import asyncio
import time
from collections.abc import Callable
from functools import partial
from typing import Any, Final

import msgspec

from interlock import __version__
from interlock.config.checked import Config
from interlock.errors import StoreError
from interlock.live import otlp
from interlock.live.exposition import EXPORTED, series
from interlock.live.routes import is_traffic
from interlock.live.semconv import provider_name
from interlock.server.following import Batch, in_thread, next_batch
from interlock.server.gateway import Gateway
from interlock.server.ids import fresh_name
from interlock.store.live import Place
from interlock.store.sqlite import Store
from interlock.transport import TransportError
from interlock.types.record import Record
from interlock.wiring import now_us

FOLLOWER: Final = "otlp"
BATCH: Final = 100
MOST_BATCHES: Final = 40
"""In one look."""
MOST_BEHIND: Final = 20_000
"""Older records are skipped: they pile up while no collector is configured, or it cannot keep pace."""
TRIES: Final = 3
PAUSE_S: Final = 0.5
CONNECT_S: Final = 2.0
ANSWER_S: Final = 5.0
_TRY_AGAIN: Final = frozenset({429, 502, 503, 504})
"""By the OTLP specification, "Failures", retryable answers."""
_MOST_ANSWER: Final = 64 * 1024
_HEADERS: Final = (("content-type", "application/json"),)
_encode: Final = msgspec.json.Encoder().encode


class Exporter:
    """Mutable: since when this process has reported, which the deltas of its metrics need."""

    def __init__(self, gateway: Gateway, pause_s: float = PAUSE_S) -> None:
        self._gateway = gateway
        self._pause_s = pause_s
        self._whose = otlp.resource(__version__, fresh_name())
        self._since_ns = time.time_ns()

    async def look(self) -> None:
        """Send what is there, if a collector is configured. Raises StoreError."""
        store = self._gateway.store
        for _ in range(MOST_BATCHES):
            endpoint = self._gateway.state.config.telemetry.otlp_endpoint
            batch = await in_thread(partial(_claim, store, now_us())) if endpoint is not None else None
            if endpoint is None or batch is None:
                break
            records = [record for record in batch.records if is_traffic(record)]
            # Reading a strictly logged record is itself recorded, so it is given to nobody here.
            open_ones = [record for record in records if record.decision.policy.logging != "strict"]
            try:
                failed = await self._send(endpoint.rstrip("/"), open_ones) if open_ones else 0
            except asyncio.CancelledError:  # the server stops: what was claimed is not sent by another
                await self._count(failed=len(open_ones))
                raise
            await self._count(
                sent=len(open_ones) - failed, failed=failed, skipped=len(records) - len(open_ones)
            )
            if failed:
                return
        endpoint = self._gateway.state.config.telemetry.otlp_endpoint
        if endpoint is not None and self._gateway.late:
            await self._send_late(endpoint.rstrip("/"))

    async def _send_late(self, endpoint: str) -> None:
        """What became known of records that were sent before. Not taken, it waits for the next look."""
        waiting = self._gateway.late
        late = [waiting.popleft() for _ in range(len(waiting))]
        since_ns, self._since_ns = self._since_ns, time.time_ns()
        describe, until_ns = _describer(self._gateway.state.config), self._since_ns
        body = _encode(otlp.metrics((), describe, self._whose, since_ns, until_ns, late))
        why = await self._deliver(f"{endpoint}/v1/metrics", body)
        if why is not None:
            self._gateway.say("otlp_failed", kind="metrics", records=0, why=why)
            waiting.extendleft(reversed(late))

    async def _count(self, **results: int) -> None:
        added = {series(EXPORTED, {"result": name}): float(value) for name, value in results.items() if value}
        if added:
            await self._gateway.store.counts.add(added)

    async def _send(self, endpoint: str, records: list[Record]) -> int:
        """Send traces and metrics of records; how many records were not taken."""
        describe = _describer(self._gateway.state.config)
        since_ns, self._since_ns = self._since_ns, time.time_ns()
        until_ns = self._since_ns
        bodies = (
            ("traces", lambda: otlp.traces(records, describe, self._whose)),
            ("metrics", lambda: otlp.metrics(records, describe, self._whose, since_ns, until_ns)),
        )
        for kind, make in bodies:
            body = await asyncio.to_thread(_encoded, make)
            why = await self._deliver(f"{endpoint}/v1/{kind}", body)
            if why is not None:
                self._gateway.say("otlp_failed", kind=kind, records=len(records), why=why)
                return len(records)
        return 0

    async def _deliver(self, url: str, body: bytes) -> str | None:
        """Post a body, again where that may help; None, or why it was not taken."""
        why: str | None = None
        for number in range(TRIES):
            if number:
                await asyncio.sleep(self._pause_s * 2**number)
            try:
                status, answer = await self._post(url, body)
            except TransportError as error:
                why = error.outcome
                continue
            except ValueError as error:
                return str(error)
            if 200 <= status < 300:
                return _refused(answer)
            why = f"status {status}"
            if status not in _TRY_AGAIN:
                break
        return why

    async def _post(self, url: str, body: bytes) -> tuple[int, bytes]:
        now = asyncio.get_running_loop().time()
        response = await self._gateway.services.transport.send(
            url, _HEADERS, body, connect_by=now + CONNECT_S, first_byte_by=now + ANSWER_S
        )
        try:
            return response.status, await response.read(_MOST_ANSWER, now + ANSWER_S)
        finally:
            response.close()


def _encoded(make: Callable[[], dict[str, Any]]) -> bytes:
    """Off the loop: a batch takes milliseconds to write down, and requests would wait."""
    return _encode(make())


def _claim(store: Store, now: int) -> Batch | None:
    """The next batch, from now on this process's to send; None: nothing, or another process was quicker."""
    place = store.counts.place(FOLLOWER)
    newest = store.counts.newest()
    if place is None:
        store.counts.advance(FOLLOWER, None, Place(seq=newest)).result()
        return None
    behind = newest - place.seq
    if behind > MOST_BEHIND:
        skipped = {series(EXPORTED, {"result": "skipped"}): float(behind)}
        store.counts.advance(FOLLOWER, place, Place(seq=newest), skipped).result()
        return None
    batch = next_batch(store, FOLLOWER, now, BATCH)
    if batch is None or not store.counts.advance(FOLLOWER, batch.seen, batch.to).result():
        return None
    return batch


def _refused(answer: bytes) -> str | None:
    """A collector that takes a part only says so in an answer of status 200."""
    try:
        told: Any = msgspec.json.decode(answer or b"{}")
        partial = told.get("partialSuccess") or {}
        rejected = int(partial.get("rejectedSpans") or partial.get("rejectedDataPoints") or 0)
    except (ValueError, AttributeError, TypeError):
        return None
    return f"{rejected} were rejected" if rejected else None


def _describer(config: Config) -> otlp.Describe:
    """By the config as it is now; who is no longer in it goes by the name that the record has."""

    def describe(provider: str, model: str) -> tuple[str, str]:
        known, entry = config.providers.get(provider), config.models.get(model)
        return (
            provider_name(known.kind, known.vendor) if known is not None else provider,
            entry.upstream if entry is not None else model,
        )

    return describe


async def export(gateway: Gateway, exporter: Exporter) -> None:
    """One look; what goes wrong is logged and ends nothing."""
    try:
        await exporter.look()
    except StoreError as error:
        gateway.say("store", error=error.problem)
    except Exception as error:  # noqa: BLE001 - whatever a collector does, it is no request's business
        gateway.fault("otlp", error)
