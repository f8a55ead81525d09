"""Consistency: identical requests under one alias version and one config take one route.

What may move one, and nothing else: another version, world or config; the hour, where a rule asks for it; by
a lane's `weighted` order its session (without one, itself); by a rollout what the rollout sticks to.
"""

from itertools import pairwise

from hypothesis import assume, given
from hypothesis import strategies as st
from msgspec.structs import replace

from interlock.config.checked import Lane
from interlock.route.decide import decide, hash_world
from interlock.route.memory import Memory
from interlock.route.snapshot import snapshot
from interlock.server.ids import draw
from interlock.types.world import ActiveAlias, Canary, World
from tests.route.pool import ALIASES, MODELS, ask, config, fallback, rule

ORDERS = ("first", "cheapest", "fastest", "best", "learned")
NAMES = (*ALIASES, *MODELS)
LANES = st.builds(
    Lane,
    name=st.sampled_from(("triage", "code")),
    match=st.sampled_from(({"task": "triage"}, {"tools": {"any": ["search"]}}, {"data_class": "internal"})),
    models=st.lists(st.sampled_from(NAMES), min_size=1, max_size=4, unique=True).map(tuple),
    select=st.sampled_from(ORDERS),
)
RULES = st.lists(
    st.sampled_from(
        [
            rule("eu", {"residency": "eu"}, regions=["eu"]),
            rule("close", {"data_class": {"gte": "confidential"}}, vendors=["onprem", "anthropic"]),
            rule("free", {"user_tier": "free"}, models=["cheap", "stable"], max_output_tokens=100),
            rule("pinned", {"metadata": {"workflow": "close"}}, pin="mid"),
            rule("small", {"input_tokens": {"lte": 500}}, max_cost_usd=0.01),
            rule("chosen", {"difficulty": "hard"}, lane="code"),
        ]
    ),
    unique_by=lambda one: one.name,
)
FALLBACKS = st.lists(
    st.sampled_from([fallback("*", "small", "not_permitted"), fallback("*", "claude", "timeout_or_5xx")]),
    unique_by=lambda one: one.to,
).map(tuple)
WORLDS = st.builds(
    lambda models, latencies: World(
        aliases={name: ActiveAlias(version=3, model=model) for name, model in models.items()},
        latency_ms=latencies,
    ),
    st.dictionaries(st.sampled_from(tuple(ALIASES)), st.sampled_from(tuple(MODELS))),
    st.dictionaries(st.sampled_from(tuple(MODELS)), st.sampled_from((100.0, 900.0))),
)
REQUESTS = st.builds(
    ask,
    model=st.sampled_from((*NAMES, "auto", "lane:triage", "lane:code")),
    input_tokens=st.sampled_from((10, 9000, 150_000)),
    tools=st.sampled_from(((), ("search",), ("deploy",))),
    data_class=st.sampled_from(("internal", "confidential", "regulated")),
    residency=st.sampled_from(((), ("eu",))),
    user_tier=st.sampled_from((None, "free")),
    task=st.sampled_from(("unknown", "triage")),
    difficulty=st.sampled_from(("unknown", "hard")),
    metadata=st.sampled_from(({}, {"workflow": "close"})),
)
CONFIGS = st.builds(
    lambda rules, lanes, fallbacks: config(*rules, lanes=tuple(lanes), fallbacks=fallbacks),
    RULES,
    st.lists(LANES, max_size=2, unique_by=lambda lane: lane.name),
    FALLBACKS,
)
MOMENTS = st.tuples(
    st.text("abcdef0123456789", min_size=4, max_size=8).map(lambda name: f"dec_{name}"),
    st.sampled_from(("2026-11-24T09:00:00.000000Z", "2027-01-01T00:00:00.000001Z")),
)


def taken(made, world, signals, moment, chance):
    """Everything that a decision makes of a request, but its name, its instant and its draw."""
    name, now = moment
    decision = decide(
        id=name,
        now=now,
        signals=signals,
        snapshot=made,
        world=world,
        world_hash=hash_world(world),
        draw=chance,
    )
    provenance = replace(decision.provenance, draw=0.0)
    return replace(decision, id="", created_at="", provenance=provenance)


@given(written=CONFIGS, world=WORLDS, signals=REQUESTS, moments=st.lists(MOMENTS, min_size=2, max_size=5))
def test_identical_requests_under_one_version_and_config_take_one_route(written, world, signals, moments):
    """Whatever they are called, whenever they come, whatever their draw: the whole decision is one."""
    made = snapshot(written)
    found = [taken(made, world, signals, moment, draw(signals.tenant, moment[0])) for moment in moments]
    assert all(one == other for one, other in pairwise(found))


@given(written=CONFIGS, world=WORLDS, signals=REQUESTS, moments=st.lists(MOMENTS, min_size=2, max_size=5))
def test_nor_does_it_matter_what_a_worker_has_decided_before(written, world, signals, moments):
    made = snapshot(written)
    warm = Memory(made, world, hash_world(world))
    for name, now in moments:
        for other in (signals, replace(signals, input_tokens=7), replace(signals, residency=("eu",))):
            warm.decide(id=name, now=now, signals=other, draw=0.3)
    name, now = moments[0]
    cold = Memory(made, world, hash_world(world)).decide(id=name, now=now, signals=signals, draw=0.3)
    assert warm.decide(id=name, now=now, signals=signals, draw=0.3) == cold


WEIGHED = config(
    lanes=(
        Lane(
            name="triage",
            match={"task": "triage"},
            models=("stable", "cheap", "claude"),
            select="weighted",
            weights={"stable": 0.4, "cheap": 0.4, "claude": 0.2},
        ),
    )
)


def routes(signals, subjects, state=World()):  # noqa: B008 - a frozen value
    """The routes of requests that differ in what their draw is taken from."""
    made = snapshot(WEIGHED)
    return [
        taken(
            made, state, signals, (f"dec_{number}", "2026-11-24T09:00:00.000000Z"), draw("acme", subject)
        ).route
        for number, subject in enumerate(subjects)
    ]


@given(session=st.text(min_size=1, max_size=20))
def test_by_weight_a_session_stays_where_its_hash_puts_it(session):
    assert len(set(routes(ask("lane:triage", session=session), [session] * 6))) == 1


def test_by_weight_requests_without_a_session_are_exempt_and_each_falls_for_itself():
    found = routes(ask("lane:triage"), [f"dec_{number}" for number in range(60)])
    assert len(set(found)) == 3


def test_a_named_alias_is_exempt_from_no_weight_even_where_its_lane_has_some():
    found = routes(ask("stable", task="triage"), [f"dec_{number}" for number in range(60)])
    assert len(set(found)) == 1


@given(
    weight=st.floats(0, 1), sticky_by=st.sampled_from(("session", "user", "key")), session=st.text(min_size=1)
)
def test_under_a_rollout_identical_requests_of_one_session_are_on_one_arm(weight, sticky_by, session):
    state = World(
        aliases={"stable": ActiveAlias(version=1, model="mid")},
        rollouts={
            "stable": Canary(rollout="rol_1", version=2, model="big", weight=weight, sticky_by=sticky_by)
        },
    )
    signals = ask("stable", session=session, key="k", metadata={"user": "u"})
    assert len(set(routes(signals, [session] * 6, state))) == 1


@given(written=CONFIGS, world=WORLDS, signals=REQUESTS, other=st.sampled_from(tuple(MODELS)))
def test_another_version_of_an_alias_moves_only_what_may_reach_it(written, world, signals, other):
    """A request whose decision names no version of an alias is where it was when the alias moves."""
    assume("hard" not in repr(written.lanes))
    assume(signals.model != "hard")
    moved = replace(world, aliases={**world.aliases, "hard": ActiveAlias(version=9, model=other)})
    made, moment = snapshot(written), ("dec_1", "2026-11-24T09:00:00.000000Z")
    before, after = taken(made, world, signals, moment, 0.5), taken(made, moved, signals, moment, 0.5)
    assert before.route == after.route
