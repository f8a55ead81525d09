"""`interlock alias`: the stable names that applications ask for, and what each stands for now."""

import difflib
from pathlib import Path
from typing import TYPE_CHECKING

import click

from interlock.cli.context import actor, common, load_config, now_us, opened
from interlock.cli.output import NO, Stop, say, table, write_json
from interlock.cli.times import shown_time

if TYPE_CHECKING:
    from interlock.config import Loaded
    from interlock.store.aliases import AliasHistory, AliasState
    from interlock.store.sqlite import Store
    from interlock.store.write import Write


@click.group("alias")
def command() -> None:
    """Show, promote and roll back aliases."""


@command.command("list")
@common
def list_aliases(config_file: Path | None, as_json: bool) -> None:
    """List every alias with its active version."""
    with opened(load_config(config_file)) as store:
        states = store.aliases()
    if as_json:
        for state in states.values():
            write_json(state)
        return
    table(
        ("alias", "active", "model"), ((state.name, state.active, state.model) for state in states.values())
    )


@command.command("history")
@click.argument("alias", metavar="A")
@common
def history(alias: str, config_file: Path | None, as_json: bool) -> None:
    """Show every version of an alias."""
    with opened(load_config(config_file)) as store:
        _show(_history(store, alias), as_json=as_json)


@command.command("promote")
@click.argument("alias", metavar="A")
@common
@click.option("--to", "model", required=True, metavar="M", help="The model of the pool to release.")
@click.option("--if-version", type=int, help="Only if this version is active now.")
@click.option("--override", metavar="REASON", help="Release without a passing gate; kept in the audit log.")
@click.option("--reason", help="Why, for the history.")
def promote(
    alias: str,
    config_file: Path | None,
    as_json: bool,
    model: str,
    if_version: int | None,
    override: str | None,
    reason: str | None,
) -> None:
    """Release a model as the next version of an alias.

    For an alias with a gate this needs a passing gate record, or --override REASON.
    """
    from interlock.evals.identity import identity_text

    loaded = load_config(config_file)
    check_model(loaded, model)
    with opened(loaded) as store:
        gate, seen = permitted(loaded, store, alias, model, override, if_version)
        write = store.promote(
            alias,
            model,
            if_version=seen,
            by=actor(),
            now=now_us(),
            reason=reason,
            gate=gate,
            override=override or None,
            identity=identity_text(loaded.config, model),
        )
        _finish(store, write, alias, as_json=as_json)


@command.command("rollback")
@click.argument("alias", metavar="A")
@common
@click.option(
    "--to", "version", type=int, metavar="N", help="The version to return to; default: the last one."
)
@click.option("--if-version", type=int, help="Only if this version is active now.")
@click.option("--reason", help="Why, for the history.")
def rollback(
    alias: str,
    config_file: Path | None,
    as_json: bool,
    version: int | None,
    if_version: int | None,
    reason: str | None,
) -> None:
    """Return an alias to an earlier version, at once. It needs no gate."""
    from interlock.release.pool import hashes

    loaded = load_config(config_file)
    with opened(loaded) as store:
        write = store.rollback(
            alias,
            version,
            if_version=if_version,
            by=actor(),
            now=now_us(),
            reason=reason,
            pool=hashes(loaded.config),
        )
        _finish(store, write, alias, as_json=as_json)


def check_model(loaded: "Loaded", model: str) -> None:
    """Raises Stop for what is no model of the pool."""
    config = loaded.config
    if model not in config.models:
        near = difflib.get_close_matches(model, config.models, n=1)
        hint = f"did you mean `{near[0]}`?" if near else f"the pool has {', '.join(config.models)}"
        raise Stop(f"`{model}` is not a model of the pool", where="--to", hint=hint)


def permitted(
    loaded: "Loaded", store: "Store", alias: str, model: str, override: str | None, if_version: int | None
) -> tuple[str | None, int | None]:
    """The gate record that lets a release through, and the version that it has to start from.

    Raises Stop where a gate has not passed for it.
    """
    from interlock.evals.identity import identity_hash
    from interlock.release.gates import GateFailed, permit

    state = store.aliases().get(alias)
    if state is None or alias not in loaded.config.gates or if_version not in (None, state.active):
        return None, if_version  # where something is wrong with it, the store says what
    if (state.model, state.identity) == (model, identity_hash(loaded.config, model)):
        return None, state.active
    try:
        gate = permit(store, loaded.config, loaded.path.parent, alias, model, override=override)
    except GateFailed as error:
        raise Stop(error.problem, where=alias, hint=error.hint, status=NO) from None
    return gate, state.active


@command.command("diff")
@click.argument("alias", metavar="A")
@click.argument("versions", metavar="[FROM [TO]]", type=int, nargs=-1)
@common
def diff(alias: str, versions: tuple[int, ...], config_file: Path | None, as_json: bool) -> None:
    """Show in what two versions of an alias differ: what really answers, part by part.

    Without numbers: the active version against the one before it; with one: that one against the active.
    """
    from interlock.evals.identity import differences

    with opened(load_config(config_file)) as store:
        found = _history(store, alias)
    if len(versions) > 2:
        raise Stop("two versions at most", where=" ".join(map(str, versions)))
    to = versions[1] if len(versions) == 2 else found.active
    start = versions[0] if versions else max(found.active - 1, 1)
    for number in (start, to):
        if not 1 <= number <= len(found.versions):
            raise Stop(f"alias `{alias}` has no version {number}", where=str(number))
    before, after = found.versions[start - 1], found.versions[to - 1]
    if before.identity is None or after.identity is None:
        raise Stop("what answered under one of them was not kept yet", where=f"{start}, {to}")
    changed = differences(before.identity, after.identity)
    if as_json:
        parts = [{"part": name, "before": was, "after": now} for name, (was, now) in changed.items()]
        write_json({"name": alias, "from": start, "to": to, "changes": parts})
        return
    say(f"{alias}: version {start} ({before.model}) to version {to} ({after.model})")
    table(("part", "before", "after"), ((name, was, now) for name, (was, now) in changed.items()))


@command.command("watch")
@click.argument("alias", metavar="A")
@common
def watch(alias: str, config_file: Path | None, as_json: bool) -> None:
    """Show what is watched of an alias after its release, what was seen, and its last alerts."""
    from interlock.release.afterwards import duties
    from interlock.release.watches import shown

    loaded = load_config(config_file)
    with opened(loaded) as store:
        _history(store, alias)
        duty = next((one for one in duties(store, loaded.config) if one.alias == alias), None)
        found = shown(store, alias, duty)
    if as_json:
        write_json(found)
        return
    say(f"{alias} is at version {found['version']}: {found['model']}, {found['requests']} requests seen")
    if duty is None:
        say(
            "nothing is watched: `watch` in the config says what; guardrails of a rollout go on by themselves"
        )
    names = ("metric", "bound", "verdict", "value", "baseline", "n", "why")
    table(names, ([row.get(name) for name in names] for row in found["guardrails"]))
    if found["gate"] is not None:
        gate = found["gate"]
        say(f"gate at {shown_time(gate['began_at'])}: {gate['verdict'] or 'under way'} {gate['why'] or ''}")
    for row in found["alerts"]:
        say(f"{shown_time(row['at'])} {row['kind']} {row['what']} of version {row['version']}: {row['did']}")


def _finish(store: "Store", write: "Write[AliasState]", alias: str, *, as_json: bool) -> None:
    """Wait for a change and show the alias as it is now."""
    from interlock.store.aliases import AliasError, StaleVersion
    from interlock.store.rollouts import RolloutUnderWay

    try:
        write.result()
    except StaleVersion as error:
        hint = f"look at `interlock alias history {alias}`, then name --if-version {error.active}"
        raise Stop(str(error), where=alias, hint=hint, status=NO) from None
    except RolloutUnderWay as error:
        hint = f"`interlock rollout abort {alias}` or `promote {alias}` ends it"
        raise Stop(str(error), where=alias, hint=hint, status=NO) from None
    except AliasError as error:
        raise Stop(str(error), where=alias, hint="see `interlock alias list`") from None
    _show(_history(store, alias), as_json=as_json)


def _history(store: "Store", alias: str) -> "AliasHistory":
    found = store.alias_history(alias)
    if found is None:
        raise Stop("there is no such alias", where=alias, hint="see `interlock alias list`")
    return found


def _show(found: "AliasHistory", *, as_json: bool) -> None:
    if as_json:
        write_json(found)
        return
    say(f"{found.name} is at version {found.active}: {found.model}")
    rows = (
        (
            f"{version.version}{' *' if version.version == found.active else ''}",
            version.model,
            shown_time(version.at),
            version.by,
            version.reason or version.override,
            version.gate,
        )
        for version in found.versions
    )
    table(("version", "model", "at (UTC)", "by", "reason", "gate"), rows)
