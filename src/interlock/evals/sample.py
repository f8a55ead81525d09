"""What one run of one case gave: every turn of it, and how it ended. Kept as it is, for looking at."""

from typing import Any, Final, Literal

from msgspec import Struct

State = Literal["answered", "failed", "unavailable"]
"""`failed`: by the model's own doing. `unavailable`: nobody can tell how it would have answered."""

OWN_FAULTS: Final = ("schema_invalid", "malformed", "content_filtered", "context_length")
"""Outcomes of an attempt that count against the model. Others (timeouts, refused connections) are nobody's
answer.
"""


class Call(Struct, frozen=True, kw_only=True):
    """A tool call. `arguments` None: what the model wrote is no JSON object."""

    name: str
    arguments: dict[str, Any] | None


class Turn(Struct, frozen=True, kw_only=True):
    """One request of a case and its answer. Counts that are unknown are None."""

    decision_id: str
    text: str = ""
    calls: tuple[Call, ...] = ()
    refused: bool = False
    finish: str | None = None
    model: str | None = None
    outcome: str | None = None
    error: str | None = None
    violations: tuple[str, ...] = ()
    input_tokens: int | None = None
    output_tokens: int | None = None
    cost_usd: float | None = None
    latency_ms: float | None = None


class Posture(Struct, frozen=True, kw_only=True):
    """What policy made of a case: the part of its decision that must not change with the model unnoticed."""

    served: bool
    rules: tuple[str, ...] = ()
    data_class: str = ""
    safety_mode: str = ""
    layout: str = ""
    logging: str = ""
    tools_denied: tuple[str, ...] = ()
    approvals: tuple[str, ...] = ()
    region: str | None = None


class Sample(Struct, frozen=True, kw_only=True):
    """One run of one case by one model. `key` is what it is cached under; `repeat` counts from 0."""

    key: str
    case: str
    family: str
    model: str
    repeat: int
    state: State
    turns: tuple[Turn, ...]
    posture: Posture | None = None
    error: str | None = None

    @property
    def text(self) -> str:
        """The words of the last answer."""
        return self.turns[-1].text if self.turns else ""

    @property
    def calls(self) -> tuple[Call, ...]:
        """Every tool call of the episode, in order."""
        return tuple(call for turn in self.turns for call in turn.calls)

    @property
    def refused(self) -> bool:
        """Whether the vendor itself says that an answer was refused or filtered."""
        return any(turn.refused or turn.outcome == "content_filtered" for turn in self.turns)

    @property
    def cost_usd(self) -> float | None:
        return _total([turn.cost_usd for turn in self.turns])

    @property
    def input_tokens(self) -> float | None:
        return _total([turn.input_tokens for turn in self.turns])

    @property
    def output_tokens(self) -> float | None:
        return _total([turn.output_tokens for turn in self.turns])

    @property
    def latency_ms(self) -> float | None:
        return _total([turn.latency_ms for turn in self.turns])


def _total(counts: list[float | None] | list[int | None]) -> float | None:
    """The sum; None, unknown, where one of them is, or where there are none."""
    known = [count for count in counts if count is not None]
    return sum(known) if known and len(known) == len(counts) else None


class Grade(Struct, frozen=True, kw_only=True):
    """A score in 0..1. None without `missing`: the grader does not apply. None with it: it does, and the
    score is unknown (nobody answered, the judge is down).
    """

    score: float | None
    why: str = ""
    missing: bool = False
