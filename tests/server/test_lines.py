"""The log line of a request, and that what lines share changes nothing of them."""

from types import SimpleNamespace as Some

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from interlock.server.lines import MOST, Lines, PlainLine, request_line
from interlock.types.decision import Budgets, Route
from interlock.types.signals import Caller
from tests.server.harness import pool, serving, until
from tests.server.upstream import Upstream
from tests.server.vendors import chat

encode = msgspec.json.Encoder().encode
ROUTE = Route(provider="p", model="m", version=None, alias="a", alias_version=1, region=None, lane=None)
CALLER = Caller(key="k", tenant="t")
BUDGETS = Budgets(max_attempts=3)


def tried(model="m", outcome="ok"):
    return Some(model=model, outcome=outcome)


def decided(route=ROUTE, budgets=BUDGETS):
    return Some(id="dec_1", route=route, budgets=budgets)


def exchange(**more):
    """A request that was answered by the first model it was sent to, but for `more`."""
    plain = {
        "caller": CALLER,
        "decision": decided(),
        "attempts": [tried()],
        "call": Some(method="POST"),
        "name": "n",
        "route": "/v1/chat/completions",
        "status": 200,
        "error": None,
        "outcome": "ok",
        "used": {"max_attempts": 1, "deadline_ms": 0.125},
    }
    return Some(**plain | more)


def agree(lines, said, latency_ms=1.5):
    line = lines.of(said, "now", latency_ms)
    assert encode(line) == encode(request_line(said, "now", latency_ms))
    return isinstance(line, PlainLine)


def test_the_second_line_of_a_kind_is_the_first_to_share():
    lines = Lines()
    assert [agree(lines, exchange(name=name), 1.5) for name in ("a", "b", "c")] == [False, True, True]


@pytest.mark.parametrize(
    "other",
    [
        {"caller": Caller(key="k", tenant="u")},
        {"caller": Caller(key=None, tenant="t")},
        {"decision": None},
        {"decision": decided(route=None)},
        {"decision": decided(route=msgspec.structs.replace(ROUTE, provider="q"))},
        {"decision": decided(route=msgspec.structs.replace(ROUTE, alias=None, lane="l"))},
        {"decision": decided(budgets=Budgets(max_attempts=4))},
        {"decision": decided(budgets=Budgets(max_attempts=3, max_cost_usd=0.5))},
        {"attempts": []},
        {"attempts": [tried("q")]},
        {"attempts": [tried(outcome="timeout")]},
        {"attempts": [tried(outcome="timeout"), tried()]},
        {"attempts": [tried(), tried()]},
        {"call": Some(method="GET")},
        {"route": "/v1/messages"},
        {"status": 499},
        {"error": "overloaded"},
        {"outcome": "failed"},
        {"outcome": None},
        {"used": None},
        {"used": {}},
    ],
    ids=repr,
)
def test_a_line_that_differs_in_anything_is_the_line_that_it_is(other):
    lines = Lines()
    for _ in range(3):
        agree(lines, exchange())
    for _ in range(3):
        agree(lines, exchange(**other))
        agree(lines, exchange())


texts = st.text(max_size=8) | st.sampled_from(
    ['quo"te', '","latency_ms":0.0,"tenant":', ',"decision":"","outcome":']
)
some = st.none() | texts


@given(
    st.builds(Caller, key=some, tenant=texts),
    st.builds(
        Route,
        provider=texts,
        model=texts,
        version=some,
        alias=some,
        alias_version=st.none() | st.integers(0),
        region=some,
        lane=some,
    ),
    st.builds(
        Budgets,
        max_attempts=st.none() | st.integers(0, 9),
        max_cost_usd=st.none() | st.floats(0, 1),
        max_tool_calls_by_effect=st.just({}) | st.just({"read": 2}),
    ),
    st.lists(
        st.tuples(texts, st.floats(0, 1e6), st.dictionaries(texts, st.floats(0, 9))), min_size=2, max_size=4
    ),
)
def test_what_is_shared_is_what_would_be_written(caller, route, budgets, own):
    lines = Lines()
    for number, (name, latency_ms, used) in enumerate(own):
        attempts = [tried(route.model)]
        decision = decided(route, budgets)
        said = exchange(caller=caller, decision=decision, attempts=attempts, name=name, used=used)
        assert agree(lines, said, latency_ms) == (number > 0)


def test_what_lines_share_is_bounded():
    lines = Lines()
    for _ in range(3 * MOST):
        lines.of(exchange(decision=decided(budgets=Budgets(max_attempts=3))), "now", 1.5)
    assert len(lines._shared) <= MOST


async def test_requests_that_are_alike_share_in_their_lines(tmp_path):
    async with Upstream(chat()) as up, serving(tmp_path, pool(up.url)) as server:

        async def shared():
            assert (await server.chat()).status_code == 200
            return any(known.method for known in server.gateway.lines._shared.values())

        await until(shared)
        assert (await server.chat()).status_code == 200
        await until(lambda: len(server.log) == len(up.seen))
        own = ("at", "request", "latency_ms", "decision", "used")
        lines = [{name: line[name] for name in line if name not in own} for line in server.log]
        assert lines == [lines[0]] * len(up.seen)
        assert lines[0]["attempts"] == [["gpt", "ok"]]
        assert len({line["decision"] for line in server.log}) == len(up.seen)
