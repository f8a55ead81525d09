"""Rows made small hold what rows in full hold, byte for byte."""

from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any

import apsw
import msgspec
import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, example, settings
from hypothesis import given as for_all
from hypothesis import strategies as st
from msgspec.structs import replace

from interlock.cli.app import cli
from interlock.route.decide import hash_world
from interlock.route.memory import Memory
from interlock.route.snapshot import snapshot
from interlock.server.records import budgets_used, to_row
from interlock.server.rows import MOST_ONCE, MOST_TOOLS, Rows
from interlock.store import shapes
from interlock.store.records import written_row
from interlock.types.decision import (
    Budgets,
    Decision,
    Dropped,
    FallbackStep,
    PolicyOutcome,
    Provenance,
    Route,
    Why,
)
from interlock.types.record import Attempt, Counted, Validation
from interlock.types.signals import Finding, Signals
from interlock.types.world import ActiveAlias, World
from tests.policy import strategies
from tests.policy.test_restriction import PARTS
from tests.route.pool import NOW, ask, config, rule
from tests.server.harness import Running, pool, serving
from tests.server.upstream import Upstream
from tests.server.vendors import call, chat

WORLD = World(aliases={"stable": ActiveAlias(version=3, model="claude")}, latency_ms={"big": 800})
UNCHECKED = Validation(verdict="unchecked")
ATTEMPT = Attempt(provider="p", model="m", outcome="ok", started_at=NOW, latency_ms=1.5, validation=UNCHECKED)
SMALL = 5  # the place of `decision` in a row; `rest` follows


class Kept:
    """Rows, and the store in which their shapes are."""

    def __init__(self) -> None:
        self.db = apsw.Connection(":memory:")
        self.db.execute("CREATE TABLE shapes (hash TEXT PRIMARY KEY, body BLOB NOT NULL)")
        self.rows = Rows(lambda one: self.db.execute(shapes.PUT, (one.hash, one.body)))

    def agrees(self, decision: Decision, execution: Any = None, status: Any = "ok") -> tuple[bytes, bytes]:
        """Check a row against the one in full; what it really holds."""
        used = None if execution is None else budgets_used(execution)
        made = self.rows.row(decision, status, execution, None, at=17, used=used)
        plain = shapes.Shapes(self.db).plain
        row = (*made[:SMALL], plain(made[SMALL]), plain(made[SMALL + 1]), *made[SMALL + 2 :])
        assert row == written_row(to_row(decision, status, execution, None, at=17, used=used))
        return made[SMALL], made[SMALL + 1]

    @property
    def shapes(self) -> list[bytes]:
        return [body for (body,) in self.db.execute("SELECT body FROM shapes")]


def execution(*attempts: Attempt, **changes: Any) -> Any:
    """What a row is made of, of an execution that has ended."""
    validation = attempts[-1].validation if attempts else None
    fields: dict[str, Any] = {
        "attempts": list(attempts),
        "skipped": [],
        "cost_usd": 0.25,
        "error": None,
        "validation": validation,
        "counted": None,
        "elapsed_ms": 2.00049,
    }
    return SimpleNamespace(**(fields | changes))


def fresh(*rules: Any) -> Memory:
    return Memory(snapshot(config(*rules, **PARTS)), WORLD, hash_world(WORLD))


def decided(memory: Memory, signals: Signals, number: int = 1) -> Decision:
    return memory.decide(id=f"dec_{number}", now=NOW, signals=signals, draw=0.5)


_changes = st.fixed_dictionaries(
    {},
    optional={
        "input_tokens": st.integers(0, 2_000),
        "longest_input": st.sampled_from([None, 50]),
        "session": st.sampled_from([None, "s1", 's"\x00é']),
        "team": st.sampled_from([None, "red"]),
        "key": st.sampled_from([None, "k1"]),
        "data_class": st.sampled_from(["public", "internal", "confidential"]),
        "metadata": st.sampled_from([{}, {"workflow": "close"}]),
        "cannot_carry": st.sampled_from([{}, {"openai": ("seed",)}]),
        "max_cost_usd": st.sampled_from([None, 1, 1.0, 0.5]),
        "max_output_tokens": st.sampled_from([None, 10]),
        "tools": st.sampled_from([(), ("search",)]),
        "findings": st.sampled_from([(), (Finding(kind="email", where="messages[0]"),)]),
        "hour_utc": st.integers(0, 23),
        "stream": st.booleans(),
    },
)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@for_all(strategies.rules, strategies.signals, st.lists(_changes, min_size=1, max_size=8))
def test_a_row_by_its_shape_holds_the_bytes_that_were_decided(rules, signals, variants):
    memory, kept = fresh(*rules), Kept()
    for number, changes in enumerate(variants):
        for wanted in (signals, replace(signals, **changes), replace(signals, **changes)):
            kept.agrees(decided(memory, wanted, number))
            kept.agrees(memory.afresh(id="dec_x", now=NOW, signals=wanted, draw=number / 9))


def test_an_equal_number_of_another_type_is_written_as_it_is():
    memory, kept = fresh(), Kept()
    decision = decided(memory, ask("big"))
    for cost in (1, 1.0, 1, True):
        limited = replace(decision, budgets=replace(decision.budgets, max_cost_usd=cost))
        for _ in range(3):
            kept.agrees(limited)


def test_a_mapping_in_another_order_is_written_as_it_is():
    memory, kept = fresh(), Kept()
    decision = decided(memory, ask("big", cannot_carry={"bedrock": ("seed",), "gemini": ("n",)}))
    assert decision.route is not None
    why, signals = decision.why, decision.signals
    limits = dict(reversed(why.limits.items()))
    carried = dict(reversed(signals.cannot_carry.items()))
    for _ in range(3):
        kept.agrees(decision)
        kept.agrees(replace(decision, why=replace(why, limits=limits)))
        kept.agrees(replace(decision, signals=replace(signals, cannot_carry=carried)))
    assert len(limits) > 1


@pytest.mark.parametrize("field", sorted({*Decision.__struct_fields__} - {"policy"}))
def test_no_part_of_a_decision_is_taken_from_another(field):
    memory, kept = fresh(), Kept()
    decision, other = decided(memory, ask("big")), decided(memory, ask("cheap", tenant="acme"), 2)
    for _ in range(3):
        kept.agrees(decision)
    other = replace(other, provenance=replace(other.provenance, policy_hash="another"))
    value = getattr(other, field)
    mixed = replace(decision, **{field: value if value != getattr(decision, field) else "another"})
    for _ in range(3):
        kept.agrees(mixed)


@pytest.mark.parametrize(
    ("part", "name"),
    [
        (part, name)
        for part, of in (
            ("route", Route),
            ("policy", PolicyOutcome),
            ("why", Why),
            ("signals", Signals),
            ("provenance", Provenance),
            ("budgets", Budgets),
        )
        for name in of.__struct_fields__
    ],
)
def test_no_value_in_a_decision_is_taken_from_another(part, name):
    memory, kept = fresh(), Kept()
    decision = decided(memory, ask("big"))
    changed = replace(decision, **{part: replace(getattr(decision, part), **{name: "another"})})
    for _ in range(3):
        kept.agrees(decision)
    for _ in range(3):
        kept.agrees(changed)


def test_a_shape_is_kept_from_the_second_of_its_kind_on():
    memory, kept = fresh(), Kept()
    sizes = []
    for number in range(4):
        decision, _ = kept.agrees(decided(memory, ask("big", input_tokens=10 - number), number))
        sizes.append(len(decision))
    assert sizes[0] > 4 * sizes[1]
    assert sizes[1:] == [pytest.approx(sizes[1], abs=2)] * 3
    assert len(kept.shapes) == 1


def test_what_nobody_serves_is_kept_in_full():
    memory, kept = fresh(), Kept()
    for _ in range(3):
        decision, _ = kept.agrees(decided(memory, ask("nobody knows this")), status="denied")
        assert decision.startswith(b"{")


def test_kinds_beyond_those_that_are_remembered_are_small_too(monkeypatch):
    monkeypatch.setattr("interlock.server.rows.MOST", 4)
    memory, kept = fresh(), Kept()
    for number in range(20):
        checked = Validation(verdict="passed", checks=(f"check {number}",))
        ended = execution(replace(ATTEMPT, model="big", validation=checked))
        for _ in range(2):
            decision, rest = kept.agrees(decided(memory, ask("big", team=f"team-{number}")), ended)
        assert decision.startswith(b"[")
        assert rest.startswith(b"[")
        assert len(kept.rows._likes) <= 4
        assert len(kept.rows._rests) <= 4
    assert len(kept.shapes) == 40


def test_what_comes_once_leaves_nothing_behind():
    """Lotteries, large bodies and whatever had a candidate dropped: each decision is made anew."""
    memory, kept = fresh(), Kept()
    for number in range(3 * MOST_ONCE):
        signals = ask("big", tools=tuple(f"t{number}-{place}" for place in range(9)))
        decision, _ = kept.agrees(memory.afresh(id="dec_1", now=NOW, signals=signals, draw=0.5))
        assert decision.startswith(b"{")
    assert len(kept.rows._once) <= MOST_ONCE
    assert not kept.rows._likes
    assert not kept.shapes


@pytest.mark.parametrize(
    ("tools", "length"), [(MOST_TOOLS + 1, 8), (MOST_TOOLS, 256), (8000, 256)], ids=["many", "long", "both"]
)
def test_what_is_large_is_not_remembered_however_often_it_comes(tools, length):
    memory, kept = fresh(), Kept()
    decision = decided(memory, ask("big", tools=tuple(f"{place:0{length}}" for place in range(tools))))
    for _ in range(3):
        stored, _ = kept.agrees(decision)
        assert stored.startswith(b"{")
    assert not kept.rows._once
    assert not kept.rows._likes
    assert not kept.shapes


def test_a_shape_has_an_end():
    memory, kept = fresh(), Kept()
    decision = decided(memory, ask("big"))
    chain = tuple(FallbackStep(provider="p", model=f"model-{n}", when="any") for n in range(400))
    checked = Validation(verdict="passed", checks=tuple(f"check {n}" for n in range(2000)))
    ended = execution(replace(ATTEMPT, model="big", validation=checked))
    kept.agrees(decision)
    for _ in range(3):
        stored, rest = kept.agrees(replace(decision, fallbacks=chain), ended)
        assert (stored[:1], rest[:1]) == (b"{", b"{")
    assert not kept.shapes


# What stands in the shape of a decision: names that the config has, and labels out of a few. A field that is
# new goes here only if no caller can choose freely what it holds.
SHAPED = {
    *(f"route.{name}" for name in Route.__struct_fields__),
    *(f"budgets.{name}" for name in Budgets.__struct_fields__),
    *(f"policy.{name}" for name in ("risk_tier", "data_class", "latency_class", "trust", "safety_mode")),
    *(f"policy.{name}" for name in ("layout", "logging", "escalation")),
    *("fallbacks", "cascade", "why.rules", "why.selected_by", "why.limits"),
    *(f"signals.{name}" for name in ("data_class", "trust", "risk_tier", "max_data_class", "allow")),
    *(f"signals.{name}" for name in ("user_tier", "tenant", "team", "key", "role", "environment")),
    *(f"provenance.{name}" for name in ("config_hash", "policy_hash", "prices_version", "router_version")),
} - {f"budgets.{name}" for name in ("max_output_tokens", "deadline_ms", "max_cost_usd")}


def test_a_shape_holds_what_the_operator_has_written_and_labels_out_of_a_few():
    kept, decision = Kept(), decided(fresh(), ask("big"))
    for _ in range(2):
        kept.agrees(decision)
    (body,) = kept.shapes
    hole = "a hole"
    shape = msgspec.json.decode(body.replace(b"\0", msgspec.json.encode(hole)))
    found = set()
    for part, value in shape.items():
        within = {f"{part}.{name}": one for name, one in value.items()} if isinstance(value, dict) else {}
        found |= {name for name, one in (within or {part: value}).items() if one != hole}
    assert found == SHAPED


_EACH: dict[str, Any] = {
    "tools": lambda n: {"tools": (f"tool-{n}",), "tool_effect": ("read",), "tool_choice": f"tool-{n}"},
    "task": lambda n: {"task": f"task {n}", "difficulty": f"as {n}"},
    "residency": lambda n: {"residency": ("eu", f"place-{n}")},
    "metadata": lambda n: {"metadata": {f"name-{n}": f"value {n}"}, "session": f"session-{n}"},
    "cannot_carry": lambda n: {"cannot_carry": {"anthropic": (f"field_{n}",)}},
    "limits": lambda n: {"max_output_tokens": 100 + n, "deadline_ms": 1000 + n, "max_cost_usd": 1 + n / 8},
}


@pytest.mark.parametrize("what", _EACH)
def test_what_callers_say_makes_no_shape_of_its_own(what):
    denied = rule("known-tools", deny_tools=["tool-7"], require_approval=["tool-8"], step_up=["tool-9"])
    memory, kept = fresh(denied), Kept()
    for number in range(200):
        for _ in range(2):
            decision, _ = kept.agrees(decided(memory, ask("mid", **_EACH[what](number))))
        assert decision.startswith(b"[") or number == 7  # a forced tool that is denied: nobody serves
    assert len(kept.shapes) == 1


numbers = st.none() | st.integers(0, 10**6)


@settings(deadline=None)
@for_all(
    st.builds(
        Attempt,
        provider=st.sampled_from(["p", 'q"']),
        model=st.sampled_from(["big", "mid"]),
        outcome=st.sampled_from(["ok", "cancelled"]),
        started_at=st.just(NOW),
        latency_ms=st.floats(0, 1e6),
        input_tokens=numbers,
        output_tokens=numbers,
        tool_calls=st.integers(0, 3),
        violations=st.sampled_from([(), ("json: no",)]),
        cost_usd=st.none() | st.floats(0, 1),
        validation=st.sampled_from(
            [None, UNCHECKED, Validation(verdict="failed", checks=("json",), violations=("json: no",))]
        ),
    ),
    st.sampled_from(["ok", "cancelled"]),
    st.none() | st.floats(0, 1),
)
@example(replace(ATTEMPT, model="big"), "ok", 1)
@example(replace(ATTEMPT, model="big"), "ok", 1.0)
def test_what_one_attempt_came_to_is_the_same_by_its_shape(attempt, status, cost):
    kept, decision = Kept(), decided(fresh(), ask("big"))
    for _ in range(3):
        _, rest = kept.agrees(decision, execution(attempt, cost_usd=cost), status)
    plain = attempt.model == "big" and (attempt.validation is None or not attempt.validation.violations)
    assert rest.startswith(b"[") is plain


@pytest.mark.parametrize(
    "ended",
    [
        execution(),
        execution(ATTEMPT, replace(ATTEMPT, model="big")),
        execution(replace(ATTEMPT, model="big"), skipped=[Dropped(model="mid", rule="breaker", why="open")]),
        execution(replace(ATTEMPT, model="big"), counted=Counted(input_tokens=3, by="provider")),
        execution(replace(ATTEMPT, model="big"), validation=None),
        execution(
            replace(ATTEMPT, model="big"), error=SimpleNamespace(code="timeout", message="it took too long")
        ),
    ],
    ids=["none", "a fallback", "one skipped", "counted", "another verdict", "an error"],
)
def test_what_is_out_of_the_ordinary_is_kept_in_full(ended):
    kept, decision = Kept(), decided(fresh(), ask("big"))
    for _ in range(3):
        _, rest = kept.agrees(decision, ended, "failed")
        assert rest.startswith(b"{")


def stored(server: Running) -> dict[str, tuple[bytes, bytes]]:
    """What really stands in the file for each record, oldest first: `decision` and `rest`."""
    rows: list[Any] = server.gateway.store.read(
        lambda db: db.execute("SELECT id, decision, rest FROM records ORDER BY seq").fetchall()
    )
    return {name: (decision, rest) for name, decision, rest in rows}


def kept(server: Running) -> list[bytes]:
    return [
        body for (body,) in server.gateway.store.read(lambda db: [*db.execute("SELECT body FROM shapes")])
    ]


async def until_small(server: Running, ask: Callable[[], Awaitable[Any]]) -> list[str]:
    """Ask until a record is one by its shape; the ids. Whenever the server takes in what it has measured,
    everything is decided anew."""
    names: list[str] = []
    while not names or stored(server)[names[-1]][0].startswith(b"{"):
        answer = await ask()
        assert answer.status_code == 200, answer.text
        names.append(answer.headers["x-interlock-decision-id"])
        assert len(names) < 50
    return names


async def test_records_by_their_shapes_are_shown_explained_and_computed_again(tmp_path, monkeypatch):
    monkeypatch.setenv("ALPHA_KEY", "a")
    monkeypatch.setenv("BETA_KEY", "b")
    async with Upstream(chat("yes")) as up, serving(tmp_path, pool(up.url)) as server:
        names = await until_small(server, server.chat)
        for _ in range(100):
            server.gateway.latencies.note("gpt", 60_000)
        server.gateway.refresh_world()  # another world by what was measured, and the same shape
        more = await until_small(server, server.chat)
        rows = stored(server)
        assert [rows[name][0][:1] for name in (names[0], names[-1], more[0], more[-1])] == [b"{", b"["] * 2
        assert len(kept(server)) == 2
        sizes = {name: len(decision) + len(rest) for name, (decision, rest) in rows.items()}
        assert sizes[more[-1]] < 700
        assert sizes[more[0]] > 2000
        names += more
        shown = [(await server.client.get(f"/v1/decisions/{name}")).json() for name in names]
        assert [one["decision"]["id"] for one in shown] == names
        assert [one["attempts"][0]["outcome"] for one in shown] == ["ok"] * len(names)
        assert shown[0].keys() == shown[-1].keys()
        assert shown[0]["decision"].keys() == shown[-1]["decision"].keys()
    file = ["--config", str(tmp_path / "interlock.yaml")]
    told = CliRunner().invoke(cli, ["replay", "--verify", *file], catch_exceptions=False)
    assert f"{len(names)} of {len(names)} decisions" in told.output
    told = CliRunner().invoke(cli, ["explain", names[-1], *file], catch_exceptions=False)
    assert told.exit_code == 0, told.output


async def test_no_words_of_a_caller_stay_when_its_records_have_expired(tmp_path, monkeypatch):
    monkeypatch.setenv("ALPHA_KEY", "a")
    monkeypatch.setenv("BETA_KEY", "b")
    told = "Zyzzyva"
    headers = {
        f"x-interlock-{name}": f"{told}-{name}" for name in ("task", "difficulty", "residency", "session")
    }
    tool = {"type": "function", "function": {"name": f"{told}-tool", "parameters": {"type": "object"}}}
    asked = {
        "tools": [tool],
        "tool_choice": {"type": "function", "function": {"name": f"{told}-tool"}},
        "metadata": {"workflow": f"{told}-metadata", f"{told}-name": "x"},
        "user": f"{told}-user",
        f"{told}_field": 1,
    }
    called = chat(None, finish="tool_calls", calls=(call(0, f"{told}-tool", "{}"),))
    async with Upstream(called) as up, serving(tmp_path, pool(up.url, metadata=["workflow"])) as server:
        names = await until_small(server, lambda: server.chat(f"{told}-text", headers=headers, **asked))
        decision, rest = stored(server)[names[-1]]
        shapes = kept(server)
    assert rest.startswith(b"[")
    words = ("tool", "task", "difficulty", "residency", "session", "metadata")
    for word in (*(f"{told}-{word}" for word in words), f"{told}_field"):
        assert word.encode() in decision, word
    assert [body for body in shapes if told.lower().encode() in body.lower()] == []
    assert len(shapes) == 2
