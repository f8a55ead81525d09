"""A vendor on loopback, small and deterministic, that treats a request the way the real ones do.

It reads what it is sent, refuses what the vendor refuses, and answers the question: it echoes words, calls
tools with arguments of their schemas, fills in JSON Schemas. So a client that gets the right answer through
the gateway has also been understood on the way there. What a prompt can ask of it: `mind.DIRECTIONS`.
"""

from typing import Any, Final, Protocol

from tests.clients.vendor import anthropic_messages, openai_chat, openai_responses
from tests.clients.vendor.embeddings import embed
from tests.clients.vendor.mind import Asked, Refused, Said, think
from tests.server.upstream import Reply, Seen, answer


class Wire(Protocol):
    """What a wire format's module has."""

    def read(self, seen: Seen) -> Asked:
        """The question. Raises Refused for what the vendor would not take."""

    def refuse(self, refused: Refused) -> Reply: ...

    def whole(self, said: Said, body: dict[str, Any]) -> Reply: ...

    def stream(self, said: Said, body: dict[str, Any]) -> Reply: ...


WIRES: Final[dict[str, Wire]] = {
    "/v1/chat/completions": openai_chat,
    "/v1/responses": openai_responses,
    "/v1/messages": anthropic_messages,
}
"""One module for each wire format, by its path."""


def vendor(seen: Seen) -> Reply:
    """What the vendor answers to a call of any of its endpoints."""
    if seen.path == "/v1/embeddings":
        return embed(seen)
    wire = WIRES.get(seen.path)
    if wire is None:
        return answer({"error": {"message": f"no such path: {seen.path}"}}, 404)
    try:
        said = think(wire.read(seen))
    except Refused as refused:
        return wire.refuse(refused)
    return (wire.stream if seen.json.get("stream") else wire.whole)(said, seen.json)


__all__ = ["WIRES", "vendor"]
