"""Runs a gate: the same cases for candidate and baseline, every check judged, the record signed and kept."""

from msgspec import Struct
from msgspec.structs import replace

from interlock.config.checked import Config, encode
from interlock.evals.checks import Finding, Verdict, all_checks, judge, overall, policy_drift
from interlock.evals.identity import Change, digest, identity
from interlock.evals.measures import Scored, Table, tabulate
from interlock.evals.record import SECRET, GateRecord, Side, sign
from interlock.evals.sample import Posture
from interlock.evals.suite import Suite
from interlock.harness.running import Harness, Run
from interlock.server.ids import Clock, fresh_name
from interlock.store.evals import StoredGate
from interlock.store.sqlite import Store
from interlock.wiring import now_us

NO_CHECKS = "the gate has no checks of its own, so nothing says what a release must keep"


class Gated(Struct, frozen=True, kw_only=True):
    """A gate's record and the runs that it comes from."""

    record: GateRecord
    runs: tuple[tuple[Run, Run], ...]
    candidate: Table
    baseline: Table


async def run_gate(
    harness: Harness,
    store: Store,
    config: Config,
    suites: tuple[Suite, ...],
    *,
    about: Change,
    baseline: str,
    candidate: str,
    by: str,
) -> Gated:
    """Run all suites with both models, judge, sign and keep the record. `config` is the one with its
    fallbacks.
    """
    runs = [(await harness.run(suite, candidate), await harness.run(suite, baseline)) for suite in suites]
    new, old = table_of([run for run, _ in runs]), table_of([run for _, run in runs])
    gate = config.gates.get(about.alias)
    own = gate.checks if gate is not None else ()
    findings = (
        *judge(all_checks(own, new, old), new, old),
        policy_drift(_postures([run for run, _ in runs]), _postures([run for _, run in runs])),
    )
    verdict, why = verdict_of(findings, has_checks=bool(own))
    record = GateRecord(
        id=f"gate_{fresh_name()}",
        at=Clock().now(),
        by=by,
        alias=about.alias,
        verdict=verdict,
        why=why,
        change=about,
        suites={suite.name: suite.hash for suite in suites},
        config_hash=config.config_hash,
        policy_hash=config.policy_hash,
        baseline=side_of(config, baseline, [run for _, run in runs]),
        candidate=side_of(config, candidate, [run for run, _ in runs]),
        checks=findings,
    )
    await keep(store, config, record)
    return Gated(record=record, runs=tuple(runs), candidate=new, baseline=old)


async def keep(store: Store, config: Config, record: GateRecord) -> None:
    """Sign a record and add it to the store, where it stays, with the config that it names."""
    # Not waited for: the store has it before anything that comes after.
    store.put_config(config.config_hash, encode(config), policy_hash=config.policy_hash, by="gate")
    signed = sign(record, store.secret(SECRET))
    row = StoredGate(
        id=record.id,
        at=now_us(),
        alias=record.alias,
        verdict=record.verdict,
        body=signed.body,
        signature=signed.signature,
    )
    await store.put_gate_record(row, actor=record.by)


def verdict_of(findings: tuple[Finding, ...], *, has_checks: bool) -> tuple[Verdict, str]:
    """A gate's verdict, and why: the worst finding there is."""
    verdict = overall(findings)
    if verdict == "pass" and not has_checks:
        return "inconclusive", NO_CHECKS
    worst = [finding for finding in findings if finding.verdict == verdict]
    if verdict == "pass" or not worst:
        return verdict, f"all {len(findings)} checks are shown to hold"
    first = worst[0]
    more = f" and {len(worst) - 1} more" if len(worst) > 1 else ""
    family = f" of family `{first.family}`" if first.family is not None else ""
    return verdict, f"`{first.metric}`{family}: {first.why}{more}"


def table_of(runs: list[Run]) -> Table:
    """All suites' cases in one table; a case is named by its suite too, for two may have the same id."""
    tables = [tabulate(_named(run)) for run in runs]
    values: dict[str, dict[str, float | None]] = {}
    for table in tables:
        for measure, cases in table.values.items():
            values.setdefault(measure, {}).update(cases)
    return Table(families={k: v for table in tables for k, v in table.families.items()}, values=values)


def _named(run: Run) -> list[Scored]:

    return [
        replace(row, sample=replace(row.sample, case=f"{run.suite.name}/{row.sample.case}"))
        for row in run.scored
    ]


def _postures(runs: list[Run]) -> dict[str, Posture | None]:
    return {f"{run.suite.name}/{sample.case}": sample.posture for run in runs for sample in run.samples}


def side_of(config: Config, model: str, runs: list[Run]) -> Side:
    """One of the two that were compared, for the record."""
    entry = config.models[model]
    return Side(
        model=model,
        version=entry.version,
        identity=identity(config, model),
        cases=sum(len(run.suite.cases) for run in runs),
        samples=digest([run.digest for run in runs]),
    )
