"""What is said of breakers: each change once, also one that nobody looked at while it lasted."""

from interlock.server.outages import Outages
from tests.server.harness import pool, serving

OPEN = ("open", "gpt")
CLOSED = ("closed", "gpt")


async def test_each_change_is_said_once_and_what_came_and_went_between_two_looks_is_said_too(tmp_path):
    async with serving(tmp_path, pool("http://127.0.0.1:9")) as server:
        setting = server.gateway.state.setting
    breaker = setting.destinations["gpt", None].health.breaker
    outages, said = Outages(), []

    def say(event, **fields):
        assert event == "breaker"
        said.append((fields["state"], fields["model"]))

    def fail(at):
        for _ in range(5):
            breaker.fail(at, probe=False, alone=True)

    def come_and_go():
        fail(60.0)
        breaker.succeed(90.0, probe=True)

    for change, expected in (
        (lambda: None, []),
        (lambda: fail(0.0), [OPEN]),
        (lambda: None, [OPEN]),
        (lambda: breaker.fail(20.0, probe=True, alone=True), [OPEN]),
        (lambda: breaker.succeed(50.0, probe=True), [OPEN, CLOSED]),
        (come_and_go, [OPEN, CLOSED, OPEN, CLOSED]),
        (lambda: None, [OPEN, CLOSED, OPEN, CLOSED]),
    ):
        change()
        outages.look(setting, 100.0, say)
        assert said == expected
    assert set(outages.counts.values()) == {2}


async def test_a_model_that_is_shut_and_open_again_at_one_look_is_said_to_be_open(tmp_path):
    async with serving(tmp_path, pool("http://127.0.0.1:9")) as server:
        setting = server.gateway.state.setting
    breaker = setting.destinations["gpt", None].health.breaker
    outages, said = Outages(), []
    for _ in range(2):
        for _ in range(5):
            breaker.fail(0.0, probe=False, alone=True)
        outages.look(setting, 0.0, lambda event, **fields: said.append(fields["state"]))
        breaker.succeed(1.0, probe=True)
    assert said == ["open", "open"]
    assert set(outages.counts.values()) == {2}
