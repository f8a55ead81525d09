"""OpenAI's embeddings: a vector for each text, the same whenever and however the text is asked for."""

import base64
import hashlib
import struct
from typing import Any

from tests.clients.vendor.mind import Refused
from tests.clients.vendor.openai_chat import refuse
from tests.server.upstream import Reply, Seen, answer


def embed(seen: Seen) -> Reply:
    """What the vendor answers: floats or base64 of 32-bit floats, as many as were asked for."""
    body = seen.json
    try:
        return answer(_embedded(body))
    except Refused as refused:
        return refuse(refused)


def _embedded(body: dict[str, Any]) -> dict[str, Any]:
    if body.get("model") != "up-e":
        raise Refused(404, f"The model `{body.get('model')}` does not exist", param="model")
    texts = [body["input"]] if isinstance(body["input"], str) else body["input"]
    if not texts or not all(isinstance(text, str) and text for text in texts):
        raise Refused(400, "'$.input' is invalid.")
    if any("[[429]]" in text for text in texts):
        raise Refused(429, "as you wish")
    size = body.get("dimensions") or 8
    rows = [vector(text, size) for text in texts]
    if body.get("encoding_format") == "base64":
        told: list[Any] = [base64.b64encode(struct.pack(f"<{size}f", *row)).decode() for row in rows]
    else:
        told = list(rows)
    tokens = sum(len(text.split()) for text in texts)
    return {
        "object": "list",
        "data": [{"object": "embedding", "index": at, "embedding": one} for at, one in enumerate(told)],
        "model": "up-e",
        "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
    }


def vector(text: str, size: int) -> list[float]:
    """Numbers that 32 bits hold exactly."""
    digest = hashlib.shake_256(text.encode()).digest(size)
    return [byte / 256 for byte in digest]
