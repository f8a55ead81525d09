"""`interlock gate --again`: is what is active still what it was when it passed?"""

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from interlock.cli.context import actor, opened
from interlock.cli.evaluating import (
    check_budget,
    check_judges,
    find_suite,
    folder_for,
    run_with_harness,
)
from interlock.cli.gate import Options, budget_of, shown
from interlock.cli.output import Stop
from interlock.config.problems import suggest
from interlock.errors import InterlockError, StoreError

if TYPE_CHECKING:
    from interlock.config import Loaded
    from interlock.evals.suite import Suite
    from interlock.harness.gating import Gated
    from interlock.harness.running import Harness
    from interlock.store.sqlite import Store
    from interlock.store.watches import Again

LEASE_US: Final = 60_000_000
RENEW_S: Final = 15.0


def run_again(loaded: "Loaded", alias: str, options: Options) -> int:
    """Run the gate of an alias over what is active; the exit status. Raises Stop where it cannot be run."""
    from interlock.harness.reporting import write_gate
    from interlock.server.ids import fresh_name
    from interlock.store.releasing import begin_gate, end_gate

    suites = _suites(loaded, alias)
    check_judges(loaded, suites)
    with opened(loaded) as store:
        _check_active(loaded, store, alias)
        watched = loaded.config.watch.get(alias)
        own = watched.gate.budget_usd if watched is not None and watched.gate is not None else None
        budget = next((one for one in (options.budget_usd, own) if one is not None), budget_of(suites))
        check_budget(loaded, store, budget, [store.aliases()[alias].model], suites)
        holder = fresh_name()
        begun = begin_gate(store, alias, f"again_{fresh_name()}", holder, LEASE_US).result()
        if begun is None:
            raise Stop(
                f"the gate of `{alias}` is running over what is active already",
                where="--again",
                hint="wait for its verdict: `interlock alias watch`",
            )
        try:
            gated = _run(loaded, store, suites, begun, holder, budget, options.concurrency)
        except InterlockError as error:
            why = f"it could not be run: {error}"
            end_gate(store, begun, holder, record=None, verdict="inconclusive", why=why).result()
            raise
        record = gated.record
        end_gate(store, begun, holder, record=record.id, verdict=record.verdict, why=record.why).result()
    return shown(
        write_gate(folder_for(loaded, options.out, f"again-{alias}"), gated), as_json=options.as_json
    )


def _run(
    loaded: "Loaded",
    store: "Store",
    suites: tuple["Suite", ...],
    begun: "Again",
    holder: str,
    budget_usd: float | None,
    concurrency: int,
) -> "Gated":
    from interlock.harness import again

    async def work(harness: "Harness") -> "Gated":
        staying = asyncio.create_task(stay(store, begun, holder))
        try:
            return await again.run_again(
                harness,
                store,
                loaded.config,
                suites,
                alias=begun.alias,
                version=begun.version,
                run=begun.run,
                by=actor(),
            )
        finally:
            staying.cancel()
            with suppress(asyncio.CancelledError):
                await staying

    return run_with_harness(loaded, store, work, budget_usd=budget_usd, concurrency=concurrency)


async def stay(store: "Store", begun: "Again", holder: str, every_s: float = RENEW_S) -> None:
    """Keep a run one's own, until that is cancelled or it is somebody else's.

    A store that cannot be written now is tried again: the lease outlasts some tries, and whether the run is
    still one's own is asked when it ends.
    """
    from interlock.store.releasing import renew_gate

    mine = True
    while mine:
        await asyncio.sleep(every_s)
        with suppress(StoreError):
            mine = await renew_gate(store, begun, holder, LEASE_US)


def _suites(loaded: "Loaded", alias: str) -> tuple["Suite", ...]:
    gate = loaded.config.gates.get(alias)
    if gate is None:
        known = list(loaded.config.gates)
        raise Stop(f"`{alias}` has no gate", where="--again", hint=suggest(alias, known))
    return tuple(find_suite(loaded, one) for one in gate.suites)


def _check_active(loaded: "Loaded", store: "Store", alias: str) -> None:
    """Raises Stop where the pool has not what answers under the alias any more."""
    from interlock.evals.identity import identity_hash

    state = store.aliases()[alias]
    config = loaded.config
    if state.model not in config.models or state.identity not in (None, identity_hash(config, state.model)):
        raise Stop(
            f"`{state.model}` is not what answers under version {state.active} any more",
            where=alias,
            hint="put its entry back, and give what is new an entry of its own",
        )
