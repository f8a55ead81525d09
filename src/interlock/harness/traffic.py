"""Recorded traffic as cases: only what the operator chose to store, and only up to a data class."""

from collections.abc import Iterable, Iterator
from typing import Any, Final

import msgspec
from msgspec import Struct

from interlock.adapters import ADAPTERS, Target
from interlock.dialects import DIALECTS
from interlock.errors import ApiError
from interlock.server.records import to_record
from interlock.store.records import StoredRecord
from interlock.types.labels import RANK, DataClass
from interlock.types.record import Record

_KEPT: Final = ("messages", "tools", "tool_choice", "response_format")


class Passed(Struct, frozen=True, kw_only=True):
    """A record that became no case, and why."""

    id: str
    why: str


def cases_of(
    rows: Iterable[StoredRecord], most: DataClass, answers: str = "reference"
) -> Iterator[dict[str, Any] | Passed]:
    """Each record as a case of a suite, or why it is none.

    A case keeps its data class, so that it goes nowhere that the request might not have gone. An answer
    that was called a success (`outcome`) is what the case expects, under `answers`.
    """
    for row in rows:
        record = to_record(row)
        found = _case(record, most, answers)
        yield Passed(id=row.id, why=found) if isinstance(found, str) else found


def _case(record: Record, most: DataClass, answers: str) -> dict[str, Any] | str:
    decision = record.decision
    if record.shadow_of is not None:
        return f"it follows {record.shadow_of}, and nobody asked it"
    if record.content is None:
        return "its content was not stored"
    if RANK[decision.policy.data_class] > RANK[most]:
        return f"it is {decision.policy.data_class}, more than {most}"
    if record.status != "ok":
        return f"it ended {record.status}"
    body = _chat_body(record.content["request"], decision.signals.endpoint)
    if isinstance(body, str):
        return body
    signals = decision.signals
    route = decision.route
    case: dict[str, Any] = {
        "id": decision.id,
        "family": signals.task if signals.task != "unknown" else (route.lane if route else None) or "traffic",
        "data_class": decision.policy.data_class,
        **{name: body[name] for name in _KEPT if body.get(name) is not None},
    }
    if signals.lane is not None:
        case["lane"] = signals.lane
    if signals.residency:
        case["residency"] = ",".join(signals.residency)
    if (record.outcome or {}).get("success") is True and record.content.get("answer"):
        case["expect"] = {answers: record.content["answer"]}
    return case


def _chat_body(request: dict[str, Any], endpoint: str) -> dict[str, Any] | str:
    """The request as an OpenAI chat body, whatever dialect it was in."""
    if not endpoint.startswith("/v1/messages"):
        return request
    try:
        read = DIALECTS["anthropic-messages"].decode_request(msgspec.json.encode(request), {})
    except ApiError as error:
        return f"its stored request cannot be read: {error.message}"
    adapter = ADAPTERS["openai"]
    lost = adapter.cannot_carry(read)
    if lost:
        return f"it has {', '.join(lost)}, which OpenAI's form cannot carry"
    target = Target(
        upstream_model=read.model, base_url="http://127.0.0.1", api_key=None, max_output_tokens=None
    )
    body: dict[str, Any] = msgspec.json.decode(adapter.encode_request(read, target).body)
    return body
