"""Finished records, for what is computed of them."""

from typing import Any

from interlock.types.decision import Budgets, Decision, PolicyOutcome, Provenance, Route, Why
from interlock.types.record import Attempt, Record
from interlock.types.signals import Signals

AT = "2026-11-26T09:00:00.000000Z"


def decision(
    *,
    name: str = "dec_1",
    tenant: str = "acme",
    endpoint: str = "/v1/chat/completions",
    alias_version: int = 1,
    routed: bool = True,
    **signals: Any,
) -> Decision:
    route = Route(
        provider="alpha",
        model="gpt",
        version=None,
        alias="prod",
        alias_version=alias_version,
        region="eu",
        lane=None,
    )
    policy = PolicyOutcome(
        risk_tier="low",
        data_class="internal",
        latency_class="interactive",
        trust="trusted",
        safety_mode="standard",
        layout="plain",
        logging="full",
    )
    return Decision(
        id=name,
        created_at=AT,
        route=route if routed else None,
        budgets=Budgets(),
        policy=policy,
        fallbacks=(),
        cascade=(),
        why=Why(rules=(), selected_by="alias"),
        signals=Signals(model="prod", tenant=tenant, endpoint=endpoint, **signals),
        provenance=Provenance(
            config_hash="c", policy_hash="p", prices_version="1", router_version="r", world_hash="w", draw=0.5
        ),
    )


def attempt(**changes: Any) -> Attempt:
    fields: dict[str, Any] = {
        "provider": "alpha",
        "model": "gpt",
        "outcome": "ok",
        "started_at": AT,
        "latency_ms": 100.0,
        "input_tokens": 10,
        "output_tokens": 5,
    }
    return Attempt(**(fields | changes))


def record(**changes: Any) -> Record:
    fields: dict[str, Any] = {
        "decision": decision(),
        "status": "ok",
        "attempts": (attempt(),),
        "cost_usd": 0.01,
        "budgets_used": {"deadline_ms": 120.0},
    }
    if changes.get("status") == "failed" and changes.get("budgets_used") == {}:
        fields["attempts"] = ()
    return Record(**(fields | changes))
