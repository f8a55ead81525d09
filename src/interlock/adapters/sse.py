"""The frame of every decoder of a stream of server-sent events: pieces in, canonical events out, one end."""

from abc import ABC, abstractmethod
from typing import ClassVar

import msgspec

from interlock.adapters.failures import Broken, malformed
from interlock.types.answer import Event, Failure
from interlock.wire.sse import EventParser, EventTooLargeError


class SseDecoder(ABC):
    """Mutable: what is known of one stream so far. After its terminal event it gives out nothing more.

    A wire format says what an event's data comes to (`_take`), and sets `_over` with its own end.
    """

    unreadable: ClassVar[tuple[type[Exception], ...]] = (
        Broken,
        EventTooLargeError,
        msgspec.DecodeError,
        UnicodeDecodeError,
        RecursionError,
    )
    """What reading may raise where the upstream is at fault."""

    def __init__(self) -> None:
        self._parser = EventParser()
        self._over = False

    def feed(self, data: bytes) -> list[Event]:
        """The events in the next piece of a stream, however it was cut."""
        if self._over:
            return []
        out: list[Event] = []
        try:
            self._take(self._parser.feed(data), out)
        except self.unreadable as error:
            out.append(self._why(error))
        return out

    def end(self) -> list[Event]:
        """What the end of the connection means: a Failure, unless the stream had ended before."""
        if self._over:
            return []
        out: list[Event] = []
        try:
            self._take(self._parser.end(), out)
            if not self._over:
                self._hung_up(out)
        except self.unreadable as error:
            out.append(self._why(error))
        return out

    @abstractmethod
    def _take(self, found: list[bytes], out: list[Event]) -> None:
        """Add what the data of these events come to. May raise what is `unreadable`."""

    def _hung_up(self, out: list[Event]) -> None:  # noqa: ARG002 - one wire format ends well here
        """The connection has ended and no event had said that the stream would."""
        raise Broken(malformed("the stream broke off"))

    def _why(self, error: Exception) -> Failure:
        self._over = True
        if isinstance(error, Broken):
            return error.failure
        if isinstance(error, EventTooLargeError):
            return malformed("an event without an end")
        return malformed(f"not an event: {type(error).__name__}")
