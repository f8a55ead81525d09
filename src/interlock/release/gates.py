"""Whether a release may go on: has the alias's gate passed for exactly this change?"""

from pathlib import Path
from typing import Final

from interlock.config.checked import Config
from interlock.errors import ConfigError, InterlockError
from interlock.evals.identity import change_of, identity_hash
from interlock.evals.loading import load_suite
from interlock.evals.record import SECRET, GateRecord, Signed, find_passing
from interlock.evals.suite import Suite
from interlock.store.sqlite import Store

_PAST: Final = "a reason (`--override REASON`) goes past it and is kept in the audit log"


class GateFailed(InterlockError):  # noqa: N818  # it says what is the case
    """No record lets this release through; `hint` says how to get one."""

    def __init__(self, problem: str, *, hint: str) -> None:
        self.problem = problem
        self.hint = hint
        super().__init__(problem)


def permit(
    store: Store, config: Config, folder: Path, alias: str, to_model: str, *, override: str | None
) -> str | None:
    """The id of the gate record that lets a model be the alias's next version.

    None where there is no gate, or a reason to go past it. `folder` is where the config's paths begin. Reads
    suites and the store, so it blocks. Raises GateFailed.
    """
    gate = config.gates.get(alias)
    if gate is None or override:
        return None
    state = store.aliases()[alias]
    baseline = state.identity
    if baseline is None and state.model in config.models:
        baseline = identity_hash(config, state.model)
    record = None
    if baseline is not None:
        record = passing_record(store, config, gate_suites(config, folder, alias), alias, baseline, to_model)
    if record is None:
        first = gate.suites[0] if gate.suites else "SUITE"
        raise GateFailed(
            f"`{alias}` has a gate, and no record of `{to_model}` passing it against version {state.active}",
            hint=f"`interlock gate {first} --alias {alias} --to {to_model}` runs it; {_PAST}",
        )
    return record.id


def gate_suites(config: Config, folder: Path, alias: str) -> tuple[Suite, ...]:
    """The suites that an alias's gate names. Raises GateFailed where one cannot be read."""
    try:
        return tuple(load_suite(folder / config.evals[name].suite) for name in config.gates[alias].suites)
    except (ConfigError, KeyError):
        raise GateFailed(
            f"a suite of the gate of `{alias}` cannot be read", hint=f"`interlock check` says why; {_PAST}"
        ) from None


def passing_record(
    store: Store, config: Config, suites: tuple[Suite, ...], alias: str, baseline: str, to_model: str
) -> GateRecord | None:
    """The newest record in a store that lets exactly this change through; None: there is none.

    `baseline` is the identity (its hash) of what answers now; `suites` are the gate's own, as they are now.
    """
    kept = (Signed(body=row.body, signature=row.signature) for row in store.gate_records(alias))
    return find_passing(kept, change_of(config, suites, alias, baseline, to_model), store.secret(SECRET))
