"""Starting a rollout and looking at one: what the server and the command line share."""

from pathlib import Path
from typing import Any

import msgspec

from interlock.config.checked import Config
from interlock.errors import ApiError
from interlock.evals.identity import identity_hash, identity_text
from interlock.release.gates import permit
from interlock.rollout.plan import plan_of
from interlock.store.aliases import StaleVersion, rfc3339
from interlock.store.rollouts import StoredRollout, Wanted
from interlock.store.sqlite import Store


def wanted(
    store: Store,
    config: Config,
    folder: Path,
    *,
    name: str,
    alias: str,
    to_model: str,
    plan: str,
    if_version: int | None,
    override: str | None,
) -> Wanted:
    """A rollout that may begin; `name` is its id. Reads suites and the store, so it blocks.

    Raises GateFailed, StaleVersion, and ApiError for names that stand for nothing.
    """
    if alias not in config.aliases:
        raise ApiError("not_found", f"there is no alias `{alias}`", param="alias")
    if to_model not in config.models:
        raise ApiError("unknown_model", f"`{to_model}` is no model of the pool", param="to")
    if plan not in config.rollouts:
        known = ", ".join(f"`{one}`" for one in config.rollouts) or "none"
        raise ApiError(
            "not_found", f"there is no plan `{plan}`", hint=f"`rollouts` has {known}", param="plan"
        )
    state = store.aliases()[alias]
    if if_version not in (None, state.active):
        raise StaleVersion(alias, state.active)
    model = config.models[to_model]
    if state.model == to_model or state.identity == identity_hash(model):
        raise ApiError("conflict", f"`{to_model}` is what answers under `{alias}` already", param="to")
    return Wanted(
        id=name,
        alias=alias,
        model=to_model,
        identity=identity_text(model),
        plan=plan_of(plan, config.rollouts[plan]),
        if_version=state.active,  # what was gated is the change from this version
        gate=permit(store, config, folder, alias, to_model, override=override),
        override=override or None,
    )


def shown(row: StoredRollout) -> dict[str, Any]:
    """A rollout as it is answered. `guardrails` are the latest verdicts, `evidence` those that ended it."""
    progress = row.progress
    return {
        "id": row.id,
        "alias": row.alias,
        "from_version": row.from_version,
        "to_version": row.to_version,
        "candidate": row.candidate,
        "state": progress.state,
        "step": progress.step,
        "weight": row.weight,
        "waits_for": progress.waits_for,
        "why": progress.why,
        "plan": row.plan.name,
        "steps": [{"weight": step.weight, "for_ms": _ms(step.for_us)} for step in row.plan.steps],
        "sticky_by": row.plan.sticky_by,
        "guardrails": msgspec.to_builtins(row.findings)
        or [_unjudged(check) for check in row.plan.guardrails],
        "evidence": None if row.evidence is None else msgspec.to_builtins(row.evidence),
        "by": row.by,
        "reason": row.reason,
        "started_at": rfc3339(row.started_at),
        "since": rfc3339(progress.since),
    }


def _ms(microseconds: int | None) -> float | None:
    return None if microseconds is None else microseconds / 1000


def _unjudged(check: Any) -> dict[str, Any]:
    return {"metric": check.metric, "verdict": "undecided", "why": "not looked at yet"}
