"""The states that come with thoughts (signatures, opaque forms), where chat callers keep them for us.

Of thoughts this dialect has the words alone, in one field. Their states go before them into the field that
clients give back with a call (`wire.seals`): of all thoughts up to a call into that call, of those behind the
last one, or without one, into the message. What is kept is a list: an item for each thought, `[length of its
words, signature, opaque form]`, and an empty one where the message's own words stand.
"""

from collections.abc import Iterable, Iterator
from typing import Any, Final

import msgspec

from interlock.types.request import AnyPart, Extra, Opaque, Thinking, ToolCall
from interlock.wire.seals import EXTRA_CONTENT, THOUGHTS, in_extra_content, is_seal, of_extra_content

Item = list[Any]
_OF_CALLS: Final = "gemini:"
"""This vendor's states are kept by its adapter, each with what it signs, under its own name."""

_WRAPPING: Final = "provider_specific_fields"

_encode: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder(list[list[int | str]]).decode


class Keeping:
    """Mutable: what is to be kept of an answer, in its order. Nothing is, where no thought has a state.

    Behind one that has, the words of all that follow must be counted too.
    """

    def __init__(self, *, spoke: bool) -> None:
        """`spoke`: words came before the first thought."""
        self._items: list[Item] = [[]] if spoke else []
        self._open: dict[int, Item] = {}
        self._has_state = False
        self._kept = False
        self._spoke = spoke

    def think(self, index: int) -> None:
        """A thought begins: `add_words` and `sign` go on with it."""
        item: Item = [0, "", ""]
        self._items.append(item)
        self._open[index] = item

    def thinks(self, index: int) -> bool:
        """Whether a thought has begun there."""
        return index in self._open

    def add_words(self, index: int, text: str) -> None:
        self._open[index][0] += len(text)

    def sign(self, index: int, signature: str | None) -> None:
        if signature:
            self._open[index][1] = signature
            self._has_state = True

    def hide(self, opaque: str | None) -> None:
        """A thought that is not shown."""
        if opaque is not None and not opaque.startswith(_OF_CALLS):
            self._items.append([0, "", opaque])
            self._has_state = True

    def speak(self) -> None:
        """The message's own words begin."""
        if not self._spoke:
            self._spoke = True
            self._items.append([])

    def add(self, part: Thinking | Opaque) -> None:
        """A whole part: a thought, or what of another dialect's own stands for one."""
        if isinstance(part, Opaque):
            self.hide(part.seal)
        elif part.redacted is not None:
            self.hide(part.redacted)
        else:
            self.think(0)
            self.add_words(0, part.text)
            self.sign(0, part.signature)

    def take(self) -> Extra:
        """The field that keeps all so far; empty if there is nothing to keep."""
        if not (self._has_state or (self._kept and any(item and item[0] for item in self._items))):
            return {}
        self._kept = True
        kept = THOUGHTS + _encode(self._items).decode("utf-8")
        self._items, self._has_state = [], False
        return in_extra_content(kept)


def keep(parts: Iterable[AnyPart], message: dict[str, Any]) -> None:
    """Put what is to be kept of an answer's thoughts into its message, which has its calls already."""
    keeping = Keeping(spoke=False)
    calls = iter(message.get("tool_calls", ()))
    for part in parts:
        if isinstance(part, ToolCall):
            next(calls).update(keeping.take())
        elif isinstance(part, Thinking | Opaque):
            keeping.add(part)
        else:
            keeping.speak()
    message |= keeping.take()


def unwrapped(extra: Extra | None) -> Extra | None:
    """The uninterpreted fields of an earlier answer, with what is kept in it where it had been.

    LiteLLM gives back the fields of a message that it has no name for in one of its own.
    """
    wrapped = extra.get(_WRAPPING) if extra is not None else None
    if extra is None or type(wrapped) is not dict or EXTRA_CONTENT not in wrapped:
        return extra
    rest = {name: value for name, value in wrapped.items() if name != EXTRA_CONTENT and value is not None}
    outer = {name: value for name, value in extra.items() if name != _WRAPPING}
    return {EXTRA_CONTENT: wrapped[EXTRA_CONTENT], **outer, **({_WRAPPING: rest} if rest else {})}


def take_kept(extra: Extra | None) -> tuple[list[Item] | None, Extra | None]:
    """What a message or a call brings back, and its other uninterpreted fields.

    None for what is not ours, or not as we had written it: that stays where it is.
    """
    kept = of_extra_content(extra)
    if extra is None or kept is None or not kept.startswith(THOUGHTS):
        return None, extra
    try:
        items: list[Item] = _decode(kept.removeprefix(THOUGHTS))
    except (msgspec.DecodeError, RecursionError):
        return None, extra
    if not all(map(_is_ours, items)):
        return None, extra
    return items, {name: value for name, value in extra.items() if name != EXTRA_CONTENT} or None


def _is_ours(item: Item) -> bool:
    """Whether an item is one that we write: words are counted from 0 up, and one that is hidden has none."""
    if not item:
        return True
    if list(map(type, item)) != [int, str, str]:
        return False
    length, _, opaque = item
    return bool(length == 0 if opaque else length >= 0)


class Remembered:
    """Mutable: the words of a message's thoughts, to be dealt out to the states that are kept of them."""

    def __init__(self, words: str, kept: list[list[Item]]) -> None:
        lengths = sum(item[0] for items in kept for item in items if item)
        self._words = words if lengths == len(words) else None
        self._at = 0

    @property
    def fits(self) -> bool:
        """Whether the words came back as they were: a signature is no good for others."""
        return self._words is not None

    def thoughts(self, items: list[Item]) -> Iterator[Thinking]:
        """The thoughts of some items. Without its words, one that is not kept whole is none."""
        for length, signature, opaque in items:
            if opaque:
                yield Thinking(redacted=opaque)
            elif self._words is not None:
                text = self._words[self._at : self._at + length]
                self._at += length
                yield Thinking(text=text, signature=signature or None)
            elif is_seal(signature) or (signature and not length):
                yield Thinking(signature=signature)
