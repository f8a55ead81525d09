"""Row O3 and its neighbours: shares of a rollout are exact, sticky, and the same for ever."""

import math

import msgspec
import pytest

from interlock.route.arms import point, shared
from interlock.route.decide import decide, encode_decision, hash_world
from interlock.route.memory import Memory
from interlock.route.snapshot import snapshot
from interlock.types.world import ActiveAlias, Canary, World
from tests.route.pool import NOW, ask, config

MANY = 10_000


def world(weight, sticky_by="session", rollout="rol_1"):
    canary = Canary(rollout=rollout, version=2, model="big", weight=weight, sticky_by=sticky_by)
    return World(aliases={"stable": ActiveAlias(version=1, model="mid")}, rollouts={"stable": canary})


def arm(number, state, made, **signals):
    return decide(
        id=f"dec_{number}",
        now=NOW,
        signals=ask(**signals),
        snapshot=made,
        world=state,
        world_hash="w",
        draw=number / MANY,
    )


@pytest.mark.parametrize("weight", [0.0, 0.05, 0.25, 0.5, 1.0])
def test_o3_of_ten_thousand_requests_exactly_those_below_the_weight_are_on_the_canary(weight):
    state, made = world(weight), snapshot(config())
    memory = Memory(made, state, "w")
    canary = state.rollouts["stable"]
    expected = sum(point(canary, ask(), f"dec_{n}", n / MANY) < weight for n in range(MANY))
    decided = (memory.decide(id=f"dec_{n}", now=NOW, signals=ask(), draw=n / MANY) for n in range(MANY))
    found = sum(one.route is not None and one.route.arm == "canary" for one in decided)
    assert found == expected
    if weight in (0.0, 1.0):
        assert found == weight * MANY
    assert abs(found / MANY - weight) <= 4 * math.sqrt(weight * (1 - weight) / MANY)


def test_what_is_remembered_is_what_is_decided_under_a_rollout_too():
    for weight in (0.0, 0.3, 1.0):
        state, made = world(weight), snapshot(config())
        memory = Memory(made, state, "w")
        for number in range(200):
            known = memory.decide(id=f"dec_{number}", now=NOW, signals=ask(), draw=number / MANY)
            assert encode_decision(known) == encode_decision(arm(number, state, made))


def test_a_share_that_rises_only_moves_requests_to_the_canary():
    made = snapshot(config())
    before = {n for n in range(500) if arm(n, world(0.2), made).route.arm == "canary"}
    after = {n for n in range(500) if arm(n, world(0.6), made).route.arm == "canary"}
    assert before < after


def test_another_rollout_draws_anew():
    made = snapshot(config())
    one = [arm(n, world(0.5), made).route.arm for n in range(200)]
    other = [arm(n, world(0.5, rollout="rol_2"), made).route.arm for n in range(200)]
    assert one != other


@pytest.mark.parametrize(
    ("sticky_by", "signals"),
    [
        ("key", [{"key": f"k{n}", "tenant": "t"} for n in range(40)]),
        ("user", [{"metadata": {"user": f"u{n}"}} for n in range(40)]),
        ("user", [{"metadata": {"user_id": f"u{n}"}} for n in range(40)]),
    ],
)
def test_shares_stick_to_keys_and_users_whatever_the_draw(sticky_by, signals):
    state, made = world(0.5, sticky_by), snapshot(config())
    arms = [{arm(n, state, made, **given).route.arm for n in range(6)} for given in signals]
    assert all(len(seen) == 1 for seen in arms)
    assert {next(iter(seen)) for seen in arms} == {"canary", "stable"}


@pytest.mark.parametrize("share", [0.0, 0.1, 1.0])
def test_o3_a_share_of_copies_is_exact_and_independent_of_the_arm(share):
    canary = world(0.5).rollouts["stable"]
    copied = [shared(canary, "shadow", ask(), f"dec_{n}", n / MANY) < share for n in range(MANY)]
    if share in (0.0, 1.0):
        assert sum(copied) == share * MANY
        return
    assert abs(sum(copied) / MANY - share) <= 4 * math.sqrt(share * (1 - share) / MANY)
    stable = [point(canary, ask(), f"dec_{n}", n / MANY) >= 0.5 for n in range(MANY)]
    both = sum(map(all, zip(copied, stable, strict=True)))
    assert abs(both / MANY - share / 2) <= 4 * math.sqrt(share / 2 / MANY)


def test_copies_stick_to_what_their_rollout_sticks_to():
    canary = world(0.5, "key").rollouts["stable"]
    places = {shared(canary, "shadow", ask(key="a"), f"dec_{n}", n / MANY) for n in range(20)}
    assert len(places) == 1


def test_two_tenants_with_a_key_of_one_name_are_two():
    canary = world(0.5, "key").rollouts["stable"]
    assert point(canary, ask(key="a", tenant="x"), "d", 0.1) != point(
        canary, ask(key="a", tenant="y"), "d", 0.1
    )


def test_by_request_the_session_does_not_count():
    state, made = world(0.5, "request"), snapshot(config())
    points = {point(state.rollouts["stable"], ask(session="s"), f"dec_{n}", 0.3) for n in range(40)}
    assert len(points) == 40
    arms = {arm(n, state, made, session="s").route.arm for n in range(40)}
    assert arms == {"canary", "stable"}


def test_without_a_rollout_of_its_alias_a_decision_is_what_it_was():
    made = snapshot(config())
    other = World(rollouts={"hard": Canary(rollout="r", version=2, model="mid", weight=1, sticky_by="key")})
    for asked in ("stable", "mid", "cheap"):
        one = decide(
            id="d", now=NOW, signals=ask(asked), snapshot=made, world=World(), world_hash="w", draw=0.5
        )
        two = decide(
            id="d", now=NOW, signals=ask(asked), snapshot=made, world=other, world_hash="w", draw=0.5
        )
        assert encode_decision(one) == encode_decision(two)


def test_a_world_from_before_there_were_rollouts_still_reads():
    old = b'{"aliases":{"stable":{"version":1,"model":"mid"}},"latency_ms":{}}'
    assert msgspec.json.decode(old, type=World).rollouts == {}
    assert hash_world(world(0.5)) != hash_world(world(0.6))
