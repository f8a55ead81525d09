"""Small parts on their own: names, draws, clocks, the log, masks, and what a caller is told of failures."""

import hashlib
import json
import os
import time
from types import SimpleNamespace

import pytest
from hypothesis import given as for_all
from hypothesis import strategies as st

from interlock.execute.failures import to_error
from interlock.server.content import mask
from interlock.server.ids import Clock, draw, fresh_name
from interlock.server.log import Log
from interlock.server.records import microseconds
from interlock.types.answer import Failure
from interlock.types.record import Attempt


def test_names_are_26_characters_unique_and_sort_by_time():
    names = []
    for _ in range(3):
        names.append(fresh_name())
        time.sleep(0.002)
    assert names == sorted(names)
    assert {len(name) for name in names} == {26}
    assert len({fresh_name() for _ in range(1000)}) == 1000


@for_all(st.text(), st.text())
def test_a_draw_is_the_same_for_a_subject_and_below_one(tenant, subject):
    assert draw(tenant, subject) == draw(tenant, subject)
    assert 0 <= draw(tenant, subject) < 1


@for_all(st.text(), st.text())
def test_a_draw_is_the_first_64_bits_of_a_sha256_as_a_share_of_one(tenant, subject):
    digest = hashlib.sha256(f"{tenant}:{subject}".encode("utf-8", "surrogatepass")).digest()
    assert draw(tenant, subject) == min(int.from_bytes(digest[:8], "big") / 2**64, 1 - 2**-53)


@for_all(st.integers(0, 2**64 - 1))
def test_a_draw_is_rounded_as_a_division_is(number):
    digest = SimpleNamespace(update=lambda _: None, digest=lambda: number.to_bytes(8, "big"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("interlock.server.ids._BEGUN", SimpleNamespace(copy=lambda: digest))
        assert draw("acme", "one") == min(number / 2**64, 1 - 2**-53)


def test_draws_differ_by_tenant_and_subject():
    assert len({draw(tenant, subject) for tenant in "ab" for subject in "xyz"}) == 6


@for_all(st.integers(0, 4_000_000_000_000_000))
def test_a_clock_says_instants_that_the_store_reads_back(microsecond):
    text = Clock().at(microsecond * 1000)
    assert len(text) == 27
    assert microseconds(text) == microsecond


def test_p8_a_log_that_nobody_reads_drops_lines_and_never_waits():
    reading, writing = os.pipe()
    try:
        log = Log(writing)
        for number in range(5000):
            log.line({"event": "request", "number": number, "text": "x" * 200})
        assert log.dropped > 0
        kept = os.read(reading, 1 << 20).decode().splitlines()
        assert [json.loads(line)["number"] for line in kept] == list(range(len(kept)))
        log.line({"event": "again"})
        told, again = map(json.loads, os.read(reading, 4096).splitlines())
        assert told == {"event": "log_dropped", "lines": 5000 - len(kept)}
        assert again["event"] == "again"
        log.line({"event": "more"})
        assert json.loads(os.read(reading, 4096))["event"] == "more"
    finally:
        os.close(reading)
        os.close(writing)


def test_a_log_whose_reader_is_gone_drops_lines():
    reading, writing = os.pipe()
    os.close(reading)
    log = Log(writing)
    log.line({"event": "x"})
    os.close(writing)
    assert log.dropped == 1


def test_an_endless_line_is_cut_to_what_a_pipe_takes_at_once():
    reading, writing = os.pipe()
    log = Log(writing)
    log.line({"at": "now", "event": "request", "text": "x" * 10_000})
    assert json.loads(os.read(reading, 65536)) == {"at": "now", "event": "request", "cut": 10_041}
    os.close(reading)
    os.close(writing)


def test_a_mask_leaves_nothing_that_a_detector_finds():
    masked = mask("card 4111 1111 1111 1111 and IBAN DE89370400440532013000, thanks")
    assert masked == "card [card] and IBAN [iban], thanks"


def attempt(outcome):
    return Attempt(provider="p", model="m", outcome=outcome, started_at="", latency_ms=1)


@pytest.mark.parametrize(
    ("failure", "outcomes", "code", "status"),
    [
        (Failure(outcome="timeout", message=""), ["timeout"], "deadline_exceeded", 504),
        (Failure(outcome="connect_failed", message=""), ["connect_failed"] * 2, "overloaded", 503),
        (
            Failure(outcome="connect_failed", message=""),
            ["timeout", "connect_failed"],
            "upstream_failed",
            502,
        ),
        (
            Failure(outcome="upstream_error", message="", status=500),
            ["upstream_error"],
            "upstream_failed",
            502,
        ),
        (Failure(outcome="rate_limited", message=""), ["rate_limited"], "rate_limited", 429),
        (Failure(outcome="context_length", message=""), ["context_length"], "context_too_large", 413),
        (Failure(outcome="content_filtered", message=""), ["content_filtered"], "content_filtered", 400),
        (Failure(outcome="malformed", message=""), ["malformed"], "upstream_failed", 502),
        (Failure(outcome="upstream_error", message="x", status=400, final=True), [], "invalid_request", 400),
        (Failure(outcome="upstream_error", message="x", status=422, final=True), [], "invalid_request", 422),
        (Failure(outcome="upstream_error", message="x", status=404, final=True), [], "unknown_model", 404),
        (Failure(outcome="upstream_error", message="x", status=418, final=True), [], "invalid_request", 400),
    ],
)
def test_each_failure_has_its_code_and_status(failure, outcomes, code, status):
    error = to_error(failure, [attempt(outcome) for outcome in outcomes])
    assert (error.code, error.status) == (code, status)


@for_all(st.none() | st.floats(allow_nan=True, allow_infinity=True))
def test_u5_a_wait_is_one_that_a_client_can_follow(said):
    error = to_error(
        Failure(outcome="rate_limited", message="", retry_after_s=said), [attempt("rate_limited")]
    )
    assert error.retry_after_s is not None
    assert 1 <= error.retry_after_s <= 600
