"""Times on the command line: `--since` as an instant or a length of time, and instants for people."""

import re
import time
from datetime import UTC, datetime
from typing import Final

import click

_UNITS_S: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_AGO: Final = re.compile(r"([0-9]{1,9})([smhdw])")


class Since(click.ParamType[int]):
    """`30m`, `24h`, `7d` (that long ago), or an RFC 3339 instant; becomes microseconds since the epoch."""

    name = "since"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> int:
        ago = _AGO.fullmatch(value)
        if ago is not None:
            return int((time.time() - int(ago[1]) * _UNITS_S[ago[2]]) * 1_000_000)
        try:
            instant = datetime.fromisoformat(value)
        except ValueError:
            self.fail(
                f"`{value}` is neither a length of time like 24h nor an instant like 2026-11-23", param, ctx
            )
        if instant.tzinfo is None:
            instant = instant.replace(tzinfo=UTC)
        return int(instant.timestamp() * 1_000_000)


def rfc3339(microseconds: int) -> str:
    """An instant of the store as the API writes it."""
    seconds, rest = divmod(microseconds, 1_000_000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest:06d}Z"


def shown_time(rfc3339: str) -> str:
    """An instant of ours to the second."""
    return rfc3339[:19].replace("T", " ")
