"""The body of a request that asked for an upgrade: the parser has ended at its head."""

from typing import Protocol


class Reader(Protocol):
    """The connection, as the rest of a body needs it."""

    def on_body(self, body: bytes) -> None: ...
    def on_message_complete(self) -> None: ...
    def hear_no_more(self) -> None: ...


class Rest:
    """Mutable: takes the place of a parser that has ended, for the body that it has passed over."""

    __slots__ = ("_left", "_reader")

    def __init__(self, reader: Reader, length: int) -> None:
        self._reader = reader
        self._left = length

    def feed_data(self, data: bytes) -> None:
        """Take a piece of the body; what is behind it stays unread."""
        left = self._left
        self._left = left - len(data)
        if left > 0 and data:
            self._reader.on_body(data[:left])
            if self._left <= 0:
                self._reader.on_message_complete()
                self._reader.hear_no_more()
