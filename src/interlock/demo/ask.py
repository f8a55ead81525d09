"""One scenario over HTTP, as any client would send it, and the record of it read back."""

import http.client
import time
from collections.abc import Mapping
from typing import Any, Final

import msgspec
from msgspec import Struct

from interlock.demo.scenarios import MESSAGES, Scenario
from interlock.types.record import Record

TIMEOUT_S: Final = 90.0
RECORD_WITHIN_S: Final = 5.0


class Reply(Struct, frozen=True, kw_only=True):
    """What came back: `text` is the answer's words, or the error's message."""

    status: int
    text: str
    code: str | None
    decision_id: str | None
    headers: Mapping[str, str]
    latency_ms: float
    first_ms: float | None = None
    complete: bool = True


class Gateway:
    """A client of one running gateway on loopback. Raises OSError where it cannot be reached."""

    def __init__(self, port: int, keys: Mapping[str, str]) -> None:
        self.port = port
        self.keys = keys

    def ready(self) -> bool:
        """Whether the gateway says that it is ready."""
        try:
            return self._get("/readyz", {}).status == 200
        except OSError:
            return False

    def send(self, scenario: Scenario) -> Reply:
        """Send a scenario's request and read the whole answer, streamed or not."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=TIMEOUT_S)
        headers = {"content-type": "application/json", **self._key(scenario), **scenario.headers}
        started = time.monotonic()
        try:
            connection.request("POST", scenario.path, msgspec.json.encode(scenario.body), headers)
            response = connection.getresponse()
            if response.getheader("content-type", "").startswith("text/event-stream"):
                return _streamed(response, started)
            body = response.read()
        finally:
            connection.close()
        return _whole(response, body, scenario, (time.monotonic() - started) * 1000)

    def record(self, scenario: Scenario, decision_id: str) -> Record:
        """The record of a decision. It is written behind the answer, so it may take a moment."""
        until = time.monotonic() + RECORD_WITHIN_S
        while True:
            found = self._get(f"/v1/decisions/{decision_id}", self._key(scenario))
            if found.status == 200:
                return msgspec.json.decode(found.body, type=Record)
            if found.status != 404 or time.monotonic() > until:
                raise OSError(f"GET /v1/decisions/{decision_id}: status {found.status}")
            time.sleep(0.05)

    def _key(self, scenario: Scenario) -> dict[str, str]:
        key = self.keys[scenario.key]
        return {"x-api-key": key} if scenario.path == MESSAGES else {"authorization": f"Bearer {key}"}

    def _get(self, path: str, headers: dict[str, str]) -> "Page":
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request("GET", path, headers=headers)
            response = connection.getresponse()
            return Page(response.status, response.read())
        finally:
            connection.close()


class Page(Struct, frozen=True):
    status: int
    body: bytes


def _whole(response: http.client.HTTPResponse, body: bytes, scenario: Scenario, latency_ms: float) -> Reply:
    value = msgspec.json.decode(body)
    error = value.get("error") or {} if response.status != 200 else {}
    return Reply(
        status=response.status,
        text=str(error.get("message", "")) if error else _words(value, scenario.path),
        code=error.get("code"),
        decision_id=response.getheader("x-interlock-decision-id") or error.get("decision_id"),
        headers=_ours(response),
        latency_ms=latency_ms,
    )


def _streamed(response: http.client.HTTPResponse, started: float) -> Reply:
    """Read a chat stream to its end; `complete` says whether it had one."""
    pieces: list[str] = []
    first_ms, done = None, False
    for line in response:
        data = line.strip().removeprefix(b"data: ")
        if not line.startswith(b"data: "):
            continue
        if data == b"[DONE]":
            done = True
            continue
        for choice in msgspec.json.decode(data).get("choices", ()):
            pieces.append(choice["delta"].get("content") or "")
            if first_ms is None and pieces[-1]:
                first_ms = (time.monotonic() - started) * 1000
    return Reply(
        status=response.status,
        text="".join(pieces),
        code=None,
        decision_id=response.getheader("x-interlock-decision-id"),
        headers=_ours(response),
        latency_ms=(time.monotonic() - started) * 1000,
        first_ms=first_ms,
        complete=done,
    )


def _words(value: dict[str, Any], path: str) -> str:
    if path == MESSAGES:
        return "".join(part.get("text", "") for part in value["content"])
    message = value["choices"][0]["message"]
    calls = (call["function"] for call in message.get("tool_calls") or ())
    said = [message.get("content") or "", *(f"{call['name']}({call['arguments']})" for call in calls)]
    return " ".join(filter(None, said))


def _ours(response: http.client.HTTPResponse) -> dict[str, str]:
    return {
        name.lower(): text for name, text in response.getheaders() if name.lower().startswith("x-interlock-")
    }
