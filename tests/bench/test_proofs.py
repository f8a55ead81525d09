"""What the bench of proofs says of its counts: within what was stated, or over it, and never silently."""

import pytest

from bench.proofs import bounded, until_rollback


@pytest.mark.parametrize(
    ("count", "verdict"), [(0, "stated: at most 0.05"), (50, "stated: at most 0.05"), (51, "OVER 0.05")]
)
def test_mistakes_are_held_against_the_share_that_is_stated(count, verdict):
    line = bounded("gate", count, 1000, 0.05)
    assert (line.value, line.verdict) == (f"{count} of 1000", verdict)


def test_a_rollback_that_came_later_than_stated_is_counted_and_not_left_out():
    assert until_rollback("canary", [10, 20, 30], 30).value == "p50 20, max 30"
    late = until_rollback("canary", [10, 20, 31, None], 30)
    assert (late.value, late.verdict) == ("p50 15, 2 of 4 later", "OVER the stated 30")
    assert until_rollback("canary", [None, None, None], 30).value == "never"
