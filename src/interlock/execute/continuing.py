"""An answer that was cut by its length, continued: the next request, the seam, the sum. Pure.

The caller's own limits hold for all parts together; the model's own limit is for each call.
"""

from collections.abc import Iterable
from typing import Final

import msgspec

from interlock.config.checked import Model
from interlock.execute.cited import moved
from interlock.execute.usage import credible
from interlock.types.answer import CITATIONS, Answer, Usage
from interlock.types.decision import Decision
from interlock.types.request import AnyPart, Message, Request, Text, Thinking

ASK: Final = (
    "Your last message was cut off by its length. Go on exactly where it stops, in the middle of a word "
    "if need be. Repeat nothing of it, and add no remark of your own."
)
LEAST_TOKENS: Final = 16
"""A continuation of less is not worth a call."""
MOST_SEAM: Final = 200
LEAST_SEAM: Final = 16
"""How many characters at the seam a model may repeat: shorter ones may be meant."""
_COUNTS: Final = (
    "input_tokens",
    "cached_tokens",
    "cache_write_tokens",
    "output_tokens",
    "reasoning_tokens",
)


def may_continue(parts: Iterable[AnyPart]) -> bool:
    """Whether an answer can be taken up again: it is words, and nothing else but thoughts."""
    parts = tuple(parts)
    return all(isinstance(part, Text | Thinking) for part in parts) and any(
        isinstance(part, Text) and part.text for part in parts
    )


def output_left(decision: Decision, model: Model, used: int, affordable: int | None) -> int | None:
    """How many output tokens the next part may have; None is no bound, 0 ends it."""
    limits = [model.max_output_tokens, affordable]
    most = decision.budgets.max_output_tokens
    if most is not None and not decision.why.limits.get("max_output_tokens", "").startswith("model "):
        limits.append(most - used)
    known = [limit for limit in limits if limit is not None]
    if not known:
        return None
    return min(known) if min(known) >= LEAST_TOKENS else 0


def next_request(request: Request, text: str, cap: int | None) -> Request:
    """The request for the rest of an answer that so far is `text`."""
    so_far = Message(role="assistant", parts=(Text(text=text),))
    ask = Message(role="user", parts=(Text(text=ASK),))
    return msgspec.structs.replace(request, messages=(*request.messages, so_far, ask), max_output_tokens=cap)


def after_seam(before: str, more: str) -> str:
    """`more` without the end of `before`, where a model has said that again."""
    most = min(MOST_SEAM, len(before), len(more))
    for length in range(most, LEAST_SEAM - 1, -1):
        if before.endswith(more[:length]):
            return more[length:]
    return more


def joined(first: Answer, more: Answer) -> Answer:
    """Two parts of an answer as one: the words run on, the end is the second's, tokens are added."""
    text = "".join(part.text for part in first.parts if isinstance(part, Text))
    rest = "".join(part.text for part in more.parts if isinstance(part, Text))
    last = max(place for place, part in enumerate(first.parts) if isinstance(part, Text))
    tail = first.parts[last]
    assert isinstance(tail, Text), "the last part with words"
    seam = after_seam(text, rest)
    by = len(text) - (len(rest) - len(seam))
    cited = moved((more.extra, *(part.extra for part in more.parts)), by)
    extra = tail.extra
    if cited:
        extra = {**(extra or {}), CITATIONS: [*(extra or {}).get(CITATIONS, ()), *cited]}
    whole = msgspec.structs.replace(tail, text=tail.text + seam, extra=extra)
    others = tuple(part for part in more.parts if not isinstance(part, Text | Thinking))
    return msgspec.structs.replace(
        first,
        parts=(*first.parts[:last], whole, *first.parts[last + 1 :], *others),
        finish=more.finish,
        stop_sequence=more.stop_sequence,
        usage=total(credible(first.usage), credible(more.usage)),
    )


def total(one: Usage, two: Usage) -> Usage:
    """The tokens of two calls together. What one of them does not know, nobody knows."""
    sums = {}
    for name in _COUNTS:
        first, second = getattr(one, name), getattr(two, name)
        needed = name in ("input_tokens", "output_tokens")
        known = [count for count in (first, second) if count is not None]
        sums[name] = sum(known) if len(known) == 2 or (known and not needed) else None
    return Usage(**sums, estimated=one.estimated or two.estimated)
