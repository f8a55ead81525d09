"""P2 and P4 through the whole server: a disk that fails at the n-th write, a wall clock that jumps."""

import asyncio
import time
from collections import Counter

import apsw
import pytest

from interlock.server.ids import Clock
from tests.server.harness import pool, serving, until
from tests.server.upstream import Upstream, sse
from tests.server.vendors import ROLE, chat, chat_end, words
from tests.store.faulty import Disk

RULES = [{"name": "strict", "when": {"task": "audited"}, "then": {"logging": "strict"}}]


@pytest.fixture
def disk():
    """Every connection of this process is on a disk that fails on demand."""
    faulty = Disk(default=True)
    yield faulty
    faulty.unregister()


@pytest.mark.parametrize("error", [apsw.FullError, apsw.IOError], ids=["full", "input or output error"])
async def test_p2_at_whichever_write_the_disk_fails_no_answer_is_without_its_record(tmp_path, disk, error):
    """Fails at the n-th write or sync, for each n, and for all that follow; then space returns."""
    async with Upstream(chat("answer")) as up, serving(tmp_path, pool(up.url, policy=RULES)) as server:
        first = await server.chat()
        held, statuses = [first.headers["x-interlock-decision-id"]], Counter[int]()
        for nth in range(1, 20):
            disk.fail(nth, error, lasting=True)
            for task in ("audited", "unknown", "audited"):
                got = await server.chat(headers={"x-interlock-task": task})
                statuses[got.status_code] += 1
                if got.status_code == 200:
                    held.append(got.headers["x-interlock-decision-id"])
                else:
                    assert got.json()["error"]["code"] == "overloaded"
                    assert "answer" not in got.text
                    assert "disk" not in got.text, "what ails us is not a caller's business"
                    assert int(got.headers["retry-after"]) > 0
            read = await server.client.get(f"/v1/decisions/{held[0]}")
            assert read.status_code == 200, "reads go on"
            disk.mend()
            again = await server.chat()
            assert again.status_code == 200, "it recovers by itself"
            held.append(again.headers["x-interlock-decision-id"])
        assert set(statuses) == {200, 503}
        assert {server.record(name).status for name in held} == {"ok"}
        assert server.gateway.store.integrity() == ()
        assert {line["event"] for line in server.log} == {"request", "store"}
        words_for_us = {line["error"].rpartition(": ")[2] for line in server.log if line["event"] == "store"}
        assert words_for_us == {
            "the disk is full" if error is apsw.FullError else "reading or writing it failed"
        }


async def test_p2_while_nothing_can_be_recorded_nothing_that_must_be_is_sent(tmp_path, disk):
    async with Upstream(chat("answer")) as up, serving(tmp_path, pool(up.url, policy=RULES)) as server:
        disk.fail(1, apsw.FullError, lasting=True)
        got = await server.chat(headers={"x-interlock-task": "audited"})
        assert (got.status_code, up.seen) == (503, [])
        promoted = await server.client.post("/v1/aliases/prod/promote", json={"to": "small"})
        assert promoted.status_code == 503
        disk.mend()
        assert (await server.chat()).headers["x-interlock-alias"] == "prod@1", (
            "what was refused did not happen"
        )


async def test_p2_while_no_record_can_be_kept_no_money_is_spent_and_what_was_counted_can_be_read(
    tmp_path, disk
):
    async with Upstream(chat("answer")) as up, serving(tmp_path, pool(up.url)) as server:
        await server.chat()
        disk.fail(1, apsw.FullError, lasting=True)
        while (await server.chat()).status_code == 200:
            pass  # the journal has room for it
        spent = len(up.seen)
        for stream in (False, True, False):
            assert (await server.chat(stream=stream)).status_code == 503
        assert len(up.seen) == spent
        assert (await server.client.get("/metrics")).status_code == 200
        disk.mend()
        got = await server.chat()
        assert got.status_code == 200, "it recovers by itself"
        assert server.record(got).status == "ok"
        assert len(up.seen) == spent + 1


class WallClock:
    """The real clock, moved."""

    def __init__(self, monkeypatch):
        self.ahead_s = 0
        real, real_ns = time.time, time.time_ns
        monkeypatch.setattr(time, "time", lambda: real() + self.ahead_s)
        monkeypatch.setattr(time, "time_ns", lambda: real_ns() + self.ahead_s * 1_000_000_000)


@pytest.mark.parametrize("jump_s", [-3600, 86_400], ids=["back an hour", "forward a day"])
async def test_p4_a_clock_that_jumps_ends_no_request_and_keeps_every_record(tmp_path, monkeypatch, jump_s):
    """Deadlines go by a clock that only runs forward; sessions and records outlast the jump."""
    clock, gate = WallClock(monkeypatch), asyncio.Event()
    held = sse(ROLE, *words("first"), gate, *words(" last"), chat_end())
    async with Upstream(chat(), chat(), held) as up, serving(tmp_path, pool(up.url)) as server:
        secret = {"x-interlock-session": "s", "x-interlock-data-class": "internal"}
        before = await server.chat(headers=secret)
        hint = {"x-interlock-deadline-ms": "60000", "x-interlock-session": "s"}
        asking = asyncio.create_task(server.chat(stream=True, headers=hint))
        await until(lambda: len(up.seen) == 2)
        clock.ahead_s = jump_s
        await asyncio.sleep(0.6)  # a tick or two of whatever looks at clocks
        gate.set()
        got = await asking
        after = await server.chat(headers=hint)
        assert (before.status_code, got.status_code, after.status_code) == (200, 200, 200)
        records = [server.record(answer) for answer in (before, got, after)]
        assert [record.status for record in records] == ["ok"] * 3
        assert all(0 <= attempt.latency_ms < 60_000 for record in records for attempt in record.attempts)
        assert all(line["latency_ms"] >= 0 for line in server.log if line["event"] == "request")
        listed = (await server.client.get("/v1/decisions")).json()["data"]
        assert {row["decision"]["id"] for row in listed} == {record.decision.id for record in records}


async def test_p4_an_expired_key_comes_back_to_life_only_with_the_clock_and_a_session_does_not(
    tmp_path, monkeypatch
):
    clock = WallClock(monkeypatch)
    async with Upstream(chat()) as up, serving(tmp_path, pool(up.url)) as server:
        hint = {"x-interlock-session": "s"}
        await server.chat("my card is 4111 1111 1111 1111", headers=hint)
        for ahead_s in (-3600, 0, 7200):
            clock.ahead_s = ahead_s
            got = await server.chat(headers=hint)
            assert server.record(got).decision.policy.data_class == "regulated", ahead_s


def test_p4_instants_are_in_utc_across_a_change_to_summer_time(monkeypatch):
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    try:
        change = 1_774_746_000  # 2026-03-29 01:00 UTC, when Berlin goes from 02:00 to 03:00
        said = [Clock().at((change + minutes * 60) * 1_000_000_000) for minutes in (-60, -1, 0, 60)]
    finally:
        monkeypatch.undo()
        time.tzset()
    assert said == [
        "2026-03-29T00:00:00.000000Z",
        "2026-03-29T00:59:00.000000Z",
        "2026-03-29T01:00:00.000000Z",
        "2026-03-29T02:00:00.000000Z",
    ]
