"""Records to explain: complete ones, built by hand."""

import msgspec

from interlock.types.decision import (
    Budgets,
    Decision,
    Dropped,
    Escalation,
    FallbackStep,
    PolicyOutcome,
    Provenance,
    Route,
    ToolDenied,
    Why,
)
from interlock.types.record import Attempt, Record, Validation
from interlock.types.signals import Finding, Signals

ROUTE = Route(
    provider="openai",
    model="gpt-5.4",
    version="2026-03-01",
    alias="prod-stable",
    alias_version=7,
    region="us",
    lane=None,
)
POLICY = PolicyOutcome(
    risk_tier="low",
    data_class="internal",
    latency_class="interactive",
    trust="trusted",
    safety_mode="standard",
    layout="plain",
    logging="full",
)
DECISION = Decision(
    id="dec_one",
    created_at="2026-11-23T03:00:00.000000Z",
    route=ROUTE,
    budgets=Budgets(),
    policy=POLICY,
    fallbacks=(),
    cascade=(),
    why=Why(rules=(), selected_by="alias"),
    signals=Signals(model="prod-stable", input_tokens=12),
    provenance=Provenance(
        config_hash="c0ffee0123456789",
        policy_hash="beef0123456789ab",
        prices_version="2026-11",
        router_version="rules",
        world_hash="0123456789abcdef",
        draw=0.25,
    ),
)
OK = Attempt(
    provider="openai",
    model="gpt-5.4",
    outcome="ok",
    started_at="2026-11-23T03:00:00.000100Z",
    latency_ms=820.4,
    region="us",
    ttft_ms=210.2,
    input_tokens=12,
    output_tokens=40,
    cost_usd=0.000648,
)


def record(decision=DECISION, status="ok", attempts=(OK,), cost_usd=0.000648, **fields):
    return Record(decision=decision, status=status, attempts=attempts, cost_usd=cost_usd, **fields)


def decided(**fields):
    return msgspec.structs.replace(DECISION, **fields)


def plain():
    return record()


def stayed_home():
    """Regulated data: the alias's model is left out, one at home stands in and answers on its second try."""
    home = Route(
        provider="onprem",
        model="local-small",
        version="2",
        alias="prod-stable",
        alias_version=7,
        region="eu",
        lane="support-triage",
    )
    decision = decided(
        route=home,
        budgets=Budgets(
            max_input_tokens=1500,
            max_output_tokens=300,
            max_tool_calls_by_effect={"write": 1},
            unattended={"write": 0},
            deadline_ms=30000,
            max_attempts=3,
            max_cost_usd=0.01,
        ),
        policy=PolicyOutcome(
            risk_tier="high",
            data_class="regulated",
            latency_class="interactive",
            trust="untrusted",
            safety_mode="strict",
            layout="fenced",
            logging="strict",
            tools_allowed=("kb_retrieve", "email_send"),
            tools_denied=(
                ToolDenied(tool="deploy", rule="untrusted-content", why="its effect critical is denied"),
            ),
            requires_approval_for=("email_send",),
            escalation=(Escalation(when="low_score", to="prod-hard"),),
        ),
        fallbacks=(
            FallbackStep(provider="onprem", model="local-large", when="timeout_or_5xx", region="eu"),
            FallbackStep(
                provider="onprem", model="local-wide", when="context_length", from_="local-small", region="eu"
            ),
        ),
        why=Why(
            rules=("regulated-stays-home", "untrusted-content"),
            selected_by="alias",
            dropped=(
                Dropped(
                    model="gpt-5.4",
                    rule="regulated-stays-home",
                    why="vendor `openai` is not among `onprem`",
                ),
            ),
            limits={
                "max_input_tokens": "latency class interactive",
                "max_output_tokens": "lane support-triage",
                "deadline_ms": "latency class interactive",
                "max_attempts": "latency class interactive",
                "max_cost_usd": "the request",
                "max_tool_calls_by_effect.write": "rule writes",
                "unattended.write": "key dev",
            },
        ),
        signals=Signals(
            model="prod-stable",
            stream=True,
            input_tokens=812,
            input_tokens_estimated=True,
            tools=("kb_retrieve", "email_send", "deploy"),
            needs=("tools",),
            data_class="regulated",
            trust="untrusted",
            risk_tier="medium",
            tenant="acme",
            key="dev",
            residency=("eu",),
            findings=(Finding(kind="payment_card", where="messages[0].parts[0]", count=2),),
        ),
    )
    failed = Attempt(
        provider="onprem",
        model="local-small",
        outcome="connect_failed",
        started_at="2026-11-23T03:00:00.000100Z",
        latency_ms=1.2,
        region="eu",
        detail="connection refused",
    )
    served = msgspec.structs.replace(
        OK, provider="onprem", model="local-large", region="eu", cost_usd=0.0, latency_ms=2100
    )
    return record(
        decision,
        attempts=(failed, served),
        cost_usd=0.0,
        validation=Validation(verdict="passed", checks=("json_schema of the lane support-triage",)),
        outcome={"success": True, "score": 0.9, "override": None},
    )


def refused():
    """Nobody may serve it."""
    why = "`gpt-5.4`: vendor `openai` is not among `onprem` (regulated-stays-home)"
    return record(
        decided(
            route=None,
            why=Why(
                rules=("regulated-stays-home",),
                selected_by="alias",
                dropped=(
                    Dropped(
                        model="gpt-5.4",
                        rule="regulated-stays-home",
                        why="vendor `openai` is not among `onprem`",
                    ),
                ),
                denied=why,
                denied_code="policy_denied",
            ),
        ),
        status="denied",
        attempts=(),
        cost_usd=None,
    )


def all_failed():
    """Every attempt failed; tokens and cost are unknown."""
    failed = msgspec.structs.replace(
        OK,
        outcome="upstream_error",
        status=503,
        ttft_ms=None,
        input_tokens=None,
        output_tokens=None,
        cost_usd=None,
        latency_ms=180_000,
    )
    return record(
        status="failed", attempts=(failed,), cost_usd=None, error="upstream_failed: every model failed"
    )
