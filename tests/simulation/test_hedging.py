"""Two calls for one answer, in made-up time: who wins, and what is written down of the other."""

import asyncio

import pytest

from interlock.config.written import Limits, RetryBudget
from interlock.types.answer import AttemptOutcome
from tests.simulation.clock import run
from tests.simulation.test_rows import Place, code, outcomes, whole
from tests.simulation.upstreams import Answer, Piece, refusal, say

END = b'data: {"id":"x","choices":[],"usage":{"prompt_tokens":10,"completion_tokens":2}}\n\ndata: [DONE]\n\n'


def answer(text: str, after_s: float) -> Answer:
    return Answer(200, {}, [(after_s, whole(text, usage={"prompt_tokens": 10, "completion_tokens": 2}))])


def stream(text: str, after_s: float) -> Answer:
    pieces: list[Piece] = [
        (0.0, say({"role": "assistant", "content": ""})),
        (after_s, say({"content": text})),
    ]
    return Answer(200, {}, [*pieces, (0.5, say({}, "stop")), (0.0, END)])


def place(one: Answer, two: Answer, **given: object) -> Place:
    made = Place(hedge_after_ms=1000, deadline_ms=30_000, **given)  # type: ignore[arg-type]
    made.net.upstreams["one"].script.append(one)
    made.net.upstreams["two"].script.append(two)
    return made


def test_u20_the_first_answer_is_taken_both_costs_are_recorded_and_the_loser_is_cancelled():
    async def story():
        slow = answer("slow", 20)
        made = place(slow, answer("quick", 1))
        execution = await made.ask()
        assert code(execution) == "ok"
        assert execution.answer is not None
        assert execution.text == "quick"
        assert execution.step is not None
        assert execution.step.model == "b"
        assert outcomes(execution) == [("a", "cancelled"), ("b", "ok")]
        assert all(attempt.cost_usd for attempt in execution.attempts)
        assert execution.cost_usd == pytest.approx(sum(a.cost_usd or 0 for a in execution.attempts))
        assert slow.closed
        assert execution.elapsed_ms < 5000

    run(story())


def test_u20_a_first_that_answers_late_but_first_wins():
    async def story():
        made = place(answer("late", 2), answer("later", 20))
        execution = await made.ask()
        assert execution.text == "late"
        assert sorted(outcomes(execution)) == [("a", "ok"), ("b", "cancelled")]
        assert execution.step is not None
        assert execution.step.model == "a"

    run(story())


def test_u20_of_two_streams_one_speaks_and_the_other_is_closed():
    async def story():
        slow = stream("slow", 20)
        execution, data = await place(slow, stream("quick", 1)).read()
        assert data.count(b'"role":"assistant"') == 1
        assert b"quick" in data
        assert b"slow" not in data
        assert data.count(b"[DONE]") == 1
        assert sorted(outcomes(execution)) == [("a", "cancelled"), ("b", "ok")]
        assert slow.closed

    run(story())


def test_a_first_that_is_quick_is_alone():
    async def story():
        made = place(answer("quick", 0), answer("never", 0))
        execution = await made.ask()
        assert outcomes(execution) == [("a", "ok")]
        assert len(made.net.calls) == 1

    run(story())


@pytest.mark.parametrize(
    ("two", "ends"),
    [
        (refusal(500), [("a", "ok"), ("b", "upstream_error")]),
        (refusal(400), [("a", "ok"), ("b", "upstream_error")]),
    ],
)
def test_a_second_that_fails_does_not_take_the_first_with_it(two, ends):
    async def story():
        execution = await place(answer("slow", 10), two).ask()
        assert outcomes(execution) == ends
        assert execution.text == "slow"

    run(story())


def test_a_second_is_bounded_by_attempts_money_and_the_retry_budget():
    async def story():
        made = place(answer("slow", 10), answer("quick", 0), max_attempts=1)
        assert outcomes(await made.ask()) == [("a", "ok")]
        made = place(answer("slow", 10), answer("quick", 0), most=50)
        # What the first may still cost leaves nothing for a second.
        execution = await made.ask(max_cost_usd=0.0006)
        assert outcomes(execution) == [("a", "ok")]
        made = place(answer("slow", 10), answer("quick", 0))
        made.setting.destinations["b", None].upstream.retries.rules = RetryBudget(ratio=0, min_per_s=0)
        assert outcomes(await made.ask()) == [("a", "ok")]

    run(story())


def test_a_first_that_waits_for_its_account_has_no_second_where_money_is_limited():
    """Nobody knows yet what it will cost, and both together must not cost more than the limit."""

    async def story():
        made = place(answer("slow", 5), answer("quick", 0.2), limits=Limits(concurrency=1))
        made.net.upstreams["one"].script.append(answer("mine", 0.5))
        made.net.upstreams["two"].script.append(answer("never", 3))
        _, execution = await asyncio.gather(made.ask(), made.ask(max_cost_usd=5e-5))
        assert outcomes(execution) == [("a", "ok")]
        assert execution.elapsed_ms > 1500, "it waited for longer than a second is waited for"
        assert (execution.cost_usd or 0) <= 5e-5

    run(story())


def test_both_fail_and_what_follows_the_first_is_tried():
    async def story():
        made = place(answer("", 10), refusal(500), max_attempts=3)
        ends: list[tuple[str, AttemptOutcome]] = [("a", "malformed"), ("b", "upstream_error")]
        assert outcomes(await made.ask()) == ends

    run(story())


def test_a_first_that_failed_long_ago_is_not_waited_for_past_the_deadline():
    async def story():
        made = place(refusal(429, {"retry-after": "3"}), answer("never", 1000), max_attempts=5)
        made.net.upstreams["one"].script[0].pieces[0] = (
            2.0,
            made.net.upstreams["one"].script[0].pieces[0][1],
        )
        execution = await made.ask()
        assert code(execution) == "deadline_exceeded"
        assert execution.elapsed_ms <= 30_100

    run(story())


def test_c1_a_caller_that_leaves_a_race_cancels_both():
    async def story():
        slow, slower = answer("slow", 20), answer("slower", 30)
        made = place(slow, slower)
        execution = made.execution()
        task = asyncio.ensure_future(execution.run_whole())
        await asyncio.sleep(5)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert sorted(outcomes(execution)) == [("a", "cancelled"), ("b", "cancelled")]
        assert slow.closed
        assert slower.closed

    run(story())
