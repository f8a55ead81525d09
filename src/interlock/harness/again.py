"""Runs an alias's gate again over what is active, and compares it with the run that let it pass.

A vendor may change what answers under a name and say nothing. So each case is asked anew, and its answer set
beside the one that was kept when the version passed: the same cases, the same model, another day.
"""

from collections.abc import Iterator

from msgspec import Struct

from interlock.config.checked import Config, decode
from interlock.evals.checks import all_checks, judge
from interlock.evals.identity import change_of, digest, identity_hash
from interlock.evals.measures import Table
from interlock.evals.record import SECRET, GateRecord, Signed, verify
from interlock.evals.suite import Suite
from interlock.harness.gating import Gated, keep, side_of, table_of, verdict_of
from interlock.harness.running import NOT_KEPT, Harness, Run
from interlock.server.ids import Clock, fresh_name
from interlock.store.aliases import AliasState, StaleVersion
from interlock.store.sqlite import Store

NOTHING_BEFORE = "there was nothing to compare with; the next run is compared with this one"


class Before(Struct, frozen=True, kw_only=True):
    """What a version was when it passed: the record, and its candidate's runs, suite by suite."""

    record: GateRecord
    runs: tuple[Run, ...]


async def run_again(
    harness: Harness,
    store: Store,
    config: Config,
    suites: tuple[Suite, ...],
    *,
    alias: str,
    version: int,
    run: str,
    by: str,
) -> Gated:
    """Run the suites of an alias's gate with its model, judge against its past, sign and keep the record.

    `run` names the samples: a run that was cut short goes on with those that it has. Policy may have changed
    since with good reason, so there is no check of drift. Raises StaleVersion where `version` is active no
    more as it begins; what moves the alias later changes nothing of what is compared.
    """
    state = store.aliases()[alias]
    if state.active != version:
        raise StaleVersion(alias, state.active)
    model = state.model
    runs = [await harness.run(suite, model, run) for suite in suites]
    before = await _before(harness, store, config, suites, state)
    old_runs = list(before.runs) if before is not None else []
    new = table_of(runs)
    old = table_of(old_runs) if before is not None else Table(families={}, values={})
    checks = config.gates[alias].checks
    findings = judge(all_checks(checks, new, old), new, old)
    verdict, why = verdict_of(findings, has_checks=bool(checks))
    if before is None and verdict != "fail":
        verdict, why = "inconclusive", NOTHING_BEFORE
    record = GateRecord(
        id=f"gate_{fresh_name()}",
        at=Clock().now(),
        by=by,
        alias=alias,
        verdict=verdict,
        why=why,
        change=change_of(config, suites, alias, identity_hash(config, model), model),
        suites={suite.name: suite.hash for suite in suites},
        config_hash=config.config_hash,
        policy_hash=config.policy_hash,
        baseline=side_of(config, model, old_runs),
        candidate=side_of(config, model, runs),
        checks=findings,
        run=run,
        again=before.record.id if before is not None else None,
    )
    await keep(store, config, record)
    return Gated(
        record=record, runs=tuple(zip(runs, old_runs or runs, strict=True)), candidate=new, baseline=old
    )


async def _before(
    harness: Harness, store: Store, config: Config, suites: tuple[Suite, ...], state: AliasState
) -> Before | None:
    """The run that let the version of `state` pass; else the first one over it that did not fail."""
    for record in _records(store, config, state):
        body = store.get_config(record.config_hash)
        if body is None or any(record.suites.get(suite.name) != suite.hash for suite in suites):
            continue
        then = decode(body)
        runs = [await harness.kept(suite, record.candidate.model, then, record.run) for suite in suites]
        found = tuple(one for one in runs if one is not None)
        if len(found) == len(suites) and _are_of(record, found):
            return Before(record=record, runs=found)
    return None


def _are_of(record: GateRecord, runs: tuple[Run, ...]) -> bool:
    """Whether samples are those that a record has signed, where that can be told: all suites, all cases."""
    if len(record.suites) != len(runs) or any(one.error == NOT_KEPT for run in runs for one in run.samples):
        return True
    return record.candidate.samples == digest([run.digest for run in runs])


def _records(store: Store, config: Config, state: AliasState) -> Iterator[GateRecord]:
    """The records that may say what a version was, the best one first. Edited ones are none."""
    secret = store.secret(SECRET)
    kept = (
        verify(Signed(body=row.body, signature=row.signature), secret)
        for row in store.gate_records(state.name)
    )
    history = store.alias_history(state.name)
    now = identity_hash(config, state.model)
    records = [record for record in kept if record is not None and record.change.candidate == now]
    assert history is not None, "the alias is there"
    version = history.versions[state.active - 1]
    yield from (record for record in records if record.id == version.gate)
    for record in reversed(records):
        if record.run is not None and record.verdict != "fail":
            yield record
