"""How a server departs from what most servers of OpenAI's wire format do, as data for the one adapter."""

from typing import Literal

from msgspec import Struct

KeyHeader = Literal["bearer", "api-key"]


class Quirks(Struct, frozen=True, kw_only=True):
    """What is asked of a vendor in other words. The defaults are what most servers understand.

    `limit` and `seed` are the names of those fields. `stream_options`: whether a stream may be asked for
    its usage; where not, it comes unasked. `developer`: whether that role is known, else it is sent as
    `system`. `reasoning` is where an earlier answer's thoughts go: a field of the message, or parts of it;
    None for a vendor that keeps none between turns and takes none back. `unsigned`: whether a server of
    Anthropic's wire format takes back a thought that nobody has signed.
    """

    limit: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    seed: str = "seed"
    stream_options: bool = True
    developer: bool = True
    reasoning: Literal["reasoning_content", "reasoning", "parts"] | None = "reasoning_content"
    unsigned: bool = True
