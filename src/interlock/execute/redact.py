"""A provider's key, taken out of what the provider says. Pure.

Whole keys are looked for in answers, however a stream cuts them, and pieces of keys as well in what is
reported of failures. An answer's text is searched block by block.
"""

from typing import Any, Final, TypeGuard

import msgspec

from interlock.types.answer import Answer
from interlock.types.request import AnyPart, Opaque, Refusal, Text, Thinking, ToolCall
from interlock.wire.seals import reworded

SHORTEST: Final = 12
"""So many characters of a key in a row count as the key: errors quote keys cut short."""
_GONE: Final = "…"
_encode: Final = msgspec.json.Encoder().encode


def tells(secret: str | None) -> TypeGuard[str]:
    """Whether a key is long enough to be one: taking a placeholder like `x` out would only spoil words."""
    return secret is not None and len(secret) >= SHORTEST


def without_pieces(text: str, secret: str | None) -> str:
    """A report without the key, and without any piece of it that is long enough to tell."""
    if not tells(secret):
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
    return text.replace(secret, _GONE) if tells(secret) and secret in text else text


def without_key_in(value: Any, secret: str | None) -> Any:
    """A vendor's JSON value, a block of its own among them, without the whole key in any of its strings."""
    if value is None or not tells(secret) or _encode(secret)[1:-1] not in _encode(value):
        return value
    if isinstance(value, Opaque):
        cleaned, seal = _clean_value(value.value, secret), _clean_value(value.seal, secret)
        return msgspec.structs.replace(value, value=cleaned, seal=seal)
    return _clean_value(value, secret)


def _clean_value(value: Any, secret: str) -> Any:
    if isinstance(value, str):
        return value.replace(secret, _GONE)
    if isinstance(value, list):
        return [_clean_value(item, secret) for item in value]
    if isinstance(value, dict):
        return {name.replace(secret, _GONE): _clean_value(item, secret) for name, item in value.items()}
    return value


def clean_answer(answer: Answer, secret: str | None) -> Answer:
    """A whole answer whose words, ids and vendor's fields do not hold the key."""
    if not tells(secret):
        return answer
    return msgspec.structs.replace(
        answer,
        id=without_key(answer.id, secret),
        parts=tuple(_clean(part, secret) for part in answer.parts),
        extra=without_key_in(answer.extra, secret),
    )


def _clean(part: AnyPart, secret: str) -> AnyPart:
    if part.extra is not None:
        part = msgspec.structs.replace(part, extra=without_key_in(part.extra, secret))
    if isinstance(part, Thinking):
        if secret in part.text:
            part = reworded(part, part.text.replace(secret, _GONE))
        states: dict[str, Any] = {"signature": part.signature, "redacted": part.redacted}
        return msgspec.structs.replace(part, **_clean_value(states, secret))
    if isinstance(part, Text | Refusal):
        if secret in part.text:
            return msgspec.structs.replace(part, text=part.text.replace(secret, _GONE))
    elif isinstance(part, ToolCall):
        if secret in part.arguments or secret in part.id:
            return msgspec.structs.replace(
                part, id=part.id.replace(secret, _GONE), arguments=part.arguments.replace(secret, _GONE)
            )
    elif isinstance(part, Opaque):
        cleaned: AnyPart = without_key_in(part, secret)
        return cleaned
    return part


class KeyScreen:
    """Mutable: one text as it comes in pieces. What comes out, joined, is `without_key` of what went in.

    Held back is only the longest end that the key may begin with: less than the key's own length.
    """

    def __init__(self, secret: str) -> None:
        """`secret` must be one that `tells`. `found`: it was in the text."""
        self._secret = secret
        self._first = secret[0]
        self._held = ""
        self.found = False

    def feed(self, text: str) -> str:
        """What may go out now."""
        if self._held:
            text, self._held = self._held + text, ""
        if self._first not in text:
            return text
        secret = self._secret
        if secret in text:
            text = text.replace(secret, _GONE)
            self.found = True
        at = text.find(self._first, max(0, len(text) - len(secret) + 1))
        while at >= 0:
            if secret.startswith(text[at:]):
                self._held = text[at:]
                return text[:at]
            at = text.find(self._first, at + 1)
        return text

    def flush(self) -> str:
        """What was held back, at the end of the text."""
        text, self._held = self._held, ""
        return text
