"""How long one call of a model may take: by what the caller's budgets say, else by what is usual.

Who waits for an answer that no other model could give waits to the end. Where another model stands by, a
silent one has to leave it time, so it has a deadline of its own even where nobody set one. Pure.
"""

from typing import Final

from msgspec import Struct

from interlock.types.decision import Budgets

DEADLINE_S: Final = 600.0
"""Of a whole request, where no budget has `deadline_ms`: as long as the vendors' own SDKs wait."""
CONNECT_S: Final = 10.0
IDLE_S: Final = 30.0
"""How long a stream may go without completing a line, and the body of a whole answer without a byte."""
RESERVE: Final = 0.25
"""The share of the time left that a model leaves to the one that would follow a timeout."""

# Where a model stands by and no budget says how long the first may be silent.
FIRST_EVENT_S: Final = 60.0
"""Of a stream, where no budget has `first_token_ms`. Vendors open a stream within seconds, thinking or not,
and what lies between us and them takes a minute of silence for the end."""
SHORT_ANSWER_S: Final = 60.0
TOKEN_S: Final = 0.1
LONGEST_ANSWER_S: Final = DEADLINE_S / 2
"""Of a whole answer, where no budget has `deadline_ms`. It is silent until its last token has been made, the
thoughts among them: a minute, and a tenth of a second for each token that it may have, as slow models
need. Where nothing bounds the tokens, half of the time, so that who stands by has as long."""


class Limits(Struct, frozen=True, gc=False):
    """Instants of `loop.time()`: when a connection is due, the first event, and everything.

    `unseen_by`: until when a stream may last of which the caller has seen nothing.
    """

    connect_by: float
    first_by: float
    end_by: float
    unseen_by: float


def limits(
    now: float, deadline: float, budgets: Budgets, *, spare: bool, stream: bool, answers: bool = True
) -> Limits:
    """The limits of a call that begins `now`, of a request that has until `deadline`.

    `spare`: another model would follow a timeout. `stream`: once the caller has seen some of it, it has all
    of the time. `answers`: tokens are made, which takes time; vectors and counts are not.
    """
    left = deadline - now
    first_s = left if budgets.first_token_ms is None else budgets.first_token_ms / 1000
    end_by = deadline
    if spare:
        end_by -= min(left * RESERVE, first_s)
    if stream:
        if spare and budgets.first_token_ms is None:
            first_s = FIRST_EVENT_S
        first_by = min(now + first_s, end_by)
        connect_by = min(now + CONNECT_S, first_by)
        return Limits(connect_by=connect_by, first_by=first_by, end_by=deadline, unseen_by=end_by)
    if spare and budgets.deadline_ms is None:
        end_by = min(end_by, now + _whole_s(budgets.max_output_tokens if answers else 0))
    return Limits(connect_by=min(now + CONNECT_S, end_by), first_by=end_by, end_by=end_by, unseen_by=end_by)


def _whole_s(tokens: int | None) -> float:
    """How long a whole answer of so many tokens may take."""
    return LONGEST_ANSWER_S if tokens is None else min(SHORT_ANSWER_S + tokens * TOKEN_S, LONGEST_ANSWER_S)
