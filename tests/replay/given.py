"""A small config built by hand, and requests decided under it."""

import msgspec

from interlock.config.checked import Config, Deployment, Model, Provider
from interlock.config.written import Fallback, Price
from interlock.replay import Place
from interlock.route.decide import decide, hash_world
from interlock.route.snapshot import snapshot
from interlock.types.record import Attempt, Record
from interlock.types.signals import Signals
from interlock.types.world import World


def provider(name, region, trusted_for="internal"):
    deployment = Deployment(id=name, provider=name, base_url=f"http://{name}.test/v1", regions=(region,))
    return Provider(name=name, kind="openai", vendor=name, deployments=(deployment,), trusted_for=trusted_for)


def model(name, where, **fields):
    return Model(name=name, provider=where, upstream=name, **fields)


EMPTY = World()
OLD = Config(
    providers={"home": provider("home", "eu", "regulated"), "away": provider("away", "us")},
    models={
        "small": model("small", "home", price=Price(input=1, output=2)),
        "large": model("large", "away", price=Price(input=10, output=20)),
    },
    aliases={"prod": "large"},
    fallbacks=(Fallback(from_="*", to="small", when="not_permitted"),),
    config_hash="old",
)
SMALL = Place(provider="home", model="small", region="eu")
LARGE = Place(provider="away", model="large", region="us")


def but(config=OLD, **fields):
    return msgspec.structs.replace(config, **fields)


def recorded(config=OLD, world=EMPTY, *, tokens=(1000, 500), **signals):
    """A request decided under a config, and answered with so many tokens by the model that was chosen."""
    decision = decide(
        id="dec_1",
        now="2026-11-23T09:00:00.000000Z",
        signals=Signals(**{"model": "prod", "input_tokens": 900, **signals}),
        snapshot=snapshot(config),
        world=world,
        world_hash=hash_world(world),
        draw=0.4,
    )
    if decision.route is None or tokens is None:
        return Record(decision=decision, status="denied")
    attempt = Attempt(
        provider=decision.route.provider,
        model=decision.route.model,
        outcome="ok",
        started_at=decision.created_at,
        latency_ms=10,
        input_tokens=tokens[0],
        output_tokens=tokens[1],
    )
    return Record(decision=decision, status="ok", attempts=(attempt,))
