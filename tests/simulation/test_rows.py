"""Rows of the fault table whose figures are lengths of time, in made-up time."""

import asyncio
import json
from collections.abc import Callable
from random import Random
from typing import Any

import pytest

from interlock.config.checked import Config, Deployment, Lane, Model, Provider, Secrets
from interlock.config.written import BudgetLimits, Fallback, Limits, Price, Resilience, RetryBudget
from interlock.execute.deadlines import IDLE_S
from interlock.execute.executor import Execution
from interlock.execute.setting import Services, Setting
from interlock.resilience.health import Health, TargetHealth
from interlock.route.decide import decide
from interlock.transport import TransportError
from interlock.types.labels import LatencyClass
from interlock.types.request import Message, Request, Text
from interlock.types.signals import Signals
from interlock.types.world import World
from interlock.wiring import setting
from tests.simulation.clock import run
from tests.simulation.town import Stream
from tests.simulation.upstreams import Answer, Net, Upstream, refusal, say

Mix = dict[str, float]
OK: Mix = {"ok": 1}
BOTH = (Fallback(from_="a", to="b", when="timeout_or_5xx"), Fallback(from_="a", to="b", when="rate_limit"))


class Place:
    """Two providers, `one` with the models `a` and `c`, `two` with `b`, in weather that a test sets."""

    def __init__(
        self,
        one: Mix = OK,
        two: Mix = OK,
        *,
        fallbacks: tuple[Fallback, ...] = BOTH,
        limits: Limits | None = None,
        deadline_ms: int | None = 10_000,
        max_attempts: int | None = None,
        max_continuations: int | None = None,
        hedge_after_ms: int | None = None,
        most: int | None = None,
        now: Callable[[], str] = lambda: "2026-11-26T10:00:00.000000Z",
    ) -> None:
        price = Price(input=2, output=10)
        self.config = config = Config(
            providers={
                name: Provider(
                    name=name,
                    kind="openai",
                    vendor=name,
                    limits=limits if name == "one" else None,
                    deployments=(Deployment(id=name, provider=name, base_url=f"http://{name}/v1"),),
                )
                for name in ("one", "two")
            },
            models={
                name: Model(name=name, provider=provider, upstream=name, price=price, max_output_tokens=most)
                for name, provider in (("a", "one"), ("b", "two"), ("c", "one"))
            },
            fallbacks=fallbacks,
            lanes=(
                Lane(
                    name="work",
                    match={"task": "work"},
                    models=("a",),
                    budgets=BudgetLimits(max_continuations=max_continuations),
                    hedge_after_ms=hedge_after_ms,
                ),
            ),
            resilience=Resilience(),
            latency_classes={
                name: BudgetLimits(deadline_ms=deadline_ms, max_attempts=max_attempts)
                for name in ("interactive", "batch")
            },
        )
        self.net = Net(
            {"one": Upstream("one", [(0.0, one)]), "two": Upstream("two", [(0.0, two)])}, Random(3)
        )
        self.setting: Setting = setting(config, Secrets(), World(), Health())
        self.services = Services(
            transport=self.net,
            now=now,
            epoch_s=lambda: 1,
            fresh=lambda: "0123456789abcdef",
            draw=Random(5).random,
            count=lambda text, _: len(text.split()),
        )

    @property
    def health(self) -> TargetHealth:
        """Of the model `a`."""
        return self.setting.destinations["a", None].health

    def weather(self, host: str, at: float, mix: Mix) -> None:
        self.net.upstreams[host].weather.append((at, mix))

    def execution(
        self,
        *,
        latency_class: LatencyClass = "interactive",
        stream: bool = False,
        model: str = "a",
        **signals: Any,
    ) -> Execution:
        decision = decide(
            id="dec_1",
            now="2026-11-26T10:00:00.000000Z",
            signals=Signals(
                model=model, input_tokens=10, latency_class=latency_class, task="work", **signals
            ),
            snapshot=self.setting.snapshot,
            world=self.setting.world,
            world_hash="w",
            draw=0.5,
        )
        request = Request(
            dialect="openai-chat",
            model=model,
            messages=(Message(role="user", parts=(Text(text="r1 please"),)),),
            stream=stream,
        )
        return Execution(request, decision, self.setting, self.services, asyncio.get_running_loop().time())

    async def ask(self, **given: Any) -> Execution:
        """One request, to its end."""
        execution = self.execution(**given)
        await execution.run_whole()
        execution.release()
        return execution

    async def read(self, **given: Any) -> tuple[Execution, bytes]:
        """One streamed request, to its end, and what its caller got."""
        execution, stream = self.execution(stream=True, **given), Stream()
        await execution.run_stream(stream)
        execution.release()
        return execution, stream.data + (execution.ending() if stream.begun else b"")


def outcomes(execution: Execution) -> list[tuple[str, str]]:
    return [(attempt.model, attempt.outcome) for attempt in execution.attempts]


def whole(text: str, finish: str = "stop", **more: Any) -> bytes:
    """A whole answer of OpenAI's."""
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": finish}
    return json.dumps({"id": "x", "choices": [choice], **more}).encode()


def code(execution: Execution) -> str:
    return "ok" if execution.error is None else execution.error.code


def test_u1_one_of_two_is_dead_and_no_caller_notices():
    async def story():
        place = Place({"refuse": 1})
        waits = []
        for _ in range(1000):
            execution = await place.ask()
            assert code(execution) == "ok"
            waits.append(execution.elapsed_ms - execution.attempts[-1].latency_ms)
        assert sorted(waits)[990] < 100
        assert sum(call.host == "one" for call in place.net.calls) < 20

    run(story())


@pytest.mark.parametrize("stream", [False, True])
def test_u2_who_never_answers_leaves_time_for_the_next_and_the_deadline_holds(stream):
    async def story():
        place = Place({"stall": 1}, deadline_ms=8000)
        execution = (await place.read(max_output_tokens=2))[0] if stream else await place.ask()
        assert outcomes(execution) == [("a", "timeout"), ("b", "ok")]
        assert execution.elapsed_ms <= 8100
        nobody = Place({"stall": 1}, {"stall": 1}, deadline_ms=8000)
        execution = (await nobody.read())[0] if stream else await nobody.ask()
        assert code(execution) == "deadline_exceeded"
        assert execution.elapsed_ms <= 8100

    run(story())


def test_u4_an_outage_costs_few_calls_and_is_over_one_probe_after_it_ends():
    async def story():
        place = Place({"5xx": 1}, fallbacks=())
        loop = asyncio.get_running_loop()
        began = loop.time()
        healed = began + 60
        place.weather("one", healed, OK)
        executions: list[tuple[float, Execution]] = []

        async def caller(at: float) -> None:
            await asyncio.sleep(at)
            executions.append((loop.time(), await place.ask()))

        await asyncio.gather(*(caller(number / 20) for number in range(2000)))
        out = [call.at for call in place.net.calls if call.at < healed]
        requests = sum(at < healed for at, _ in executions)
        assert requests > 1000
        assert len(out) < 30
        late = [call for call in out if call > began + 5]
        assert 1 <= len(late) <= 4  # probes only: after 10, 30 and 60 seconds
        turned = [
            execution for at, execution in executions if began + 5 < at < healed and not execution.attempts
        ]
        assert {code(execution) for execution in turned} == {"overloaded"}
        assert all(dropped.rule == "breaker" for execution in turned for dropped in execution.skipped)
        assert all(execution.error is not None and execution.error.retry_after_s for execution in turned)
        first_ok = min(at for at, execution in executions if code(execution) == "ok")
        assert first_ok <= healed + 30
        assert all(code(execution) == "ok" for at, execution in executions if at > first_ok + 1)

    run(story())


def test_u4_who_is_turned_away_before_a_call_earns_no_repeats():
    async def story():
        place = Place({"stall": 1}, fallbacks=(), limits=Limits(concurrency=1), deadline_ms=2000)
        retries = place.setting.destinations["a", None].upstream.retries
        retries.rules = RetryBudget(ratio=0.1, min_per_s=0)
        retries.take(asyncio.get_running_loop().time())  # what came with time is gone
        await asyncio.gather(*(place.ask() for _ in range(40)))
        assert len(place.net.calls) < 10
        assert not retries.take(asyncio.get_running_loop().time())

    run(story())


def test_u4_a_probe_that_streams_lets_others_in_at_its_first_word():
    async def story():
        place = Place({"5xx": 1}, fallbacks=(), deadline_ms=None)
        for _ in range(3):
            await place.ask()
        assert not place.health.is_well(asyncio.get_running_loop().time())
        await asyncio.sleep(11)
        slow = Answer(200, {}, [(1.0, say({"content": "w"})), (20.0, say({"content": "w"}))])
        place.net.upstreams["one"].script.append(slow)
        probe = asyncio.ensure_future(place.read())
        await asyncio.sleep(0.5)
        assert code(await place.ask()) == "overloaded"
        await asyncio.sleep(3)
        place.net.upstreams["one"].script.append(Answer(200, {}, [(0.1, whole("hi"))]))
        assert code(await place.ask()) == "ok"
        # What becomes of it later counts like any other call.
        assert outcomes((await probe)[0]) == [("a", "malformed")]
        assert place.health.is_well(asyncio.get_running_loop().time())

    run(story())


@pytest.mark.parametrize(
    ("said", "deadline_ms", "stands_by", "ends", "seconds"),
    [
        ("1", 10_000, False, [("a", "rate_limited"), ("a", "ok")], (1, 2)),
        ("1", 10_000, True, [("a", "rate_limited"), ("a", "ok")], (1, 2)),
        ("8", 10_000, True, [("a", "rate_limited"), ("b", "ok")], (0, 1)),
        ("8", 10_000, False, [("a", "rate_limited"), ("a", "ok")], (8, 9)),
        ("30", 10_000, False, [("a", "rate_limited")], (0, 1)),
        ("30", 10_000, True, [("a", "rate_limited"), ("b", "ok")], (0, 1)),
        ("1000000000", None, False, [("a", "rate_limited")], (0, 1)),
        ("1000000000", None, True, [("a", "rate_limited"), ("b", "ok")], (0, 1)),
        ("soon", 10_000, False, [("a", "rate_limited"), ("a", "ok")], (1, 3)),
        ("-5", 10_000, True, [("a", "rate_limited"), ("b", "ok")], (0, 1)),
        (None, 10_000, True, [("a", "rate_limited"), ("b", "ok")], (0, 1)),
        ("Thu, 26 Nov 2026 10:00:02 GMT", 10_000, False, [("a", "rate_limited"), ("a", "ok")], (2, 3)),
        ("Thu, 26 Nov 2026 10:30:00 GMT", None, False, [("a", "rate_limited")], (0, 1)),
    ],
)  # fmt: skip
def test_u5_a_wait_is_kept_to_if_it_fits_else_the_next_model_goes_else_the_caller_is_told(
    said, deadline_ms, stands_by, ends, seconds
):
    async def story():
        place = Place(fallbacks=BOTH if stands_by else (), deadline_ms=deadline_ms)
        headers = {"date": "Thu, 26 Nov 2026 10:00:00 GMT", **({"retry-after": said} if said else {})}
        place.net.upstreams["one"].script.append(refusal(429, headers))
        execution = await place.ask()
        assert outcomes(execution) == ends
        spent_ms = sum(attempt.latency_ms for attempt in execution.attempts)
        waited = (execution.elapsed_ms - spent_ms) / 1000
        assert seconds[0] <= round(waited, 3) <= seconds[1]
        if len(ends) == 1:
            assert code(execution) == "rate_limited"
            assert execution.error is not None
            assert execution.error.retry_after_s is not None
            assert 1 <= execution.error.retry_after_s <= 600
        assert place.health.breaker.open_until is None

    run(story())


def test_u5_a_target_that_says_nothing_is_left_is_not_called_until_there_is():
    async def story():
        place = Place()
        said = {"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "20s"}
        place.net.upstreams["one"].script.append(Answer(200, said, [(0.0, whole("hi"))]))
        assert outcomes(await place.ask()) == [("a", "ok")]
        other = await place.ask()
        assert outcomes(other) == [("b", "ok")]
        assert [dropped.rule for dropped in other.skipped] == ["rate_limit"]
        await asyncio.sleep(20)
        assert outcomes(await place.ask()) == [("a", "ok")]

    run(story())


@pytest.mark.parametrize("status", [400, 401, 403, 404, 413, 422])
def test_u6_u7_a_refused_request_is_asked_once_and_never_counted_against_the_target(status):
    async def story():
        place = Place(fallbacks=())
        for number in range(1, 30):
            place.net.upstreams["one"].script.append(refusal(status))
            execution = await place.ask()
            assert len(execution.attempts) == 1
            assert len(place.net.calls) == number
        assert place.health.is_well(asyncio.get_running_loop().time())

    run(story())


def test_u12_a_stream_that_stalls_is_given_up_after_its_idle_time():
    async def story():
        place = Place(deadline_ms=None)
        held = Answer(200, {}, [(0.1, say({"content": "w"})), (10_000.0, b"never")])
        place.net.upstreams["one"].script.append(held)
        execution, data = await place.read()
        assert outcomes(execution) == [("a", "timeout")]
        assert data.count(b'"error":') == 1
        assert b"[DONE]" not in data
        assert execution.elapsed_ms == pytest.approx(IDLE_S * 1000, abs=2000)
        assert held.closed

    run(story())


def test_u12_a_stream_that_drips_byte_by_byte_does_not_outlast_idle_time_or_deadline():
    async def story():
        for deadline_ms, lasts_s in ((None, IDLE_S), (8000, 8)):
            place = Place(deadline_ms=deadline_ms)
            drip = Answer(200, {}, [(1.0, bytes([byte])) for byte in say({"content": "w" * 500})])
            drip.pieces.insert(0, (0.1, say({"content": "w"})))
            place.net.upstreams["one"].script.append(drip)
            execution, data = await place.read()
            assert outcomes(execution) == [("a", "timeout")]
            assert execution.elapsed_ms == pytest.approx(lasts_s * 1000, abs=2000)
            assert data.count(b'"error":') == 1
            assert drip.closed

    run(story())


def test_u16_no_usage_that_an_upstream_claims_makes_the_budget_wrong():
    async def story():
        for claimed in (-5, 10**12, "many", None, 1.5):
            place = Place(deadline_ms=None)
            usage = {"prompt_tokens": claimed, "completion_tokens": claimed}
            place.net.upstreams["one"].script.append(Answer(200, {}, [(0.0, whole("hi", usage=usage))]))
            execution = await place.ask()
            attempt = execution.attempts[0]
            assert attempt.usage_estimated or attempt.outcome == "malformed"
            assert execution.cost_usd is None or 0 <= execution.cost_usd < 1

    run(story())


def test_u19_all_down_is_503_within_the_deadline_with_a_time_to_come_back():
    async def story():
        place = Place({"refuse": 1}, {"refuse": 1}, deadline_ms=3000)
        for _ in range(50):
            execution = await place.ask()
            assert code(execution) == "overloaded"
            assert execution.error is not None
            assert execution.error.retry_after_s is not None
            assert execution.elapsed_ms <= 3000
        assert {dropped.model for dropped in execution.skipped} == {"a", "b"}

    run(story())


def test_c1_of_500_callers_that_leave_at_any_moment_each_is_settled_once_and_nothing_is_left():
    async def story():
        chance = Random(11)
        place = Place({"ok": 1, "late": 1, "drip": 1, "stall": 1}, limits=Limits(concurrency=40))

        async def caller() -> None:
            execution, stream = place.execution(stream=True), Stream()
            task = asyncio.ensure_future(execution.run_stream(stream))
            await asyncio.sleep(chance.uniform(0, 5))
            left = asyncio.get_running_loop().time()
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            execution.release()
            assert asyncio.get_running_loop().time() - left <= 1.0
            ends = [attempt.outcome for attempt in execution.attempts]
            assert ends.count("cancelled") <= 1
            if stream.data and execution.attempts[-1].outcome == "cancelled":
                assert execution.attempts[-1].output_tokens

        await asyncio.gather(*(caller() for _ in range(500)))
        assert all(answer.closed or not answer.pieces for answer in place.net.answers)
        gate = place.setting.destinations["a", None].upstream.throttle
        assert gate is not None
        assert gate.slots is not None
        assert (gate.slots.taken, gate.slots.waiting) == (0, 0)

    run(story())


def test_p4_a_wall_clock_that_jumps_moves_no_deadline_and_no_breaker():
    async def story():
        hours = iter(["10", "09", "23", "01"] * 100)
        place = Place(
            {"stall": 1}, {"5xx": 1}, deadline_ms=2000, now=lambda: f"2026-11-26T{next(hours)}:00:00Z"
        )
        for _ in range(10):
            execution = await place.ask()
            assert execution.elapsed_ms <= 2100
            assert all(0 <= attempt.latency_ms <= 2100 for attempt in execution.attempts)
        refusal = place.health.refuses(asyncio.get_running_loop().time())
        assert refusal is not None
        assert 0 < refusal.wait_s <= 20

    run(story())


def test_a_callers_own_short_deadline_does_not_take_a_target_from_the_others():
    async def story():
        place = Place({"late": 1}, fallbacks=(), deadline_ms=60_000)
        for _ in range(20):
            assert code(await place.ask(deadline_ms=100)) == "deadline_exceeded"
        assert place.health.is_well(asyncio.get_running_loop().time())
        assert code(await place.ask()) == "ok"

    run(story())


def test_calls_over_an_accounts_concurrency_wait_and_go_interactive_first():
    async def story():
        place = Place(limits=Limits(concurrency=1), fallbacks=(), deadline_ms=None)
        order = []

        async def caller(latency_class: LatencyClass) -> None:
            await place.ask(latency_class=latency_class)
            order.append(latency_class)

        await asyncio.gather(
            *(caller(name) for name in ("batch", "batch", "batch", "interactive", "interactive"))
        )
        assert order == ["batch", "interactive", "interactive", "batch", "batch"]

    run(story())


def test_calls_over_an_accounts_rate_wait_or_fall_back_or_are_told_when_to_come():
    async def story():
        place = Place(limits=Limits(requests_per_minute=2), deadline_ms=120_000)
        ends = [outcomes(await place.ask()) for _ in range(3)]
        assert ends == [[("a", "ok")], [("a", "ok")], [("b", "ok")]]
        alone = Place(limits=Limits(requests_per_minute=2), fallbacks=(), deadline_ms=120_000)
        began = asyncio.get_running_loop().time()
        for _ in range(3):
            assert code(await alone.ask()) == "ok"
        assert [call.at - began > 59.9 for call in alone.net.calls] == [False, False, True]
        hurried = Place(limits=Limits(requests_per_minute=1), fallbacks=(), deadline_ms=5000)
        await hurried.ask()
        execution = await hurried.ask()
        assert code(execution) == "rate_limited"
        assert execution.error is not None
        assert (execution.error.retry_after_s or 0) > 50
        assert execution.elapsed_ms < 100

    run(story())


def test_a_full_queue_turns_away_at_once():
    async def story():
        place = Place({"late": 1}, limits=Limits(concurrency=1), fallbacks=(), deadline_ms=60_000)
        at_once = []

        async def caller() -> None:
            execution = await place.ask()
            if execution.elapsed_ms < 1:
                at_once.append(code(execution))

        await asyncio.gather(*(caller() for _ in range(60)))
        assert at_once == ["rate_limited"] * (60 - 1 - 16)

    run(story())


def test_a_cut_answer_is_not_asked_for_again_at_the_same_place():
    async def story():
        place = Place(fallbacks=())
        cut = Answer(200, {}, [(0.1, b'{"id"'), (0.1, TransportError("upstream_error", "cut"))])
        place.net.upstreams["one"].script.append(cut)
        assert outcomes(await place.ask()) == [("a", "upstream_error")]

    run(story())
