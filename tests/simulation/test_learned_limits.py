"""Limits that nobody configured, learned while calls go: of headers, and of overload. In made-up time."""

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from random import Random
from typing import Any

import pytest

from interlock.config.written import Limits
from interlock.execute.admission import turn
from interlock.resilience.crowd import CALM_S
from interlock.resilience.learned import Said
from interlock.resilience.quota import Quota
from tests.simulation.clock import run
from tests.simulation.test_rows import Place, code, outcomes, whole
from tests.simulation.upstreams import Answer, Net, refusal

ONE_CALL = {"x-ratelimit-remaining-requests": "1", "x-ratelimit-reset-requests": "20s"}
THREE_TOKENS = {"x-ratelimit-remaining-tokens": "3", "x-ratelimit-reset-tokens": "20s"}
ANTHROPICS = {
    "date": "Thu, 26 Nov 2026 10:00:00 GMT",
    "anthropic-ratelimit-requests-remaining": "1",
    "anthropic-ratelimit-requests-reset": "2026-11-26T10:00:20Z",
}
ACCOUNTS = {"ratelimit-remaining": "1", "ratelimit-limit": "100", "ratelimit-reset": "20"}


def tells(place: Place, headers: dict[str, str], host: str = "one") -> None:
    """The next answer of `host` tells this."""
    place.net.upstreams[host].script.append(Answer(200, headers, [(0.0, whole("hi"))]))


async def many(place: Place, number: int, **given: Any) -> list[Any]:
    return list(await asyncio.gather(*(place.ask(**given) for _ in range(number))))


@pytest.mark.parametrize(
    ("headers", "more"), [(ONE_CALL, 1), (THREE_TOKENS, 0), (ANTHROPICS, 1), (ACCOUNTS, 1)]
)
def test_u5_what_headers_leave_goes_and_the_rest_of_a_crowd_falls_back(headers, more):
    async def story():
        place = Place()
        tells(place, headers)
        assert outcomes(await place.ask()) == [("a", "ok")]
        found = await many(place, 20)
        assert [outcomes(one) for one in found].count([("a", "ok")]) == more
        assert [outcomes(one) for one in found].count([("b", "ok")]) == 20 - more
        whys = {(dropped.model, dropped.rule) for one in found for dropped in one.skipped}
        assert whys == {("a", "rate_limit")}
        assert sum(call.host == "one" for call in place.net.calls) == 1 + more
        await asyncio.sleep(20)
        assert outcomes(await place.ask()) == [("a", "ok")]

    run(story())


def test_u5_without_a_fallback_they_wait_inside_their_deadline_and_are_told_when_to_come_back():
    async def story():
        place = Place(fallbacks=(), deadline_ms=5500)
        tells(
            place,
            {
                "x-ratelimit-remaining-requests": "0",
                "x-ratelimit-limit-requests": "60",
                "x-ratelimit-reset-requests": "60s",
            },
        )
        await place.ask()
        began = asyncio.get_running_loop().time()
        took_ms: dict[Any, float] = {}

        async def caller() -> None:
            execution = await place.ask()
            took_ms[execution] = execution.elapsed_ms

        await asyncio.gather(*(caller() for _ in range(20)))
        went = [one for one in took_ms if outcomes(one)]
        starts = sorted(call.at - began for call in place.net.calls[1:])
        # One a second: the first fills up while the answer that told of it was on its way.
        assert all(later - sooner == pytest.approx(1) for sooner, later in pairwise(starts))
        assert 4 <= len(went) <= 6
        for one, lasted_ms in took_ms.items():
            assert lasted_ms <= 5600
            if one not in went:
                assert code(one) == "rate_limited"
                assert lasted_ms < 10, "it is told at once"
                assert one.error is not None
                assert 1 <= (one.error.retry_after_s or 0) <= 60

    run(story())


def test_u5_a_models_limit_holds_no_other_model_back_and_an_accounts_holds_all():
    async def story():
        for headers, other in ((ONE_CALL, "ok"), (ACCOUNTS, "rate_limited")):
            place = Place(fallbacks=(), deadline_ms=5000)
            tells(place, headers)
            await place.ask()
            assert code(await place.ask()) == "ok"
            assert code(await place.ask()) == "rate_limited"
            assert code(await place.ask(model="c")) == other
            assert code(await place.ask(model="b")) == "ok"

    run(story())


@pytest.mark.parametrize("reset", ["999999999", "1e308", "9999h", "nan", "-7", "", "tomorrow"])
def test_u5_whatever_a_header_says_of_its_reset_an_upstream_is_called_again_within_a_minute(reset):
    async def story():
        place = Place(fallbacks=(), deadline_ms=None)
        tells(place, {"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": reset})
        await place.ask()
        execution = await place.ask()
        assert code(execution) == "ok"
        assert execution.elapsed_ms <= 61_000

    run(story())


def test_u5_a_crowd_that_waits_goes_on_by_what_the_next_answer_tells():
    """Those who wait do not go by what was told when they came: others use the account too."""

    async def story():
        place = Place(fallbacks=(), deadline_ms=60_000)
        tells(place, {"x-ratelimit-remaining-requests": "1", "x-ratelimit-reset-requests": "10s"})
        await place.ask()
        tells(place, {"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "30s"})
        began = asyncio.get_running_loop().time()
        found = await many(place, 5)
        assert {code(one) for one in found} == {"ok"}
        starts = sorted(call.at - began for call in place.net.calls[1:])
        assert starts[0] == pytest.approx(0)
        assert starts[1] >= 29

    run(story())


def test_u5_a_crowd_that_waits_goes_on_within_a_second_where_the_next_answer_tells_of_room():
    async def story():
        place = Place(fallbacks=(), deadline_ms=60_000)
        tells(place, {"x-ratelimit-remaining-requests": "1", "x-ratelimit-reset-requests": "55s"})
        await place.ask()
        tells(place, {"x-ratelimit-remaining-requests": "100", "x-ratelimit-reset-requests": "1s"})
        found = await many(place, 5)
        assert {code(one) for one in found} == {"ok"}
        assert max(one.elapsed_ms for one in found) < 3000

    run(story())


def test_u5_a_long_call_that_waits_is_not_passed_by_short_ones_without_end():
    async def story():
        loop = asyncio.get_running_loop()
        quota = Quota()
        told = Said(name="t", unit="tokens", remaining=0, most=600, full_s=60.0, steady=True, account=False)
        quota.hear([told], loop.time(), loop.time(), None)
        began: list[float] = []

        async def call(tokens: int) -> None:
            assert await turn((quota,), tokens, loop.time() + 600, loop) is None
            quota.begin(loop.time(), tokens)
            began.append(loop.time())

        first = asyncio.ensure_future(call(300))
        others = []
        for _ in range(40):
            await asyncio.sleep(1)
            others.append(asyncio.ensure_future(call(8)))
        assert first.done()
        await asyncio.gather(*others)

    run(story())


def test_c1_callers_that_leave_while_they_wait_for_a_limit_leave_nothing_behind():
    async def story():
        chance = Random(7)
        place = Place(fallbacks=(), deadline_ms=60_000)
        tells(place, {"x-ratelimit-remaining-requests": "2", "x-ratelimit-reset-requests": "30s"})
        await place.ask()

        async def caller() -> None:
            task = asyncio.ensure_future(place.execution().run_whole())
            await asyncio.sleep(chance.uniform(0, 20))
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

        await asyncio.gather(*(caller() for _ in range(100)))
        upstream = place.setting.destinations["a", None].upstream
        assert (upstream.slots.taken, upstream.slots.waiting) == (0, 0)
        await asyncio.sleep(30)
        execution = await place.ask()
        assert code(execution) == "ok"
        assert execution.elapsed_ms < 2000

    run(story())


# --- upstreams that enforce what they have ---------------------------------------------------------


@dataclass
class Metered(Net):
    """An upstream with `room` for so many calls at once, or `most` calls in a bucket that fills in `full_s`.

    What is over it is refused. `peak` is the most that were under way, `refused` when calls were refused.
    """

    room: Callable[[float], int] | None = None
    most: int | None = None
    full_s: float = 60.0
    lasts_s: float = 1.0
    under_way: int = 0
    peak: int = 0
    served: int = 0
    refused: list[float] = field(default_factory=list)
    _level: float | None = None
    _at: float = 0.0

    async def send(self, url, headers, body, *, connect_by, first_byte_by, proxy=None):
        now = asyncio.get_running_loop().time()
        told = self._told(now)
        if (told is None and self.most is not None) or (self.room and self.under_way >= self.room(now)):
            self.refused.append(now)
            await asyncio.sleep(0.01)
            return refusal(503) if self.room else refusal(429, {"retry-after": "1"})
        self.under_way += 1
        self.peak = max(self.peak, self.under_way)
        try:
            await asyncio.sleep(self.lasts_s)
        finally:
            self.under_way -= 1
        self.served += 1
        return Answer(200, told or {}, [(0.0, whole("hi"))])

    def _told(self, now: float) -> dict[str, str] | None:
        if self.most is None:
            return None
        rate = self.most / self.full_s
        level = self.most if self._level is None else min(self.most, self._level + rate * (now - self._at))
        self._level, self._at = level, now
        if level < 1:
            return None
        self._level = level - 1
        return {
            "x-ratelimit-limit-requests": str(self.most),
            "x-ratelimit-remaining-requests": str(int(self._level)),
            "x-ratelimit-reset-requests": f"{(self.most - self._level) / rate:.3f}s",
        }


def metered(place: Place, **given: Any) -> Metered:
    net = Metered(place.net.upstreams, Random(1), **given)
    place.services = type(place.services)(
        **{
            **{name: getattr(place.services, name) for name in place.services.__struct_fields__},
            "transport": net,
        }
    )
    return net


def test_u5_a_bucket_that_an_upstream_keeps_is_kept_here_too():
    """Twice what it gives is asked for, in crowds: one call has found out, and nobody is refused after it."""

    async def story():
        place = Place(fallbacks=(), deadline_ms=600_000)
        net = metered(place, most=60, full_s=60.0)
        began = asyncio.get_running_loop().time()
        await place.ask()

        async def caller(number: int) -> None:
            await asyncio.sleep(10 * (number // 20))
            await place.ask()

        await asyncio.gather(*(caller(number) for number in range(200)))
        assert net.served == 201
        assert not net.refused
        # It is not held back by more than the limit takes: 201 calls, 60 at once and one a second.
        assert asyncio.get_running_loop().time() - began < 160

    run(story())


def test_an_upstream_that_is_overloaded_is_given_fewer_at_once_and_more_again():
    async def story():
        place = Place(fallbacks=(), deadline_ms=120_000)
        began = asyncio.get_running_loop().time()
        net = metered(place, room=lambda now: 8 if now < began + 60 else 1000)
        slots = place.setting.destinations["a", None].upstream.slots
        ends: list[str] = []

        async def caller(number: int) -> None:
            await asyncio.sleep(number / 10)  # ten a second, of a second each, into room for eight
            execution = await place.ask()
            ends.append(code(execution))

        await asyncio.gather(*(caller(number) for number in range(600)))
        # Without it, a fifth of the calls and all of their repeats come back.
        assert len(net.refused) < 60
        assert ends.count("ok") >= 0.9 * 8 * 60
        await asyncio.sleep(CALM_S)
        await place.ask()
        assert slots.most is None, "it is forgotten"
        await many(place, 100)
        assert net.peak == 100

    run(story())


def test_what_was_learned_stays_below_what_is_configured_and_says_why_it_turned_somebody_away():
    async def story():
        place = Place(deadline_ms=60_000, limits=Limits(concurrency=6))
        net = metered(place, room=lambda _: 3, lasts_s=5.0)
        found = await many(place, 40)
        upstream = place.setting.destinations["a", None].upstream
        assert upstream.slots.most is not None
        assert upstream.slots.most <= 6
        assert net.peak <= 6
        whys = [dropped.why for one in found for dropped in one.skipped if dropped.model == "a"]
        assert any("overloaded lately" in why for why in whys), whys

    run(story())


def test_a_429_that_its_headers_explain_is_not_taken_for_too_many_at_once():
    async def story():
        for headers, most in (({}, 3), ({"x-ratelimit-remaining-requests": "0"}, None)):
            place = Place(fallbacks=(), deadline_ms=60_000, max_attempts=1)
            place.net.upstreams["one"].script += [refusal(429, headers) for _ in range(4)]
            place.net.chance = Random(2)
            await many(place, 4)
            assert place.setting.destinations["a", None].upstream.slots.most == most

    run(story())


def test_the_next_answer_of_a_continuation_is_heard_too():
    async def story():
        place = Place(fallbacks=(), deadline_ms=5000, max_continuations=1)
        cut = json.loads(whole("one two three"))
        cut["choices"][0]["finish_reason"] = "length"
        five = {**ONE_CALL, "x-ratelimit-remaining-requests": "5"}
        tells(place, five)
        await place.ask()
        place.net.upstreams["one"].script.append(Answer(200, five, [(0.0, json.dumps(cut).encode())]))
        tells(place, ONE_CALL)
        assert code(await place.ask()) == "ok"
        assert code(await place.ask()) == "ok"
        assert code(await place.ask()) == "rate_limited"

    run(story())
