"""Each fault does what its line says, seen on a raw socket."""

import asyncio
import gzip
import json

import pytest

from interlock.mock import Answering, Mock
from interlock.mock.faults import ABOUT
from interlock.wire.sse import EventParser
from tests.mock.raw import body, chat, exchange, messages

TOOLS = [{"type": "function", "function": {"name": "search", "parameters": {}}}]
OTHERS = [{"name": "search", "input_schema": {}}]


async def sent(fault, *, stream=False, most=1 << 20, **fields):
    """What an OpenAI and an Anthropic request get under this fault, and how the connection ended."""
    wait = 0.2 if fault == "hang" else 10
    quiet = 0.5 if fault.startswith("stall") else 10
    async with Mock(Answering()) as mock:
        asked = [make(f"x-mock: {fault}", stream=stream, **fields) for make in (chat, messages)]
        return await asyncio.gather(
            *(exchange(mock.port, one, wait=wait, quiet=quiet, most=most) for one in asked)
        )


def data(got):
    """The JSON of each event."""
    parser = EventParser()
    found = parser.feed(body(got)) + parser.end()
    return [json.loads(one) for one in found if one != b"[DONE]"]


@pytest.mark.parametrize("fault", ABOUT)
async def test_each_fault_changes_what_is_sent(fault):
    tools = [*TOOLS, *OTHERS]
    usual = await sent("", stream=True, tools=tools, stream_options={"include_usage": True})
    changed = await sent(fault, stream=True, tools=tools, stream_options={"include_usage": True})
    assert changed[0] != usual[0]
    assert changed[1] != usual[1]


@pytest.mark.parametrize(
    ("fault", "how", "begins"),
    [
        ("hang", "open", b""),
        ("drop", "reset", b""),
        ("refuse", "reset", b""),
        ("cut", "closed", b"HTTP/1.1 200"),
        ("reset", "reset", b"HTTP/1.1 200"),
        ("stall", "open", b"HTTP/1.1 200"),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
async def test_connections_end_as_they_should(fault, how, begins, stream):
    asked = f"{fault},after=1" if begins else fault
    for got, ended in await sent(asked, stream=stream):
        assert ended == how
        assert got.startswith(begins)
        assert bool(got) == bool(begins)
        assert b"[DONE]" not in got
        assert b"message_stop" not in got


@pytest.mark.parametrize("fault", ["cut", "reset", "stall"])
@pytest.mark.parametrize("stream", [False, True])
async def test_what_fails_in_the_middle_has_sent_a_part(fault, stream):
    usual = await sent("", stream=stream)
    for (got, _), (whole, _) in zip(await sent(fault, stream=stream), usual, strict=True):
        assert 0 < len(body(got)) < len(body(whole)) * 3 / 4


async def test_as_many_events_are_sent_as_were_asked_for():
    for pieces in (0, 1, 4):
        for got, _ in await sent(f"reset,after={pieces}", stream=True):
            assert body(got).count(b"data: ") == pieces


async def test_a_whole_body_is_cut_at_runs_of_16_bytes():
    for got, how in await sent("end=close,after=2"):
        assert (len(body(got)), how) == (32, "closed")


@pytest.mark.parametrize(
    "fault", ["crlf", "cr", "comments", "multiline", "bom", "no_last_break", "single_bytes"]
)
async def test_odd_framing_says_the_same(fault):
    usual = await sent("", stream=True)
    for odd, plain in zip(await sent(fault, stream=True), usual, strict=True):
        assert data(odd[0]) == data(plain[0])


@pytest.mark.parametrize("fault", ["no_finish", "no_usage", "empty", "blank", "cut_short", "filtered"])
async def test_both_vendors_can_leave_things_out(fault):
    chat_answer, message = [json.loads(body(got)) for got, _ in await sent(fault)]
    choice = chat_answer["choices"][0] if chat_answer["choices"] else {}
    ends = (choice.get("finish_reason"), message["stop_reason"])
    found = {
        "no_finish": "finish_reason" not in choice and ends == (None, None),
        "no_usage": "usage" not in chat_answer and "usage" not in message,
        "empty": not choice and message["content"] == [],
        "blank": bool(choice) and choice["message"]["content"] is None and message["content"] == [],
        "cut_short": ends == ("length", "max_tokens"),
        "filtered": ends == ("content_filter", "refusal"),
    }
    assert found[fault]


@pytest.mark.parametrize(
    ("fault", "value"), [("negative_usage", -5), ("huge_usage", 10**12), ("text_usage", "many")]
)
async def test_usage_can_lie(fault, value):
    chat_answer, message = [json.loads(body(got)) for got, _ in await sent(fault)]
    assert chat_answer["usage"]["completion_tokens"] == message["usage"]["output_tokens"] == value


async def test_interleaved_calls_come_in_turns():
    (got, _), (other, _) = await sent("interleaved_tools", stream=True, tools=TOOLS)
    deltas = [event["choices"][0]["delta"].get("tool_calls", [{}])[0] for event in data(got)]
    order = [delta["index"] for delta in deltas if "index" in delta]
    assert order[:4] == [0, 1, 0, 1]
    for index in (0, 1):
        text = "".join(d["function"]["arguments"] for d in deltas if d.get("index") == index)
        assert json.loads(text) == {"query": f"question {index + 1}"}
    started = [event["index"] for event in data(other) if event["type"] == "content_block_start"]
    assert started == [0, 1]
    assert [event["type"] for event in data(other)[1:3]] == ["content_block_start"] * 2


async def test_wrong_calls_are_wrong():
    (got, _), (other, _) = await sent("bad_arguments", tools=TOOLS)
    function = json.loads(body(got))["choices"][0]["message"]["tool_calls"][0]["function"]
    assert function == {"name": "search", "arguments": '{"query": "half'}
    assert json.loads(body(other))["content"][0]["input"] == '{"query": "half'
    (got, _), _ = await sent("unknown_tool", tools=TOOLS)
    assert b"launch_rocket" in got


async def test_malformed_json_is_framed_as_if_it_were_whole():
    (whole, how), _ = await sent("malformed")
    length = int(whole.partition(b"content-length: ")[2].partition(b"\r")[0])
    assert (len(body(whole)), how) == (length, "closed")
    with pytest.raises(json.JSONDecodeError):
        json.loads(body(whole))
    (streamed, _), _ = await sent("malformed", stream=True)
    assert streamed.endswith(b"0\r\n\r\n")
    with pytest.raises(json.JSONDecodeError):
        data(streamed)


async def test_answers_of_another_kind():
    (html, _), _ = await sent("html", stream=True)
    assert html.startswith(b"HTTP/1.1 200 ")
    assert b"content-type: text/html" in html
    (redirect, _), _ = await sent("redirect")
    assert redirect.startswith(b"HTTP/1.1 302 ")
    assert b"location: http://169.254.169.254/" in redirect
    (error, _), (other, _) = await sent("error_object", stream=True)
    assert error.startswith(b"HTTP/1.1 200 ")
    assert json.loads(body(error))["error"]["type"] == "overloaded_error"
    assert json.loads(body(other))["type"] == "error"


async def test_an_error_event_ends_a_stream():
    (got, _), (other, _) = await sent("error_event", stream=True)
    assert data(got)[-1]["error"]["message"]
    assert data(other)[-1]["type"] == "error"
    assert b"[DONE]" not in got


async def test_large_things_are_large_and_sent_as_they_go():
    for got, _ in await sent("huge_body", most=3_000_000):
        assert len(got) >= 3_000_000
        assert int(got.partition(b"content-length: ")[2].partition(b"\r")[0]) > 10**9
    (got, _), _ = await sent("huge_header", most=1 << 22)
    assert len(got.partition(b"\r\n\r\n")[0]) > 1_000_000
    (got, _), _ = await sent("many_headers", most=1 << 22)
    assert got.partition(b"\r\n\r\n")[0].count(b"\r\n") > 100_000


@pytest.mark.parametrize("stream", [False, True])
async def test_a_broken_header_is_a_line_without_a_colon_among_others(stream):
    for got, _ in await sent("broken_header", stream=stream):
        head, _, rest = got.partition(b"\r\n\r\n")
        broken = [line for line in head.split(b"\r\n")[1:] if b":" not in line]
        assert broken == [b"this line has no colon"]
        assert rest


async def test_compressed_answers_are_what_they_say():
    (got, _), _ = await sent("gzip")
    assert b"content-encoding: gzip" in got
    assert json.loads(gzip.decompress(body(got)))["choices"]
    (bomb, _), _ = await sent("gzip_bomb", most=1 << 22)
    packed = int(bomb.partition(b"content-length: ")[2].partition(b"\r")[0])
    assert packed < 2_000_000


async def test_faults_can_be_combined():
    (got, how), _ = await sent("crlf,bom,comments,reset,after=3", stream=True)
    assert how == "reset"
    assert body(got).startswith(b"\xef\xbb\xbf: keep-alive\r\n\r\n")
