"""The demo's judge: it accepts what a scenario expects, and names everything that is otherwise."""

import msgspec
import pytest

from interlock.demo.ask import Reply
from interlock.demo.judge import judge
from interlock.demo.scenarios import Expected
from tests.cli.samples import record, refused

EXPECTED = Expected(route="gpt-5.4", served_by="gpt-5.4")
REPLY = Reply(
    status=200,
    text="Paris.",
    code=None,
    decision_id="dec_one",
    headers={"x-interlock-route": "openai/gpt-5.4"},
    latency_ms=12.0,
)
DENIED = msgspec.structs.replace(REPLY, status=403, code="policy_denied", text="no", headers={})
EXPECT_DENIED = Expected(
    status=403, code="policy_denied", route=None, served_by=None, attempts=(), dropped=("gpt-5.4",)
)


def but(value, **fields):
    return msgspec.structs.replace(value, **fields)


def test_what_is_expected_is_accepted():
    assert judge(EXPECTED, REPLY, record()) == ()
    assert judge(EXPECT_DENIED, DENIED, refused()) == ()


@pytest.mark.parametrize(
    ("expected", "reply", "found", "problem"),
    [
        (EXPECTED, but(REPLY, status=502), record(), "the status should be 200, and is 502"),
        (EXPECTED, but(REPLY, text=" "), record(), "the answer is empty"),
        (EXPECTED, but(REPLY, complete=False), record(), "the stream has no end"),
        (EXPECTED, REPLY, None, "there is no record of it"),
        (but(EXPECTED, valid_json=True), REPLY, record(), "the answer is not JSON"),
        (but(EXPECTED, route="small"), REPLY, record(), "the route should be small, and is gpt-5.4"),
        (
            but(EXPECTED, served_by="small"),
            REPLY,
            record(),
            "the model that answered should be small, and is gpt-5.4",
        ),
        (EXPECTED, REPLY, record(attempts=()), "the attempts should be ('ok',), and is ()"),
        (but(EXPECTED, rules=("stay",)), REPLY, record(), "the rule stay did not apply"),
        (but(EXPECTED, dropped=("x",)), REPLY, record(), "`x` was not left out"),
        (
            but(EXPECTED, data_class="public"),
            REPLY,
            record(),
            "the data class should be public, and is internal",
        ),
        (
            but(EXPECTED, tools_denied=("a",)),
            REPLY,
            record(),
            "the tools taken out should be ('a',), and is ()",
        ),
        (
            EXPECTED,
            but(REPLY, headers={"x-interlock-route": "a/b"}),
            record(),
            "the model in x-interlock-route should be gpt-5.4, and is b",
        ),
        (
            but(EXPECT_DENIED, code="budget_exceeded"),
            but(DENIED, code="budget_exceeded"),
            refused(),
            "the decision's code should be budget_exceeded, and is policy_denied",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_otherwise_is_named(expected, reply, found, problem):
    assert problem in judge(expected, reply, found)
