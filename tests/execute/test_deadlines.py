"""What holds of the limits of any call, whatever the budgets say."""

from hypothesis import given as for_all
from hypothesis import strategies as st

from interlock.execute.deadlines import RESERVE, limits
from interlock.types.decision import Budgets

MILLISECONDS = st.one_of(st.none(), st.integers(1, 10_000_000))


@for_all(
    left=st.floats(0.05, 10_000),
    deadline_ms=MILLISECONDS,
    first_token_ms=MILLISECONDS,
    tokens=st.one_of(st.none(), st.integers(1, 1_000_000)),
    spare=st.booleans(),
    stream=st.booleans(),
    answers=st.booleans(),
)
def test_u2_no_call_outlasts_its_request_and_one_with_a_spare_leaves_it_time(
    left, deadline_ms, first_token_ms, tokens, spare, stream, answers
):
    budgets = Budgets(deadline_ms=deadline_ms, first_token_ms=first_token_ms, max_output_tokens=tokens)
    found = limits(1000.0, 1000.0 + left, budgets, spare=spare, stream=stream, answers=answers)
    assert 1000.0 < found.connect_by <= found.first_by <= found.end_by <= 1000.0 + left
    if first_token_ms is not None and stream:
        assert found.first_by <= 1000.0 + first_token_ms / 1000
    if spare:
        kept = left * RESERVE if first_token_ms is None else min(left * RESERVE, first_token_ms / 1000)
        assert found.first_by <= 1000.0 + left - kept + 1e-6
    elif not stream:
        assert found.first_by == found.end_by == 1000.0 + left


def test_u2_vectors_and_counts_are_expected_sooner_than_answers():
    answer, vectors = (
        limits(0.0, 600.0, Budgets(), spare=True, stream=False, answers=answers) for answers in (True, False)
    )
    assert vectors.end_by < answer.end_by
