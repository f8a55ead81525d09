"""A provider's key, taken out of what the provider says. Pure.

Whole keys are looked for in answers, pieces of keys as well in what is reported of failures. A key that
an answer spreads over several events of a stream is not found.
"""

from typing import Final, TypeGuard

import msgspec

from interlock.types.answer import Answer
from interlock.types.request import AnyPart, Refusal, Text, Thinking, ToolCall

SHORTEST: Final = 12
"""So many characters of a key in a row count as the key: errors quote keys cut short."""
_GONE: Final = "…"


def _tells(secret: str | None) -> TypeGuard[str]:
    """Whether a key is long enough to be one: taking a placeholder like `x` out would only spoil words."""
    return secret is not None and len(secret) >= SHORTEST


def without_pieces(text: str, secret: str | None) -> str:
    """A report without the key, and without any piece of it that is long enough to tell."""
    if not _tells(secret):
        return text
    text = text.replace(secret, _GONE)
    pieces = {secret[at : at + SHORTEST] for at in range(len(secret) - SHORTEST + 1)}
    if not any(piece in text for piece in pieces):
        return text
    kept: list[str] = []
    at = hidden = 0
    while at < len(text):
        if text[at : at + SHORTEST] in pieces:
            if hidden <= at:
                kept.append(_GONE)
            hidden = at + SHORTEST
        if at >= hidden:
            kept.append(text[at])
        at += 1
    return "".join(kept)


def without_key(text: str, secret: str | None) -> str:
    """An answer's text without the whole key."""
    return text.replace(secret, _GONE) if _tells(secret) and secret in text else text


def clean_answer(answer: Answer, secret: str | None) -> Answer:
    """A whole answer whose words and ids do not hold the key."""
    if not _tells(secret):
        return answer
    parts = tuple(_clean(part, secret) for part in answer.parts)
    return msgspec.structs.replace(answer, id=without_key(answer.id, secret), parts=parts)


def _clean(part: AnyPart, secret: str) -> AnyPart:
    if isinstance(part, Text | Thinking | Refusal):
        return (
            msgspec.structs.replace(part, text=part.text.replace(secret, _GONE))
            if secret in part.text
            else part
        )
    if isinstance(part, ToolCall) and (secret in part.arguments or secret in part.id):
        return msgspec.structs.replace(
            part, id=part.id.replace(secret, _GONE), arguments=part.arguments.replace(secret, _GONE)
        )
    return part
