"""Every fault on every wire, through the real server: what is on record, and what the caller is told.

A fault that makes no sense where it is asked for is refused, in words, and not answered as if all were well.
"""

import json
from collections.abc import AsyncIterator
from typing import Any, Final

import httpx2
import pytest
import pytest_asyncio
from msgspec import Struct

from interlock.adapters import CALLS
from interlock.mock import Answering, Behaviour, Mock, Script
from interlock.mock.faults import FAULTS, impossible
from interlock.mock.said import SENTENCE
from interlock.mock.wires import WIRES
from interlock.types.record import Attempt
from tests.mock.every import COUNT, EMBED, HOW, PROVIDERS, STATUSES, WAIT_S, every
from tests.server.harness import Running, events, serving

one_loop = pytest.mark.asyncio(loop_scope="module")
"""Of one server for all."""


class Claim(Struct, frozen=True):
    """What a fault comes to: the attempt's outcome, and the caller's status where nothing was said yet.

    `begun`: by then a stream has said something, so that its last event has to tell; None: it may have.
    """

    outcome: str
    status: int = 200
    code: str | None = None
    begun: bool | None = False
    finish: str = "stop"
    text: str | None = SENTENCE
    estimated: bool = False


OK: Final = Claim("ok")
GUESSED: Final = Claim("ok", estimated=True)
MALFORMED: Final = Claim("malformed", 502, "upstream_failed")
FAILED: Final = Claim("upstream_error", 502, "upstream_failed")
BROKEN: Final = Claim("malformed", 502, "upstream_failed", begun=True)
INVALID: Final = Claim("schema_invalid", 502, "upstream_failed")
LATE: Final = Claim("timeout", 504, "deadline_exceeded")
CLAIMS: Final[dict[str, Claim]] = {
    "empty": MALFORMED,
    "blank": MALFORMED,
    "refused": Claim("ok", text=""),
    "cut_short": Claim("ok", finish="length"),
    "filtered": Claim("ok", finish="content_filter"),
    "no_finish": BROKEN,
    "no_usage": GUESSED,
    "negative_usage": GUESSED,
    "huge_usage": GUESSED,
    "text_usage": GUESSED,
    "breaks_schema": Claim("schema_invalid", 502, "upstream_failed", begun=True),
    "bad_json": Claim("schema_invalid", 502, "upstream_failed", begun=True),
    "interleaved_tools": Claim("ok", finish="tool_calls", text=""),
    "unknown_tool": Claim("schema_invalid", 403, "tool_denied"),
    "bad_arguments": INVALID,
    "hang": LATE,
    "drop": FAILED,
    "refuse": FAILED,
    "html": MALFORMED,
    "redirect": FAILED,
    "error_object": FAILED,
    "malformed": BROKEN,
    "error_event": Claim("upstream_error", 502, "upstream_failed", begun=True),
    "duplicate_start": OK,
    "no_end": BROKEN,
    "bad_checksum": Claim("malformed", 502, "upstream_failed", begun=None),
    "comments": OK,
    "multiline": OK,
    "bom": OK,
    "crlf": OK,
    "cr": OK,
    "no_last_break": OK,
    "single_bytes": OK,
    "gzip": MALFORMED,
    "gzip_bomb": MALFORMED,
    "huge_body": MALFORMED,
    "huge_header": MALFORMED,
    "many_headers": MALFORMED,
    "broken_header": MALFORMED,
    "cookies": OK,
    "cut": Claim("upstream_error", 502, "upstream_failed", begun=True),
    # A reset may overtake what was sent before it.
    "reset": Claim("upstream_error", 502, "upstream_failed", begun=None),
    "stall": Claim("timeout", 504, "deadline_exceeded", begun=True),
}
ELSEWHERE: Final[dict[tuple[str, str, str], Claim]] = {
    # Where arguments are sent as a value, a text is none: the answer as a whole cannot be read.
    ("bad_arguments", "anthropic", "whole"): MALFORMED,
    ("bad_arguments", "bedrock", "whole"): MALFORMED,
    ("bad_arguments", "gemini", "whole"): MALFORMED,
    ("bad_arguments", "gemini", "stream"): MALFORMED,
    # One of AWS's errors is known by its header or its frame, and in a body it is nothing.
    ("error_object", "bedrock", "whole"): MALFORMED,
    **{("error_object", wire, "stream"): MALFORMED for wire in PROVIDERS},
}
COUNTED: Final[dict[str, str]] = {
    "no_usage": "malformed",
    "negative_usage": "malformed",
    "text_usage": "malformed",
    "huge_usage": "ok",  # a count, which is not believed
    "error_object": "malformed",
}
"""What comes of a fault in a count of tokens, where that differs: a count is all that there is."""

TOOLS: Final = [
    {
        "type": "function",
        "function": {
            "name": "search",
            "parameters": {"type": "object", "properties": {"query": {"type": "string"}}},
        },
    }
]
SCHEMA: Final = {
    "type": "object",
    "properties": {"a": {"type": "string"}},
    "required": ["a"],
    "additionalProperties": False,
}
FORMAT: Final = {"type": "json_schema", "json_schema": {"name": "n", "schema": SCHEMA}}
NEEDS: Final[dict[str, dict[str, Any]]] = {
    **{fault: {"response_format": FORMAT} for fault in ("breaks_schema", "bad_json")},
    **{fault: {"tools": TOOLS} for fault in ("interleaved_tools", "unknown_tool", "bad_arguments")},
}
"""What has to be asked for before an answer can be wrong that way."""
SLOW: Final = ("hang", "stall")
DEADLINE: Final = {"x-interlock-deadline-ms": "150"}
BY_NAME: Final = {wire.NAME: wire for wire in WIRES}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def mock() -> AsyncIterator[Mock]:
    async with Mock(Answering()) as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(mock: Mock, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Running]:
    async with serving(tmp_path_factory.mktemp("every"), every(mock)) as running:
        yield running


def wrong(*faults: str) -> Answering:
    return Answering(Script(default=Behaviour(faults=faults)))


async def ask(server: Running, model: str, fault: str, *, stream: bool) -> httpx2.Response:
    body = {"model": model, "messages": [{"role": "user", "content": "hi"}], "stream": stream}
    headers = DEADLINE if fault in SLOW else {}
    return await server.client.post(
        "/v1/chat/completions", json={**body, **NEEDS.get(fault, {})}, headers=headers
    )


def attempt_of(server: Running, got: httpx2.Response) -> Attempt:
    """The one attempt of a request: its fault was met and not passed over."""
    (attempt,) = server.record(got).attempts
    return attempt


def answered(got: httpx2.Response) -> tuple[str, str, list[dict[str, Any]], str]:
    """Text, refusal, calls and reason to end, of a whole answer or put together from a stream's events."""
    if not got.headers["content-type"].startswith("text/event-stream"):
        choice = got.json()["choices"][0]
        message = choice["message"]
        calls = [call["function"] for call in message.get("tool_calls") or ()]
        return message["content"] or "", message.get("refusal") or "", calls, choice["finish_reason"]
    *chunks, done = events(got.text)
    assert done == "[DONE]"
    choices = [choice for chunk in chunks for choice in chunk["choices"]]
    deltas = [choice["delta"] for choice in choices]
    grown: dict[int, dict[str, Any]] = {}
    for piece in (piece for delta in deltas for piece in delta.get("tool_calls") or ()):
        call = grown.setdefault(piece["index"], {"name": "", "arguments": ""})
        for name, value in piece["function"].items():
            call[name] += value or ""
    said = ("".join(delta.get(name) or "" for delta in deltas) for name in ("content", "refusal"))
    (finish,) = [choice["finish_reason"] for choice in choices if choice["finish_reason"]]
    text, refusal = said
    return text, refusal, list(grown.values()), finish


def check_failed(got: httpx2.Response, claim: Claim) -> None:
    """An error in its dialect's shape: as the answer, or as the only one and the last event of a stream."""
    begun = got.headers["content-type"].startswith("text/event-stream")
    assert claim.begun is None or begun == claim.begun
    if begun:
        stream = events(got.text)
        assert got.status_code == 200
        assert [one for one in stream if one == "[DONE]" or "error" in one] == [stream[-1]]
        error = stream[-1]["error"]
    else:
        assert got.status_code == claim.status
        error = got.json()["error"]
    assert error["code"] == claim.code
    assert error["decision_id"] == got.headers["x-interlock-decision-id"]


def check_answered(got: httpx2.Response, claim: Claim, fault: str) -> None:
    assert got.status_code == 200, got.text
    text, refusal, calls, finish = answered(got)
    assert (text, finish) == (claim.text, claim.finish)
    assert bool(refusal) == (fault == "refused")
    asked = [json.loads(call["arguments"]) for call in calls]
    wanted = [{"query": "question 1"}, {"query": "question 2"}] if fault == "interleaved_tools" else []
    assert asked == wanted
    assert "set-cookie" not in got.headers
    assert "x-internal" not in got.headers


def check_refused(got: httpx2.Response, fault: str) -> None:
    """The mock says that it cannot do that, and the caller is told."""
    assert got.status_code == 400
    message = got.json()["error"]["message"]
    assert message.startswith("the mock cannot do that: ")
    assert f"`{fault}`" in message


def test_the_table_has_every_fault_and_every_wire_that_adapters_call():
    assert CLAIMS.keys() == FAULTS.keys()
    assert PROVIDERS.keys() == BY_NAME.keys() == CALLS["answer"].keys()
    assert {*EMBED, "openai-responses"} == CALLS["embed"].keys()  # which asks as OpenAI does
    assert {*COUNT} == CALLS["count"].keys()


@one_loop
@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("fault", ["none", *(fault for fault in CLAIMS if fault != "refuse")])
@pytest.mark.parametrize("wire", PROVIDERS)
async def test_u2_u8_u10_u11_u12_u13_u14_u15_u16_u17_u18_each_fault_comes_to_what_it_says_on_each_wire(
    server, mock, wire, fault, how
):
    mock.answer = wrong(*([] if fault == "none" else [fault]))
    seen = len(mock.received)
    got = await ask(server, wire, fault, stream=how == "stream")
    assert len(mock.received) > seen  # a connection that broke before it said a word may be made again
    if fault != "none" and impossible([fault], BY_NAME[wire], "stream" if how == "stream" else "answer"):
        check_refused(got, fault)
        assert attempt_of(server, got).outcome == "upstream_error"
        return
    claim = ELSEWHERE.get((fault, wire, how), CLAIMS.get(fault, OK))
    if claim.begun and how == "whole":
        claim = Claim(claim.outcome, claim.status, claim.code)
    attempt = attempt_of(server, got)
    assert attempt.outcome == claim.outcome
    if claim.code is not None:
        check_failed(got, claim)
        return
    check_answered(got, claim, fault)
    assert attempt.usage_estimated == claim.estimated
    assert 0 < (attempt.cost_usd or 0) < 0.01


@one_loop
@pytest.mark.parametrize("fault", [fault for fault in CLAIMS if fault != "refuse"])
@pytest.mark.parametrize("wire", EMBED)
async def test_each_fault_comes_to_what_it_says_in_embeddings(server, mock, wire, fault):
    mock.answer = wrong(fault)
    headers = DEADLINE if fault in SLOW else {}
    body = {"model": f"{wire}-vectors", "input": ["a", "b", "a"]}
    got = await server.client.post("/v1/embeddings", json=body, headers=headers)
    attempt = attempt_of(server, got)
    if impossible([fault], BY_NAME[wire], "embed"):
        check_refused(got, fault)
        return
    claim = CLAIMS[fault]
    assert attempt.outcome == claim.outcome
    if claim.code is not None:
        check_failed(got, Claim(claim.outcome, claim.status, claim.code))
        return
    first, second, third = (row["embedding"] for row in got.json()["data"])
    assert first == third != second
    assert attempt.usage_estimated == claim.estimated


@one_loop
@pytest.mark.parametrize("fault", [fault for fault in CLAIMS if fault != "refuse"])
@pytest.mark.parametrize("wire", COUNT)
async def test_each_fault_comes_to_what_it_says_in_a_count_of_tokens(server, mock, wire, fault):
    mock.answer = wrong(fault)
    headers = {"anthropic-version": "2023-06-01", **(DEADLINE if fault in SLOW else {})}
    body = {"model": wire, "messages": [{"role": "user", "content": "hi"}]}
    got = await server.client.post("/v1/messages/count_tokens", json=body, headers=headers)
    attempt = attempt_of(server, got)
    if impossible([fault], BY_NAME[wire], "count"):
        check_refused(got, fault)
        return
    assert attempt.outcome == COUNTED.get(fault, CLAIMS[fault].outcome)
    assert got.status_code == 200
    counter = "provider" if attempt.outcome == "ok" and fault not in COUNTED else "estimate"
    assert got.headers["x-interlock-counted-by"] == counter
    assert 0 < got.json()["input_tokens"] < 100


STATUS_CLAIMS: Final[dict[int, Claim]] = {
    400: Claim("upstream_error", 400, "invalid_request"),
    401: FAILED,
    403: FAILED,
    404: Claim("upstream_error", 404, "unknown_model"),
    413: Claim("context_length", 413, "context_too_large"),
    422: Claim("upstream_error", 422, "invalid_request"),
    429: Claim("rate_limited", 429, "rate_limited"),
    500: FAILED,
    503: FAILED,
    529: FAILED,
}


@one_loop
@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("status", STATUSES)
@pytest.mark.parametrize("wire", PROVIDERS)
async def test_u3_u5_u6_u7_each_status_asked_for_by_a_models_name_is_its_vendors_error(
    server, mock, wire, status, how
):
    mock.answer = Answering()
    name = f"{wire}-{status}-{how}"
    got = await ask(server, name, "status", stream=how == "stream")
    assert mock.received[-1].model.endswith(f"text={name}")
    claim = STATUS_CLAIMS[status]
    assert attempt_of(server, got).outcome == claim.outcome
    check_failed(got, claim)
    if status == 429:
        assert got.headers["retry-after"] == str(WAIT_S)


@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("wire", PROVIDERS)
async def test_u1_refuse_resets_and_then_takes_no_connection_so_that_the_next_model_answers(
    tmp_path, wire, how
):
    async with (
        Mock(wrong("refuse")) as mock,
        Mock(Answering()) as spare,
        serving(tmp_path, every(mock, spare)) as server,
    ):
        for outcome in ("upstream_error", "connect_failed"):
            got = await ask(server, wire, "refuse", stream=how == "stream")
            tried = [(one.model, one.outcome) for one in server.record(got).attempts]
            assert tried == [(wire, outcome), ("spare", "ok")]
            check_answered(got, OK, "refuse")
        assert len(mock.received) == 1
