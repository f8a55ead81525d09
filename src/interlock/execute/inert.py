r"""Makes links and images in an answer inert (`safety_mode: sandbox`). Pure.

What makes a link of text is taken apart, and every character of the answer stays readable: a space goes
between `]` and `(` or `:`, and after a `<` that would open a tag; a colon, full stop or at sign that makes
an address of its surroundings is put into square brackets. Code is not spared: what is code to one
reader of Markdown is none to another. The same goes for `\u003c` and the like, which structured answers
may hold in place of the characters.

Each decision needs what stands close by and never looks beyond white space, so that a stream can be
treated as it comes: `Inert` holds back only an end of text that is still undecided.
"""

import re
from typing import Any, Final

import msgspec

from interlock.types.answer import Answer
from interlock.types.request import AnyPart, Refusal, Text, Thinking
from interlock.wire.seals import reworded

LOOK: Final = 32
"""No decision depends on more characters than this to either side, nor on any beyond white space."""

# Python's own engine, for its looks to both sides. Every step looks at a bounded number of characters, so
# a text costs linear time whatever it says.
_OPEN: Final = r"(?:<|\\u003[cC])"
_SLASH: Final = r"(?:/|\\/|\\u002[fF])"
_COMMON: Final = (
    "ai|app|biz|click|cloud|club|co|com|dev|edu|eu|gov|info|io|link|live|ly|me|mil|net|online|org|page|pro|"
    "ru|shop|site|space|store|tech|tk|top|us|uk|xyz"
)
"""Ends of host names that programs take for a link without a scheme or a path around them."""
_ACTIVE: Final = re.compile(
    r"(?P<end>\]|\\u005[dD])(?=\(|:|\\u0028|\\u003[aA])"
    rf"|(?P<open>{_OPEN})(?=[A-Za-z/!?\\])"
    rf"|(?P<colon>:|\\u003[aA])(?={_SLASH}{_SLASH})"
    r"|(?<=[\w.!#$%&'*+/=?^`{|}~-])(?P<at>@|\\u0040)(?=\w)"
    r"|(?P<dot>\.)(?:(?<=[wW]{3}\.)(?=\w)"
    rf"|(?<=\w\.)(?=(?i:{_COMMON})(?![\w-])|[A-Za-z][A-Za-z0-9-]{{1,23}}(?:/\S|[?#]\w|:\d)))"
)
_SPACED: Final = ("end", "open")
_UNDECIDED: Final = re.compile(r"[\]<:@.\\]\S*\Z")


def make_inert(text: str) -> str:
    """A whole text without an active link or image. Applied twice it changes nothing more."""
    return _ACTIVE.sub(_apart, text)


def inert_value(value: Any) -> Any:
    """A vendor's JSON value whose strings are inert."""
    if isinstance(value, str):
        return make_inert(value)
    if isinstance(value, list):
        return [inert_value(item) for item in value]
    if isinstance(value, dict):
        return {name: inert_value(item) for name, item in value.items()}
    return value


def inert_answer(answer: Answer) -> Answer:
    """A whole answer whose words, and vendor's fields beside them, hold no active link.

    Calls of tools stay as they are, and so do blocks that a provider's own tool wrote: the vendor wants
    them back unchanged.
    """
    said = Inert()
    texts: dict[type[AnyPart], Inert] = {Text: said, Refusal: said, Thinking: Inert()}
    parts: list[AnyPart] = []
    for part in answer.parts:
        if part.extra is not None:
            part = msgspec.structs.replace(part, extra=inert_value(part.extra))  # noqa: PLW2901 - the same part
        if isinstance(part, Text | Thinking | Refusal):
            inert = texts[type(part)]
            text = inert.feed(part.text) + inert.flush()
            if text != part.text:
                part = _with_text(part, text)  # noqa: PLW2901
        parts.append(part)
    return msgspec.structs.replace(answer, parts=tuple(parts), extra=inert_value(answer.extra))


def _with_text(part: Text | Refusal | Thinking, text: str) -> AnyPart:
    return reworded(part, text) if isinstance(part, Thinking) else msgspec.structs.replace(part, text=text)


def _apart(match: re.Match[str]) -> str:
    return f"{match[0]} " if match.lastgroup in _SPACED else f"[{match[0]}]"


class Inert:
    """Mutable: one text as it comes in pieces. What comes out, joined, is `make_inert` of what went in.

    The text may stand in several blocks, which its reader may join: each ends with `flush`, and a link
    across two of them is taken apart by a space at the beginning of the second. `changed`: anything was.
    """

    def __init__(self) -> None:
        self.changed = False
        self._before = ""
        self._held = ""
        self._at_joint = False

    def feed(self, text: str) -> str:
        """What may go out now."""
        text = self._held + text
        if self._at_joint and len(text) < LOOK and not any(map(str.isspace, text)):
            self._held = text
            return ""
        found = _UNDECIDED.search(text, max(0, len(text) - LOOK))
        return self._give(text, len(text) if found is None else found.start())

    def flush(self) -> str:
        """What was held back, at the end of a block."""
        out = self._give(self._held, len(self._held))
        self._at_joint = _UNDECIDED.search(self._before) is not None
        return out

    def _give(self, text: str, cut: int) -> str:
        """Treat the text before `cut` in the light of all of it, and hold the rest."""
        out: list[str] = []
        if self._at_joint and text:
            self._at_joint = False
            if _crosses(self._before, text):
                out.append(" ")
                self._before = ""
                self.changed = True
        self._held = text[cut:]
        whole = self._before + text
        at, end = len(self._before), len(self._before) + cut
        for match in _ACTIVE.finditer(whole, at):
            if match.start() >= end:
                break
            out += (whole[at : match.start()], _apart(match))
            at = match.end()
            self.changed = True
        out.append(whole[at:end])
        self._before = whole[max(0, end - LOOK) : end]
        return "".join(out)


def _crosses(before: str, text: str) -> bool:
    """Whether two texts, joined, make a link of the end of the first that was none by itself."""
    known = {match.start() for match in _ACTIVE.finditer(before)}
    found = (match.start() for match in _ACTIVE.finditer(before + text))
    return any(start < len(before) and start not in known for start in found)
