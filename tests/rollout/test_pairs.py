"""Copies beside live answers: the evidence in pairs that depend on each other, over many seeds."""

import random

import pytest

from interlock.config.written import Check
from interlock.rollout.plan import Verdict
from interlock.rollout.watch import Watch

DROP = Check(metric="shadow.x", drop_at_most=0.05)


def run(check: Check, seed: int, *, live: float, copy: float, most: int = 600) -> Verdict:
    """Pairs of answers to requests that are easy or hard for both: the verdict once there is one."""
    draw = random.Random(seed)
    watch = Watch((check,), 1, ("x",))
    for count in range(1, most + 1):
        hardness = draw.random()
        watch.compare("x", float(hardness < copy), float(hardness < live))
        if count % 20 == 0:
            (found,) = watch.findings(0)
            if found.verdict != "undecided":
                return found.verdict
    return "undecided"


def test_o6_copies_at_the_edge_of_their_bound_are_called_a_breach_no_more_often_than_stated():
    """The scores of a pair depend wholly on each other; the risk is five in a hundred."""
    found = [run(DROP, seed, live=0.8, copy=0.75) for seed in range(200)]
    assert found.count("breach") <= 10 + 4


def test_o6_copies_that_are_clearly_worse_are_a_breach_and_equal_ones_hold():
    assert [run(DROP, seed, live=0.9, copy=0.6) for seed in range(20)] == ["breach"] * 20
    assert [run(DROP, seed, live=0.9, copy=0.9) for seed in range(20)] == ["holds"] * 20


@pytest.mark.parametrize(
    ("check", "copy", "verdict"),
    [
        (Check(metric="shadow.x", at_least=0.5), 0.9, "holds"),
        (Check(metric="shadow.x", at_least=0.5), 0.1, "breach"),
        (Check(metric="shadow.x", at_most=0.5), 0.9, "breach"),
        (Check(metric="shadow.x", at_most=0.5), 0.1, "holds"),
        (Check(metric="shadow.x", rise_at_most=0.05), 0.9, "breach"),
    ],
)
def test_each_bound_is_judged_in_its_direction(check, copy, verdict):
    assert run(check, 1, live=0.4, copy=copy) == verdict


def test_copies_without_a_score_beside_them_are_judged_by_a_bound_of_their_own_only():
    watch = Watch((Check(metric="shadow.x", at_least=0.5), DROP), 1, ("x",))
    for _ in range(60):
        watch.compare("x", 1.0, None)
    alone, beside = watch.findings(0)
    assert (alone.verdict, alone.value, alone.baseline) == ("holds", 1.0, None)
    assert (beside.verdict, beside.why) == ("undecided", "no copies have been compared yet")


def test_where_all_traffic_is_the_candidates_nothing_is_copied_and_the_guardrail_holds():
    (found,) = Watch((DROP,), 1, ("x",)).findings(1.0)
    assert found.verdict == "holds"


def test_where_the_candidate_has_no_traffic_guardrails_on_live_answers_hold_and_those_on_copies_do_not():
    checks = (Check(metric="error_rate", at_most=0.1), Check(metric="x", at_least=0.5), DROP)
    assert [one.verdict for one in Watch(checks, 1, ("x",)).findings(0)] == ["holds", "holds", "undecided"]
