"""The benches must be hard to fool: a run in which something went wrong is worthless, and they say so."""

import os
import socket
import threading
from pathlib import Path

import apsw
import pytest

from bench import gateway, lab
from bench.gateway import SCENARIOS, Row, Run, check_records, table
from bench.lab import NotMeasured, Tools, Wrong, chat_body, cpu_us, drive, upstream
from interlock.config import check, load


@pytest.fixture(scope="module")
def tools(tmp_path_factory) -> Tools:
    try:
        return lab.build(tmp_path_factory.mktemp("tools"))
    except NotMeasured as reason:
        pytest.skip(str(reason))


@pytest.fixture
def plain(tmp_path: Path) -> Path:
    body = tmp_path / "plain.json"
    body.write_bytes(chat_body("mock"))
    return body


@pytest.fixture
def answers():
    """A server that gives every request the same bytes, and puts it into a list if given one.

    Returns a function from bytes to its port.
    """
    doors = []

    def serve(door: socket.socket, answer: bytes, asked: list[bytes]) -> None:
        while True:
            try:
                caller, _ = door.accept()
            except OSError:
                return
            with caller:
                asked.append(caller.recv(65536))
                caller.sendall(answer)

    def start(answer: bytes, asked: list[bytes] | None = None) -> int:
        door = socket.create_server(("127.0.0.1", 0))
        doors.append(door)
        threading.Thread(
            target=serve, args=(door, answer, [] if asked is None else asked), daemon=True
        ).start()
        return int(door.getsockname()[1])

    yield start
    for door in doors:
        door.shutdown(socket.SHUT_RDWR)
        door.close()


def test_a_good_run_counts_every_answer(tools, plain):
    with upstream(tools) as port:
        figures = drive(tools, port, plain, seconds=0.1, connections=4)
    assert figures["good"] == figures["started"] == figures["latency_us"]["count"] > 0
    assert figures["bytes"] > 900 * figures["good"]


def test_an_open_loop_sends_as_many_as_were_asked_for(tools, plain):
    with upstream(tools) as port:
        figures = drive(tools, port, plain, seconds=0.3, connections=4, rate=100)
    assert figures["started"] == figures["good"] == 30


def test_a_text_that_shall_be_unseen_is_another_one_with_each_request(tools, tmp_path, answers):
    body = tmp_path / "unseen.json"
    body.write_bytes(chat_body("mock", unseen=True))
    asked: list[bytes] = []
    port = answers(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}", asked)
    for _ in range(2):
        drive(tools, port, body, seconds=0.1, connections=1)
    assert len(set(asked)) == len(asked) > 2
    assert {len(request) for request in asked} == {len(asked[0])}


def test_a_stream_is_counted_by_its_events_and_dated_by_its_marks(tools, tmp_path):
    body = tmp_path / "paced.json"
    body.write_bytes(chat_body("mock-paced1", stream=True))
    with upstream(tools) as port:
        figures = drive(tools, port, body, seconds=0.05, connections=2)
    assert figures["events"] == 101 * figures["good"]
    assert figures["lag_us"]["count"] == 97 * figures["good"]
    assert 0 <= figures["lag_us"]["p50"] < 1_000_000


STREAM = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 500 Oops\r\ncontent-length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\ntoo little",
        b"nonsense\r\n\r\n",
        b"",
        STREAM + b"9\r\ndata: 1\n\n\r\n0\r\n\r\n",
        STREAM + b"9\r\ndata: 1\n\n\r\n",
    ],
    ids=["500", "cut off", "not HTTP", "closed", "a stream without [DONE]", "a stream cut off"],
)
def test_a_run_with_a_bad_answer_is_worth_nothing(tools, plain, answers, answer):
    with pytest.raises(Wrong, match="0 good answers"):
        drive(tools, answers(answer), plain, seconds=0.05, connections=1)


def run(**figures: int) -> Run:
    return Run({"started": 0, "good": 1, **figures}, 0.0)


def test_a_record_that_is_missing_makes_the_run_worthless(tmp_path):
    store = tmp_path / "bench.db"
    with apsw.Connection(str(store)) as connection:
        connection.execute("CREATE TABLE records (id); INSERT INTO records VALUES (1), (2)")
    assert check_records(
        {("plain", "interlock"): [run(started=2)], ("plain", "nginx"): [run(started=9)]}, store
    )
    with pytest.raises(Wrong, match="3 requests were sent, the store has 2 records"):
        check_records(
            {("plain", "interlock"): [run(started=2)], ("burst", "interlock"): [run(started=1)]}, store
        )


def test_the_config_of_the_benches_has_no_problem_and_the_size_that_is_claimed():
    env = {"INTERLOCK_BENCH_KEY": lab.KEY}
    assert check(lab.HERE / "interlock.yaml", env) == ()
    config = load(lab.HERE / "interlock.yaml", env).config
    assert (len(config.models), len(config.rules), len(config.keys)) == (11, 20, 3)


def test_the_cpu_of_a_process_grows_with_what_it_does():
    before = cpu_us(os.getpid())
    sum(number * number for number in range(300_000))
    assert cpu_us(os.getpid()) > before


def test_the_table_shows_medians_per_request_and_per_event():
    def of(cpu: float, p50: int) -> Run:
        latency = {"p50": p50, "p99": p50}
        return Run({"good": 10, "latency_us": latency, "lag_us": latency}, cpu)

    runs: gateway.Runs = {
        (scenario.name, name): [of(cpu, cpu), of(cpu * 2, cpu), of(0, cpu)]
        for scenario in SCENARIOS
        for name, cpu in (("direct", 100), ("nginx", 1000), ("interlock", 4000))
    }
    plain, unseen, burst, padded, _, added, steady = table(runs)
    assert (plain.nginx, plain.interlock, plain.ratio) == (100.0, 400.0, 4.0)
    assert (unseen.nginx, unseen.interlock) == (100.0, 400.0)
    assert (burst.nginx, burst.interlock) == (padded.nginx, padded.interlock) == (1.0, 4.0)
    assert (steady.nginx, steady.interlock, steady.most) == (100.0, 400.0, None)
    assert (added.nginx, added.interlock) == (900.0, 3900.0)


@pytest.mark.parametrize(
    ("most", "verdict"), [(6, "within 6x"), (5.9, "OVER 5.9x"), (None, "for information")]
)
def test_a_ratio_is_judged_by_its_bar_where_it_has_one(most, verdict):
    assert Row(name="x", nginx=1.0, interlock=6.0, most=most).verdict == verdict
