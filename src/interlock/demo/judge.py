"""Did a request end as its scenario expects? Pure: an empty tuple means yes."""

from collections.abc import Iterator

import msgspec

from interlock.demo.ask import Reply
from interlock.demo.scenarios import Expected
from interlock.types.decision import Decision
from interlock.types.record import Record


def judge(expected: Expected, reply: Reply, record: Record | None) -> tuple[str, ...]:
    """Everything that is not as expected, each as a sentence."""
    return tuple(_judge(expected, reply, record))


def judge_decision(expected: Expected, decision: Decision) -> tuple[str, ...]:
    """The part of the expectation that a decision alone can meet."""
    return tuple(_decision(expected, decision))


def _judge(expected: Expected, reply: Reply, record: Record | None) -> Iterator[str]:
    yield from _differs("the status", expected.status, reply.status)
    yield from _differs("the code", expected.code, reply.code)
    if not reply.complete:
        yield "the stream has no end"
    if expected.status == 200 and not reply.text.strip():
        yield "the answer is empty"
    if expected.valid_json and not _is_json(reply.text):
        yield "the answer is not JSON"
    if record is None:
        yield "there is no record of it"
        return
    yield from _decision(expected, record.decision)
    outcomes = tuple(attempt.outcome for attempt in record.attempts)
    yield from _differs("the attempts", expected.attempts, outcomes)
    served = record.attempts[-1].model if outcomes[-1:] == ("ok",) else None
    yield from _differs("the model that answered", expected.served_by, served)
    if expected.status == 200:
        named = reply.headers.get("x-interlock-route", "").partition("/")[2]
        yield from _differs("the model in x-interlock-route", expected.served_by, named)


def _decision(expected: Expected, decision: Decision) -> Iterator[str]:
    route = decision.route.model if decision.route is not None else None
    yield from _differs("the route", expected.route, route)
    yield from _differs("the data class", expected.data_class, decision.policy.data_class)
    yield from _differs("selected_by", expected.selected_by, decision.why.selected_by)
    denied = tuple(sorted(tool.tool for tool in decision.policy.tools_denied))
    yield from _differs("the tools taken out", expected.tools_denied, denied)
    dropped = {drop.model for drop in decision.why.dropped}
    for model in expected.dropped:
        if model not in dropped:
            yield f"`{model}` was not left out"
    for rule in expected.rules:
        if rule not in decision.why.rules:
            yield f"the rule {rule} did not apply"
    if route is None:
        yield from _differs("the decision's code", expected.code, decision.why.denied_code)


def _differs(what: str, expected: object, found: object) -> Iterator[str]:
    if expected != found:
        yield f"{what} should be {expected}, and is {found}"


def _is_json(text: str) -> bool:
    try:
        msgspec.json.decode(text)
    except msgspec.DecodeError:
        return False
    return True
