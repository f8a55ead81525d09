"""The ids of an answer's tool calls, by which their results will be told apart. Pure.

Some servers leave an id empty, and some give two calls the same one. Such a call gets an id here: of the
answer's own and the call's place in it, so that the same answer has the same ids however often it is read,
and no two answers of a conversation share one.
"""

import re
from typing import Final

import msgspec

from interlock.types.answer import Answer
from interlock.types.request import ToolCall

_PLAIN: Final = re.compile(r"[A-Za-z0-9_-]{1,48}")
"""What every vendor takes in an id."""


class CallIds:
    """Mutable: the ids that the calls of one answer have so far."""

    __slots__ = ("_before", "_seen")

    def __init__(self, answer_id: str, name: str) -> None:
        """`name` stands in for an answer's id that is none."""
        self._before = answer_id if _PLAIN.fullmatch(answer_id) else name
        self._seen: set[str] = set()

    def settled(self, call_id: str) -> str:
        """The id of the next call: its own, where it has one that no call before it has."""
        number = len(self._seen)
        while not call_id or call_id.isspace() or call_id in self._seen:
            call_id = f"call_{self._before}_{number}"
            number += 1
        self._seen.add(call_id)
        return call_id


def with_call_ids(answer: Answer, name: str) -> Answer:
    """An answer of whose calls each has an id of its own; the very same where each had one."""
    calls = [part for part in answer.parts if type(part) is ToolCall]
    if not calls:
        return answer
    given = {call.id for call in calls}
    if len(given) == len(calls) and all(map(str.strip, given)):
        return answer
    ids = CallIds(answer.id, name)
    parts = tuple(
        msgspec.structs.replace(part, id=ids.settled(part.id)) if isinstance(part, ToolCall) else part
        for part in answer.parts
    )
    return msgspec.structs.replace(answer, parts=parts)
