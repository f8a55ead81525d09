"""`interlock route`: a decision for a request that is never sent, recorded as a dry run."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from interlock.cli.app import cli
from interlock.store import Store, StoredResponse
from interlock.wiring import now_us

CONFIG = """\
providers:
  home: {kind: openai, base_url: "http://127.0.0.1:9/v1", regions: [eu], trusted_for: regulated}
  away: {kind: openai, base_url: "http://127.0.0.1:9/v1", regions: [us]}
models:
  small: {provider: home, version: "1", context_tokens: 8000, max_output_tokens: 500, capabilities: [tools]}
  large: {provider: away, version: "1", context_tokens: 8000, max_output_tokens: 500, capabilities: [tools]}
aliases: {prod: large, cheap: small}
default: {model: prod}
lanes:
  triage: {match: {task: triage}, models: [cheap]}
policy:
  - {name: stay, when: {residency: eu}, then: {regions: [eu]}}
keys:
  - {id: guest, key: "${GUEST_KEY}", tenant: visitors, allow: {aliases: [cheap]}}
"""
CHAT = {"model": "prod", "messages": [{"role": "user", "content": "hello"}]}


@pytest.fixture(autouse=True)
def _folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("INTERLOCK_CONFIG", raising=False)
    monkeypatch.setenv("GUEST_KEY", "a-long-enough-key-for-a-guest")
    Path("interlock.yaml").write_text(CONFIG)


def run(*arguments, stdin=None):
    return CliRunner().invoke(cli, ["route", *arguments], input=stdin, catch_exceptions=False)


def decision(*arguments, stdin=None):
    told = run(*arguments, "--json", stdin=stdin)
    assert told.stderr == ""
    return json.loads(told.stdout)


def test_a_body_comes_from_a_file_or_from_stdin():
    Path("req.json").write_text(json.dumps(CHAT))
    by_file = decision("--file", "req.json")
    by_stdin = decision(stdin=json.dumps(CHAT))
    for found in (by_file, by_stdin, decision("--file", "-", stdin=json.dumps(CHAT))):
        assert found["route"]["model"] == "large"
        assert found["route"]["alias"] == "prod"
    assert by_file["id"] != by_stdin["id"]


def test_a_prompt_goes_to_auto_and_a_model_can_be_named():
    assert decision("--prompt", "hello")["why"]["selected_by"] == "default"
    assert decision("--prompt", "hello", "--model", "cheap")["route"]["model"] == "small"
    assert decision("--model", "small", stdin=json.dumps(CHAT))["route"]["model"] == "small"


@pytest.mark.parametrize(
    ("hint", "path", "value"),
    [
        (("--task", "triage"), ("route", "lane"), "triage"),
        (("--lane", "triage"), ("route", "lane"), "triage"),
        (("--data-class", "confidential", "--model", "cheap"), ("policy", "data_class"), "confidential"),
        (("--risk-tier", "high"), ("policy", "risk_tier"), "high"),
        (("--latency-class", "batch"), ("policy", "latency_class"), "batch"),
        (("--session", "s1"), ("signals", "session"), "s1"),
        (("--deadline-ms", "900"), ("budgets", "deadline_ms"), 900),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else "",
)
def test_hints_are_given_as_options(hint, path, value):
    found = decision("--prompt", "hello", *hint)
    assert found[path[0]][path[1]] == value


def test_where_nobody_may_serve_it_exits_1_with_the_decision():
    told = run("--prompt", "hello", "--residency", "eu", "--json")
    found = json.loads(told.stdout)
    assert (told.exit_code, found["route"]) == (1, None)
    assert found["why"]["dropped"][0]["rule"] == "stay"
    shown = run("--prompt", "hello", "--residency", "eu")
    assert shown.exit_code == 1
    assert "nobody may serve it." in shown.stdout


def test_the_dry_run_is_recorded_and_can_be_explained_and_computed_again():
    found = decision("--prompt", "hello")
    listed = CliRunner().invoke(cli, ["decisions", "--json"])
    (record,) = [json.loads(line) for line in listed.stdout.splitlines()]
    assert (record["decision"], record["status"]) == (found, "dry_run")
    explained = CliRunner().invoke(cli, ["explain", found["id"]])
    assert explained.stdout.startswith(
        f"{found['id']}: decided only, nothing was sent; the choice was `large`"
    )
    verified = CliRunner().invoke(cli, ["replay", "--verify"])
    assert (verified.exit_code, verified.stdout[:6]) == (0, "1 of 1")


def test_it_follows_an_alias_that_was_promoted():
    CliRunner().invoke(cli, ["alias", "promote", "prod", "--to", "small"], catch_exceptions=False)
    route = decision("--prompt", "hello")["route"]
    assert (route["model"], route["alias_version"]) == ("small", 2)


def test_it_decides_as_a_key_may():
    allowed = decision("--prompt", "hello", "--model", "cheap", "--key", "guest")
    assert allowed["signals"]["tenant"] == "visitors"
    refused = run("--prompt", "hello", "--key", "guest", "--json")
    assert (refused.exit_code, json.loads(refused.stdout)["why"]["denied_code"]) == (1, "policy_denied")
    unknown = run("--prompt", "hello", "--key", "nobody")
    assert (unknown.exit_code, unknown.stderr) == (
        2,
        "error: --key: the config has no key `nobody`\nhint: it has `guest`\n",
    )


def test_a_body_in_anthropics_format_is_understood():
    body = {"model": "cheap", "max_tokens": 10, "messages": [{"role": "user", "content": "hello"}]}
    found = decision("--endpoint", "/v1/messages", stdin=json.dumps(body))
    assert (found["signals"]["endpoint"], found["route"]["model"]) == ("/v1/messages", "small")


@pytest.mark.parametrize(
    ("arguments", "stdin", "says"),
    [
        ((), "", "empty"),
        ((), "{", "JSON"),
        (("--model", "prod"), '{"messages": 1}', "messages"),
        ((), '{"model": "a", "model": "b", "messages": []}', "model"),
        (("--prompt", "x", "--data-class", "secret"), "", "data"),
        (("--prompt", "x", "--file", "-"), "", "choose one"),
        (("--file", "nope.json"), "", "nope.json"),
    ],
    ids=["empty", "no json", "wrong type", "twice", "bad hint", "both", "no file"],
)
def test_a_request_that_makes_no_sense_is_a_mistake_with_status_2(arguments, stdin, says):
    shown = run(*arguments, stdin=stdin)
    assert (shown.exit_code, shown.stdout) == (2, "")
    assert says in shown.stderr
    told = run(*arguments, "--json", stdin=stdin)
    assert told.exit_code == 2
    assert "error" in json.loads(told.stdout)


def test_a_dry_run_goes_on_from_kept_answers_and_their_items():
    decision(stdin=json.dumps(CHAT))  # which makes the store
    name = "g" * 26
    item = {"id": f"msg_{name}ggg", "type": "message", "role": "assistant", "content": "Hi"}
    kept = StoredResponse(
        id="resp_" + "0" * 26,
        tenant="default",
        created_at=now_us(),
        data_class="confidential",
        input=b"[]",
        body=json.dumps({"output": [item]}).encode(),
    )
    store = Store.open("interlock.db", now=now_us)
    try:
        store.put_response(kept).result()
    finally:
        store.close()
    for more in (
        {"input": [{"type": "item_reference", "id": item["id"]}]},
        {"input": "x", "previous_response_id": kept.id},
    ):
        found = decision("--endpoint", "/v1/responses", stdin=json.dumps({"model": "prod", **more}))
        assert found["signals"]["data_class"] == "confidential"
    absent = {"input": [{"type": "item_reference", "id": "msg_1"}], "model": "prod"}
    assert (
        "Item with id 'msg_1' not found."
        in run("--endpoint", "/v1/responses", stdin=json.dumps(absent)).output
    )
