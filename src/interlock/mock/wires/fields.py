"""Looking into requests, of which nothing is known to be as it should."""

from collections.abc import Iterable
from typing import Any

from interlock.mock.asked import Kind, Offered, Trouble


def inner(value: Any, *names: str) -> Any:
    """What stands at a path through objects; None where there is nothing."""
    for name in names:
        value = value.get(name) if isinstance(value, dict) else None
    return value


def objects(value: Any) -> list[dict[str, Any]]:
    """The objects in a list; none where it is no list."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def tools(listed: Iterable[Any], *schema: str) -> tuple[Offered, ...]:
    """The tools of a list whose schemas stand at a path through each."""
    return tuple(
        Offered(str(tool.get("name", "")), inner(tool, *schema)) for tool in listed if isinstance(tool, dict)
    )


def answer_or_stream(fields: dict[str, Any]) -> Kind:
    """What is asked for where the body says whether to stream."""
    return "stream" if fields.get("stream") is True else "answer"


def lacks_list(fields: dict[str, Any], name: str) -> Trouble | None:
    """What is wrong with a body that has no list of this name."""
    return None if isinstance(fields.get(name), list) else Trouble(400, f"the body needs `{name}`, a list")
