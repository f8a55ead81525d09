"""Suites run through decision and execution, keep what they paid for, and say honestly what they do not
know.
"""

import asyncio
from typing import Any

import pytest
from tests.harness.world import asks, last, place, write_suite
from tests.server.harness import until
from tests.server.upstream import HANG, Reply, answer

from interlock.errors import ConfigError
from interlock.evals.measures import tabulate
from interlock.harness.running import OVER_BUDGET
from interlock.server.records import to_record

EXACT = [{"kind": "exact"}]
YES = [asks(f"q{number}", expect="yes") for number in range(6)]


async def test_each_case_takes_the_way_of_a_request_and_leaves_its_record(tmp_path):
    suite = write_suite(tmp_path, YES[:1], EXACT)
    async with place(tmp_path, lambda *_: "yes") as here, here.harness() as harness:
        run = await harness.run(suite, "new")
        (sample,) = run.samples
        record = here.store.get_record(sample.turns[0].decision_id)
    assert (sample.state, sample.text, sample.turns[0].model) == ("answered", "yes", "new")
    assert sample.cost_usd == pytest.approx((10 * 1 + 5 * 10) / 1e6)
    assert record is not None
    assert (record.tenant, to_record(record).status) == ("interlock-evals", "ok")
    assert tabulate(run.scored).values["task_success"] == {"q0": 1.0}


async def test_a_run_goes_on_where_it_was_killed_and_asks_nothing_twice(tmp_path):
    suite = write_suite(tmp_path, YES, EXACT, repeats=2)
    asked: list[str] = []
    silent = [True]

    def say(_model, messages):
        asked.append(last(messages))
        return HANG if silent[0] and len(asked) > 4 else "yes"

    async with place(tmp_path, say) as here:
        async with here.harness(concurrency=1) as harness:
            running = asyncio.create_task(harness.run(suite, "new"))
            await until(lambda: len(asked) > 4)
            running.cancel()
            with pytest.raises(asyncio.CancelledError):
                await running
        silent[0] = False
        async with here.harness() as harness:
            run = await harness.run(suite, "new")
        assert len(run.samples) == 12
        assert len(asked) == 12 + 1, "the one under way was asked again"
        async with here.harness() as harness:
            again = await harness.run(suite, "new")
        assert len(asked) == 13
        assert again.digest == run.digest


async def test_a_sample_belongs_to_case_model_and_policy_and_to_nothing_else(tmp_path):
    suite = write_suite(tmp_path, YES[:1], EXACT)
    async with place(tmp_path, lambda *_: "yes") as here, here.harness() as harness:
        await harness.run(suite, "new")
        await harness.run(suite, "old")
        assert len(here.upstream.seen) == 2
        await harness.run(write_suite(tmp_path, [asks("q0", "renamed", expect="no")], EXACT), "new")
        assert len(here.upstream.seen) == 2, "another name and another expectation change no answer"
        await harness.run(write_suite(tmp_path, YES[:1], EXACT, parameters={"temperature": 0}), "new")
        assert len(here.upstream.seen) == 3
    async with place(
        tmp_path, lambda *_: "yes", policy=[{"name": "r", "then": {"layout": "fenced"}}]
    ) as here:
        async with here.harness() as harness:
            await harness.run(suite, "new")
        assert len(here.upstream.seen) == 1, "under another policy another answer may come"


async def test_a_budget_ends_a_run_and_what_was_not_asked_is_unknown(tmp_path):
    suite = write_suite(tmp_path, YES, EXACT)
    async with place(tmp_path, lambda *_: "yes") as here, here.harness(0.0002, concurrency=1) as harness:
        run = await harness.run(suite, "new")
    spent = sum(sample.cost_usd or 0 for sample in run.samples)
    left = [sample for sample in run.samples if sample.state == "unavailable"]
    assert 0 < spent <= 0.0002
    assert {sample.error for sample in left} == {OVER_BUDGET}
    assert tabulate(run.scored).values["task_success"]["q5"] is None


async def test_what_the_provider_cannot_answer_is_unknown_and_is_asked_again_next_time(tmp_path):
    suite = write_suite(tmp_path, YES[:2], EXACT)
    down = [True]

    def say(*_):
        return answer({"error": {"message": "down"}}, 503) if down[0] else "yes"

    async with place(tmp_path, say) as here:
        async with here.harness() as harness:
            run = await harness.run(suite, "new")
        assert {sample.state for sample in run.samples} == {"unavailable"}
        down[0] = False
        async with here.harness() as harness:
            run = await harness.run(suite, "new")
        assert {sample.state for sample in run.samples} == {"answered"}


async def test_no_other_model_answers_for_the_one_that_is_measured(tmp_path):
    suite = write_suite(tmp_path, YES[:1], EXACT)

    def say(model, _):
        return answer({"error": {"message": "down"}}, 503) if model == "beta-2" else "yes"

    sections = {"fallbacks": [{"from": "*", "to": "old", "when": "any"}]}
    async with place(tmp_path, say, **sections) as here, here.harness() as harness:
        run = await harness.run(suite, "new")
    assert run.samples[0].state == "unavailable"


async def test_a_model_that_answers_nothing_or_against_its_contract_has_failed(tmp_path):
    suite = write_suite(tmp_path, YES[:1], EXACT)
    async with place(tmp_path, lambda *_: "") as here, here.harness() as harness:
        run = await harness.run(suite, "new")
    assert (run.samples[0].state, tabulate(run.scored).values["task_success"]) == ("failed", {"q0": 0.0})


async def test_a_case_that_policy_denies_is_unknown_with_the_reason(tmp_path):
    suite = write_suite(tmp_path, YES[:1], EXACT)
    sections = {"policy": [{"name": "stop", "then": {"models": ["old"]}}]}
    async with place(tmp_path, lambda *_: "yes", **sections) as here, here.harness() as harness:
        run = await harness.run(suite, "new")
    (sample,) = run.samples
    assert sample.state == "unavailable"
    assert "stop" in (sample.error or "")
    assert sample.posture is not None
    assert sample.posture.served is False


async def test_a_case_of_confidential_traffic_goes_nowhere_that_the_request_might_not_have_gone(tmp_path):
    cases = [asks("salary", data_class="confidential"), asks("hours", data_class="internal")]
    suite = write_suite(tmp_path, cases, EXACT)
    async with place(tmp_path, lambda *_: "yes") as here, here.harness() as harness:
        run = await harness.run(suite, "new")  # of a provider that is trusted for internal data
        assert [last(seen.json["messages"]) for seen in here.upstream.seen] == ["hours"]
    states = {sample.case: sample.state for sample in run.samples}
    assert states == {"salary": "unavailable", "hours": "answered"}
    denied = next(sample for sample in run.samples if sample.case == "salary")
    assert "confidential" in (denied.error or "")


TOOLS = [
    {"type": "function", "function": {"name": name, "parameters": {"type": "object"}}}
    for name in ("find", "pay")
]
EPISODE: dict[str, Any] = {
    "tools": TOOLS,
    "mocks": {"find": [{"arguments": {"id": 7}, "result": {"owner": "Ada"}}], "pay": "done"},
    "graders": [
        {"kind": "tool_use", "order": "listed"},
        {"kind": "contains", "all": ["Ada"], "measure": "task_success"},
    ],
}
CALLS = {"calls": [{"name": "find", "arguments": {"id": 7}}, {"name": "pay", "arguments": {"to": "Ada"}}]}


def agent(_model, messages):
    """Finds, pays whom it found, and tells."""
    results = [message["content"] for message in messages if message["role"] == "tool"]
    if not results:
        return [("find", {"id": 7})]
    return [("pay", {"to": "Ada"})] if len(results) == 1 and "Ada" in results[0] else "Paid Ada."


async def test_an_episode_with_mocked_tools_is_played_to_its_end(tmp_path):
    fields = dict(EPISODE)
    suite = write_suite(tmp_path, [asks("Pay the owner of 7", expect=CALLS)], fields.pop("graders"), **fields)
    async with place(tmp_path, agent) as here, here.harness() as harness:
        run = await harness.run(suite, "new")
    (sample,) = run.samples
    assert [call.name for call in sample.calls] == ["find", "pay"]
    assert len(sample.turns) == 3
    values = tabulate(run.scored).values
    assert (values["tool_use_correct"], values["task_success"]) == ({sample.case: 1.0}, {sample.case: 1.0})
    assert values["tool_calls"] == {sample.case: 2.0}


async def test_an_episode_that_never_ends_has_failed(tmp_path):
    fields = {**EPISODE, "max_turns": 3}
    suite = write_suite(tmp_path, [asks("Pay", expect=CALLS)], fields.pop("graders"), **fields)
    async with place(tmp_path, lambda *_: [("find", {"id": 7})]) as here, here.harness() as harness:
        run = await harness.run(suite, "new")
    assert (run.samples[0].state, run.samples[0].error) == ("failed", "still calling tools after 3 turns")


async def test_a_tool_that_policy_denies_is_not_offered_and_calling_it_is_the_models_fault(tmp_path):
    fields = dict(EPISODE)
    suite = write_suite(tmp_path, [asks("Pay", expect=CALLS)], fields.pop("graders"), **fields)
    sections = {"policy": [{"name": "no-pay", "then": {"deny_tools": ["pay"]}}]}
    async with place(tmp_path, agent, **sections) as here, here.harness() as harness:
        run = await harness.run(suite, "new")
    (sample,) = run.samples
    assert sample.state == "failed"
    assert tabulate(run.scored).values["tool_use_correct"] == {"Pay": 0.0}


JUDGED = [{"kind": "judge", "model": "wise", "rubric": "It is polite."}]


async def test_a_judge_is_asked_through_interlock_in_both_orders_and_its_replies_are_kept(tmp_path):
    suite = write_suite(tmp_path, YES[:2], JUDGED)

    def say(model, messages):
        return "VERDICT: PASS" if model == "gamma" and "PASS or FAIL" in last(messages) else "VERDICT: FAIL"

    async with place(tmp_path, say) as here, here.harness() as harness:
        run = await harness.run(suite, "new")
        values = tabulate(run.scored).values
        assert len(here.upstream.seen) == 2 + 4
        await harness.run(suite, "new")
        assert len(here.upstream.seen) == 6
    assert values["judged"] == {"q0": 0.5, "q1": 0.5}
    assert values["judge_disagreement"] == {"q0": 1.0, "q1": 1.0}


async def test_o6_a_judge_that_is_down_leaves_its_measure_unknown(tmp_path):
    suite = write_suite(tmp_path, YES[:1], JUDGED)

    def say(model, _):
        return answer({"error": {"message": "down"}}, 503) if model == "gamma" else "yes"

    async with place(tmp_path, say) as here, here.harness() as harness:
        run = await harness.run(suite, "new")
    assert tabulate(run.scored).values["judged"] == {"q0": None}


@pytest.mark.parametrize("name", ["old", "prod"], ids=["model", "alias"])
async def test_a_judge_of_the_models_own_family_is_not_asked(tmp_path, name):
    judged = [{"kind": "judge", "model": name, "rubric": "It is polite."}]
    async with place(tmp_path, lambda *_: "yes") as here, here.harness() as harness:
        run = await harness.run(write_suite(tmp_path, YES[:1], judged), "new")
        assert len(here.upstream.seen) == 1
    assert tabulate(run.scored).values["judged"] == {"q0": None}


async def test_a_python_grader_runs_and_a_broken_one_is_a_problem_with_its_file(tmp_path):
    (tmp_path / "mine.py").write_text("def grade(given):\n    return len(given['text']) == 3\n")
    suite = write_suite(tmp_path, YES[:1], [{"kind": "function", "file": "mine.py"}])
    async with place(tmp_path, lambda *_: "yes") as here, here.harness() as harness:
        run = await harness.run(suite, "new")
        assert tabulate(run.scored).values["task_success"] == {"q0": 1.0}
        (tmp_path / "mine.py").write_text("def other(): pass\n")
        suite = write_suite(tmp_path, YES[:1], [{"kind": "function", "file": "mine.py"}])
        with pytest.raises(ConfigError, match="has no function `grade`"):
            await harness.run(suite, "new")


async def test_cases_run_side_by_side_but_no_more_than_asked_for(tmp_path):
    suite = write_suite(tmp_path, YES, EXACT)
    go = asyncio.Event()
    waiting = Reply(200, (go,), end="reset")

    async with place(tmp_path, lambda *_: waiting) as here, here.harness(concurrency=2) as harness:
        running = asyncio.create_task(harness.run(suite, "new"))
        await until(lambda: len(here.upstream.seen) >= 2)
        for _ in range(20):
            await asyncio.sleep(0)
        assert len(here.upstream.seen) == 2
        go.set()
        run = await running
    assert {sample.state for sample in run.samples} == {"unavailable"}
