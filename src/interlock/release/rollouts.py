"""Starting a rollout and looking at one: what the server and the command line share."""

from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from interlock.config.checked import Config
from interlock.errors import ApiError
from interlock.evals.identity import identity_hash, identity_text
from interlock.release.gates import permit
from interlock.release.graders import kept, read_graders
from interlock.rollout.plan import plan_of
from interlock.store import grades
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
    written = config.rollouts[plan]
    graders, problems = read_graders(config, plan, folder)
    if problems:
        raise ApiError(
            "conflict", str(problems[0]), hint="`interlock check` says what is wrong", param="plan"
        )
    if state.model == to_model or state.identity == identity_hash(config, to_model):
        raise ApiError("conflict", f"`{to_model}` is what answers under `{alias}` already", param="to")
    return Wanted(
        id=name,
        alias=alias,
        model=to_model,
        identity=identity_text(config, to_model),
        plan=plan_of(plan, written, kept(graders)),
        if_version=state.active,  # what was gated is the change from this version
        gate=permit(store, config, folder, alias, to_model, override=override),
        override=override or None,
    )


def figures_of(store: Store, row: StoredRollout) -> dict[str, Any]:
    """What a rollout's answers have been found to be: `grades` of both arms, and `shadow` (None: no copies).

    `unseen` is what copies and judges have cost together, and how many verdicts judges gave. A copy is sent,
    answered and failed, or refused by policy (`denied`), or left out (`dropped`, by why).
    """
    found = store.read(partial(grades.compared, rollout=row.id))
    counts = store.read(partial(grades.counts, rollout=row.id))
    figures: dict[str, Any] = {
        "grades": [_graded(one) | {"arm": one.arm} for one in found if one.arm != "shadow"],
        "unseen": {
            "cost_usd": round(counts.get(grades.SPENT, 0.0), 9),
            "cost_unknown": int(counts.get("cost_unknown", 0)),
            "max_cost_usd": row.plan.shadow_limits.max_cost_usd,
            "judged": int(counts.get("judged", 0)),
            "unjudged": int(counts.get("unjudged", 0)),
        },
        "shadow": None,
    }
    if not row.plan.shadow:
        return figures
    mark = "dropped:"
    copies = {
        "share": row.plan.shadow,
        **{name: int(counts.get(name, 0)) for name in ("sent", "answered", "failed", "denied")},
        "dropped": {
            name.removeprefix(mark): int(count) for name, count in counts.items() if name.startswith(mark)
        },
        "comparisons": [
            _graded(one) | {"live": one.live, "n_live": one.n_live} for one in found if one.arm == "shadow"
        ],
    }
    return figures | {"shadow": copies}


def _graded(one: grades.Comparison) -> dict[str, Any]:
    return {"grader": one.grader, "value": one.value, "n": one.n, "unknown": one.unknown}


def shown(store: Store, row: StoredRollout) -> dict[str, Any]:
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
        **figures_of(store, row),
        "by": row.by,
        "reason": row.reason,
        "started_at": rfc3339(row.started_at),
        "since": rfc3339(progress.since),
    }


def _ms(microseconds: int | None) -> float | None:
    return None if microseconds is None else microseconds / 1000


def _unjudged(check: Any) -> dict[str, Any]:
    return {"metric": check.metric, "verdict": "undecided", "why": "not looked at yet"}
