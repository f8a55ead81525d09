"""A case with tools, played to its end with mocks: what the next request is, after an answer that calls
tools.
"""

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from interlock.evals.sample import Call
from interlock.evals.suite import Case
from interlock.types.request import AnyPart, Text, ToolCall

_FORCING: Final = "tool_choice"


def is_episode(case: Case) -> bool:
    """Whether tools answer: without any mock, the first answer is the end."""
    return bool(case.mocks)


def first_body(case: Case) -> dict[str, Any]:
    """The first request of a case, without its model."""
    return dict(case.body)


def next_body(case: Case, body: dict[str, Any], parts: Sequence[AnyPart]) -> dict[str, Any]:
    """The request that follows an answer: the conversation so far, the answer, and what its tools gave.

    A tool that the first request forces is not forced again: the episode would never end.
    """
    calls = [part for part in parts if isinstance(part, ToolCall)]
    said = "".join(part.text for part in parts if isinstance(part, Text))
    answer = {
        "role": "assistant",
        "content": said or None,
        "tool_calls": [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
            for call in calls
        ],
    }
    results = [
        {"role": "tool", "tool_call_id": call.id, "content": mocked(case.mocks, read_call(call))}
        for call in calls
    ]
    following = {**body, "messages": [*body["messages"], answer, *results]}
    following.pop(_FORCING, None)
    return following


def read_call(part: ToolCall) -> Call:
    """A call as graders see it."""
    try:
        found = msgspec.json.decode(part.arguments or "{}")
    except (msgspec.DecodeError, UnicodeEncodeError):
        found = None
    return Call(name=part.name, arguments=found if isinstance(found, dict) else None)


def mocked(mocks: dict[str, Any], call: Call) -> str:
    """What a tool answers. Rows with `result` are tried in order; one fits if the call has all its
    `arguments`.
    """
    if call.name not in mocks:
        return f"error: there is no tool `{call.name}`"
    rule = mocks[call.name]
    if not (isinstance(rule, list) and all(isinstance(row, dict) and "result" in row for row in rule)):
        return _text(rule)
    given = call.arguments or {}
    for row in rule:
        if all(given.get(name) == value for name, value in (row.get("arguments") or {}).items()):
            return _text(row["result"])
    return f"error: `{call.name}` has nothing for these arguments"


def _text(value: Any) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()
