"""What an outage costs in calls, and what is left when it is over, in made-up time."""

import asyncio
import json

import pytest

from interlock.config.written import Limits
from interlock.transport import TransportError
from tests.simulation.clock import run
from tests.simulation.test_rows import Mix, Place, code, outcomes, whole
from tests.simulation.upstreams import Answer, Piece, say


@pytest.mark.parametrize("stands_by", [False, True], ids=["nobody else", "a second, down too"])
def test_u4_calls_in_a_total_outage_are_at_most_a_tenth_more_than_requests(stands_by):
    """2,000 requests at twenty a second into an outage: until the breakers open, and then probes only."""

    async def story():
        down: Mix = {"5xx": 1}
        place = Place(down, down) if stands_by else Place(down, fallbacks=())
        opened: list[int] = []

        async def caller(number: int) -> None:
            await asyncio.sleep(number / 20)
            execution = await place.ask()
            assert execution.error is not None
            if not opened and place.health.breaker.open_until is not None:
                opened.append(number)

        await asyncio.gather(*(caller(number) for number in range(2000)))
        assert len(place.net.calls) <= 1.1 * 2000
        # The breaker needs five failures and no request may have more than three attempts.
        assert opened
        assert opened[0] <= 20
        for host in ("one", "two") if stands_by else ("one",):
            assert sum(call.host == host for call in place.net.calls) < 40

    run(story())


@pytest.mark.parametrize("deadline_ms", [500, 2000, 8000])
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_u2_who_never_answers_does_not_outlast_a_deadline_by_100_ms(stream, deadline_ms):
    async def story():
        place = Place({"stall": 1}, {"stall": 1}, deadline_ms=deadline_ms)
        execution = (await place.read())[0] if stream else await place.ask()
        assert code(execution) == "deadline_exceeded"
        assert execution.elapsed_ms <= deadline_ms + 100
        assert {attempt.outcome for attempt in execution.attempts} == {"timeout"}

    run(story())


NONE_AT_ALL = {
    "html": b"<html>hello</html>",
    "an error object": json.dumps({"error": {"message": "overloaded", "type": "server_error"}}).encode(),
    "no choices": json.dumps({"id": "x", "choices": []}).encode(),
    "no finish reason": json.dumps(
        {"id": "x", "choices": [{"index": 0, "message": {"role": "assistant", "content": "hi"}}]}
    ).encode(),
    "nothing said": whole(""),
    "half of it": whole("half of an answer")[:40],
}


@pytest.mark.parametrize("body", NONE_AT_ALL.values(), ids=NONE_AT_ALL)
def test_u13_an_answer_that_is_none_counts_against_its_target(body):
    async def story():
        place = Place()
        place.net.upstreams["one"].script += [Answer(200, {}, [(0.0, body)]) for _ in range(40)]
        for _ in range(20):
            execution = await place.ask()
            assert code(execution) == "ok"
            assert execution.attempts[-1].model == "b"
        assert not place.health.is_well(asyncio.get_running_loop().time())
        assert outcomes(execution) == [("b", "ok")]

    run(story())


@pytest.mark.parametrize("words", ["content_filter", "content_policy_violation"])
def test_u6_what_a_content_filter_stops_is_asked_once_and_never_counted_against_the_target(words):
    async def story():
        place = Place()
        said = json.dumps({"error": {"message": "stopped by the filter", "code": words}}).encode()
        for number in range(1, 30):
            place.net.upstreams["one"].script.append(Answer(400, {}, [(0.0, said)]))
            execution = await place.ask()
            assert code(execution) == "content_filtered"
            assert [model for model, _ in outcomes(execution)] == ["a"]
            assert len(place.net.calls) == number
        assert place.health.is_well(asyncio.get_running_loop().time())

    run(story())


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("weather", ["refuse", "stall", "5xx", "preamble"])
def test_u19_when_all_are_down_whatever_was_reserved_is_free_again(weather, stream):
    async def story():
        down: Mix = {weather: 1}
        place = Place(down, down, deadline_ms=3000, limits=Limits(concurrency=4))

        async def caller() -> None:
            execution, data = await place.read() if stream else (await place.ask(), b"")
            assert execution.error is not None
            assert execution.elapsed_ms <= 3100
            assert data == b"", "nothing had begun"

        await asyncio.gather(*(caller() for _ in range(40)))
        gate = place.setting.destinations["a", None].upstream.throttle
        assert gate is not None
        assert gate.slots is not None
        assert (gate.slots.taken, gate.slots.waiting) == (0, 0)
        assert all(answer.closed or not answer.pieces for answer in place.net.answers)

    run(story())


@pytest.mark.parametrize("said", range(1, 8))
@pytest.mark.parametrize("end", ["reset", "closed as if it were whole"])
def test_u8_a_stream_that_is_cut_after_any_word_is_charged_and_not_begun_again(said, end):
    async def story():
        place = Place()
        pieces: list[Piece] = [(0.1, say({"role": "assistant", "content": ""}))]
        pieces += [(0.1, say({"content": "word "})) for _ in range(said)]
        if end == "reset":
            pieces.append((0.1, TransportError("upstream_error", "reset")))
        place.net.upstreams["one"].script.append(Answer(200, {}, pieces))
        execution, data = await place.read()
        assert outcomes(execution) == [("a", "upstream_error" if end == "reset" else "malformed")]
        assert data.count(b'"word ') == said
        assert data.count(b'"error":') == 1
        assert b"[DONE]" not in data
        assert execution.attempts[0].output_tokens == said
        assert execution.cost_usd

    run(story())
