"""Gates: three verdicts, doubt never passes, and over many seeds they are wrong no more often than they
state.
"""

import random
from collections.abc import Mapping

import pytest

from interlock.config.written import Check
from interlock.evals.checks import BUILT_IN, Finding, all_checks, judge, overall, policy_drift
from interlock.evals.measures import COST, Table
from interlock.evals.sample import Posture

DROP = Check(metric="task_success", family="*", drop_at_most=0.1)
Values = Mapping[str, list[float | None]]


def table(family: str = "f", **measures: list[float | None]) -> Table:
    """Cases `0`, `1`, … of one family, with these values."""
    n = max((len(values) for values in measures.values()), default=0)
    return Table(
        families={f"{family}{place}": family for place in range(n)},
        values={
            name: {f"{family}{place}": value for place, value in enumerate(values)}
            for name, values in measures.items()
        },
    )


def joined(*tables: Table) -> Table:
    values: dict[str, dict[str, float | None]] = {}
    for one in tables:
        for name, cases in one.values.items():
            values.setdefault(name, {}).update(cases)
    return Table(families={k: v for one in tables for k, v in one.families.items()}, values=values)


def rates(n: int, hits: int) -> list[float | None]:
    return [float(place < hits) for place in range(n)]


def unknown(n: int) -> list[float | None]:
    return [None] * n


def one(check: Check, new: Table, old: Table) -> Finding:
    (found,) = judge([check], new, old)
    return found


@pytest.mark.parametrize(
    ("new", "old", "verdict"),
    [
        (rates(400, 390), rates(400, 390), "pass"),
        (rates(400, 200), rates(400, 390), "fail"),
        (rates(20, 19), rates(20, 19), "inconclusive"),
        ([], [], "inconclusive"),
        ([None] * 400, rates(400, 390), "inconclusive"),
        ([None] * 100 + rates(300, 300), rates(400, 400), "inconclusive"),
    ],
    ids=["equal", "much worse", "too few", "not measured", "all errors", "a quarter errors"],
)
def test_o6_a_gate_passes_only_what_is_shown(new, old, verdict):
    found = one(Check(metric="m", drop_at_most=0.05), table(m=new), table(m=old))
    assert (found.verdict, overall([found])) == (verdict, verdict)
    assert found.why


def test_o6_without_any_check_a_gate_is_inconclusive():
    assert judge([], table(m=rates(9, 9)), table(m=rates(9, 9))) == ()
    assert overall(()) == "inconclusive"


def test_o6_a_missing_metric_is_inconclusive_and_keeps_the_whole_from_passing():
    old = new = table(m=rates(400, 400))
    found = judge([Check(metric="m", drop_at_most=0.05), Check(metric="n", at_least=0.5)], new, old)
    assert [f.verdict for f in found] == ["pass", "inconclusive"]
    assert overall(found) == "inconclusive"
    assert "`n` was not measured" in found[1].why


def test_a_few_unknown_values_count_against_whatever_is_to_be_shown():
    old = table(m=rates(400, 400))
    shaky = table(m=[*rates(370, 370), *unknown(30)])
    found = one(Check(metric="m", drop_at_most=0.05), shaky, old)
    assert found.verdict == "inconclusive", "the 30 may all be wrong"
    assert one(Check(metric="m", drop_at_most=0.15), shaky, old).verdict == "pass"


@pytest.mark.parametrize(
    ("check", "values", "verdict"),
    [
        (Check(metric="m", at_least=0.99), rates(400, 400), "pass"),
        (Check(metric="m", at_least=0.99), rates(4, 4), "inconclusive"),
        (Check(metric="m", at_least=0.99), rates(400, 300), "fail"),
        (Check(metric="m", at_most=0.02), rates(400, 0), "pass"),
        (Check(metric="m", at_most=0.02), rates(400, 100), "fail"),
        (Check(metric="m", at_least=1), rates(5, 5), "pass"),
        (Check(metric="m", at_least=1), rates(5, 4), "fail"),
        (Check(metric="m", at_most=0), rates(5, 0), "pass"),
        (Check(metric="m", at_most=0), rates(5, 1), "fail"),
        (Check(metric="m", at_least=0.5), [0.75, 1.0, 0.5, 0.75] * 50, "pass"),
        (Check(metric="latency_p95_ms", at_most=500), [100.0] * 100, "pass"),
        (Check(metric="latency_p95_ms", at_most=500), [100.0] * 10, "inconclusive"),
        (Check(metric="latency_p95_ms", at_most=500), [900.0] * 100, "fail"),
        (Check(metric="output_tokens", at_most=50), [40.0, 44.0] * 20, "pass"),
        (Check(metric="output_tokens", at_most=50), [90.0, 94.0] * 20, "fail"),
        (Check(metric="output_tokens", at_most=50), [40.0], "inconclusive"),
    ],
)
def test_a_fixed_bound_has_to_be_shown_too(check, values, verdict):
    name = "latency_ms" if check.metric == "latency_p95_ms" else check.metric
    own = table(**{name: values})
    assert one(check, own, own).verdict == verdict


def test_a_family_has_its_own_verdict_and_so_have_all_together():
    old = joined(table("a", task_success=rates(300, 300)), table("b", task_success=rates(300, 300)))
    new = joined(table("a", task_success=rates(300, 300)), table("b", task_success=rates(300, 150)))
    found = {f.family: f.verdict for f in judge([DROP], new, old)}
    assert found == {"a": "pass", "b": "fail", None: "fail"}


def test_the_rise_of_a_rate_is_absolute_and_of_money_relative():
    old = table(over_refusal=rates(400, 4), cost_per_case=[1.0, 1.2] * 200)
    new = table(over_refusal=rates(400, 4), cost_per_case=[1.3, 1.5] * 200)
    rate = one(Check(metric="over_refusal", rise_at_most=0.02), new, old)
    cost = one(Check(metric="cost_per_case", rise_at_most=0.1), new, old)
    assert (rate.verdict, cost.verdict) == ("pass", "fail")
    assert rate.low is not None
    assert rate.low < 0
    assert cost.value == pytest.approx(1.4)
    assert cost.baseline == pytest.approx(1.1)
    assert one(Check(metric="cost_per_case", rise_at_most=0.5), new, old).verdict == "pass"
    assert one(Check(metric="cost_per_case", drop_at_most=0.5), new, old).verdict == "pass"


def test_what_is_free_may_stay_free_and_not_become_paid():
    free, paid = table(cost_per_case=[0.0] * 30), table(cost_per_case=[0.01] * 30)
    check = Check(metric=COST, rise_at_most=0.1)
    assert one(check, free, free).verdict == "pass"
    assert one(check, paid, free).verdict == "fail"


def test_cost_and_tool_use_are_checked_unasked_unless_a_gate_has_its_own_checks_on_them():
    measured = table(cost_per_case=[1.0], tool_use_correct=[1.0])
    assert all_checks((), measured, measured) == BUILT_IN
    own = Check(metric=COST, rise_at_most=0.5)
    assert all_checks((own,), measured, measured) == (own, BUILT_IN[1])
    assert all_checks((), table(cost_per_case=[1.0]), table(cost_per_case=[1.0])) == BUILT_IN[:1]


POSTURE = Posture(served=True, rules=("eu",), safety_mode="standard", tools_denied=("pay",), region="eu")


@pytest.mark.parametrize(
    ("after", "verdict", "says"),
    [
        (POSTURE, "pass", "alike"),
        (Posture(served=False), "fail", "serve it no more"),
        (Posture(served=True, rules=("eu",), safety_mode="standard", region="eu"), "fail", "tools_denied"),
        (
            Posture(served=True, rules=("eu",), safety_mode="standard", tools_denied=("pay",), region="us"),
            "pass",
            "eu to us",
        ),
        (None, "inconclusive", "not every case"),
    ],
    ids=["same", "denied", "tools", "region", "unknown"],
)
def test_policy_drift_is_found_case_by_case(after, verdict, says):
    found = policy_drift({"a": POSTURE, "b": after}, {"a": POSTURE, "b": POSTURE})
    assert found.verdict == verdict
    assert says in found.why
    assert policy_drift({}, {}).verdict == "inconclusive"


def pairs(
    draw: random.Random, n: int, drop: float, differing: float
) -> tuple[list[float | None], list[float | None]]:
    """Yes and no on the same cases: some differ, and the new one is right less often by `drop`."""
    loss = (differing + drop) / 2
    new: list[float | None] = []
    old: list[float | None] = []
    for _ in range(n):
        at = draw.random()
        one, other = (0.0, 1.0) if at < loss else (1.0, 0.0) if at < differing else (1.0, 1.0)
        new.append(one)
        old.append(other)
    return new, old


def verdicts(drop: float, *, seeds: int = 1000, families: int = 2, n: int = 120) -> list[Finding | str]:
    """The gate's verdict for each seed: so many families of `n` cases, each and all together checked."""
    found: list[Finding | str] = []
    for seed in range(seeds):
        draw = random.Random(seed)
        parts = [pairs(draw, n, drop, 0.24) for _ in range(families)]
        new = joined(*(table(f"f{place}", task_success=part[0]) for place, part in enumerate(parts)))
        old = joined(*(table(f"f{place}", task_success=part[1]) for place, part in enumerate(parts)))
        found.append(overall(judge([DROP], new, old)))
    return found


def test_over_1000_seeds_equal_pairs_fail_no_more_often_than_the_level():
    assert verdicts(0.0).count("fail") <= 50


def test_over_1000_seeds_pairs_at_the_margin_pass_no_more_often_than_the_level():
    for families in (1, 2):
        at_margin = verdicts(0.1, families=families)
        assert at_margin.count("pass") <= 50
        assert at_margin.count("fail") <= 50, "the tests share the level"


def test_over_1000_seeds_a_drop_of_twice_the_margin_is_found_with_the_power_that_is_stated():
    fails, stated = 0, []
    for seed in range(1000):
        new, old = pairs(random.Random(seed), 200, 0.2, 0.3)
        found = one(
            Check(metric="task_success", drop_at_most=0.1), table(task_success=new), table(task_success=old)
        )
        assert found.power is not None
        stated.append(found.power)
        fails += found.verdict == "fail"
    mean = sum(stated) / len(stated)
    assert 0.5 < mean < 0.99, "a power of nothing or all would prove nothing"
    assert fails / 1000 >= mean - 0.03


def test_over_1000_seeds_a_doubtful_judge_makes_no_release():
    """Every third value of both is unknown, at random: there is no pass among all of them."""
    for seed in range(1000):
        draw = random.Random(seed)
        new, old = pairs(draw, 60, 0.0, 0.1)
        blind = [None if draw.random() < 0.34 else value for value in new]
        found = one(Check(metric="m", drop_at_most=0.2), table(m=blind), table(m=old))
        assert found.verdict != "pass"
