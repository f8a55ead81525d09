"""Configs that ran here: each is kept as it was written, can be compared, and can be gone back to."""

import asyncio
import json
import os
import pty
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml
from click.testing import CliRunner

from interlock.cli.app import cli
from interlock.config import load
from interlock.release import revisions
from interlock.release.past import Replay
from interlock.server.worker import TICK_S
from interlock.store import Store
from interlock.store import revisions as stored
from interlock.wiring import now_us
from tests.server.harness import CANARY, pool, serving, until
from tests.server.upstream import Upstream
from tests.server.vendors import chat

KEYS = {"ALPHA_KEY": f"{CANARY}-alpha", "BETA_KEY": f"{CANARY}-beta"}
OLD_KEY = "AKIA" + "2E0A8F3B244C9986"
STRICT = [{"name": "closed", "when": {"task": "unknown"}, "then": {"deny": "closed for the audit"}}]
GATED: dict[str, Any] = {
    "evals": {"basics": {"suite": "./suite.yaml"}},
    "gates": {"prod": {"suites": ["basics"], "checks": [{"metric": "task_success", "drop_at_most": 0.02}]}},
}
SUITE = """suite: basics
graders: [{kind: exact}]
cases:
  - {id: a, messages: [{role: user, content: x}]}
"""


def run(*arguments):
    return CliRunner().invoke(cli, arguments, catch_exceptions=False)


def told(*arguments):
    done = run(*arguments, "--json")
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def history():
    return [json.loads(line) for line in run("config", "history", "--json").stdout.splitlines()]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder in which configs run one after another; `begin` stands for a server that loads the file."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("INTERLOCK_CONFIG", raising=False)
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    return tmp_path


def write(**sections):
    text = yaml.safe_dump(pool("http://127.0.0.1:9", **sections), sort_keys=False)
    Path("interlock.yaml").write_text(text)
    return text


def begin(kind="reload", **sections):
    """The file with these sections begins to run."""
    text = write(**sections)
    note(kind)
    return text


def note(kind="reload"):
    store = Store.open("interlock.db", now=now_us)
    try:
        return revisions.note(store, load(Path("interlock.yaml"), os.environ), kind)
    finally:
        store.close()


def control_log():
    store = Store.open("interlock.db", now=now_us)
    try:
        assert store.verify_control_log() is None
        return [
            (action, json.loads(body))
            for action, body in store._rows("SELECT action, body FROM control_log ORDER BY seq")
        ]
    finally:
        store.close()


# --- a server -----------------------------------------------------------------------------------


async def test_start_and_each_reload_are_revisions_and_what_they_change_of_the_traffic_is_kept(folder):
    async with Upstream(chat(), chat(), chat()) as up, serving(folder, pool(up.url)) as server:
        for _ in range(3):
            assert (await server.chat()).status_code == 200
        server.write(pool(up.url, policy=STRICT))
        await until(lambda: server.gateway.reloads)
        assert (await server.chat()).status_code == 403
        store = server.gateway.store
        await until(lambda: store.read(stored.history)[0].effect is not None, 20)
        assert await server.reloader.reload(), "again, unchanged"
        newest, first = store.read(stored.history)
        assert (first.number, first.kind, first.effect) == (1, "start", None)
        assert (newest.number, newest.kind) == (2, "reload")
        assert newest.effect is not None
        effect = json.loads(bytes(newest.effect))
        assert effect["counts"]["refused"] == effect["changed"] >= 3
        assert effect["groups"][0]["rule"] == "closed"
        line = next(line for line in server.log if line["event"] == "config_effect")
        assert (line["revision"], line["changed"]) == (2, effect["changed"])


async def test_a_config_that_is_refused_is_no_revision(folder):
    async with serving(folder, pool("http://127.0.0.1:9")) as server:
        server.write(pool("http://127.0.0.1:9", default={"model": "nobody"}))
        assert not await server.reloader.reload()
        assert len(server.gateway.store.read(stored.history)) == 1


async def test_a_file_in_the_middle_of_being_written_is_left_alone(folder):
    async with serving(folder, pool("http://127.0.0.1:9")) as server:
        whole = yaml.safe_dump(pool("http://127.0.0.1:9", policy=STRICT), sort_keys=False)
        looker = server.reloader
        with server.file.open("w") as half:
            for place in range(0, len(whole), len(whole) // 7):
                half.write(whole[place : place + len(whole) // 7])
                half.flush()
                await looker.look()
        assert (server.gateway.reloads, server.gateway.reloads_failed) == (0, 0)
        await until(lambda: server.gateway.reloads == 1)


async def test_a_running_server_follows_a_rollback(folder):
    async with Upstream(chat(), chat()) as up, serving(folder, pool(up.url), KEYS) as server:
        server.write(pool(up.url, policy=STRICT))
        await until(lambda: server.gateway.reloads)
        assert (await server.chat()).status_code == 403
        done = await asyncio.to_thread(told, "config", "rollback", "--reason", "INC-3")
        assert (done["from"], done["to"], done["revision"]) == (2, 1, 3)
        assert done["replayed"]["counts"]["allowed"] == 1

        async def open_again():
            return (await server.chat()).status_code == 200

        await until(open_again)
        assert [(row["kind"], row["reason"]) for row in history()] == [
            ("rollback", "INC-3"),
            ("reload", None),
            ("start", None),
        ]
        assert server.gateway.state.config.config_hash == history()[0]["hash"] == history()[2]["hash"]


async def test_a_moved_alias_is_seen_at_the_next_look_and_a_changed_file_at_the_second(folder):
    """With four looks a second every worker follows within one. How long a look takes, the bench says."""
    assert TICK_S <= 0.25
    async with serving(folder, pool("http://127.0.0.1:9")) as server:
        other = Store.open(server.gateway.store.path, now=now_us)
        try:
            await other.promote("prod", "small", if_version=1, by="test", now=now_us())
        finally:
            other.close()
        await server.reloader.look()
        assert server.gateway.state.setting.world.aliases["prod"].version == 2
        server.write(pool("http://127.0.0.1:9", policy=STRICT))
        await server.reloader.look()
        await server.reloader.look()
        assert [rule.name for rule in server.gateway.state.config.rules] == ["closed"]


# --- no secret ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "keep",
    [
        lambda text: text.replace("${BETA_KEY}", "sk-canary-in-the-file"),
        lambda text: text + "# was: sk-canary-in-the-file\n# and: " + KEYS["ALPHA_KEY"],
        lambda text: text.replace("${BETA_KEY}", '"sk\\x2dcanary-in-the-file"'),
        lambda text: text + f"# until May it was: {OLD_KEY}\n",
    ],
    ids=["a key in its place", "a key in a comment", "in another spelling", "an old key in a comment"],
)
def test_a_file_that_holds_a_key_is_not_kept_and_no_key_is_in_the_store(folder, keep):
    begin("start")
    text = Path("interlock.yaml").read_text()
    Path("interlock.yaml").write_text(keep(text))
    if "was:" not in Path("interlock.yaml").read_text():
        assert note() is not None
    else:
        assert note().text_hash is None
    newest, first = history()
    assert (newest["file_kept"], first["file_kept"]) == (False, True)
    note()
    for file in folder.glob("interlock.db*"):
        data = file.read_bytes()
        assert b"canary-in-the-file" not in data
        assert OLD_KEY.encode() not in data
        assert KEYS["ALPHA_KEY"].encode() not in data
    store = Store.open("interlock.db", now=now_us)
    kept = store.read(lambda db: stored.text_of(db, 1))
    store.close()
    assert kept == text.encode()
    assert b"${ALPHA_KEY}" in kept, "a reference stays one"
    refused = run("config", "rollback", "2")
    assert (refused.exit_code, "its file was not kept" in refused.stderr) == (1, True)


# --- diff ---------------------------------------------------------------------------------------


def test_diff_shows_by_default_what_the_file_would_change_of_what_runs(folder):
    begin("start")
    assert told("config", "diff")["changes"] == []
    assert run("config", "diff", "--exit-code").exit_code == 0
    write(policy=STRICT)
    found = told("config", "diff")
    assert (found["from"], found["to"], found["replayed"]) == (1, "interlock.yaml", None)
    assert [(one["path"], one["before"]) for one in found["changes"]] == [("policy.closed", None)]
    assert "+- name: closed" in found["text"]
    shown = run("config", "diff", "--text")
    assert "policy.closed" in shown.stdout
    assert "+- name: closed" in shown.stdout
    assert run("config", "diff", "--exit-code").exit_code == 1


def test_diff_compares_revisions_and_files_by_name(folder):
    begin("start")
    begin(policy=STRICT)
    begin(aliases={"prod": "gpt", "beta": "small"})
    Path("other.yaml").write_text(write(metadata=["workflow"]))
    assert [one["path"] for one in told("config", "diff", "1", "2")["changes"]] == ["policy.closed"]
    assert [one["path"] for one in told("config", "diff", "1", "other.yaml")["changes"]] == ["metadata"]
    assert [one["path"] for one in told("config", "diff", "2", "3")["changes"]] == [
        "aliases.beta",
        "policy.closed",
    ]
    assert run("config", "diff", "9").exit_code == 2
    assert run("config", "diff", "1", "2", "3").exit_code == 2


def decided(*signals, config=None):
    """Requests that were decided under the file, as records."""
    import msgspec

    from interlock.route.decide import decide, hash_world
    from interlock.route.snapshot import snapshot
    from interlock.server.records import to_row
    from interlock.wiring import put_world, remember, world_of

    loaded = load(Path("interlock.yaml"), os.environ).config
    store = Store.open("interlock.db", now=now_us)
    remember(store, loaded)
    world = world_of(store)
    put_world(store, hash_world(world), world)
    for number, one in enumerate(signals):
        decision = decide(
            id=f"dec_{number}",
            now=f"2026-11-24T09:00:{number:02}.000000Z",
            signals=one,
            snapshot=snapshot(loaded),
            world=world,
            world_hash=hash_world(world) if one.task != "lost" else "lost",
            draw=0.5,
        )
        row = to_row(decision, "ok" if decision.route else "denied")
        if one.task == "broken":
            row = msgspec.structs.replace(row, decision=b"{}")
        store.put_record(row).result()
    store.close()


def test_diff_with_replay_says_what_is_newly_allowed_first_and_what_it_could_not_replay(folder):
    from interlock.types.signals import Signals

    begin("start", policy=STRICT)
    decided(
        *(Signals(model="prod", input_tokens=100) for _ in range(3)),
        Signals(model="prod", task="lost"),
        Signals(model="prod", task="broken"),
        Signals(model="prod", task="other"),
    )
    write(default={"model": "gpt"})
    found = told("config", "diff", "--replay")["replayed"]
    assert (found["decisions"], found["changed"], found["all_seen"]) == (4, 3, True)
    assert found["not_replayed"] == {
        "its world is not in the store": 1,
        "the record cannot be read": 1,
    }
    (group,) = found["groups"]
    assert (group["kind"], group["rule"], group["count"]) == ("allowed", "closed", 3)
    assert set(group["examples"]) == {"dec_0", "dec_1", "dec_2"}
    shown = run("config", "diff", "--replay").stdout
    assert "replayed: 3 of 4 decisions would differ" in shown
    assert shown.index("NEWLY ALLOWED") < shown.index("! 3 were refused and would be served")
    assert "not replayed: 1: its world is not in the store" in shown
    assert told("config", "diff", "--replay", "--last", "2")["replayed"]["all_seen"] is False
    assert told("config", "diff", "--replay", "--since", "2026-11-25")["replayed"]["decisions"] == 0
    assert run("config", "diff", "--replay", "--exit-code").exit_code == 1


async def test_what_no_caller_asked_is_not_replayed_and_is_none_of_the_last(folder):
    async with Upstream(chat(), chat()) as up, serving(folder, pool(up.url)) as server:
        for _ in range(2):
            await server.chat()
        store = server.gateway.store
        (ask, *_) = [row for row in store.each_record() if row.status == "ok"]
        for tenant in ("interlock-shadow", "interlock-evals"):
            await store.put_record(msgspec.structs.replace(ask, id=f"dec_{tenant}", tenant=tenant))
        config = server.gateway.state.config
        for last, seen, all_seen in ((None, 2, True), (2, 2, True), (1, 1, False)):
            effect = Replay(store, config, config, last=last).all()
            assert (effect.decisions, effect.all_seen) == (seen, all_seen)
    assert "0 of 2 decisions would change" in run("replay", "--against", "interlock.yaml").stdout


def test_an_alias_that_was_released_stays_where_it_is_whatever_the_file_says(folder):
    """The store has the truth about aliases, so a replay shows no move that will not come."""
    from interlock.types.signals import Signals

    begin("start")
    decided(Signals(model="prod"))
    write(aliases={"prod": "small"})
    found = told("config", "diff", "--replay")
    assert [one["path"] for one in found["changes"]] == ["aliases.prod"]
    assert found["replayed"]["changed"] == 0


# --- rollback -----------------------------------------------------------------------------------


def test_a_rollback_writes_the_very_file_back_keeps_a_backup_and_is_in_the_control_log(folder):
    first = begin("start")
    Path("interlock.yaml").chmod(0o640)
    second = begin(policy=STRICT)
    Path("held").hardlink_to("interlock.yaml")
    done = told("config", "rollback", "--reason", "INC-1")
    assert Path("held").read_text() == second, (
        "another file took its place, whoever reads it still has it whole"
    )
    assert Path("interlock.yaml").read_text() == first
    assert Path(done["backup"]).read_text() == second
    modes = {stat.S_IMODE(Path(name).stat().st_mode) for name in ("interlock.yaml", done["backup"])}
    assert modes == {0o640}
    assert [row["kind"] for row in history()] == ["rollback", "reload", "start"]
    assert history()[0]["by"].startswith("cli:")
    asked, rolled = control_log()[-2:]
    assert asked[0] == "config.rollback.asked"
    assert (asked[1]["from"], asked[1]["to"], asked[1]["reason"]) == (2, 1, "INC-1")
    assert (rolled[0], rolled[1]["revision"], rolled[1]["reason"]) == ("config.rollback", 3, "INC-1")
    assert not list(folder.glob(".*")), "nothing is left lying about"


def test_a_backup_is_never_written_over_for_it_may_be_the_only_copy(folder):
    begin("start")
    keyed = write().replace("${ALPHA_KEY}", OLD_KEY)
    Path("interlock.yaml").write_text(keyed)
    note()
    first = told("config", "rollback", "1")
    assert Path(first["backup"]).read_text() == keyed
    for broken in ("not: [valid\n", "nor: [this\n"):
        Path("interlock.yaml").write_text(broken)
        again = told("config", "rollback", "1")
        assert again["revision"] == first["revision"], "it runs already"
        assert Path(again["backup"]).read_text() == broken
    assert Path(first["backup"]).read_text() == keyed
    assert len(list(folder.glob("*.bak"))) == 3


def test_a_rollback_leaves_the_file_with_its_owner_or_is_refused(folder, monkeypatch):
    """By its group: whoever is not root can give a file to another group that they are in."""
    begin("start")
    second = begin(policy=STRICT)
    mine = Path("interlock.yaml").stat().st_gid
    other = 1234 if os.geteuid() == 0 else next((one for one in os.getgroups() if one != mine), None)
    if other is None:
        pytest.skip("whoever runs this is in one group only")
    os.chown("interlock.yaml", -1, other)
    with monkeypatch.context() as patched:
        patched.setattr(os, "fchown", refuse)
        refused = run("config", "rollback", "1")
    assert refused.exit_code == 1
    for part in ("interlock.yaml", "its owner could not be kept", "as the file's owner, or as root"):
        assert part in refused.stderr
    assert Path("interlock.yaml").read_text() == second
    assert not list(folder.glob("*.bak"))
    assert not list(folder.glob(".*"))
    assert len(history()) == 2
    done = told("config", "rollback", "1")
    assert {Path(name).stat().st_gid for name in ("interlock.yaml", done["backup"])} == {other}


def refuse(*_):
    raise PermissionError(1, "Operation not permitted")


def test_o7_a_rollback_that_is_asked_for_twice_is_done_once(folder):
    first = begin("start")
    begin(policy=STRICT)
    run("config", "rollback")
    again = told("config", "rollback")
    assert (again["revision"], again["backup"], again["changes"]) == (3, None, [])
    assert Path("interlock.yaml").read_text() == first
    assert len(history()) == 3


def test_a_rollback_can_go_to_any_revision_also_forward_again(folder):
    texts = [begin("start"), begin(policy=STRICT), begin(metadata=["a"])]
    for number in (1, 3, 2):
        told("config", "rollback", str(number))
        assert Path("interlock.yaml").read_text() == texts[number - 1]


def test_a_broken_file_does_not_keep_anybody_from_going_back(folder):
    good = begin("start")
    for bad in ("version: [", "models: 7\nstore: {url: 'sqlite:///interlock.db'}\n", ""):
        Path("interlock.yaml").write_text(bad)
        unclear = run("config", "rollback")
        assert unclear.exit_code == 1
        assert "interlock config rollback 1` puts back what does" in unclear.stderr
        assert Path(told("config", "rollback", "1")["file"]).read_text() == good


def test_a_rollback_to_what_could_not_run_today_is_refused_with_the_reason(folder, monkeypatch):
    begin("start")
    run("alias", "promote", "prod", "--to", "small")
    second = begin(models={"small": {"provider": "alpha"}}, aliases={"prod": "small"})
    begin(models={"large": {"provider": "alpha"}}, aliases={"prod": "large"}, default={"model": "large"})
    third = Path("interlock.yaml").read_text()
    run("alias", "promote", "prod", "--to", "large")
    refused = run("config", "rollback", "2", "--json")
    assert refused.exit_code == 1
    (problem,) = json.loads(refused.stdout)["error"]["problems"]
    assert problem["path"] == "aliases.prod"
    assert "the store has `large`" in problem["problem"]
    run("alias", "rollback", "prod", "--to", "2")
    monkeypatch.delenv("ALPHA_KEY")
    refused = run("config", "rollback", "2", "--json")
    (problem,) = json.loads(refused.stdout)["error"]["problems"]
    assert "`ALPHA_KEY` is not set" in problem["problem"]
    assert Path("interlock.yaml").read_text() == third
    assert second


def test_a_rollback_is_held_to_the_gates_of_today(folder):
    """Going back to an entry that an alias was released past would put an ungated model under it."""
    Path("suite.yaml").write_text(SUITE)
    begin("start", **GATED)
    config = pool("http://127.0.0.1:9", **GATED)
    config["models"]["gpt"]["upstream"] = "up-9"
    Path("interlock.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    run("alias", "promote", "prod", "--to", "gpt", "--override", "INC-4")
    note()
    refused = run("config", "rollback", "1", "--json")
    assert refused.exit_code == 1
    (problem,) = json.loads(refused.stdout)["error"]["problems"]
    assert "the gate of `prod` has not passed for that" in problem["problem"]
    assert len(history()) == 2


def test_a_rollback_that_would_load_something_else_than_what_ran_says_what(folder, monkeypatch):
    monkeypatch.setenv("PLACE", "eu")
    begin("start", providers={**pool("http://127.0.0.1:9")["providers"]})
    text = write()
    Path("interlock.yaml").write_text(text.replace("- eu", "- ${PLACE}"))
    assert note().number == 2
    begin(policy=STRICT)
    monkeypatch.setenv("PLACE", "us")
    refused = run("config", "rollback", "2")
    assert refused.exit_code == 1
    assert "`providers.alpha.deployments" in refused.stderr
    assert told("config", "rollback", "2", "--anyway")["to"] == 2
    assert history()[0]["hash"] != history()[2]["hash"], "what really runs is what is kept"


def test_of_two_who_change_the_config_at_once_the_second_is_told(folder):
    begin("start")
    begin(policy=STRICT)
    stale = run("config", "rollback", "1", "--if-revision", "1")
    assert (stale.exit_code, "--if-revision 2" in stale.stderr) == (1, True)
    store = Store.open("interlock.db", now=now_us)
    try:
        loaded = load(Path("interlock.yaml"), os.environ, data=store.read(lambda db: stored.text_of(db, 1)))
        target = store.read(stored.history)[-1]
        was = Path("interlock.yaml").read_bytes()
        begin(metadata=["a"])
        edited = Path("interlock.yaml").read_bytes()
        with pytest.raises(stored.StaleRevision):
            revisions.restore(store, loaded, was=was, to=target, newest=2, by="test", reason=None)
        with pytest.raises(revisions.FileChanged):
            revisions.restore(store, loaded, was=was, to=target, newest=3, by="test", reason=None)
        assert Path("interlock.yaml").read_bytes() == edited
        assert store.read(stored.history)[0].number == 3
    finally:
        store.close()
    assert not list(folder.glob("*.bak"))


KILLED = """
import os, pathlib, signal, sys
from interlock.config import load
from interlock.release import revisions
from interlock.server.worker import TICK_S
from interlock.store import Store, revisions as stored
from interlock.wiring import now_us
steps, step = int(sys.argv[1]), 0
def die(*_):
    global step
    step += 1
    if step == steps:
        os.kill(os.getpid(), signal.SIGKILL)
sys.setprofile(None)
path = pathlib.Path("interlock.yaml")
store = Store.open("interlock.db", now=now_us)
for name in ("fsync", "fchmod", "fdopen", "replace", "rename"):
    real = getattr(os, name)
    setattr(os, name, lambda *a, real=real, **k: (die(), real(*a, **k))[1])
store.writer._db.set_commit_hook(lambda: (die(), False)[1])
text, to = store.read(lambda db: (stored.text_of(db, 1), stored.find(db, 1)))
loaded = load(path, os.environ, data=text)
revisions.restore(store, loaded, was=path.read_bytes(), to=to, newest=2, by="test", reason="INC-5")
store.close()
print("done", step)
"""


def test_p5_a_rollback_killed_at_any_step_leaves_the_one_file_or_the_other_whole_and_its_intent_logged(
    folder,
):
    """After whichever, the config still runs, and the same rollback can be asked for again."""
    first, second = begin("start"), begin(policy=STRICT)
    original = Path("interlock.db").read_bytes()
    seen = set()
    for steps in range(1, 40):
        for file in folder.glob("interlock.db-*"):
            file.unlink()
        Path("interlock.db").write_bytes(original)
        Path("interlock.yaml").write_text(second)
        done = subprocess.run([sys.executable, "-c", KILLED, str(steps)], capture_output=True, check=False)
        text = Path("interlock.yaml").read_text()
        assert text in (first, second)
        seen.add(text)
        actions = [action for action, _ in control_log()]
        kinds = [row["kind"] for row in history()]
        if text == first:
            assert "config.rollback.asked" in actions
        if kinds[0] == "rollback":
            assert text == first, "what is noted has happened"
        load(Path("interlock.yaml"), os.environ)
        if done.returncode == 0:
            break
    else:
        pytest.fail("it never came to its end")
    assert steps > 8
    assert seen == {first, second}
    assert done.stdout.split()[0] == b"done"


def on_a_terminal(*arguments, typed):
    """A command on a pseudo-terminal; its exit status and what it said."""
    ours, theirs = pty.openpty()
    try:
        command = [sys.executable, "-m", "interlock.cli", *arguments]
        running = subprocess.Popen(command, stdin=theirs, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        os.write(ours, typed)
        said, _ = running.communicate(timeout=60)
    finally:
        os.close(ours)
        os.close(theirs)
    return running.returncode, said.decode()


def test_on_a_terminal_the_effect_is_shown_before_anything_happens_and_no_means_no(folder):
    begin("start")
    second = begin(policy=STRICT)
    status, said = on_a_terminal("config", "rollback", typed=b"n\n")
    assert (status, Path("interlock.yaml").read_text()) == (1, second)
    assert said.index("policy.closed") < said.index("replayed: 0 of 0") < said.index("Go back?")
    assert len(history()) == 2
    assert on_a_terminal("config", "rollback", typed=b"y\n")[0] == 0
    assert Path("interlock.yaml").read_text() != second
    assert on_a_terminal("config", "rollback", "2", "--yes", typed=b"")[0] == 0
    assert Path("interlock.yaml").read_text() == second
