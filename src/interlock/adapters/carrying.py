"""What adapters share in looking for what they cannot carry."""

from collections.abc import Container, Mapping
from typing import Any

from interlock.errors import ApiError


def asks_for(
    extra: Mapping[str, Any] | None, left_out: Container[str], defaults: Mapping[str, tuple[Any, ...]]
) -> list[str]:
    """The names of fields that are neither in `left_out` nor at one of their `defaults`."""
    if not extra:
        return []
    return [
        name for name, value in extra.items() if name not in left_out and value not in defaults.get(name, ())
    ]


def refuse_loss(kind: str, fields: tuple[str, ...]) -> None:
    """Never send less than was asked. The route keeps such models out; this is the last guard.

    Raises ApiError: invalid_request.
    """
    if fields:
        listed = ", ".join(f"`{name}`" for name in fields)
        raise ApiError(
            "invalid_request", f"a provider of the kind `{kind}` cannot be sent {listed}", param=fields[0]
        )
