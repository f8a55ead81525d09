"""Rows made small hold what rows in full hold, byte for byte."""

from types import SimpleNamespace
from typing import Any

import apsw
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
from interlock.server.rows import Rows
from interlock.store import shapes
from interlock.store.records import written_row
from interlock.types.decision import Budgets, Decision, Dropped, Provenance, Why
from interlock.types.record import Attempt, Counted, Validation
from interlock.types.signals import Finding, Signals
from interlock.types.world import ActiveAlias, World
from tests.policy import strategies
from tests.policy.test_restriction import PARTS
from tests.route.pool import NOW, ask, config
from tests.server.harness import pool, serving
from tests.server.upstream import Upstream
from tests.server.vendors import chat

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
    def shapes(self) -> int:
        count: int = self.db.execute("SELECT count(*) FROM shapes").get
        return count


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


@pytest.mark.parametrize("field", Decision.__struct_fields__)
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
        for part, of in (("why", Why), ("signals", Signals), ("provenance", Provenance), ("budgets", Budgets))
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
    assert sizes[0] > 5 * sizes[2]
    assert kept.shapes == 1


def test_what_nobody_serves_is_kept_in_full():
    memory, kept = fresh(), Kept()
    for _ in range(3):
        decision, _ = kept.agrees(decided(memory, ask("nobody knows this")), status="denied")
        assert decision.startswith(b"{")


def test_shapes_stay_few_whatever_is_asked(monkeypatch):
    monkeypatch.setattr("interlock.server.rows.MOST", 4)
    memory, kept = fresh(), Kept()
    for number in range(20):
        for _ in range(3):
            kept.agrees(decided(memory, ask("big", team=f"team-{number}")))
    assert kept.shapes == 4


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


async def test_records_by_their_shapes_are_shown_explained_and_computed_again(tmp_path, monkeypatch):
    monkeypatch.setenv("ALPHA_KEY", "a")
    monkeypatch.setenv("BETA_KEY", "b")
    async with Upstream(chat("yes")) as up, serving(tmp_path, pool(up.url)) as server:
        names = []
        for number in range(4):
            names.append((await server.chat("hi " * number)).headers["x-interlock-decision-id"])
            server.gateway.refresh_world()  # another world by what was measured, and the same shape
        rows: list[Any] = server.gateway.store.read(
            lambda db: db.execute("SELECT decision, rest FROM records ORDER BY seq").fetchall()
        )
        sizes = [len(decision) + len(rest) for decision, rest in rows]
        assert [decision[:1] for decision, _ in rows] == [b"{", b"[", b"[", b"["]
        assert sizes[3] < 600
        assert sizes[0] > 2000
        shown = [(await server.client.get(f"/v1/decisions/{name}")).json() for name in names]
        assert [one["decision"]["id"] for one in shown] == names
        assert [one["attempts"][0]["outcome"] for one in shown] == ["ok"] * 4
        assert shown[0].keys() == shown[3].keys()
        assert shown[0]["decision"].keys() == shown[3]["decision"].keys()
    file = ["--config", str(tmp_path / "interlock.yaml")]
    told = CliRunner().invoke(cli, ["replay", "--verify", *file], catch_exceptions=False)
    assert "4 of 4 decisions" in told.output
    told = CliRunner().invoke(cli, ["explain", names[3], *file], catch_exceptions=False)
    assert told.exit_code == 0, told.output
