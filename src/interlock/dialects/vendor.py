"""What an answer holds for its own dialect only. Adapters keep it by dialect: `{dialect: {field: value}}`.

A caller of another dialect is not shown it: it has no place for it.
"""

from typing import Any, Final

from interlock.types.labels import Dialect

_NOTHING: Final[dict[str, Any]] = {}


def vendor_fields(extra: Any, dialect: Dialect) -> dict[str, Any]:
    """The fields that an answer, or a part or event of one, carries for `dialect`. Not to be changed."""
    if not extra:
        return _NOTHING
    found: dict[str, Any] = extra.get(dialect, _NOTHING)
    return found
