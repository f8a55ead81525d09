"""U rows against a real server: its upstreams die, flood, redirect and forge."""

import asyncio
import json
from collections.abc import Callable

import pytest

from interlock.mock import Answering, Behaviour, Hang, Mock, Pause, Plan, Received, Repeat, Script
from interlock.server.records import to_record
from interlock.store import Store
from tests.faults.served import config, free_port, served
from tests.mock.raw import body, chat, exchange, messages
from tests.server.harness import pool, serving, until
from tests.server.upstream import Reply, Upstream, refused_port
from tests.server.vendors import chat as chat_answer

OK = b"HTTP/1.1 200 "
SPARE = [{"from": "*", "to": "spare", "when": "timeout_or_5xx"}]


def records(folder):
    store = Store.open(folder / "interlock.db", now=lambda: 0)
    try:
        return [to_record(row) for row in store.each_record()]
    finally:
        store.close()


def outcomes(record):
    return [(attempt.model, attempt.outcome) for attempt in record.attempts]


# --- U1 -----------------------------------------------------------------------------------------


async def one_of_two_dies(folder, requests):
    """Twelve callers at once, and in the middle of them the first of two upstreams is gone for good."""
    settings = config(fallbacks=SPARE)
    settings["providers"]["second"] = {**settings["providers"]["mock"]}
    port = free_port()
    settings["providers"]["second"]["base_url"] = f"http://127.0.0.1:{port}/v1"
    settings["models"]["spare"] = {**settings["models"]["chat"], "provider": "second"}
    fine = Script(default=Behaviour(text="fine", delay_s=0.005))
    got: list[bytes] = []
    dies = asyncio.Event()

    async def first(port):
        async with Mock(Answering(fine), port=port):
            await dies.wait()

    async def caller(running, count):
        for _ in range(count):
            got.append((await exchange(running.port, chat(model="chat")))[0])
            if len(got) == requests // 3:
                dies.set()

    with served(folder, settings) as running:
        living = asyncio.create_task(first(running.upstream))
        async with Mock(Answering(fine), port=port) as second:
            await asyncio.sleep(0)
            await asyncio.gather(*(caller(running, requests // 12) for _ in range(12)))
            await living
            taken_over = len(second.received)
        running.stop()
        assert running.ended() == 0
    assert [text for text in got if not text.startswith(OK) or b"fine" not in text] == []
    kept = records(folder)
    assert {record.status for record in kept} == {"ok"}
    assert len(kept) == len(got)
    chains = [outcomes(record) for record in kept]
    assert all(chain[-1] in (("chat", "ok"), ("spare", "ok")) for chain in chains)
    assert sum(chain[-1] == ("spare", "ok") for chain in chains) == taken_over > requests // 3
    # Those that met the dead one say so; the others passed it over, and say that.
    assert any(chain[0][0] == "chat" and chain[-1][0] == "spare" for chain in chains)
    for record, chain in zip(kept, chains, strict=True):
        if chain == [("spare", "ok")]:
            assert [(dropped.model, dropped.rule) for dropped in record.skipped] == [("chat", "breaker")]


async def test_u1_one_of_two_upstreams_dies_under_load_and_no_caller_sees_an_error(tmp_path):
    await one_of_two_dies(tmp_path, 240)


@pytest.mark.long
async def test_u1_one_of_two_upstreams_dies_under_1000_requests_and_no_caller_sees_an_error(tmp_path):
    await one_of_two_dies(tmp_path, 1200)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("fault", ["refused", "no such name", "no tls"])
async def test_u1_whatever_keeps_a_connection_from_being_made_the_next_answers(tmp_path, fault, stream):
    async def in_plain_words(reader, writer):
        await reader.read(1)
        writer.write(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
        writer.close()

    plain = await asyncio.start_server(in_plain_words, "127.0.0.1", 0)
    async with Mock(Answering()) as mock, plain:
        settings = pool(mock.url, fallbacks=[{"from": "*", "to": "small", "when": "timeout_or_5xx"}])
        dead = {
            "refused": f"http://127.0.0.1:{refused_port()}/v1",
            "no such name": "https://nowhere.invalid/v1",
            "no tls": f"https://127.0.0.1:{plain.sockets[0].getsockname()[1]}/v1",
        }[fault]
        settings["providers"]["dead"] = {"kind": "openai", "base_url": dead}
        settings["models"]["gpt"]["provider"] = "dead"
        async with serving(tmp_path, settings) as server:
            got = await server.chat(stream=stream)
            assert got.status_code == 200
            assert got.headers["x-interlock-route"] == "alpha/small"
            assert outcomes(server.record(got)) == [("gpt", "connect_failed"), ("small", "ok")]


# --- U14 ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def gateway(tmp_path_factory):
    """Its breakers stay shut: each test is the first that goes wrong."""
    settings = config(resilience={"breaker": {"failures": 100_000}})
    with served(tmp_path_factory.mktemp("upstreams"), settings) as running:
        yield running


def endless(request):
    """A gigabyte that does not say how long it is, as a body or as one event."""
    kind = b"text/event-stream" if request.stream else b"application/json"
    start = b"data: " if request.stream else b""
    return (b"HTTP/1.1 200 OK\r\ncontent-type: %b\r\n\r\n" % kind + start, Repeat(b" " * 1_000_000, 1000))


FLOODS: dict[str, Callable[[Received], Plan]] = {
    fault: Answering(Script(default=Behaviour(faults=(fault,))))
    for fault in ("huge_body", "huge_header", "many_headers", "gzip_bomb")
}
FLOODS["no length"] = endless


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("flooding", FLOODS.values(), ids=FLOODS)
async def test_u14_an_answer_without_measure_is_cut_at_a_limit_and_memory_is_bounded(
    gateway, flooding, stream
):
    """A gigabyte of body, a megabyte of one header, 100,000 headers, a gigabyte packed to a thousandth."""
    async with Mock(Answering(), port=gateway.upstream):
        assert (await exchange(gateway.port, chat(model="chat")))[0].startswith(OK)
    async with Mock(flooding, port=gateway.upstream) as mock:
        before, most = gateway.memory, 0
        for make, model in ((chat, "chat"), (messages, "claude")):
            asking = asyncio.create_task(exchange(gateway.port, make(model=model, stream=stream), wait=60))
            while not asking.done():
                most = max(most, gateway.memory)
                await asyncio.sleep(0.01)
            got, how = await asking
            assert how == "closed"
            assert got.startswith(b"HTTP/1.1 502 "), got[:300]
            assert json.loads(body(got))["error"]["code"] == "upstream_failed"
        assert most - before < 50_000_000
        assert mock.sent < 300_000_000, "nobody reads it to its end"
        await until(lambda: mock.busy == 0, 10)


# --- U12 ----------------------------------------------------------------------------------------


def usual(request):
    """The head and the bytes of a long answer."""
    head, *rest = Answering(Script(default=Behaviour(text="word " * 40)))(request)
    assert isinstance(head, bytes)
    return head, b"".join(piece for piece in rest if isinstance(piece, bytes))


def dripping(request):
    head, data = usual(request)
    return (head, *(move for at in range(len(data)) for move in (data[at : at + 1], Pause(0.01))))


def stalling(request):
    head, data = usual(request)
    return (head, data[: len(data) // 2], Hang())


SLOW: dict[str, Callable[[Received], Plan]] = {
    "drips": dripping,
    "stalls": stalling,
    "says nothing": lambda _: (Hang(),),
}


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("slow", SLOW.values(), ids=SLOW)
async def test_u12_who_drips_or_stalls_is_hung_up_on_at_the_deadline_and_no_socket_stays(
    gateway, slow, stream
):
    async with Mock(slow, port=gateway.upstream) as mock:
        base = gateway.sockets - mock.open
        for make, model in ((chat, "chat"), (messages, "claude")):
            asked = make("x-interlock-deadline-ms: 300", model=model, stream=stream)
            got, how = await exchange(gateway.port, asked)
            assert how == "closed"
            begun = got.startswith(OK)
            assert begun or got.startswith(b"HTTP/1.1 504 "), got[:200]
            assert got.count(b"deadline_exceeded") == 1
            assert b"[DONE]" not in got
            assert b"message_stop" not in got
            await until(lambda: mock.busy == 0, 10)
            await until(lambda: gateway.sockets - mock.open <= base, 10)
            line = gateway.line(got)
            assert (line["error"], line["outcome"]) == ("deadline_exceeded", "failed")
            assert line["attempts"] == [[model, "timeout"]]


# --- U15 ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_u15_wherever_a_redirect_points_it_is_a_failure_on_record_and_nobody_is_asked(
    tmp_path, status, stream
):
    async with Upstream(chat_answer()) as other:
        places = (
            f"{other.url}/v1/chat/completions",
            f"//127.0.0.1:{other.port}/v1/chat/completions",
            "http://169.254.169.254/latest/meta-data/",
            "https://127.0.0.1/",
            "file:///etc/passwd",
        )
        for number, place in enumerate(places):
            moved = Reply(status, (b"moved",), headers=(("location", place),))
            folder = tmp_path / str(number)
            folder.mkdir()
            async with Upstream(moved) as up, serving(folder, pool(up.url)) as server:
                got = await server.chat(stream=stream)
                assert got.status_code == 502
                assert "location" not in got.headers
                assert place not in got.text
                attempts = server.record(got).attempts
                assert {attempt.outcome for attempt in attempts} <= {"upstream_error", "malformed"}
                assert len(attempts) == len(up.seen)
                line = server.log[-1]
                assert (line["event"], line["error"], line["outcome"]) == (
                    "request",
                    "upstream_failed",
                    "failed",
                )
                assert line["attempts"] == [["gpt", attempt.outcome] for attempt in attempts]
        assert other.seen == []


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
async def test_u15_a_redirect_opens_no_socket_to_anywhere(gateway, stream):
    async with Mock(
        Answering(Script(default=Behaviour(faults=("redirect",)))), port=gateway.upstream
    ) as mock:
        base = gateway.sockets - mock.open
        got, _ = await exchange(gateway.port, chat(model="chat", stream=stream))
        assert got.startswith(b"HTTP/1.1 502 "), got[:200]
        await until(lambda: gateway.sockets - mock.open <= base, 10)
        assert gateway.line(got)["attempts"] == [["chat", "upstream_error"]]


# --- U17 ----------------------------------------------------------------------------------------

OURS = {
    "content-type", "content-length", "transfer-encoding", "connection", "date", "cache-control", "vary",
    "x-content-type-options", "request-id", "x-request-id", "retry-after",
}  # fmt: skip
FORGED = (
    b"set-cookie: session=forged\r\nx-internal: forged\r\nconnection: keep-alive, x-forged\r\nx-forged: 1\r\n"
    b"keep-alive: timeout=forged\r\nproxy-authenticate: forged\r\ntrailer: x-late\r\nupgrade: forged\r\n"
    b"x-interlock-route: forged\r\naccess-control-allow-origin: *\r\nlocation: http://forged/\r\n"
)


def with_head(lines):
    """The usual answer, with more in its head."""
    usual = Answering()

    def answer(request):
        head, *rest = usual(request)
        assert isinstance(head, bytes)
        return (head.replace(b"\r\n", b"\r\n" + lines, 1), *rest)

    return answer


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("make", [chat, messages], ids=["chat", "messages"])
async def test_u17_on_the_wire_a_caller_sees_our_headers_and_none_of_an_upstream(gateway, make, stream):
    async with Mock(with_head(FORGED), port=gateway.upstream):
        for model in ("chat", "claude"):
            got, _ = await exchange(gateway.port, make(model=model, stream=stream))
            assert got.startswith(OK), got[:300]
            head = got.partition(b"\r\n\r\n")[0].lower()
            names = {line.partition(b":")[0].decode() for line in head.split(b"\r\n")[1:]}
            assert {name for name in names - OURS if not name.startswith("x-interlock-")} == set()
            assert b"forged" not in head


@pytest.mark.parametrize("ends", [b"\r", b"\n", b"\x00"], ids=["CR", "LF", "NUL"])
async def test_u17_a_line_break_inside_a_header_of_an_upstream_splits_nothing(gateway, ends):
    forging = with_head(b"x-a: b" + ends + b"set-cookie: forged=1\r\n")
    async with Mock(forging, port=gateway.upstream):
        got, how = await exchange(gateway.port, chat(model="chat"))
        assert how == "closed"
        assert got.count(b"HTTP/1.1 ") == 1
        assert b"forged" not in got


# --- U18 ----------------------------------------------------------------------------------------


def tools(dialect):
    schema = {"type": "object", "properties": {"query": {"type": "string"}}}
    if dialect == "messages":
        return [{"name": "search", "input_schema": schema}]
    return [{"type": "function", "function": {"name": "search", "parameters": schema}}]


def arguments_of(dialect, data):
    """The arguments of each call in a stream, put together by index."""
    grown: dict[int, str] = {}
    for line in data.decode().splitlines():
        if not line.startswith("data: {"):
            continue
        event = json.loads(line[6:])
        if dialect == "messages" and event.get("delta", {}).get("type") == "input_json_delta":
            grown[event["index"]] = grown.get(event["index"], "") + event["delta"]["partial_json"]
        for choice in event.get("choices", ()):
            for delta in choice["delta"].get("tool_calls") or ():
                text = delta["function"].get("arguments") or ""
                grown[delta["index"]] = grown.get(delta["index"], "") + text
    return list(grown.values())


@pytest.mark.parametrize("pieces", [(), ("single_bytes",)], ids=["by event", "by byte"])
@pytest.mark.parametrize("model", ["chat", "claude"])
@pytest.mark.parametrize("dialect", ["chat", "messages"])
async def test_u18_two_calls_whose_pieces_come_in_turns_reach_each_dialect_from_each_wire_whole(
    gateway, dialect, model, pieces
):
    make = chat if dialect == "chat" else messages
    answering = Answering(Script(default=Behaviour(faults=("interleaved_tools", *pieces))))
    async with Mock(answering, port=gateway.upstream):
        got, _ = await exchange(gateway.port, make(model=model, stream=True, tools=tools(dialect)))
    assert got.startswith(OK), got[:300]
    found = [json.loads(text) for text in arguments_of(dialect, body(got))]
    assert found == [{"query": "question 1"}, {"query": "question 2"}]
