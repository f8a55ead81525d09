"""Who is silent and for how long, where no budget says how long that may be: in made-up time."""

import pytest

from interlock.execute.deadlines import (
    DEADLINE_S,
    FIRST_EVENT_S,
    IDLE_S,
    LONGEST_ANSWER_S,
    SHORT_ANSWER_S,
    TOKEN_S,
)
from interlock.transport import TransportError
from tests.simulation.clock import run
from tests.simulation.test_rows import OK, Place, code, outcomes, whole
from tests.simulation.upstreams import Answer, Piece

HANGS = {"stall": 1.0}


def thinking(seconds: float) -> Answer:
    """A whole answer whose body comes after so long."""
    return Answer(200, {}, [(seconds, whole("thought over"))])


def test_u2_a_stream_that_never_begins_is_followed_by_its_fallback_without_any_budget():
    async def story():
        place = Place(HANGS, deadline_ms=None)
        execution, data = await place.read()
        assert outcomes(execution) == [("a", "timeout"), ("b", "ok")]
        assert data.endswith(b"data: [DONE]\n\n")
        assert execution.attempts[0].latency_ms == pytest.approx(FIRST_EVENT_S * 1000, abs=10)

    run(story())


@pytest.mark.parametrize(
    ("tokens", "seconds"),
    [
        (None, LONGEST_ANSWER_S),
        (16, SHORT_ANSWER_S + 16 * TOKEN_S),
        (1000, SHORT_ANSWER_S + 1000 * TOKEN_S),
        (100_000, LONGEST_ANSWER_S),
    ],
)
def test_u2_a_whole_answer_that_never_comes_leaves_its_fallback_time_without_any_budget(tokens, seconds):
    async def story():
        place = Place(HANGS, deadline_ms=None)
        execution = await place.ask(max_output_tokens=tokens)
        assert outcomes(execution) == [("a", "timeout"), ("b", "ok")]
        assert execution.attempts[0].latency_ms == pytest.approx(seconds * 1000, abs=10)

    run(story())


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_u2_a_model_that_nobody_could_replace_may_be_silent_to_the_end(stream):
    async def story():
        place = Place(HANGS, fallbacks=(), deadline_ms=None)
        execution = (await place.read())[0] if stream else await place.ask(max_output_tokens=16)
        assert outcomes(execution) == [("a", "timeout")]
        assert execution.elapsed_ms == pytest.approx(DEADLINE_S * 1000, abs=100)

    run(story())


def test_u2_a_model_that_thinks_for_minutes_is_not_cut_off_while_it_may():
    async def story():
        for place, seconds in (
            (Place(deadline_ms=None), LONGEST_ANSWER_S - 10),
            (Place(fallbacks=(), deadline_ms=None), DEADLINE_S - 10),
            (Place(deadline_ms=3_600_000), 2000),
        ):
            place.net.upstreams["one"].script.append(thinking(seconds))
            assert outcomes(await place.ask()) == [("a", "ok")]

    run(story())


def test_u2_two_that_hang_leave_the_last_one_time_and_the_whole_keeps_its_deadline():
    async def story():
        place = Place(HANGS, HANGS, deadline_ms=None)
        execution = await place.ask()
        assert code(execution) == "deadline_exceeded"
        assert outcomes(execution) == [("a", "timeout"), ("b", "timeout")]
        assert execution.elapsed_ms <= DEADLINE_S * 1000 + 100

    run(story())


# --- a body that stops ------------------------------------------------------------------------------

BEGUN: Piece = (0.1, whole("hi")[:20])
NEVER: Piece = (10_000.0, b"never")


def test_u12_a_whole_answer_that_stalls_is_given_up_after_its_idle_time_and_the_next_answers():
    async def story():
        place = Place(deadline_ms=None)
        held = Answer(200, {}, [BEGUN, NEVER])
        place.net.upstreams["one"].script.append(held)
        execution = await place.ask()
        assert outcomes(execution) == [("a", "timeout"), ("b", "ok")]
        assert execution.attempts[0].latency_ms == pytest.approx(IDLE_S * 1000, abs=2000)
        assert execution.attempts[0].usage_estimated, "it may have cost something"
        assert held.closed

    run(story())


def test_u12_an_error_whose_body_stalls_does_not_hold_its_caller_for_longer_than_idle_time():
    async def story():
        place = Place(fallbacks=(), deadline_ms=None)
        place.net.upstreams["one"].script.append(Answer(500, {}, [(0.1, b'{"error"'), NEVER]))
        execution = await place.ask()
        assert outcomes(execution) == [("a", "timeout")]
        assert execution.elapsed_ms == pytest.approx(IDLE_S * 1000, abs=2000)

    run(story())


def test_u12_a_provider_that_keeps_a_whole_answer_alive_with_blanks_is_waited_for():
    async def story():
        place = Place(deadline_ms=None)
        blanks: list[Piece] = [(IDLE_S - 1, b"\n") for _ in range(8)]
        place.net.upstreams["one"].script.append(Answer(200, {}, [*blanks, (1.0, whole("at last"))]))
        assert outcomes(await place.ask()) == [("a", "ok")]

    run(story())


@pytest.mark.parametrize("deadline_ms", [None, 40_000])
def test_u12_a_whole_answer_that_drips_does_not_outlast_its_time(deadline_ms):
    async def story():
        place = Place(deadline_ms=deadline_ms)
        drip = Answer(200, {}, [(1.0, bytes([byte])) for byte in whole("w" * 900)])
        place.net.upstreams["one"].script.append(drip)
        execution = await place.ask()
        assert outcomes(execution) == [("a", "timeout"), ("b", "ok")]
        lasts_s = LONGEST_ANSWER_S if deadline_ms is None else 0.75 * deadline_ms / 1000
        assert execution.attempts[0].latency_ms == pytest.approx(lasts_s * 1000, abs=2000)
        assert drip.closed

    run(story())


def test_u12_bytes_that_come_before_a_cut_are_no_stall():
    async def story():
        place = Place(OK, deadline_ms=None)
        cut = TransportError("upstream_error", "cut")
        place.net.upstreams["one"].script.append(Answer(200, {}, [BEGUN, (1.0, cut)]))
        assert outcomes(await place.ask()) == [("a", "upstream_error"), ("b", "ok")]

    run(story())
