"""Required tools: an answer is complete only if what it had to use has been called in this turn."""

from collections.abc import Iterable
from functools import partial

from interlock.execute.validation.contract import Asked
from interlock.execute.validation.findings import PASSED, Finding, Judge, Violation
from interlock.execute.validation.said import Said, calls_of
from interlock.types.request import Message, Request


def judges(asked: Asked) -> Iterable[Judge]:
    """One for the tools that the lane requires, one for a call that the request itself demands."""
    request, contract = asked.request, asked.contract
    if contract is not None and contract.require_tools:
        judge = partial(_judge_lane, request=request, owner=contract.owner, tools=contract.require_tools)
        yield Judge(f"require_tools of the {contract.owner}", judge)
    choice = request.tool_choice
    if choice is not None and choice.mode in ("required", "tool") and request.tools:
        yield Judge("tool_choice of the request", _judge_choice)


def missing_before(asked: Asked) -> tuple[str, ...]:
    """The lane's required tools that this turn has not called yet: answers still have to."""
    if asked.contract is None or not asked.contract.require_tools:
        return ()
    called = called_in_turn(asked.request.messages)
    return tuple(tool for tool in asked.contract.require_tools if tool not in called)


def called_in_turn(messages: tuple[Message, ...]) -> set[str]:
    """The tools that were called since the user last spoke.

    What a user says beside a tool's result (one vendor puts both into one message) starts no new turn.
    """
    found: set[str] = set()
    for place in range(len(messages) - 1, -1, -1):
        message = messages[place]
        if message.role == "user" and not (place and messages[place - 1].role == "tool"):
            break
        if message.role == "assistant":
            found.update(call.name for call in calls_of(message.parts))
    return found


def _judge_lane(said: Said, request: Request, owner: str, tools: tuple[str, ...]) -> Finding:
    called = called_in_turn(request.messages) | {call.name for call in calls_of(said.parts)}
    missing = [tool for tool in tools if tool not in called]
    if not missing:
        return PASSED
    named = ", ".join(f"`{tool}`" for tool in missing)
    return Finding(
        (
            Violation(
                rule="require_tools",
                message=f"the {owner} requires a call of {named}, and none was made before the answer",
                trigger="tools_incomplete",
            ),
        )
    )


def _judge_choice(said: Said) -> Finding:
    if calls_of(said.parts):
        return PASSED
    message = "the model made no tool call where the request's `tool_choice` demands one"
    return Finding((Violation(rule="tool_choice", message=message, trigger="tools_incomplete"),))
