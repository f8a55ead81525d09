"""A remembered decision is the decision."""

import msgspec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from interlock.config.written import BudgetLimits, Rule
from interlock.route.decide import decide, encode_decision, hash_world
from interlock.route.memory import Memory
from interlock.route.snapshot import Snapshot, snapshot
from interlock.types.signals import Allow, Finding, Signals
from interlock.types.world import ActiveAlias, World
from tests.policy import strategies
from tests.policy.test_restriction import PARTS
from tests.route.pool import NOW, ask, config, rule

WORLD = World(aliases={"stable": ActiveAlias(version=3, model="claude")}, latency_ms={"big": 800})


def both(memory: Memory, made: Snapshot, signals: Signals, draw: float) -> tuple[bytes, bytes]:
    remembered = memory.decide(id="dec_1", now=NOW, signals=signals, draw=draw)
    computed = decide(
        id="dec_1",
        now=NOW,
        signals=signals,
        snapshot=made,
        world=WORLD,
        world_hash=hash_world(WORLD),
        draw=draw,
    )
    return encode_decision(remembered), encode_decision(computed)


def fresh(*rules: Rule) -> tuple[Memory, Snapshot]:
    made = snapshot(config(*rules, **PARTS))
    return Memory(made, WORLD, hash_world(WORLD)), made


# Near copies of one request: what a memory could take for the same.
_changes = st.fixed_dictionaries(
    {},
    optional={
        "input_tokens": st.integers(0, 20_000),
        "longest_input": st.sampled_from([None, 50, 9_000, 300_000]),
        "needs": st.sampled_from([(), ("embeddings",)]),
        "session": st.sampled_from([None, "s1", "s2"]),
        "data_class": st.sampled_from(["public", "internal", "confidential"]),
        "metadata": st.sampled_from([{}, {"workflow": "close"}]),
        "cannot_carry": st.sampled_from([{}, {"openai": ("seed",)}]),
        "allow": st.sampled_from([None, Allow(aliases=("stable",))]),
        "max_cost_usd": st.sampled_from([None, 0.001, 0.5]),
        "max_output_tokens": st.sampled_from([None, 10]),
        "tools": st.sampled_from([(), ("search",)]),
        "findings": st.sampled_from([(), (Finding(kind="email", where="messages[0]"),)]),
        "hour_utc": st.integers(0, 23),
        "model": st.sampled_from(["stable", "cheap", "auto"]),
    },
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    strategies.rules,
    strategies.signals,
    st.lists(st.tuples(_changes, st.floats(0, 1, exclude_max=True)), min_size=1, max_size=12),
)
def test_what_is_remembered_is_byte_for_byte_what_would_be_computed(rules, signals, variants):
    memory, made = fresh(*rules)
    for changes, draw in variants:
        for wanted in (signals, msgspec.structs.replace(signals, **changes)):
            remembered, computed = both(memory, made, wanted, draw)
            assert remembered == computed


def test_a_shape_is_decided_once_and_a_larger_request_again():
    memory, made = fresh(
        rule("short", max_input_tokens=500), rule("long", {"input_tokens": {"gte": 300}}, layout="fenced")
    )
    for tokens in (100, 50, 299, 300, 301, 500, 501, 100):
        remembered, computed = both(memory, made, ask("stable", input_tokens=tokens), 0.5)
        assert remembered == computed
    assert memory.known == 3  # below 300, 300 itself, above it


def test_a_batch_with_a_longer_text_is_decided_again():
    memory, made = fresh()
    for longest in (5, 8000, 9000, 5, None):
        wanted = ask("cheap", input_tokens=20_000, longest_input=longest)
        remembered, computed = both(memory, made, wanted, 0.5)
        assert remembered == computed


def test_it_forgets_rather_than_grow(monkeypatch):
    monkeypatch.setattr("interlock.route.memory.MOST", 3)
    memory, made = fresh()
    for number in range(10):
        both(memory, made, ask("stable", max_output_tokens=number + 1), 0.5)
    assert memory.known <= 3


def test_a_lot_is_drawn_for_each_request():
    from interlock.config.checked import Lane

    lane = Lane(name="x", models=("small", "big"), select="weighted", weights={"small": 0.5, "big": 0.5})
    made = snapshot(config(lanes=(lane,), latency_classes={"interactive": BudgetLimits(max_attempts=3)}))
    memory = Memory(made, WORLD, hash_world(WORLD))
    served = set()
    for n in range(20):
        remembered, computed = both(memory, made, ask("lane:x", lane="x"), n / 20)
        assert remembered == computed
        served.add(remembered.partition(b'"model":"')[2].partition(b'"')[0])
    assert served == {b"small", b"big"}


def test_c15_a_shape_that_is_too_large_to_keep_is_decided_alike_and_not_kept():
    memory, made = fresh()
    signals = ask(tools=tuple(f"t{number}" for number in range(1000)))
    decided = memory.afresh(id="dec_1", now=NOW, signals=signals, draw=0.5)
    assert memory.known == 0
    assert encode_decision(decided) == both(memory, made, signals, 0.5)[1]
