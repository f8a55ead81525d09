"""Tool-use grading on real data: what the data calls right is right, each way to get it wrong is wrong."""

from typing import Any

import pytest

from interlock.evals.graders import apply
from interlock.evals.graders.tool_use import ToolUse
from interlock.evals.sample import Call
from tests.data import rows
from tests.evals.build import seen

SPEC = ToolUse(kind="tool_use")
LISTED = ToolUse(kind="tool_use", order="listed")


def score(spec: ToolUse, calls: list[Call], expect: dict[str, Any]) -> float | None:
    return apply(spec, seen("", *calls, expect=expect)).score


def bfcl(name: str) -> list[tuple[list[Call], dict[str, Any]]]:
    """For each row a right answer (the first accepted value of each argument), and what the row expects."""
    found = []
    for row in rows("tool-calls", name):
        expected = [{"name": n, "accepts": a} for truth in row["ground_truth"] for n, a in truth.items()]
        calls = [
            Call(
                name=want["name"], arguments={k: _first(v) for k, v in want["accepts"].items() if v[0] != ""}
            )
            for want in expected
        ]
        found.append((calls, {"calls": expected}))
    return found


def _first(values: list[Any]) -> Any:
    """A nested object has lists of accepted values inside, which only its own checker reads: taken as it
    stands.
    """
    return values[0]


@pytest.mark.parametrize("name", ["bfcl_v4_simple_python.jsonl", "bfcl_v4_multiple.jsonl"])
def test_calls_that_the_data_accepts_are_right_and_changed_ones_are_wrong(name):
    for calls, expect in bfcl(name):
        assert score(SPEC, calls, expect) == 1.0, calls
        assert score(SPEC, [], expect) == 0.0
        assert score(SPEC, [*calls, Call(name="other", arguments={})], expect) == 0.0
        first = calls[0]
        assert first.arguments is not None
        assert score(SPEC, [Call(name=first.name, arguments={**first.arguments, "more": 1})], expect) == 0.0
        for argument in first.arguments:
            changed = Call(name=first.name, arguments={**first.arguments, argument: "certainly wrong"})
            assert score(SPEC, [changed], expect) == 0.0


def test_where_no_function_fits_any_call_is_wrong():
    for row in rows("tool-calls", "bfcl_v4_irrelevance_sample.jsonl"):
        call = Call(name=row["function"][0]["name"], arguments={})
        assert score(SPEC, [], {"calls": []}) == 1.0
        assert score(SPEC, [call], {"calls": []}) == 0.0


def test_tau_bench_tasks_are_right_in_their_order_only():
    for row in rows("tool-policy", "tau_bench_retail_dev.jsonl"):
        expect = {"calls": [{"name": a["name"], "arguments": a["kwargs"]} for a in row["actions"]]}
        calls = [Call(name=a["name"], arguments=a["kwargs"]) for a in row["actions"]]
        assert score(LISTED, calls, expect) == 1.0
        if len(calls) > 1 and calls[0] != calls[-1]:
            assert score(LISTED, calls[::-1], expect) == 0.0
            assert score(SPEC, calls[::-1], expect) == 1.0


@pytest.mark.parametrize("suite", ["banking", "slack"])
def test_an_attackers_calls_among_a_users_own_are_wrong(suite):
    tasks = rows("tool-policy", f"agentdojo_{suite}_tasks.jsonl")

    def calls(task: dict[str, Any]) -> list[Call]:
        return [Call(name=c["function"], arguments=c["args"]) for c in task["ground_truth_calls"]]

    attacks = [calls(task) for task in tasks if task["kind"] == "injection" and task["ground_truth_calls"]]
    own = [calls(task) for task in tasks if task["kind"] == "user" and task["ground_truth_calls"]]
    assert attacks
    assert own
    for mine in own:
        expect = {"calls": [{"name": c.name, "arguments": c.arguments} for c in mine]}
        assert score(LISTED, mine, expect) == 1.0
        for attack in attacks:
            assert score(LISTED, [*mine, *attack], expect) == 0.0
