"""Scripts, wishes of requests, and recordings: which behaviour a request gets."""

import json

import msgspec
import pytest

from interlock.errors import ConfigError
from interlock.mock import Answering, Behaviour, Mock, Rule, Script, When, read_script
from interlock.mock.recording import read_recordings
from interlock.mock.script import Outage, parse_behaviour
from tests.data import path as data_path
from tests.mock.raw import body, chat, exchange, messages, post


async def statuses(answering, *requests):
    async with Mock(answering) as mock:
        return [int((await exchange(mock.port, one))[0][9:12]) for one in requests]


def rules(*rows):
    return Answering(Script(rules=tuple(rows)))


async def test_rules_are_used_up_in_order_then_it_answers_as_usual():
    rows = (
        Rule(times=2, then=Behaviour(status=503)),
        Rule(times=1, then=Behaviour(status=429)),
    )
    assert await statuses(rules(*rows), *[chat()] * 4) == [503, 503, 429, 200]


async def test_a_rule_is_for_the_requests_that_it_describes():
    hard = Behaviour(status=500)
    stream = rules(Rule(when=When(stream=True), then=hard))
    assert await statuses(stream, chat(), chat(stream=True)) == [200, 500]
    model = rules(Rule(when=When(model="m"), then=hard))
    assert await statuses(model, chat(), chat(model="n")) == [500, 200]
    path = rules(Rule(when=When(path="/v1/messages"), then=hard))
    assert await statuses(path, chat(), messages()) == [200, 500]
    header = rules(Rule(when=When(headers={"X-App": "a"}), then=hard))
    assert await statuses(header, chat(), chat("x-app: a"), chat("x-app: b")) == [200, 500, 200]


async def test_every_third_is_every_third():
    third = rules(Rule(when=When(every=3), then=Behaviour(status=500)))
    assert await statuses(third, *[chat()] * 6) == [200, 200, 500, 200, 200, 500]


async def test_a_request_can_ask_for_its_fault_as_its_model_or_in_a_header():
    script = rules(Rule(then=Behaviour(status=404)))
    asked = [
        chat(model="fault:status=503"),
        chat("x-mock: status=529,retry_after=7"),
        chat("x-mock: "),
        chat(model="fault:nonsense"),
        chat("x-mock: status=abc"),
    ]
    assert await statuses(script, *asked) == [503, 529, 200, 400, 400]


async def test_a_wish_that_nobody_knows_is_answered_with_what_there_is():
    async with Mock(Answering()) as mock:
        got, _ = await exchange(mock.port, chat(model="fault:resett"))
        assert "did you mean `reset`?" in json.loads(body(got))["error"]["message"]


async def test_headers_bodies_and_waits_can_be_scripted():
    behaviour = Behaviour(
        status=429, retry_after="Wed, 21 Oct 2026 07:28:00 GMT", headers={"x-ratelimit-limit": "1"}, body="no"
    )
    async with Mock(rules(Rule(then=behaviour))) as mock:
        got, _ = await exchange(mock.port, chat())
        head = got.partition(b"\r\n\r\n")[0]
        assert b"retry-after: Wed, 21 Oct 2026 07:28:00 GMT" in head
        assert b"x-ratelimit-limit: 1" in head
        assert body(got) == b"no"


def test_a_wish_is_read_as_a_behaviour():
    assert parse_behaviour("reset, after=3,delay_s=0.5") == Behaviour(faults=("reset",), after=3, delay_s=0.5)
    for wrong in ("after=-1", "nothing=1", "resset", "end=later"):
        with pytest.raises(ValueError, match=r"."):
            parse_behaviour(wrong)


def written(tmp_path, text):
    file = tmp_path / "script.yaml"
    file.write_text(text)
    return file


def test_a_script_is_read_from_yaml(tmp_path):
    text = """
rules:
  - when: {model: gpt-5.5, stream: true, headers: {x-app: a}, every: 2}
    times: 3
    then: {status: 503, retry_after: "1", faults: [reset], after: 2, delay_s: 0.5}
  - then: {calls: [{name: search, arguments: {query: x}}], usage: {input: -1}}
default: {text: fine}
outages: [{from_s: 5, for_s: 10}]
"""
    script = read_script(written(tmp_path, text))
    assert script.rules[0].when == When(model="gpt-5.5", stream=True, headers={"x-app": "a"}, every=2)
    assert script.rules[0].then.faults == ("reset",)
    assert script.default.text == "fine"
    assert script.outages == (Outage(from_s=5, for_s=10),)


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("rules:\n  - then: {statsu: 1}\n", 2, "unknown field `statsu`"),
        ("rules:\n  - times: 0\n    then: {}\n", 2, "times"),
        (
            "rules:\n  - then: {faults: [resett]}\n",
            2,
            "there is no fault `resett`\nhint: did you mean `reset`?",
        ),
        ("rules:\n  - {}\n", 2, "then"),
        ("rules: [{then: {status: 9}}]\n", 1, "status"),
        ("rules: [\n", 2, "not valid YAML"),
        ("rules: []\nrules: []\n", 2, "given twice"),
    ],
)
def test_a_mistake_in_a_script_has_its_line(tmp_path, text, line, said):
    with pytest.raises(ConfigError) as caught:
        read_script(written(tmp_path, text))
    assert any(problem.line == line and said in str(problem) for problem in caught.value.problems), (
        caught.value
    )


def test_a_script_that_is_not_there_is_named(tmp_path):
    with pytest.raises(ConfigError, match="no such file"):
        read_script(tmp_path / "none.yaml")


CALL = {
    "source": "talk.yaml",
    "index": 0,
    "dialect": "openai-chat",
    "stream": False,
    "status": 200,
    "request": {"messages": [{"role": "user", "content": "recorded"}]},
    "response": {"id": "from-the-record"},
}


async def test_a_recorded_call_is_answered_again(tmp_path):
    file = tmp_path / "calls.jsonl"
    stream = "data: {}\n\ndata: [DONE]\n\n"
    rows = [CALL, {**CALL, "index": 1, "stream": True, "response": stream}]
    file.write_bytes(b"\n".join(map(msgspec.json.encode, rows)))
    asked = [{"role": "user", "content": "recorded"}]
    async with Mock(Answering(recordings=read_recordings(file))) as mock:
        got, _ = await exchange(mock.port, chat(messages=asked))
        assert json.loads(body(got)) == {"id": "from-the-record"}
        got, _ = await exchange(mock.port, chat(messages=asked, stream=True))
        assert body(got) == stream.encode()
        got, _ = await exchange(mock.port, chat("x-mock: replay=talk.yaml#1,after=1,end=close"))
        assert body(got) == b"data: {}\n\n"
        got, _ = await exchange(mock.port, chat())
        assert json.loads(body(got))["object"] == "chat.completion"
        got, _ = await exchange(mock.port, chat("x-mock: replay=none"))
        assert got.startswith(b"HTTP/1.1 400")


def test_a_line_that_is_no_recording_is_named(tmp_path):
    file = tmp_path / "calls.jsonl"
    file.write_bytes(msgspec.json.encode(CALL) + b"\n\n{}\n")
    with pytest.raises(ConfigError, match=r"calls\.jsonl:3: no recorded call"):
        read_recordings(file)


async def test_recorded_streams_of_real_vendors_come_back_byte_for_byte():
    file = data_path("provider-recordings", "recorded_calls_sample.jsonl")
    recordings = read_recordings(file)
    rows = [json.loads(line) for line in file.read_text("utf-8").splitlines()]
    shown = [row for row in rows if row["stream"] and row["dialect"] in ("openai-chat", "anthropic-messages")]
    async with Mock(Answering(recordings=recordings)) as mock:
        for row in shown[:20]:
            path = "/v1/messages" if row["dialect"] == "anthropic-messages" else "/v1/chat/completions"
            wish = f"x-mock: replay={row['source']}#{row['index']}"
            got, _ = await exchange(mock.port, post(path, row["request"], wish), wait=0.05)
            assert body(got) == row["response"].encode()
