"""What a change of the pool means for aliases: who answers is part of a version, so it makes the next one.

An alias with a gate needs a passing record for that too. Without one the config is refused: a server that
runs keeps the one it has, and nothing that was never tested begins to answer because a file was saved.
"""

from pathlib import Path

import msgspec

from interlock.config.checked import Config
from interlock.errors import ConfigError, Problem
from interlock.evals.identity import differences, digest, identity, identity_hash, identity_text
from interlock.release.gates import GateFailed, permit
from interlock.store import releasing
from interlock.store.aliases import AliasState, PoolChange
from interlock.store.rollouts import live
from interlock.store.sqlite import Store
from interlock.wiring import now_us


def hashes(config: Config) -> dict[str, str]:
    """What each model of the pool is now: the hash of what really answers."""
    return {name: identity_hash(config, name) for name in config.models}


def follow_pool(store: Store, config: Config, path: Path) -> None:
    """Make the next version of every alias whose model is not what it was. May block.

    `path` is the config's file. Raises ConfigError, and changes nothing, where a gate has not passed for it.
    """
    releasing.follow_pool(store, changes_of(store, config, path), now=now_us())
    current = hashes(config)
    for row in store.read(live):
        found = store.alias_history(row.alias)
        candidate = found.versions[row.to_version - 1].identity if found is not None else None
        if candidate is not None and digest(candidate) != current.get(row.candidate):
            releasing.end_rollout(
                store, row.alias, f"the pool changed: `{row.candidate}` is not what was rolled out"
            )


def changes_of(store: Store, config: Config, path: Path) -> list[PoolChange]:
    """What `follow_pool` would do. Raises ConfigError like it."""
    changes: list[PoolChange] = []
    problems: list[Problem] = []
    states = store.aliases()
    for alias in config.aliases:
        state = states.get(alias)
        if state is None or state.model not in config.models:
            continue
        if state.identity == identity_hash(config, state.model):
            continue
        try:
            gate = None if state.identity is None else _permit(store, config, path.parent, state)
        except GateFailed:
            problems.append(
                Problem(
                    file=str(path),
                    path=f"models.{state.model}",
                    problem=f"it is not what answers under `{alias}` ({_changed(store, state, config)}), "
                    f"and the gate of `{alias}` has not passed for that",
                    hint="give what is new an entry of its own and gate it; or release it past the gate: "
                    f"`interlock alias promote {alias} --to {state.model} --override REASON`",
                )
            )
            continue
        changes.append(
            PoolChange(
                alias=alias,
                model=state.model,
                if_version=state.active,
                identity=identity_text(config, state.model),
                gate=gate,
                reason=f"the pool changed: {_changed(store, state, config)}",
            )
        )
    if problems:
        raise ConfigError(tuple(problems))
    return changes


def _permit(store: Store, config: Config, folder: Path, state: AliasState) -> str | None:
    return permit(store, config, folder, state.name, state.model, override=None)


def _changed(store: Store, state: AliasState, config: Config) -> str:
    """The parts that differ, in words: `version 1, now 2`."""
    history = store.alias_history(state.name)
    before = history.versions[state.active - 1].identity if history is not None else None
    if before is None:
        return "what answers is kept from here on"
    # Both sides as they come back from JSON, where a tuple is a list.
    after = msgspec.json.decode(msgspec.json.encode(identity(config, state.model)))
    return "; ".join(f"{name} {was}, now {now}" for name, (was, now) in differences(before, after).items())
