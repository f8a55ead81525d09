"""What a vendor gives an answer to remember it by, as callers of another dialect keep it.

Such a state (a signature, an encrypted thought) must come back with the next turn, and means nothing to any
other vendor. The name of the wire format before it says who can read it. Callers keep it where their dialect
has a place for one; in OpenAI's chat, where Google's own compatible server puts it and clients look for it:
`extra_content.google.thought_signature`, of a message or of a call.
"""

from typing import Any, Final

from msgspec.structs import replace

from interlock.types.labels import Wire
from interlock.types.request import Extra, Thinking

_SEALED: Final = ("gemini:", "bedrock:", "openai-responses:")
THOUGHTS: Final = "thoughts:"
"""Before the states of all thoughts of a chat message, whoever they are of: see `openai_chat.thoughts`."""
EXTRA_CONTENT: Final = "extra_content"


def seal(wire: Wire, state: str) -> str:
    """A vendor's opaque state under its wire format's name, as callers keep it."""
    return f"{wire}:{state}"


def unseal(wire: Wire, sealed: str | None) -> str | None:
    """The state in a seal of this wire format; None for any other."""
    mark = f"{wire}:"
    return sealed[len(mark) :] if sealed is not None and sealed.startswith(mark) else None


def is_seal(state: str | None) -> bool:
    """Whether a state is under a wire format's name. One that is not is Claude's, whoever serves it."""
    return state is not None and state.startswith(_SEALED)


def reworded(thought: Thinking, text: str) -> Thinking:
    """A thought whose words had to be changed: a signature of the others is no good for them, a seal is."""
    signature = thought.signature if is_seal(thought.signature) else None
    return replace(thought, text=text, signature=signature)


def in_extra_content(kept: str) -> Extra:
    """The field that keeps something for us in a message, or a call, of OpenAI's chat."""
    return {EXTRA_CONTENT: {"google": {"thought_signature": kept}}}


def of_extra_content(extra: Extra | None) -> str | None:
    """What a caller of OpenAI's chat gives back there, whoever had put it there."""
    found: Any = extra
    for name in (EXTRA_CONTENT, "google", "thought_signature"):
        found = found.get(name) if type(found) is dict else None
    return found if type(found) is str and found else None


def without_seal(extra: Extra) -> Extra:
    """The uninterpreted fields of a message or call, without what we had put among them ourselves."""
    kept = of_extra_content(extra)
    if kept is None or not (is_seal(kept) or kept.startswith(THOUGHTS)):
        return extra
    return {name: value for name, value in extra.items() if name != EXTRA_CONTENT}
