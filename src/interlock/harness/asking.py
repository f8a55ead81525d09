"""One request on the way that every request takes: understood, decided, executed, recorded. No HTTP in
between.
"""

import time
from asyncio import get_running_loop
from collections.abc import Mapping
from typing import Any, Final

import msgspec
from msgspec import Struct

from interlock.classify import classify
from interlock.config.alone import without_fallbacks
from interlock.config.checked import encode
from interlock.config.loading import Loaded
from interlock.dialects import DIALECTS
from interlock.evals.sample import Posture, State, Turn
from interlock.execute.executor import Execution
from interlock.measures import EVALS_TENANT
from interlock.resilience.health import Health
from interlock.route.ask import model_of
from interlock.server.ids import Clock, draw, fresh_name, fresh_nonce
from interlock.server.records import to_row
from interlock.server.state import State as Running
from interlock.server.state import make_state
from interlock.server.turns import state_of, turn_of
from interlock.store.sqlite import Store
from interlock.types.decision import Decision
from interlock.types.request import AnyPart
from interlock.types.signals import Caller
from interlock.wiring import put_world, services, world_of

CALLER: Final = Caller(key="eval", tenant=EVALS_TENANT, role="operator")
"""Who asks in a run. A tenant of its own, so that nobody's budgets, sessions and figures are touched."""
NO_KEYS: Final = b""
"""The secret that callers' keys are hashed with: nobody authenticates here."""
_HOUR_NS: Final = 3_600_000_000_000


class Asked(Struct, frozen=True, kw_only=True):
    """How one request went. `parts` is the whole answer, empty where there is none."""

    turn: Turn
    state: State
    posture: Posture
    parts: tuple[AnyPart, ...] = ()
    error: str | None = None


class Asker:
    """Asks under one config and world, in one event loop. Close it.

    Without fallbacks: an answer of another model than the one that is measured would say nothing about it.
    """

    def __init__(self, loaded: Loaded, store: Store) -> None:
        config = without_fallbacks(loaded.config)
        world = world_of(store)
        # Kept like every config that decided something; who brought it is not the operator's file.
        store.put_config(config.config_hash, encode(config), policy_hash=config.policy_hash, by="eval")
        self.config = config
        self._store = store
        self._clock = Clock()
        self._state: Running = make_state(config, loaded.secrets, world, NO_KEYS, Health())
        self._services = services(now=self._clock.now, fresh=fresh_nonce)
        put_world(store, self._state.world_hash, world)

    def models_behind(self, name: str) -> tuple[str, ...]:
        """The models of the pool that a name stands for now: one, or those of a lane."""
        snapshot, world = self._state.setting.snapshot, self._state.setting.world
        lane = snapshot.lanes.get(name.removeprefix("lane:")) if name.startswith("lane:") else None
        names = (name,) if lane is None else (*lane.models, *(step.model for step in lane.cascade))
        found = (model_of(one, snapshot, world) for one in names)
        return tuple(model for model in found if model is not None)

    async def close(self) -> None:
        await self._services.transport.close()

    async def ask(self, model: str, body: Mapping[str, Any], headers: Mapping[str, str]) -> Asked:
        """Ask a model (or an alias, a lane). Raises ApiError for a request that cannot be understood."""
        request = DIALECTS["openai-chat"].decode_request(
            msgspec.json.encode({**body, "model": model}), headers
        )
        nanoseconds = time.time_ns()
        signals = classify(
            request,
            CALLER,
            self.config,
            endpoint="/v1/chat/completions",
            hour_utc=nanoseconds // _HOUR_NS % 24,
            cannot_carry=self._state.cannot_carry(request),
        )
        name = f"dec_{fresh_name()}"
        decision = self._state.memory.decide(
            id=name, now=self._clock.at(nanoseconds), signals=signals, draw=draw(CALLER.tenant, name)
        )
        if decision.route is None:
            await self._store.put_record(to_row(decision, "denied"))
            return _denied(decision)
        execution = Execution(
            request, decision, self._state.setting, self._services, get_running_loop().time()
        )
        try:
            await execution.run_whole()
        finally:
            execution.release()
        await self._store.put_record(to_row(decision, execution.status, execution))
        return _asked(decision, execution)


def posture_of(decision: Decision) -> Posture:
    """What policy made of a request, as far as no other model should change it."""
    policy, route = decision.policy, decision.route
    return Posture(
        served=route is not None,
        rules=decision.why.rules,
        data_class=policy.data_class,
        safety_mode=policy.safety_mode,
        layout=policy.layout,
        logging=policy.logging,
        tools_denied=tuple(sorted(tool.tool for tool in policy.tools_denied)),
        approvals=tuple(sorted(policy.requires_approval_for)),
        region=route.region if route is not None else None,
    )


def _denied(decision: Decision) -> Asked:
    why = decision.why.denied or "no model may serve it"
    turn = Turn(decision_id=decision.id, error=why)
    return Asked(turn=turn, state="unavailable", posture=posture_of(decision), error=why)


def _asked(decision: Decision, execution: Execution) -> Asked:
    answer, turn = execution.answer, turn_of(decision, execution)
    return Asked(
        turn=turn,
        state=state_of(execution.error, turn),
        posture=posture_of(decision),
        parts=answer.parts if answer is not None else (),
        error=turn.error,
    )
