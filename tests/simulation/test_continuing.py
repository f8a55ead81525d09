"""Answers that were cut by their length and go on: joined without a seam, within the budgets, counted."""

import json
from typing import Any

import pytest

from interlock.config.checked import Secrets
from interlock.resilience.health import Health
from interlock.types.world import World
from interlock.wiring import setting
from tests.server.harness import events
from tests.simulation.clock import run
from tests.simulation.test_rows import Place, code, outcomes, whole
from tests.simulation.upstreams import Answer, Piece, refusal, say


def usage(out: int) -> dict[str, int]:
    return {"prompt_tokens": 10, "completion_tokens": out}


def part(text: str, finish: str = "length", out: int = 20) -> Answer:
    return Answer(200, {}, [(0.1, whole(text, finish, usage=usage(out)))])


def streamed(*texts: str, finish: str = "length", out: int = 20) -> Answer:
    head: Piece = (0.0, say({"role": "assistant", "content": ""}))
    end = f'data: {{"id":"x","choices":[],"usage":{json.dumps(usage(out))}}}\n\ndata: [DONE]\n\n'.encode()
    words: list[Piece] = [(0.1, say({"content": text})) for text in texts]
    return Answer(200, {}, [head, *words, (0.0, say({}, finish)), (0.0, end)])


def place(*answers: Answer, most: int = 2) -> Place:
    made = Place(max_continuations=most, deadline_ms=60_000, fallbacks=())
    made.net.upstreams["one"].script += answers
    return made


def choices(data: bytes) -> list[Any]:
    """The first choice of each event of a stream that has one."""
    seen = [event for event in events(data.decode()) if event != "[DONE]"]
    return [event["choices"][0] for event in seen if event["choices"]]


def said(data: bytes) -> str:
    return "".join(choice["delta"].get("content") or "" for choice in choices(data))


def ends(data: bytes) -> list[str]:
    return [choice["finish_reason"] for choice in choices(data) if choice["finish_reason"]]


def test_a_cut_answer_goes_on_and_reads_as_one():
    async def story():
        made = place(part("The quick brown f"), part("ox jumps over the"), part(" lazy dog.", "stop"))
        execution = await made.ask()
        assert execution.text == "The quick brown fox jumps over the lazy dog."
        assert execution.answer is not None
        assert execution.answer.finish == "stop"
        (attempt,) = execution.attempts
        assert (attempt.outcome, attempt.continuations) == ("ok", 2)
        assert (attempt.input_tokens, attempt.output_tokens) == (30, 60)
        assert attempt.cost_usd == pytest.approx((30 * 2 + 60 * 10) / 1e6)
        assert len(made.net.calls) == 3

    run(story())


def test_a_cut_stream_goes_on_and_reads_as_one():
    async def story():
        made = place(
            streamed("The quick ", "brown f"), streamed("ox jumps"), streamed(" over.", finish="stop")
        )
        execution, data = await made.read()
        assert said(data) == "The quick brown fox jumps over."
        assert ends(data) == ["stop"]
        assert data.count(b'"role":"assistant"') == 1
        assert data.count(b"[DONE]") == 1
        (attempt,) = execution.attempts
        assert (attempt.outcome, attempt.continuations) == ("ok", 2)
        assert (attempt.input_tokens, attempt.output_tokens) == (30, 60)

    run(story())


def test_without_leave_of_the_lane_an_answer_stays_cut_and_says_so():
    async def story():
        made = place(part("The quick brown f"), most=0)
        execution = await made.ask()
        assert execution.answer is not None
        assert (execution.text, execution.answer.finish) == ("The quick brown f", "length")
        _, data = await place(streamed("The quick"), most=0).read()
        assert ends(data) == ["length"]

    run(story())


@pytest.mark.parametrize("is_stream", [False, True])
def test_it_goes_on_so_often_and_no_further(is_stream):
    async def story():
        make = streamed if is_stream else part
        made = place(*(make("word ") for _ in range(5)), most=3)
        execution = (await made.read())[0] if is_stream else await made.ask()
        assert len(made.net.calls) == 4
        assert execution.text == "word " * 4
        assert execution.attempts[0].finish == "length"
        assert code(execution) == "ok"

    run(story())


@pytest.mark.parametrize("is_stream", [False, True])
def test_a_rest_that_does_not_come_leaves_the_answer_cut_and_the_record_says_why(is_stream):
    async def story():
        made = place(streamed("The quick") if is_stream else part("The quick"), refusal(500))
        execution, data = await made.read() if is_stream else (await made.ask(), b"")
        assert execution.text == "The quick"
        assert execution.attempts[0].finish == "length"
        assert code(execution) == "ok"
        assert execution.attempts[0].detail.startswith("it could not be continued: status 500")
        assert not is_stream or ends(data) == ["length"]

    run(story())


def test_a_rest_that_breaks_off_in_a_stream_leaves_it_cut_where_it_broke():
    async def story():
        broken = streamed("ox", finish="stop")
        broken.pieces[2:] = [(0.1, b'data: {"choi\n\n')]
        execution, data = await place(streamed("The quick brown f"), broken).read()
        assert said(data) == "The quick brown fox"
        assert ends(data) == ["length"]
        assert execution.attempts[0].usage_estimated
        assert execution.attempts[0].detail.startswith("it could not be continued")

    run(story())


def test_the_callers_own_limit_holds_for_all_parts_together():
    async def story():
        made = place(part("one", out=20), part("two", out=20), part("three", out=10), most=9)
        execution = await made.ask(max_output_tokens=60)
        assert [call.cap for call in made.net.calls] == [60, 40, 20]
        made = place(part("one", out=50), part("two"), most=9)
        execution = await made.ask(max_output_tokens=60)
        assert len(made.net.calls) == 1
        assert execution.attempts[0].finish == "length"

    run(story())


def test_the_models_own_limit_is_for_each_call():
    async def story():
        made = Place(max_continuations=2, deadline_ms=60_000, fallbacks=(), most=20)
        made.net.upstreams["one"].script += [part("one "), part("two "), part("three", "stop")]
        execution = await made.ask()
        assert execution.text == "one two three"

    run(story())


def test_money_ends_it():
    async def story():
        # 10 in and 20 out cost 0.00022; the next part would need 30 tokens in and at least 16 out.
        made = place(part("one"), part("two"))
        execution = await made.ask(max_cost_usd=0.0004)
        assert len(made.net.calls) == 1
        assert execution.cost_usd is not None
        assert execution.cost_usd <= 0.0004
        made = place(part("one"), part("two", "stop", out=10))
        execution = await made.ask(max_cost_usd=0.001)
        assert len(made.net.calls) == 2
        assert execution.cost_usd is not None
        assert execution.cost_usd <= 0.001

    run(story())


def test_words_that_a_model_says_again_at_the_seam_are_said_once():
    async def story():
        first = "It was the best of times, it was the worst of t"
        again = "it was the worst of times, it was the age of wisdom."
        wanted = "It was the best of times, it was the worst of times, it was the age of wisdom."
        assert (await place(part(first), part(again, "stop")).ask()).text == wanted
        pieces = [again[at : at + 3] for at in range(0, len(again), 3)]
        _, data = await place(streamed(first), streamed(*pieces, finish="stop")).read()
        assert said(data) == wanted

    run(story())


def test_an_answer_with_a_tool_call_is_not_taken_up_again():
    async def story():
        call = {"id": "c", "type": "function", "function": {"name": "x", "arguments": "{}"}}
        choice = {"index": 0, "message": {"role": "assistant", "content": "so", "tool_calls": [call]}}
        data = json.dumps({"id": "x", "choices": [{**choice, "finish_reason": "length"}]}).encode()
        made = place(Answer(200, {}, [(0.0, data)]), part("more"))
        await made.ask()
        assert len(made.net.calls) == 1

    run(story())


def test_outcomes_are_one_attempt():
    async def story():
        made = place(part("a"), part("b", "stop"))
        assert outcomes(await made.ask()) == [("a", "ok")]

    run(story())


def test_a_key_across_the_seam_does_not_leave_and_the_model_is_told_its_own_words():
    """The end of a part may be held back, since it may be the beginning of the provider's key."""

    async def story():
        secret = "sk-canary-4f9a8b7c6d5e"
        made = place(streamed("one sk-canary-4f9a"), streamed("8b7c6d5e two", finish="stop"))
        made.setting = setting(made.config, Secrets(api_keys={"one": secret}), World(), Health())
        _, data = await made.read()
        assert secret not in said(data)
        assert said(data).startswith("one ")
        assert said(data).endswith(" two")
        assert made.net.bodies[1]["messages"][-2]["content"] == "one sk-canary-4f9a"

    run(story())
