"""Logged traffic of a real A/B test, judged by what judges rollouts: as it is, and with an effect put in.

A week of a shop's recommendations under two policies, 10,000 impressions each and 46 clicks each. Requests
become figures, figures evidence, and evidence the rollout's next state by the very code that the server runs.
"""

import pytest

from bench.logged import FILES, Stream, dealt, logged, rolled, with_effect
from interlock.config.written import Check
from tests.data import path

DROP = Check(metric="schema_valid", drop_at_most=0.0)
"""Is the candidate's share of clicks lower at all? A click counts as validity does: yes or no."""
RISE = Check(metric="error_rate", rise_at_most=0.0)
"""The same the other way round: no click as a failure."""
MARGIN = Check(metric="schema_valid", drop_at_most=0.002)
"""A drop of 0.2 points: nearly half of all clicks."""


@pytest.fixture(scope="module")
def traffic() -> Stream:
    folders = {path("rollout", name).parent for name in FILES.values()}
    return logged(folders.pop())


@pytest.mark.parametrize("check", [DROP, RISE, MARGIN], ids=["drop", "rise", "margin"])
def test_as_it_is_the_traffic_is_too_little_to_tell_so_the_rollout_waits_and_is_neither(traffic, check):
    found = rolled(traffic, check)
    assert {finding.verdict for finding in found.looks} == {"undecided"}
    assert (found.progress.state, found.progress.waits_for) == ("paused", "data")
    last = found.looks[-1]
    assert (last.n, last.n_baseline) == (10_000, 10_000)
    assert last.low is not None
    assert last.high is not None
    assert last.low < 0 < last.high
    assert "too little data to tell" in last.why


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("check", [DROP, RISE], ids=["drop", "rise"])
def test_with_harm_put_in_it_is_aborted_with_evidence_of_the_right_sign(traffic, check, seed):
    """Of ten clicks nine are lost: with 46 clicks to lose, not much less would show."""
    found = rolled(with_effect(traffic, seed, lost=0.9), check)
    assert found.progress.state == "aborted"
    last = found.looks[-1]
    assert last.low is not None
    assert last.high is not None
    assert last.high < 0 if check is DROP else last.low > 0
    assert "holds" not in {finding.verdict for finding in found.looks}


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("check", [DROP, RISE], ids=["drop", "rise"])
def test_with_a_gain_put_in_it_is_promoted_and_at_no_look_aborted(traffic, check, seed):
    """One more click in a hundred impressions."""
    found = rolled(with_effect(traffic, seed, won=0.01), check)
    assert found.progress.state == "promoted"
    assert "breach" not in {finding.verdict for finding in found.looks}


@pytest.mark.parametrize(("effect", "never"), [({"lost": 0.5}, "holds"), ({"won": 0.002}, "breach")])
def test_a_small_effect_is_never_taken_for_its_opposite(traffic, effect, never):
    for seed in range(4):
        assert never not in {f.verdict for f in rolled(with_effect(traffic, seed, **effect), DROP).looks}


def test_of_real_traffic_dealt_to_two_equal_arms_no_more_is_aborted_than_stated(traffic):
    """The bound is no drop at all, so every abort is a false one. 200 deals: `python -m bench proofs`."""
    states = [rolled(dealt(traffic, seed), DROP).progress.state for seed in range(8)]
    assert states.count("aborted") <= 1
