"""Measures: graders' scores and what was counted, a case at a time, unknown kept apart from zero."""

import msgspec
import pytest

from interlock.evals.graders import GRADERS
from interlock.evals.measures import Outside, measure, score, tabulate
from interlock.evals.suite import Suite
from tests.evals.build import case, sample, turn


def suite(*graders, cases=None):
    return Suite(name="s", cases=tuple(cases or [case({"answer": "yes"})]), graders=graders)


def spec(kind, **fields):
    return GRADERS[kind].spec(kind=kind, **fields)


def values(of, *samples):
    return tabulate(score(of, samples, Outside())).values


def test_repeats_of_a_case_are_one_value():
    found = values(suite(spec("exact")), sample("yes"), sample("no", repeat=1))
    assert found["task_success"] == {"one": 0.5}
    assert found["cost_per_case"] == {"one": pytest.approx(0.001)}


def test_graders_of_one_measure_all_have_to_hold():
    both = suite(spec("exact"), spec("contains", all=("no",)))
    assert values(both, sample("yes"))["task_success"] == {"one": 0.0}


def test_what_is_unknown_is_no_zero_and_a_zero_stays_one():
    down = spec("function", file="gone.py")
    assert values(suite(spec("exact"), down), sample("yes"))["task_success"] == {"one": None}
    assert values(suite(spec("exact"), down), sample("no"))["task_success"] == {"one": 0.0}


def test_an_unpriced_turn_leaves_the_cost_of_its_case_unknown():
    found = values(suite(spec("exact")), sample("yes", turns=(turn("a"), turn("yes", cost_usd=None))))
    assert found["cost_per_case"] == {"one": None}
    assert found["output_tokens"] == {"one": 10}
    assert found["latency_ms"] == {"one": 200.0}


def test_a_case_that_nobody_answered_has_no_values_but_counts_as_an_error():
    found = values(suite(spec("exact")), sample(state="unavailable", turns=(), error="timeout"))
    assert found["task_success"] == {"one": None}
    assert found["error_rate"] == {"one": 1.0}
    assert found["cost_per_case"] == {"one": None}


def test_measures_have_limits_for_all_and_for_each_family():
    cases = [case({"answer": "yes"}, id=str(place), family="ab"[place % 2]) for place in range(40)]
    samples = [
        sample("yes" if place % 2 else "no", case=str(place), family="ab"[place % 2]) for place in range(40)
    ]
    table = tabulate(score(suite(spec("exact"), cases=cases), samples, Outside()))
    everywhere, of_b = measure(table, 0.95), measure(table, 0.95, "b")
    assert (everywhere["task_success"].value, everywhere["task_success"].n) == (0.5, 40)
    assert of_b["task_success"].value == 1.0
    assert everywhere["latency_p95_ms"].value == 100.0
    low = of_b["task_success"].low
    assert low is not None
    assert low < 1.0


def test_scores_survive_being_kept():
    (kept,) = score(suite(spec("exact")), [sample("yes")], Outside())
    assert msgspec.json.decode(msgspec.json.encode(kept), type=type(kept)) == kept
