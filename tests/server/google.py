"""What Gemini puts on the wire, for the scripted upstream, and a pool that has it."""

import json
from typing import Any

from tests.server.harness import pool
from tests.server.upstream import Reply, answer, sse

USAGE = {"promptTokenCount": 11, "candidatesTokenCount": 4, "thoughtsTokenCount": 3, "totalTokenCount": 18}


def gemini_pool(url: str, other: str = "http://127.0.0.1:9", **sections: Any) -> dict[str, Any]:
    """The usual pool at `other`, and `gem` at `url`; `prod` is `gem`."""
    config = pool(other, other, **sections)
    config["providers"]["gamma"] = {
        "kind": "gemini",
        "base_url": url,
        "api_key": "${ALPHA_KEY}",
        "regions": ["eu"],
    }
    config["models"]["gem"] = {**config["models"]["gpt"], "provider": "gamma", "upstream": "gemini-3-pro"}
    config["aliases"] = {"prod": "gem"}
    return config


def reply(*parts: dict[str, Any], finish: str | None = "STOP") -> dict[str, Any]:
    candidate: dict[str, Any] = {"content": {"parts": list(parts), "role": "model"}, "index": 0}
    if finish is not None:
        candidate["finishReason"] = finish
    return {
        "candidates": [candidate],
        "usageMetadata": USAGE,
        "modelVersion": "gemini-3-pro",
        "responseId": "R1",
    }


def chunk(*parts: dict[str, Any], finish: str | None = None) -> bytes:
    return b"data: " + json.dumps(reply(*parts, finish=finish)).encode() + b"\r\n\r\n"


def whole(*parts: dict[str, Any], finish: str = "STOP") -> Reply:
    return answer(reply(*parts, finish=finish))


def streamed(*parts: dict[str, Any], finish: str = "STOP") -> Reply:
    """A chunk for each part, and one that says why it ended."""
    return sse(*(chunk(part) for part in parts), chunk(finish=finish))


def error(status: int, word: str, message: str, *details: dict[str, Any]) -> Reply:
    return answer(
        {"error": {"code": status, "status": word, "message": message, "details": list(details)}}, status
    )


def call(name: str, signature: str | None = None, **args: Any) -> dict[str, Any]:
    part: dict[str, Any] = {"functionCall": {"name": name, "args": args}}
    return part if signature is None else {**part, "thoughtSignature": signature}
