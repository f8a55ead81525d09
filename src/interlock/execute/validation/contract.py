"""What a lane demands of its answers, made ready once per config, and what one request asks for."""

from typing import Any

from msgspec import Struct

from interlock.config.checked import Lane
from interlock.types.request import Request


class Contract(Struct, frozen=True, kw_only=True):
    """`owner` names the lane in findings. `strict_arguments`: every tool's own schema has to be met."""

    owner: str
    json_schema: dict[str, Any] | None = None
    require_tools: tuple[str, ...] = ()
    citations: bool = False
    strict_arguments: bool = False


class Asked(Struct, frozen=True):
    """A request, and the contract of the lane that serves it, if that demands anything."""

    request: Request
    contract: Contract | None


def contract_of(lane: Lane) -> Contract | None:
    """The contract of a lane; None for one that takes answers as they come."""
    contract = Contract(
        owner=f"lane {lane.name}",
        json_schema=lane.json_schema,
        require_tools=lane.require_tools,
        citations=lane.citations_required,
        strict_arguments=lane.strict_arguments,
    )
    return None if contract == Contract(owner=contract.owner) else contract
