"""Commands on a store: what is listed, explained, computed again, promoted and checked is what is there."""

import json
from pathlib import Path

import apsw
import msgspec
import pytest
from click.testing import CliRunner

from interlock import config
from interlock.cli.app import cli
from interlock.config.checked import encode as encode_config
from interlock.route.decide import decide, hash_world
from interlock.route.snapshot import snapshot
from interlock.server.records import to_row
from interlock.store.sqlite import Store
from interlock.types.signals import Signals
from interlock.types.world import ActiveAlias, World

CONFIG = """\
providers:
  home: {kind: openai, base_url: "http://127.0.0.1:9/v1", regions: [eu], trusted_for: regulated}
  away: {kind: openai, base_url: "http://127.0.0.1:9/v1", regions: [us]}
models:
  small:
    {provider: home, version: "1", context_tokens: 8000, max_output_tokens: 500, capabilities: [tools],
     price: {input: 1, output: 2}}
  large:
    {provider: away, version: "1", context_tokens: 8000, max_output_tokens: 500, capabilities: [tools],
     price: {input: 10, output: 20}}
aliases: {prod: large, cheap: small}
default: {model: prod}
fallbacks:
  - {from: "*", to: small, when: not_permitted}
policy:
  - {name: stay, when: {residency: eu}, then: {regions: [eu]}}
"""
GATED = (
    CONFIG
    + """\
evals: {basics: {suite: ./suite.yaml}}
gates: {prod: {suites: [basics], checks: [{metric: task_success, at_least: 0.9}]}}
"""
)
SEEN = {
    "dec_1": Signals(model="prod", input_tokens=1000),
    "dec_2": Signals(model="prod", input_tokens=1000, residency=("eu",)),
    "dec_3": Signals(model="nobody", input_tokens=1000),
}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with a config and a store that holds three decisions made under it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("INTERLOCK_CONFIG", raising=False)
    (tmp_path / "interlock.yaml").write_text(CONFIG)
    (tmp_path / "suite.yaml").write_text("suite: basics\n")
    loaded = config.load(tmp_path / "interlock.yaml", {}).config
    world = World(
        aliases={name: ActiveAlias(version=1, model=model) for name, model in loaded.aliases.items()}
    )
    store = Store.open(tmp_path / "interlock.db", now=lambda: 0)
    store.seed_aliases(loaded.aliases, now=0, by="test")
    store.put_config(
        loaded.config_hash, encode_config(loaded), policy_hash=loaded.policy_hash, by="test"
    ).result()
    store.put_world(hash_world(world), msgspec.json.encode(world)).result()
    for second, (name, signals) in enumerate(SEEN.items()):
        decision = decide(
            id=name,
            now=f"2026-11-24T09:00:0{second}.000000Z",
            signals=signals,
            snapshot=snapshot(loaded),
            world=world,
            world_hash=hash_world(world),
            draw=0.5,
        )
        store.put_record(to_row(decision, "dry_run" if decision.route else "denied")).result()
    store.close()
    return tmp_path


def run(*arguments):
    return CliRunner().invoke(cli, arguments, catch_exceptions=False)


def lines(*arguments):
    told = run(*arguments, "--json")
    assert told.stderr == ""
    return [json.loads(line) for line in told.stdout.splitlines()]


def test_decisions_are_listed_newest_first_and_whole(folder):
    found = lines("decisions")
    assert [row["decision"]["id"] for row in found] == ["dec_3", "dec_2", "dec_1"]
    assert [row["status"] for row in found] == ["denied", "dry_run", "dry_run"]
    assert found[2]["attempts"] == []
    assert found[2]["outcome"] is None


@pytest.mark.parametrize(
    ("filters", "ids"),
    [
        (("--status", "denied"), ["dec_3"]),
        (("--model", "small"), ["dec_2"]),
        (("--alias", "prod"), ["dec_2", "dec_1"]),
        (("--since", "2026-11-24T09:00:01Z"), ["dec_3", "dec_2"]),
        (("--limit", "1"), ["dec_3"]),
        (("--tenant", "other"), []),
    ],
    ids=["status", "model", "alias", "since", "limit", "tenant"],
)
def test_decisions_can_be_filtered(folder, filters, ids):
    assert [row["decision"]["id"] for row in lines("decisions", *filters)] == ids


def test_decisions_for_people_are_a_table(folder):
    shown = run("decisions").stdout
    assert "dec_1" in shown
    assert "away/large" in shown
    assert "unknown_model" in shown


def test_explain_names_the_model_that_was_meant_and_the_one_that_stands_in(folder):
    text = run("explain", "dec_2").stdout
    assert text.startswith("dec_2: decided only, nothing was sent; the choice was `small` of home in eu.\n")
    assert "`prod` is an alias (version 1) of `large`." in text
    assert "`large` may not serve this: data may be processed in `us`; allowed are `eu` (stay)." in text


def test_explain_as_json_is_the_record_with_the_bytes_that_were_decided(folder):
    (found,) = lines("explain", "dec_1")
    assert found["decision"]["route"]["model"] == "large"
    store = Store.open(folder / "interlock.db", now=lambda: 0)
    stored = store.get_record("dec_1")
    store.close()
    assert stored is not None
    assert stored.decision.decode() in run("explain", "dec_1", "--json").stdout


def test_a_decision_that_is_not_there_is_a_mistake_with_a_hint(folder):
    for command in (("explain", "dec_9"), ("outcome", "dec_9", "--success")):
        shown = run(*command)
        assert (shown.exit_code, shown.stdout) == (2, "")
        assert shown.stderr == (
            "error: dec_9: there is no record of this decision\nhint: see `interlock decisions`\n"
        )


def test_replay_verify_finds_every_decision_equal(folder):
    told = run("replay", "--verify", "--json")
    assert told.exit_code == 0
    assert [json.loads(line) for line in told.stdout.splitlines()] == [
        {"id": name, "equal": True} for name in SEEN
    ]
    shown = run("replay", "--verify")
    assert shown.stdout == "3 of 3 decisions, computed again from their records, are byte for byte equal\n"
    assert [row["id"] for row in lines("replay", "--verify", "--since", "2026-11-24T09:00:01Z")] == [
        "dec_2",
        "dec_3",
    ]


def edit(folder, sql, *values):
    """Change the file behind the store's back, as somebody with an editor would."""
    db = apsw.Connection(str(folder / "interlock.db"))
    db.execute(sql, values)
    db.close()


def test_replay_verify_names_a_record_that_was_edited_and_exits_1(folder):
    was, now = '"provider":"away","model":"large"', '"provider":"home","model":"small"'
    sql = (
        "UPDATE records SET decision = CAST(replace(CAST(decision AS TEXT), ?, ?) AS BLOB) WHERE id = 'dec_1'"
    )
    edit(folder, sql, was, now)
    told = run("replay", "--verify", "--json")
    assert told.exit_code == 1
    first, *rest = (json.loads(line) for line in told.stdout.splitlines())
    assert (first["id"], first["equal"]) == ("dec_1", False)
    assert first["why"] == "other route than recorded"
    assert all(row["equal"] for row in rest)
    assert "dec_1 differs: other route than recorded" in run("replay", "--verify").stdout


def test_replay_verify_says_what_it_could_not_compute(folder):
    edit(folder, "DELETE FROM configs")
    edit(folder, "UPDATE records SET decision = CAST('{}' AS BLOB) WHERE id = 'dec_3'")
    found = lines("replay", "--verify")
    assert [row["equal"] for row in found] == [False] * 3
    assert found[0]["why"] == "its config is not in the store"
    assert found[2]["why"].startswith("the record is no decision")


def test_replay_against_another_config_says_what_would_change_and_why(folder):
    Path("new.yaml").write_text(CONFIG.replace("prod: large", "prod: small"))
    found = lines("replay", "--against", "new.yaml")
    assert [(row["id"], row["changed"]) for row in found] == [
        ("dec_1", True),
        ("dec_2", False),
        ("dec_3", False),
    ]
    assert found[0]["before"] == {"provider": "away", "model": "large", "region": "us"}
    assert found[0]["after"] == {"provider": "home", "model": "small", "region": "eu"}
    assert found[0]["cost_delta_usd"] == pytest.approx((1000 * (1 - 10) + 500 * (2 - 20)) / 1e6)
    assert found[2]["before"] is None
    shown = run("replay", "--against", "new.yaml")
    assert shown.exit_code == 0
    assert "1 of 3 decisions would change; cost -$0.018\n" in shown.stdout


def test_replay_wants_one_of_its_two_ways(folder):
    for arguments in ((), ("--verify", "--against", "interlock.yaml")):
        assert run("replay", *arguments).exit_code == 2


def test_replay_against_a_bad_config_is_a_mistake(folder):
    Path("new.yaml").write_text(CONFIG.replace("prod: large", "prod: larg"))
    shown = run("replay", "--against", "new.yaml")
    assert (shown.exit_code, shown.stdout) == (2, "")
    assert "did you mean `large`" in shown.stderr


def test_outcome_is_recorded_and_shown(folder):
    assert run("outcome", "dec_1", "--success", "--score", "0.75", "--label", "queue=eu").exit_code == 0
    (found,) = lines("explain", "dec_1")
    assert found["outcome"] == {"success": True, "score": 0.75, "labels": {"queue": "eu"}}
    (told,) = lines("outcome", "dec_1", "--failure", "--override", "edit")
    assert told == {"id": "dec_1", "outcome": {"success": False, "override": "edit"}}


@pytest.mark.parametrize(
    "arguments",
    [(), ("--score", "1.5"), ("--label", "nothing"), ("--override", "shout")],
    ids=["none", "score over 1", "no label", "no override"],
)
def test_feedback_that_says_nothing_or_nonsense_is_refused(folder, arguments):
    assert run("outcome", "dec_1", *arguments).exit_code == 2


def test_an_alias_is_promoted_and_rolled_back_with_its_history(folder):
    (after,) = lines("alias", "promote", "prod", "--to", "small", "--reason", "cheaper")
    assert (after["name"], after["active"], after["model"]) == ("prod", 2, "small")
    assert [version["reason"] for version in after["versions"]] == [None, "cheaper"]
    assert after["versions"][1]["by"].startswith("cli:")
    assert {row["name"]: row["active"] for row in lines("alias", "list")} == {"cheap": 1, "prod": 2}
    (back,) = lines("alias", "rollback", "prod")
    assert (back["active"], back["model"]) == (1, "large")
    (again,) = lines("alias", "rollback", "prod", "--to", "2")
    assert (again["active"], again["model"]) == (2, "small")
    assert lines("alias", "history", "prod") == [again]
    assert "prod is at version 2: small" in run("alias", "history", "prod").stdout


@pytest.mark.parametrize(
    ("arguments", "status", "says"),
    [
        (("promote", "prod", "--to", "smal"), 2, "did you mean `small`?"),
        (("promote", "nope", "--to", "small"), 2, "there is no alias `nope`"),
        (("promote", "prod", "--to", "small", "--if-version", "7"), 1, "is at version 1 by now"),
        (("rollback", "prod", "--to", "7"), 2, "has no version 7"),
        (("rollback", "prod"), 2, "has no earlier version"),
        (("rollback", "prod", "--to", "1", "--if-version", "7"), 1, "is at version 1 by now"),
        (("history", "nope"), 2, "there is no such alias"),
    ],
    ids=["model", "alias", "stale", "version", "first", "stale rollback", "history"],
)
def test_a_change_that_cannot_be_made_says_why_and_changes_nothing(folder, arguments, status, says):
    shown = run("alias", *arguments)
    assert (shown.exit_code, shown.stdout) == (status, "")
    assert says in shown.stderr
    assert {row["name"]: row["active"] for row in lines("alias", "list")} == {"cheap": 1, "prod": 1}


def test_an_alias_with_a_gate_is_promoted_only_with_a_reason_that_the_audit_log_keeps(folder):
    Path("interlock.yaml").write_text(GATED)
    refused = run("alias", "promote", "prod", "--to", "small")
    assert refused.exit_code == 1
    assert "--override REASON" in refused.stderr
    (after,) = lines("alias", "promote", "prod", "--to", "small", "--override", "incident 12")
    assert after["versions"][1]["override"] == "incident 12"
    db = apsw.Connection(str(folder / "interlock.db"))
    body = db.execute("SELECT body FROM control_log WHERE action = 'alias.promote'").get
    db.close()
    assert json.loads(body)["override"] == "incident 12"


def test_audit_verify_holds_until_an_entry_is_edited(folder):
    assert lines("audit", "verify") == [{"ok": True, "first_broken": None}]
    edit(folder, "DROP TRIGGER control_log_keep")
    edit(folder, "UPDATE control_log SET actor = 'somebody else' WHERE seq = 2")
    told = run("audit", "verify", "--json")
    assert (told.exit_code, json.loads(told.stdout)) == (1, {"ok": False, "first_broken": 2})
    shown = run("audit", "verify")
    assert (shown.exit_code, "broken at entry 2" in shown.stdout) == (1, True)


def test_a_store_that_is_no_database_is_an_error_and_no_traceback(folder):
    Path("interlock.db").write_text("not a database, but long enough to be looked at as one" * 20)
    for command in (("decisions",), ("explain", "dec_1"), ("alias", "list"), ("audit", "verify")):
        shown = run(*command)
        assert (shown.exit_code, shown.stdout) == (2, "")
        assert "not a database" in shown.stderr


def test_doctor_finds_nothing_wrong_and_makes_nothing(folder):
    told = run("doctor", "--json")
    assert told.exit_code == 0
    value = json.loads(told.stdout)
    found = {finding["name"]: finding for finding in value["findings"]}
    assert value["ok"]
    assert found["store"]["found"].endswith("integrity ok")
    assert found["control log"]["found"] == "whole"
    Path("interlock.db").unlink()
    assert run("doctor").exit_code == 0
    assert not Path("interlock.db").exists()


def test_doctor_exits_1_for_a_bad_config_or_a_bad_store(folder, monkeypatch):
    Path("interlock.db").write_text("not a database, but long enough to be looked at as one" * 20)
    told = run("doctor", "--json")
    assert told.exit_code == 1
    assert [f["name"] for f in json.loads(told.stdout)["findings"] if f["ok"] is False] == ["store"]
    Path("interlock.yaml").write_text(CONFIG.replace("prod: large", "prod: larg"))
    assert "BAD  config" in run("doctor").stdout


def test_doctor_shows_that_a_key_is_set_and_never_the_key(folder, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-canary")
    shown = run("doctor")
    assert "OPENAI_API_KEY: set" in shown.stdout
    assert "canary" not in shown.output


def test_doctor_without_a_config_still_looks_at_the_rest(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("INTERLOCK_CONFIG", raising=False)
    assert run("doctor").exit_code == 0
    assert run("doctor", "--config", "nope.yaml").exit_code == 1


def test_check_says_where_the_file_differs_from_the_store(folder):
    run("alias", "promote", "prod", "--to", "small")
    told = run("check", "--json")
    (problem,) = json.loads(told.stdout)["problems"]
    assert (told.exit_code, problem["severity"], problem["path"]) == (0, "warning", "aliases.prod")
    assert problem["problem"] == "the file says `large`, the store has `small` (version 2)"


def test_check_fails_where_an_alias_stands_for_a_model_that_left_the_pool(folder):
    gone = CONFIG.replace("small", "tiny")
    run("alias", "promote", "prod", "--to", "small")
    Path("interlock.yaml").write_text(gone)
    told = run("check", "--json")
    found = {problem["path"]: problem["severity"] for problem in json.loads(told.stdout)["problems"]}
    assert (told.exit_code, found) == (1, {"aliases.prod": "error", "aliases.cheap": "error"})


def test_check_warns_of_a_store_that_cannot_be_opened(folder):
    Path("interlock.db").write_text("not a database, but long enough to be looked at as one" * 20)
    told = run("check", "--json")
    (problem,) = json.loads(told.stdout)["problems"]
    assert (told.exit_code, problem["path"], problem["severity"]) == (0, "store.url", "warning")
