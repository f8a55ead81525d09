"""What an execution has given, as graders see it: whole or streamed, answered or not."""

from interlock.errors import ApiError
from interlock.evals.episode import read_call
from interlock.evals.sample import OWN_FAULTS, State, Turn
from interlock.execute.executor import Execution
from interlock.execute.validation.said import calls_of, text_of
from interlock.types.decision import Decision
from interlock.types.request import Refusal


def turn_of(decision: Decision, execution: Execution) -> Turn:
    """One request and its answer."""
    answer, error = execution.answer, execution.error
    last = execution.attempts[-1] if execution.attempts else None
    parts = answer.parts if answer is not None else ()
    calls = calls_of(parts) if answer is not None else execution.calls  # a stream leaves no whole answer
    return Turn(
        decision_id=decision.id,
        text=text_of(parts) if answer is not None else execution.text,
        calls=tuple(read_call(call) for call in calls),
        refused=(last is not None and last.refused) or any(isinstance(part, Refusal) for part in parts),
        finish=last.finish if last is not None else None,
        model=last.model if last is not None else None,
        outcome=last.outcome if last is not None else None,
        error=f"{error.code}: {error.message}" if error is not None else None,
        violations=last.violations if last is not None else (),
        input_tokens=last.input_tokens if last is not None else None,
        output_tokens=last.output_tokens if last is not None else None,
        cost_usd=execution.cost_usd,
        latency_ms=last.latency_ms if last is not None else None,
    )


def state_of(error: ApiError | None, turn: Turn) -> State:
    """Whose doing a failure is. What waits for a human's approval is nobody's answer yet, and a connection
    that broke (malformed, and no end was seen) is not the model's.
    """
    if error is None:
        return "answered"
    broken = turn.outcome == "malformed" and turn.finish is None
    own = (turn.outcome in OWN_FAULTS and not broken) or error.code == "tool_denied"
    return "failed" if own else "unavailable"
