"""Gates over real runs: what passes, what does not, and what a record is good for."""

import json
from typing import Any

import apsw
import msgspec
import pytest
from tests.harness.world import asks, last, place, write_suite

from interlock.evals.identity import are_related, change, identity_hash
from interlock.evals.record import SECRET, GateRecord, Signed, find_passing, verify
from interlock.harness.gating import NO_CHECKS, run_gate
from interlock.release.gates import passing_record as passing_from
from interlock.store.evals import StoredGate

MANY = 160
CASES = [asks(f"q{number}", expect="yes", family="ab"[number % 2]) for number in range(MANY)]
EXACT = [{"kind": "exact"}]
CHECKS = [{"metric": "task_success", "family": "*", "drop_at_most": 0.1}]


def gates(*checks):
    return {
        "evals": {"basics": {"suite": "./suite.yaml"}},
        "gates": {"prod": {"suites": ["basics"], "checks": [*checks]}},
    }


def worse(share: float):
    """The new model is wrong on this share of the cases, the old one always right."""

    def say(model, messages):
        number = int(last(messages)[1:])
        return "no" if model == "beta-2" and number < share * MANY else "yes"

    return say


async def gated(here, suite, candidate="new"):
    config = here.loaded.config
    about = change(config, (suite,), "prod", "old", candidate)
    async with here.harness() as harness:
        return await run_gate(
            harness, here.store, config, (suite,), about=about, baseline="old", candidate=candidate, by="test"
        )


@pytest.mark.parametrize(
    ("say", "verdict"),
    [(worse(0), "pass"), (worse(0.4), "fail"), (worse(0.08), "inconclusive")],
    ids=["equal", "bad", "unclear"],
)
async def test_a_gate_tells_an_equal_candidate_from_a_worse_one(tmp_path, say, verdict):
    suite = write_suite(tmp_path, CASES, EXACT)
    async with place(tmp_path, say, **gates(*CHECKS)) as here:
        found = await gated(here, suite)
        assert found.record.verdict == verdict, found.record.why
        shown = [(check.metric, check.family) for check in found.record.checks]
        assert shown == [
            ("task_success", "a"),
            ("task_success", "b"),
            ("task_success", None),
            ("cost_per_case", None),
            ("policy_drift", None),
        ]
        passing = passing_record(here.store, here.loaded.config, (suite,), "prod", "old", "new")
        assert (passing is not None) == (verdict == "pass")


async def test_o6_without_checks_of_its_own_a_gate_never_passes(tmp_path):
    suite = write_suite(tmp_path, CASES, EXACT)
    async with place(tmp_path, worse(0)) as here:
        record = (await gated(here, suite)).record
    assert (record.verdict, record.why) == ("inconclusive", NO_CHECKS)


async def test_o6_with_every_answer_an_error_a_gate_is_inconclusive(tmp_path):
    from tests.server.upstream import answer

    suite = write_suite(tmp_path, CASES[:20], EXACT)
    async with place(tmp_path, lambda *_: answer({"error": {"message": "x"}}, 500), **gates(*CHECKS)) as here:
        record = (await gated(here, suite)).record
    assert record.verdict == "inconclusive"


async def test_dearer_answers_fail_a_gate_that_says_nothing_about_cost(tmp_path):
    suite = write_suite(tmp_path, CASES, EXACT)
    entry = {"provider": "home", "context_tokens": 8000, "max_output_tokens": 500, "capabilities": ["tools"]}
    models = {
        "old": {**entry, "upstream": "alpha-1", "version": "1", "price": {"input": 1, "output": 10}},
        "new": {**entry, "upstream": "beta-2", "version": "2", "price": {"input": 2, "output": 20}},
    }
    async with place(tmp_path, worse(0), models=models, **gates(*CHECKS)) as here:
        record = (await gated(here, suite)).record
    assert record.verdict == "fail"
    assert record.why.startswith("`cost_per_case`")


async def test_a_candidate_that_calls_the_wrong_tool_fails_a_gate_that_says_nothing_about_tools(tmp_path):
    tools = [{"type": "function", "function": {"name": name}} for name in ("find", "pay")]
    cases = [asks(f"q{number}", expect={"calls": ["find"]}) for number in range(60)]
    graders: list[dict[str, Any]] = [
        {"kind": "tool_use"},
        {"kind": "length", "at_most": 100, "measure": "task_success"},
    ]
    suite = write_suite(tmp_path, cases, graders, tools=tools)

    def say(model, _):
        return [("pay" if model == "beta-2" else "find", {})]

    async with place(tmp_path, say, **gates(*CHECKS)) as here:
        record = (await gated(here, suite)).record
    verdicts = {check.metric: check.verdict for check in record.checks}
    assert (verdicts["task_success"], verdicts["tool_use_correct"]) == ("pass", "fail")
    assert (record.verdict, record.why.startswith("`tool_use_correct`")) == ("fail", True)


async def test_a_candidate_that_policy_treats_otherwise_fails_by_policy_drift(tmp_path):
    suite = write_suite(tmp_path, CASES[:4], EXACT)
    sections = {**gates(*CHECKS), "policy": [{"name": "only-old", "then": {"models": ["old"]}}]}
    async with place(tmp_path, worse(0), **sections) as here:
        record = (await gated(here, suite)).record
    drift = record.checks[-1]
    assert (drift.metric, drift.verdict, record.verdict) == ("policy_drift", "fail", "fail")


def passing_record(store, config, suites, alias, from_model, to_model):
    return passing_from(store, config, suites, alias, identity_hash(config, from_model), to_model)


async def passed(tmp_path, here):
    suite = write_suite(tmp_path, CASES, EXACT)
    record = (await gated(here, suite)).record
    assert record.verdict == "pass"
    return suite, record


async def test_a_record_names_hashes_versions_and_samples_and_is_signed(tmp_path):
    async with place(tmp_path, worse(0), **gates(*CHECKS)) as here:
        suite, record = await passed(tmp_path, here)
        (row,) = here.store.gate_records("prod")
        secret = here.store.secret(SECRET)
        signed = Signed(body=row.body, signature=row.signature)
        assert verify(signed, secret) == record
        assert verify(signed, b"another store's") is None
        edited = msgspec.structs.replace(signed, body=row.body.replace(b'"n":160', b'"n":999'))
        assert edited.body != row.body
        assert verify(edited, secret) is None
        config = here.loaded.config
    assert record.suites == {"basics": suite.hash}
    assert (record.config_hash, record.policy_hash) == (config.config_hash, config.policy_hash)
    assert (record.candidate.model, record.candidate.version, record.candidate.cases) == ("new", "2", MANY)
    assert record.candidate.samples != record.baseline.samples


async def test_a_record_lets_exactly_its_own_change_through(tmp_path):
    async with place(tmp_path, worse(0), **gates(*CHECKS)) as here:
        suite, record = await passed(tmp_path, here)
        config, store = here.loaded.config, here.store
        assert passing_record(store, config, (suite,), "prod", "old", "new") == record
        assert passing_record(store, config, (suite,), "prod", "new", "old") is None, "not the way back"
        assert passing_record(store, config, (suite,), "other", "old", "new") is None, "not another alias"
        assert passing_record(store, config, (), "prod", "old", "new") is None, "not without its suite"

        def with_new(**fields):
            model = msgspec.structs.replace(config.models["new"], **fields)
            return msgspec.structs.replace(config, models={**config.models, "new": model})

        for field in (
            {"version": "3"},
            {"upstream": "beta-3"},
            {"provider": "other"},
            {"max_output_tokens": 9},
        ):
            assert passing_record(store, with_new(**field), (suite,), "prod", "old", "new") is None, field
        assert (
            passing_record(store, with_new(quality=0.5, price=None), (suite,), "prod", "old", "new") == record
        )
        gate = msgspec.structs.replace(config.gates["prod"], checks=())
        loose = msgspec.structs.replace(config, gates={"prod": gate})
        assert passing_record(store, loose, (suite,), "prod", "old", "new") is None, "not under other checks"


async def test_records_stay_and_stand_in_the_control_log(tmp_path):
    async with place(tmp_path, worse(0), **gates(*CHECKS)) as here:
        _, record = await passed(tmp_path, here)
        db = apsw.Connection(str(here.store.path))
        for change_it in ("UPDATE gate_records SET verdict = 'pass'", "DELETE FROM gate_records"):
            with pytest.raises(apsw.ConstraintError, match="append-only"):
                db.execute(change_it)
        logged = json.loads(db.execute("SELECT body FROM control_log WHERE action = 'gate.run'").get)
        db.close()
        assert here.store.verify_control_log() is None
    assert (logged["id"], logged["verdict"]) == (record.id, "pass")


async def test_a_record_that_was_put_in_by_hand_lets_nothing_through(tmp_path):
    async with place(tmp_path, worse(0.4), **gates(*CHECKS)) as here:
        suite = write_suite(tmp_path, CASES, EXACT)
        record = (await gated(here, suite)).record
        assert record.verdict == "fail"
        (row,) = here.store.gate_records()
        body = row.body.replace(b'"verdict":"fail"', b'"verdict":"pass"')
        forged = StoredGate(
            id="gate_x", at=1, alias="prod", verdict="pass", body=body, signature=row.signature
        )
        await here.store.put_gate_record(forged, actor="nobody")
        assert passing_record(here.store, here.loaded.config, (suite,), "prod", "old", "new") is None
        rows = [Signed(body=row.body, signature=row.signature)]
        assert find_passing(rows, record.change, here.store.secret(SECRET)) is None


async def test_models_of_one_vendor_or_one_name_are_related(tmp_path):
    async with place(tmp_path, worse(0)) as here:
        config = here.loaded.config
    assert are_related(config, "old", "new")
    assert not are_related(config, "wise", "new")
    namesake = msgspec.structs.replace(config.models["wise"], upstream="someone/Beta-large")
    renamed = msgspec.structs.replace(config, models={**config.models, "wise": namesake})
    assert are_related(renamed, "wise", "new")
    assert identity_hash(renamed, "wise") != identity_hash(config, "wise")


def test_a_record_survives_its_own_encoding():
    fields = {field.encode_name for field in msgspec.structs.fields(GateRecord)}
    assert {"suites", "config_hash", "baseline", "candidate", "checks", "change"} <= fields
