"""A suite measures consistency: over two routes, over repeats of one, and of an alias with its model."""

import pytest
from tests.harness.world import asks, last, place, write_suite

from interlock.evals.measures import agreement, tabulate

CASES = [asks(f"question {number}", f"q{number}") for number in range(10)]
CONSISTENT = [{"kind": "consistency"}]


def same_but(*others: str):
    """Both models say the same, but for these questions, where the new one differs."""

    def say(model, messages):
        text = last(messages)
        return f"{model} has its own answer" if model == "beta-2" and text in others else f"answer to {text}"

    return say


@pytest.mark.parametrize(("differ", "expected"), [(0, 1.0), (3, 0.7), (10, 0.0)])
async def test_the_agreement_of_two_routes_is_the_share_of_cases_where_they_say_the_same(
    tmp_path, differ, expected
):
    async with place(tmp_path, same_but(*(f"question {n}" for n in range(differ)))) as here:
        suite = write_suite(tmp_path, CASES, CONSISTENT)
        async with here.harness() as harness:
            old, new = await harness.run(suite, "old"), await harness.run(suite, "new")
    found = agreement(suite, new.samples, old.samples, 0.95)
    assert found.n == 10
    assert found.value == pytest.approx(expected)


async def test_an_alias_agrees_with_the_model_that_its_version_names(tmp_path):
    """One alias version is one route, so what it answers is what that model answers."""
    async with place(tmp_path, same_but("question 1", "question 2")) as here:
        suite = write_suite(tmp_path, CASES, CONSISTENT)
        async with here.harness() as harness:
            by_alias = await harness.run(suite, "prod")
            old, new = await harness.run(suite, "old"), await harness.run(suite, "new")
    assert {turn.model for sample in by_alias.samples for turn in sample.turns} == {"old"}
    assert agreement(suite, by_alias.samples, old.samples, 0.95).value == 1.0
    assert agreement(suite, by_alias.samples, new.samples, 0.95).value == pytest.approx(0.8)


async def test_a_model_that_wavers_shows_in_the_consistency_of_its_repeats(tmp_path):
    turns = iter(range(1000))

    def say(model, messages):
        del model
        return f"draw {next(turns)}" if last(messages) == "question 0" else "steady"

    async with place(tmp_path, say) as here:
        suite = write_suite(tmp_path, CASES[:5], CONSISTENT, repeats=3)
        async with here.harness() as harness:
            run = await harness.run(suite, "old")
    values = tabulate(run.scored).values["consistency"]
    assert values == {"q0": 0.0, "q1": 1.0, "q2": 1.0, "q3": 1.0, "q4": 1.0}


async def test_routes_that_nobody_answered_are_unknown_and_never_agree(tmp_path):
    from tests.server.upstream import Reply

    def say(model, messages):
        return Reply(500, (b"{}",)) if model == "beta-2" else last(messages)

    async with place(tmp_path, say) as here:
        suite = write_suite(tmp_path, CASES[:3], CONSISTENT)
        async with here.harness() as harness:
            old, new = await harness.run(suite, "old"), await harness.run(suite, "new")
    assert agreement(suite, new.samples, old.samples, 0.95).n == 0
    assert agreement(suite, old.samples, new.samples, 0.95).n == 0
