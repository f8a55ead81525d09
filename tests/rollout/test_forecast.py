"""What a plan says beforehand about a bad candidate is what its guardrails then do."""

import json
import random

import pytest
import yaml
from click.testing import CliRunner

from interlock.cli.app import cli
from interlock.config.written import Check
from interlock.rollout.forecast import forecast
from interlock.rollout.plan import Plan, Step
from interlock.rollout.watch import Watch
from interlock.types.labels import Arm
from tests.rollout.test_watch import FAILED, INVALID, OK, VALID

ERRORS = Check(metric="error_rate", rise_at_most=0.05)
VALIDITY = Check(metric="schema_valid", drop_at_most=0.2)


def plan(*guardrails: Check, weight: float = 0.5) -> Plan:
    return Plan(name="canary", steps=(Step(weight=weight, for_us=1), Step(weight=1.0)), guardrails=guardrails)


def taken(one: Plan, candidate, stable, seed: int, most: int):
    """Requests until the guardrails, looked at now and then, call a breach; both arms answer by chance."""
    draw = random.Random(seed)
    watch = Watch(one.guardrails, len(one.steps))
    weight = one.steps[0].weight
    for count in range(1, most + 1):
        arm: Arm = "canary" if draw.random() < weight else "stable"
        watch.add(arm, (candidate if arm == "canary" else stable)(draw))
        if (count % 10 == 0 or count == most) and any(
            finding.verdict == "breach" for finding in watch.findings(weight)
        ):
            return count, watch.requests["canary"]
    return None, watch.requests["canary"]


def failing(rate):
    return lambda draw: FAILED if draw.random() < rate else OK


def invalid(rate):
    return lambda draw: INVALID if draw.random() < rate else VALID


@pytest.mark.parametrize(
    ("check", "rates", "arms"),
    [
        (ERRORS, (0.6, 0.02), (failing(0.6), failing(0.02))),
        (VALIDITY, (0.1, 0.95), (invalid(0.9), invalid(0.05))),
    ],
    ids=["errors rise", "validity drops"],
)
def test_o6_a_bad_candidate_is_aborted_within_the_number_that_was_stated(check, rates, arms):
    one = plan(ERRORS, VALIDITY)
    stated = forecast(one, check, rates[0], rates[1], chance=0.95)
    assert stated.requests is not None
    assert stated.of_candidate is not None
    found = [taken(one, arms[0], arms[1], seed, stated.requests) for seed in range(60)]
    assert sum(count is None for count, _ in found) <= 0.05 * 60
    assert max(of_candidate for _, of_candidate in found) <= stated.of_candidate


def test_a_candidate_that_is_within_the_bound_is_never_aborted_for_it():
    stated = forecast(plan(ERRORS), ERRORS, 0.03, 0.02)
    assert (stated.requests, stated.of_candidate) == (None, None)


def test_a_smaller_share_and_more_guardrails_take_more_requests():
    half = forecast(plan(ERRORS), ERRORS, 0.5, 0.0).requests
    tenth = forecast(plan(ERRORS, weight=0.1), ERRORS, 0.5, 0.0).requests
    shared = forecast(plan(ERRORS, VALIDITY), ERRORS, 0.5, 0.0).requests
    assert half is not None
    assert tenth is not None
    assert shared is not None
    assert half < tenth
    assert half < shared


def test_of_what_is_no_rate_nothing_is_said():
    slow = Check(metric="latency_p95_ms", rise_at_most=0.2)
    with pytest.raises(ValueError, match="is no rate"):
        forecast(plan(slow), slow, 0.5, 0.1)


@pytest.fixture
def said(tmp_path, monkeypatch):
    """The command, in a folder with a plan."""
    config = {
        "version": 1,
        "providers": {"home": {"kind": "openai", "base_url": "http://127.0.0.1:8081/v1"}},
        "models": {"small": {"provider": "home", "version": "1"}},
        "aliases": {"prod": "small"},
        "rollouts": {
            "canary": {
                "steps": [{"weight": 0.5, "for": "10m"}, {"weight": 1.0}],
                "guardrails": [
                    {"metric": "error_rate", "rise_at_most": 0.05},
                    {"metric": "latency_p95_ms", "rise_at_most": 0.2},
                ],
            }
        },
    }
    (tmp_path / "interlock.yaml").write_text(yaml.safe_dump(config))
    monkeypatch.chdir(tmp_path)
    return lambda *arguments: CliRunner().invoke(cli, ("rollout", "forecast", *arguments))


def test_the_command_says_it_to_people_and_to_programs_and_exits_1_for_never(said):
    bad = ("canary", "--metric", "error_rate", "--candidate", "0.5", "--stable", "0.01")
    told = json.loads(said(*bad, "--json").stdout)
    assert (told["bound"], told["weight"], told["chance"]) == ("rise_at_most 0.05", 0.5, 0.99)
    shown = said(*bad)
    assert shown.exit_code == 0
    assert f"within {told['requests']} requests, at most {told['of_candidate']} of them" in shown.stdout
    good = said("canary", "--metric", "error_rate", "--candidate", "0.01", "--stable", "0.01")
    assert (good.exit_code, good.stdout.startswith("never")) == (1, True)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("canry", "--metric", "error_rate"), "did you mean `canary`?"),
        (("canary", "--metric", "abort_rate"), "no guardrail on `abort_rate`"),
        (("canary", "--metric", "latency_p95_ms"), "only of rates"),
    ],
)
def test_the_command_names_what_it_cannot_forecast(said, arguments, says):
    told = said(*arguments, "--candidate", "0.5", "--stable", "0.01")
    assert told.exit_code == 2
    assert says in told.stderr
