"""Upstreams that fail in every way, behind the `Transport` protocol, in made-up time.

An upstream has weather: at each instant a mix of behaviours, from which the next call gets one.
"""

import asyncio
import json
from dataclasses import dataclass, field
from random import Random
from typing import Any
from urllib.parse import urlsplit

from interlock.transport import TransportError

KINDS = (
    "ok",
    "late",
    "refuse",
    "stall",
    "drip",
    "5xx",
    "429",
    "cut",
    "malformed",
    "silent_end",
    "preamble",
    "400",
    "tells",
)
DOWN = ("refuse", "stall", "5xx")


@dataclass
class Call:
    """One call as an upstream saw it."""

    at: float
    host: str
    request: str
    model: str
    cap: int | None
    kind: str


@dataclass
class Upstream:
    """`weather`: from which instant on, which behaviours with which weights. `script` goes before it."""

    host: str
    weather: list[tuple[float, dict[str, float]]]
    script: list["Answer"] = field(default_factory=list)

    def kind(self, now: float, chance: Random) -> str:
        mix = next(mix for since, mix in reversed(self.weather) if now >= since)
        return chance.choices(list(mix), list(mix.values()))[0]


Piece = tuple[float, bytes | TransportError]


class Answer:
    """Implements `transport.Response` over pieces that come after so many seconds each."""

    def __init__(self, status: int, headers: dict[str, str], pieces: list[Piece]) -> None:
        self.status = status
        self.headers = headers
        self.pieces = pieces
        self.closed = False
        self._due = 0.0
        self._started = False

    async def chunk(self, by: float | None) -> bytes:
        if self.closed:
            raise TransportError("cancelled", "closed by the reader")
        if not self.pieces:
            return b""
        if not self._started:
            self._started, self._due = True, asyncio.get_running_loop().time() + self.pieces[0][0]
        try:
            await self._until(self._due, by)
        except BaseException:
            self.close()
            raise
        piece = self.pieces.pop(0)[1]
        if self.pieces:
            self._due += self.pieces[0][0]
        if isinstance(piece, TransportError):
            raise piece
        return piece

    async def _until(self, due: float, by: float | None) -> None:
        now = asyncio.get_running_loop().time()
        if by is not None and due > by:
            await asyncio.sleep(max(0.0, by - now))
            raise TransportError("timeout", "stalled")
        if due > now:
            await asyncio.sleep(due - now)

    def whole(self, limit: int) -> bytes | None:
        return None

    async def read(self, limit: int, by: float | None, idle_s: float | None = None) -> bytes:
        whole = b""
        while piece := await self.chunk(by if idle_s is None or not whole else self._idle_by(by, idle_s)):
            whole += piece
        return whole

    def _idle_by(self, by: float | None, idle_s: float) -> float:
        at = asyncio.get_running_loop().time() + idle_s
        return at if by is None else min(at, by)

    def close(self) -> None:
        self.closed = True


@dataclass
class Net:
    """Implements `transport.Transport` over made-up upstreams. `calls` has every call, in order."""

    upstreams: dict[str, Upstream]
    chance: Random
    calls: list[Call] = field(default_factory=list)
    answers: list[Answer] = field(default_factory=list)
    bodies: list[Any] = field(default_factory=list)

    async def send(self, url, headers, body, *, connect_by, first_byte_by, proxy=None):
        loop = asyncio.get_running_loop()
        upstream = self.upstreams[urlsplit(url).hostname or ""]
        asked = json.loads(body)
        self.bodies.append(asked)
        kind = "ok" if upstream.script else upstream.kind(loop.time(), self.chance)
        cap = asked.get("max_completion_tokens") or asked.get("max_tokens")
        name = asked["messages"][0]["content"].split()[0]
        self.calls.append(Call(loop.time(), upstream.host, name, asked["model"], cap, kind))
        if kind == "refuse":
            await asyncio.sleep(0.001)
            raise TransportError("connect_failed", "refused")
        if kind == "stall":
            await asyncio.sleep(max(0.0, first_byte_by - loop.time()))
            raise TransportError("timeout", "no answer in time")
        delay = self.chance.uniform(2, 12) if kind == "late" else self.chance.uniform(0.01, 0.8)
        if loop.time() + delay > first_byte_by:
            await asyncio.sleep(max(0.0, first_byte_by - loop.time()))
            raise TransportError("timeout", "no answer in time")
        await asyncio.sleep(delay)
        answer = upstream.script.pop(0) if upstream.script else self._answer(kind, asked, cap)
        self.answers.append(answer)
        return answer

    async def close(self) -> None: ...

    def _answer(self, kind: str, asked: Any, cap: int | None) -> Answer:
        if kind == "5xx":
            return refusal(self.chance.choice([500, 502, 503, 529]))
        if kind == "400":
            return refusal(400)
        if kind == "429":
            wait = self.chance.choice(["", "1", "3", "40", "-1", "1000000000", "soon"])
            return refusal(429, {"retry-after": wait} if wait else {})
        headers = self._limits() if kind == "tells" else {}
        most = min(cap, 40) if cap is not None else 40
        words = self.chance.randint(1, max(1, most))
        usage = {"prompt_tokens": 10, "completion_tokens": words, "total_tokens": 10 + words}
        if asked.get("stream"):
            return Answer(200, headers, self._stream(kind, words, usage))
        if kind in ("malformed", "preamble"):
            return Answer(200, {}, [(0.0, b"<html>")])
        choice = {
            "index": 0,
            "message": {"role": "assistant", "content": "word " * words},
            "finish_reason": "stop",
        }
        data = json.dumps({"id": "x", "model": "m", "choices": [choice], "usage": usage}).encode()
        if kind in ("cut", "silent_end"):
            return Answer(200, {}, [(0.1, data[:20]), (0.1, TransportError("upstream_error", "cut"))])
        if kind == "drip":
            return Answer(200, {}, [(1.0, data[at : at + 40]) for at in range(0, len(data), 40)])
        return Answer(200, headers, [(0.05, data)])

    def _limits(self) -> dict[str, str]:
        """What headers say of limits, true or not."""
        start, what = self.chance.choice(
            [("x-ratelimit-", "-requests"), ("x-ratelimit-", "-tokens"), ("ratelimit-", "")]
        )
        return {
            f"{start}remaining{what}": self.chance.choice(["0", "1", "30", "-1", "nan"]),
            f"{start}limit{what}": self.chance.choice(["60", "1", "", "none"]),
            f"{start}reset{what}": self.chance.choice(["1s", "20", "6m0s", "1e9", "soon", ""]),
        }

    def _stream(self, kind: str, words: int, usage: dict[str, int]) -> list[Piece]:
        gap = self.chance.uniform(3, 40) if kind == "drip" else self.chance.uniform(0.01, 0.2)
        pieces: list[Piece] = [(0.01, say({"role": "assistant", "content": ""}))]
        if kind != "preamble":
            pieces += [(gap, say({"content": "word "})) for _ in range(words)]
        if kind in ("cut", "preamble"):
            return [*pieces, (gap, TransportError("upstream_error", "cut"))]
        if kind == "silent_end":
            return pieces
        if kind == "malformed":
            return [*pieces, (gap, b'data: {"choices": [{"del\n\n')]
        end = {"id": "x", "model": "m", "choices": [], "usage": usage}
        return [*pieces, (gap, say({}, "stop")), (0.0, b"data: %s\n\ndata: [DONE]\n\n" % _dump(end))]


def refusal(status: int, headers: dict[str, str] | None = None) -> Answer:
    """An error of a provider."""
    return Answer(status, headers or {}, [(0.0, b'{"error": {"message": "no"}}')])


def say(delta: dict[str, str], finish: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return b"data: %s\n\n" % _dump({"id": "x", "model": "m", "choices": [choice]})


def _dump(value: Any) -> bytes:
    return json.dumps(value).encode()
