"""What a request asks for, whatever the wire it came on."""

from typing import Any, Final, Literal

from msgspec import Struct

Kind = Literal["answer", "stream", "embed", "count", "models", "error", "told", "recorded"]
"""What is sent back. Nobody asks for the last three: an error, what a script has word for word or a recording
as a whole, a recording's events."""
DIMENSIONS: Final = 64
_MOST_DIMENSIONS: Final = 10_000


class Offered(Struct, frozen=True):
    """A tool that a request offers, with the JSON Schema of its arguments."""

    name: str
    schema: Any


class Trouble(Struct, frozen=True):
    """Why a request gets no answer: the status and the words that its vendor would have for it."""

    status: int
    message: str


class Asked(Struct, frozen=True, kw_only=True):
    """`kind` is "error" where nothing is asked for that could be had.

    `must_call` is the tool that has to be called: "" for whichever, None where none has to be.

    `schema` is that of the answer, `texts` are what vectors are wanted of.
    """

    kind: Kind
    model: str = ""
    tools: tuple[Offered, ...] = ()
    must_call: str | None = None
    schema: Any = None
    with_usage: bool = True
    texts: tuple[str, ...] = ()
    dimensions: int = DIMENSIONS
    as_base64: bool = False
    trouble: Trouble | None = None


def dimensions_of(value: Any) -> int:
    """How long the vectors are to be that a request asks for; as long as usual where it does not say."""
    return value if isinstance(value, int) and 0 < value <= _MOST_DIMENSIONS else DIMENSIONS
