"""`interlock config history`, `diff` and `rollback`: the configs that ran here, and going back to one.

They work where the file cannot be used any more, for that is when one goes back.
"""

import difflib
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from msgspec import Struct

from interlock.cli.context import actor, common, find_config, now_us
from interlock.cli.output import NO, Stop, note, say, table, write_json
from interlock.cli.times import Since, rfc3339, shown_time

if TYPE_CHECKING:
    from interlock.config import Loaded
    from interlock.config.checked import Config
    from interlock.config.difference import Difference
    from interlock.replay.effect import Effect
    from interlock.store.revisions import Revision
    from interlock.store.sqlite import Store


class Side(Struct, frozen=True):
    """One of two configs that are compared. `text` None: its file was not kept."""

    name: str
    config: "Config"
    text: bytes | None
    revision: int | None = None


@contextmanager
def kept(path: Path) -> Iterator["Store"]:
    """The store that a config names, also where the config cannot be used.

    Raises Stop where there is none.
    """
    from interlock.config.loading import store_url
    from interlock.store.connect import locate
    from interlock.store.sqlite import Store

    file = locate(store_url(path, os.environ), path.parent)
    if not file.exists():
        raise Stop("no config has run here yet", where=str(file), hint="`interlock serve` runs one")
    store = Store.open(file, now=now_us)
    try:
        yield store
    finally:
        store.close()


@click.command("history")
@common
def history(config_file: Path | None, as_json: bool) -> None:
    """List the revisions of the config that ran on this store, newest first."""
    from interlock.store import revisions

    with kept(find_config(config_file)) as store:
        found = store.read(revisions.history)
    if as_json:
        for one in found:
            write_json(_row(one))
    elif found:
        table(
            ("revision", "since (UTC)", "how", "by", "reason", "config", "what it changed", "file"),
            (_cells(one) for one in found),
        )
    else:
        note("no config has run on this store yet")


def _row(one: "Revision") -> dict[str, Any]:
    return {
        "revision": one.number,
        "at": rfc3339(one.at),
        "kind": one.kind,
        "by": one.by,
        "reason": one.reason,
        "hash": one.hash,
        "policy_hash": one.policy_hash,
        "file_kept": one.text_hash is not None,
        "effect": one.effect,
    }


def _cells(one: "Revision") -> tuple[object, ...]:
    import msgspec

    effect = None if one.effect is None else msgspec.json.decode(one.effect)
    changed = None if effect is None else f"{effect['changed']} of {effect['decisions']} decisions"
    file = "kept" if one.text_hash is not None else "not kept"
    at = shown_time(rfc3339(one.at))
    return one.number, at, one.kind, one.by, one.reason, one.hash[:12], changed, file


@click.command("diff")
@click.argument("sides", metavar="[A [B]]", nargs=-1)
@common
@click.option("--text", "with_text", is_flag=True, help="The files, line by line, as well.")
@click.option("--replay", is_flag=True, help="Decide recorded requests under both.")
@click.option("--since", type=Since(), help="With --replay: only decisions since then (24h, 7d, an instant).")
@click.option("--last", type=click.IntRange(min=1), help="With --replay: this many, the newest (1000).")
@click.option("--exit-code", is_flag=True, help="Exit 1 where something differs, or could not be replayed.")
@click.pass_context
def diff(
    ctx: click.Context,
    sides: tuple[str, ...],
    config_file: Path | None,
    as_json: bool,
    with_text: bool,
    replay: bool,
    since: int | None,
    last: int | None,
    exit_code: bool,
) -> None:
    """Show in what two configs differ, part by part.

    A and B are numbers of revisions, or files; without them: from the newest revision to the file as it is
    now. --replay shows what B would do with the requests that were decided here, newly allowed ones first.
    """
    if len(sides) > 2:
        raise Stop("two configs at most", where=" ".join(sides))
    path = find_config(config_file)
    with kept(path) as store:
        before = _side(store, sides[0] if sides else None, path)
        after = _side(store, sides[1], path) if len(sides) == 2 else _file(path)
        found = _differences(before, after)
        effect = _replayed(store, before, after, since, last) if replay else None
    if as_json:
        write_json(_as_value(before, after, found, effect))
    else:
        say(f"from {before.name} to {after.name}")
        _show(found, _unified(before, after) if with_text else None, effect)
    differs = bool(found) if effect is None else bool(effect.changed or effect.not_replayed)
    ctx.exit(NO if exit_code and differs else 0)


def _side(store: "Store", name: str | None, path: Path) -> Side:
    """What a name on the command line stands for; None: the newest revision."""
    from interlock.store import revisions

    if name is not None and not name.isdecimal():
        return _file(Path(name))
    one = store.read(lambda db: revisions.find(db, int(name[:18])) if name else revisions.newest(db))
    if one is None:
        hint = "see `interlock config history`"
        raise Stop("there is no such revision", where=name or str(path), hint=hint)
    text = store.read(lambda db: revisions.text_of(db, one.number))
    return Side(f"revision {one.number}", _config_of(store, one), text, one.number)


def _config_of(store: "Store", one: "Revision") -> "Config":
    import msgspec

    from interlock.config.checked import decode

    body = store.get_config(one.hash)
    try:
        return decode(body or b"")
    except msgspec.DecodeError:
        hint = "it ran under an Interlock that this one cannot read"
        raise Stop("its config cannot be read", where=f"revision {one.number}", hint=hint) from None


def _file(path: Path) -> Side:
    from interlock.config import load

    loaded = load(path, os.environ)
    return Side(str(path), loaded.config, loaded.text)


def _differences(before: Side, after: Side) -> "tuple[Difference, ...]":
    from interlock.config.difference import differences

    return differences(before.config, after.config)


def _replayed(
    store: "Store", before: Side, after: Side, since: int | None = None, last: int | None = None
) -> "Effect":
    from interlock.release.past import Replay

    return Replay(store, before.config, after.config, since=since, last=last).all()


def _unified(before: Side, after: Side) -> list[str] | None:
    """The files line by line; None where one was not kept."""
    if before.text is None or after.text is None:
        return None
    was, now = (text.decode(errors="replace").splitlines() for text in (before.text, after.text))
    return list(difflib.unified_diff(was, now, before.name, after.name, lineterm=""))


def _as_value(
    before: Side, after: Side, found: "tuple[Difference, ...]", effect: "Effect | None"
) -> dict[str, Any]:
    text = _unified(before, after)
    return {
        "from": before.revision or before.name,
        "to": after.revision or after.name,
        "changes": found,
        "text": None if text is None else "\n".join(text),
        "replayed": effect,
    }


def _show(found: "tuple[Difference, ...]", text: list[str] | None, effect: "Effect | None") -> None:
    import msgspec

    def shown(value: object) -> str | None:
        return None if value is None else msgspec.json.encode(value).decode()

    if found:
        table(("path", "before", "after"), ((one.path, shown(one.before), shown(one.after)) for one in found))
    else:
        say("no difference")
    for line in text or ():
        say(line)
    if effect is not None:
        show_effect(effect)


def show_effect(effect: "Effect") -> None:
    """What a change does to recorded requests, in words; what it newly allows first."""
    from interlock.cli.explain import money
    from interlock.replay.effect import KINDS, WIDER

    sign = "-" if effect.cost_delta_usd < 0 else "+"
    unpriced = f" ({effect.unpriced} of them unpriced)" if effect.unpriced else ""
    more = "" if effect.all_seen else "; older ones were not looked at"
    say(
        f"replayed: {effect.changed} of {effect.decisions} decisions would differ; "
        f"cost {sign}{money(abs(effect.cost_delta_usd))}{unpriced}{more}"
    )
    for reason, count in effect.not_replayed.items():
        say(f"not replayed: {count}: {reason}")
    if effect.unseen:
        say(f"not seen by any replay: what `{'`, `'.join(effect.unseen)}` would make of the same requests")
    if effect.wider:
        say("NEWLY ALLOWED:")
    for kind, words in KINDS.items():
        groups = [group for group in effect.groups if group.kind == kind]
        if groups:
            say(f"{'! ' if kind in WIDER else '  '}{effect.counts[kind]} {words}")
            table(
                ("  what", "lane", "rule", "decisions", "cost", "for instance"),
                (
                    (
                        f"  {group.what}",
                        group.lane,
                        group.rule,
                        group.count,
                        _cost(group.cost_delta_usd, group.unpriced, group.count),
                        " ".join(group.examples),
                    )
                    for group in groups
                ),
            )
    if effect.ungrouped:
        say(f"{effect.ungrouped} more, of kinds too many to list")


def _cost(delta: float, unpriced: int, count: int) -> str:
    from interlock.cli.explain import money

    if unpriced == count:
        return "unknown"
    return f"{'-' if delta < 0 else '+'}{money(abs(delta))}" + (f" ({unpriced} unpriced)" if unpriced else "")


@click.command("rollback")
@click.argument("number", metavar="[N]", type=click.IntRange(min=1), required=False)
@common
@click.option("--if-revision", type=int, help="Only if this revision is the newest.")
@click.option("--reason", help="Why, for the history.")
@click.option("--yes", is_flag=True, help="Do not ask, on a terminal.")
@click.option("--anyway", is_flag=True, help="Also where what it loads today is not what ran then.")
def rollback(
    number: int | None,
    config_file: Path | None,
    as_json: bool,
    if_revision: int | None,
    reason: str | None,
    yes: bool,
    anyway: bool,
) -> None:
    """Write an earlier revision's file back; running servers take it within a second.

    Without N the last change is taken back. The file as it was is kept beside it. It has to pass
    `interlock check` as things are now, and what it would change of recorded requests is shown.
    """
    from interlock.release.revisions import FileChanged, restore
    from interlock.store.revisions import StaleRevision

    path = find_config(config_file)
    with kept(path) as store:
        was = path.read_bytes()
        newest = _newest(store, if_revision)
        target = _target(store, newest, number, was)
        loaded = _loaded_again(store, path, target, anyway=anyway)
        before = Side(f"revision {newest.number}", _config_of(store, newest), None, newest.number)
        after = Side(f"revision {target.number}", loaded.config, loaded.text, target.number)
        found, effect = _differences(before, after), _replayed(store, before, after)
        if not as_json:
            say(f"from {before.name} to {after.name}")
            _show(found, None, effect)
            if sys.stdin.isatty() and not yes and not click.confirm("Go back?", err=True):
                raise Stop("nothing was changed", where=str(path), status=NO)
        try:
            done = restore(store, loaded, was=was, to=target, newest=newest.number, by=actor(), reason=reason)
        except (StaleRevision, FileChanged) as error:
            hint = error.hint if isinstance(error, FileChanged) else "look again: `interlock config history`"
            raise Stop(str(error), where=str(path), hint=hint, status=NO) from None
    if as_json:
        value = _as_value(before, after, found, effect)
        backup = None if done.backup is None else str(done.backup)
        write_json({**value, "revision": done.revision.number, "file": str(path), "backup": backup})
    else:
        kept_at = "" if done.backup is None else f"; as it was: {done.backup.name}"
        say(f"{path} is that of revision {target.number} again (revision {done.revision.number}){kept_at}")


def _newest(store: "Store", if_revision: int | None) -> "Revision":
    from interlock.store import revisions

    newest = store.read(revisions.newest)
    if newest is None:
        raise Stop("no config has run here yet", hint="`interlock serve` runs one")
    if if_revision not in (None, newest.number):
        hint = f"look again, then name --if-revision {newest.number}"
        raise Stop(f"revision {newest.number} is the newest", hint=hint, status=NO)
    return newest


def _target(store: "Store", newest: "Revision", number: int | None, was: bytes) -> "Revision":
    """The revision to go back to. Raises Stop where it is not clear which one is meant.

    Without a number the last change is taken back, once: two who both pull the cord do not go back twice.
    """
    from interlock.store import revisions

    if number is None:
        kept_text = store.read(lambda db: revisions.text_of(db, newest.number))
        if kept_text not in (None, was):
            hint = f"`interlock config rollback {newest.number}` puts back what does"
            raise Stop("the file is not what runs", where=f"revision {newest.number}", hint=hint, status=NO)
        number = newest.number - (newest.kind != "rollback")
    target = store.read(lambda db: revisions.find(db, number))
    if target is None:
        hint = "see `interlock config history`"
        raise Stop("there is no such revision", where=str(number), hint=hint)
    return target


def _loaded_again(store: "Store", path: Path, target: "Revision", *, anyway: bool) -> "Loaded":
    """The file of a revision, checked as things are now. Raises Stop where it may not run."""
    from interlock.cli.check import against_store
    from interlock.config import load
    from interlock.config.difference import differences
    from interlock.errors import ConfigError
    from interlock.server.exposure import check_exposure
    from interlock.store import revisions

    where = f"revision {target.number}"
    text = store.read(lambda db: revisions.text_of(db, target.number))
    if text is None:
        hint = "it ran before files were kept, or a key stood in it; `interlock config diff` shows its parts"
        raise Stop("its file was not kept", where=where, hint=hint, status=NO)
    try:
        loaded = load(path, os.environ, data=text)
        check_exposure(loaded.config, loaded.config.server.host, path)
        wrong = tuple(problem for problem in against_store(loaded) if problem.severity == "error")
    except ConfigError as error:
        wrong = tuple(problem for problem in error.problems if problem.severity == "error")
    if wrong:
        raise Stop("it cannot run as things are now", where=where, status=NO, problems=wrong)
    other = differences(_config_of(store, target), loaded.config)
    if other and not anyway:
        paths = ", ".join(f"`{one.path}`" for one in other[:5])
        hint = "put that back first, or go there --anyway"
        raise Stop(f"what it loads now is not what ran then: {paths}", where=where, hint=hint, status=NO)
    return loaded
