"""A gate that runs again over what is active: a vendor that changed a model without a word is found out."""

import msgspec
import pytest
from tests.harness.test_gating import CASES, CHECKS, EXACT, MANY, gated, gates, passing_record
from tests.harness.world import last, place, write_suite

from interlock.evals.identity import identity_text
from interlock.evals.record import SECRET, Signed, verify
from interlock.harness.again import NOTHING_BEFORE, run_again
from interlock.store.aliases import StaleVersion


class Vendor:
    """Right until it changes: then wrong on a share of the cases. Mutable; counts what it was asked.

    `meanwhile` is what happens elsewhere as it is asked for the so-manieth time.
    """

    def __init__(self):
        self.wrong = 0.0
        self.asked = 0
        self.meanwhile = {}

    def __call__(self, model, messages):
        self.asked += 1
        self.meanwhile.pop(self.asked, lambda: None)()
        return "no" if model == "beta-2" and int(last(messages)[1:]) < self.wrong * MANY else "yes"


async def release(here, record):
    """What a promotion does with a passing record."""
    config = here.loaded.config
    identity = identity_text(config, "new")
    await here.store.promote(
        "prod", "new", if_version=1, by="test", now=1, gate=record.id if record else None, identity=identity
    )


async def again(here, suite, run="again_1", version=None):
    config, version = here.loaded.config, version or here.store.aliases()["prod"].active
    async with here.harness() as harness:
        found = await run_again(
            harness, here.store, config, (suite,), alias="prod", version=version, run=run, by="test"
        )
    return found.record


@pytest.mark.parametrize(
    ("wrong", "verdict"),
    [(0.0, "pass"), (0.4, "fail"), (0.08, "inconclusive")],
    ids=["same", "bad", "unclear"],
)
async def test_each_case_is_asked_anew_and_compared_with_its_own_answer_of_then(tmp_path, wrong, verdict):
    vendor, suite = Vendor(), write_suite(tmp_path, CASES, EXACT)
    async with place(tmp_path, vendor, **gates(*CHECKS)) as here:
        passed = (await gated(here, suite)).record
        assert passed.verdict == "pass"
        await release(here, passed)
        vendor.wrong, before = wrong, vendor.asked
        record = await again(here, suite)
        assert record.verdict == verdict, record.why
        assert vendor.asked - before == MANY, "no kept answer is taken for a new one"
        assert (record.again, record.run) == (passed.id, "again_1")
        assert record.baseline.samples == passed.candidate.samples
        checks = {(check.metric, check.family): check for check in record.checks}
        assert checks["task_success", None].n == MANY
        assert "policy_drift" not in {metric for metric, _ in checks}
        row = here.store.gate_records("prod")[0]
        assert verify(Signed(body=row.body, signature=row.signature), here.store.secret(SECRET)) == record
        assert here.store.verify_control_log() is None


async def test_a_run_over_what_is_active_lets_no_release_through(tmp_path):
    vendor, suite = Vendor(), write_suite(tmp_path, CASES, EXACT)
    async with place(tmp_path, vendor, **gates(*CHECKS)) as here:
        passed = (await gated(here, suite)).record
        await release(here, passed)
        assert (await again(here, suite)).verdict == "pass"
        config = here.loaded.config
        assert passing_record(here.store, config, (suite,), "prod", "old", "new") == passed
        assert passing_record(here.store, config, (suite,), "prod", "new", "new") is None


async def test_an_alias_that_is_moved_while_its_gate_runs_changes_nothing_of_what_is_compared(tmp_path):
    vendor, suite = Vendor(), write_suite(tmp_path, CASES, EXACT)
    async with place(tmp_path, vendor, **gates(*CHECKS)) as here:
        passed = (await gated(here, suite)).record
        await release(here, passed)

        def move():
            here.store.promote("prod", "old", if_version=2, by="test", now=2, override="x").result()

        vendor.meanwhile[vendor.asked + MANY // 2] = move
        record = await again(here, suite)
        assert here.store.aliases()["prod"].active == 3
        assert (record.candidate.model, record.again) == ("new", passed.id)


async def test_a_version_that_is_active_no_more_is_not_run(tmp_path):
    vendor, suite = Vendor(), write_suite(tmp_path, CASES, EXACT)
    async with place(tmp_path, vendor, **gates(*CHECKS)) as here:
        await release(here, None)
        with pytest.raises(StaleVersion):
            await again(here, suite, version=1)
        assert vendor.asked == 0


async def test_without_a_record_the_first_run_is_what_the_next_are_compared_with(tmp_path):
    vendor, suite = Vendor(), write_suite(tmp_path, CASES, EXACT)
    async with place(tmp_path, vendor, **gates(*CHECKS)) as here:
        await release(here, None)
        first = await again(here, suite)
        assert (first.verdict, first.why, first.again) == ("inconclusive", NOTHING_BEFORE, None)
        second = await again(here, suite, "again_2")
        assert (second.verdict, second.again) == ("pass", first.id)
        vendor.wrong = 0.4
        third = await again(here, suite, "again_3")
        assert (third.verdict, third.again) == ("fail", first.id)


async def test_a_run_that_failed_is_nobodys_measure(tmp_path):
    vendor, suite = Vendor(), write_suite(tmp_path, CASES, EXACT)
    async with place(tmp_path, vendor, **gates({"metric": "task_success", "at_least": 0.9})) as here:
        await release(here, None)
        vendor.wrong = 0.4
        first = await again(here, suite)
        assert first.verdict == "fail"
        vendor.wrong = 0.0
        second = await again(here, suite, "again_2")
        assert (second.verdict, second.again) == ("inconclusive", None)
        assert (await again(here, suite, "again_3")).again == second.id


async def test_a_run_that_was_cut_short_goes_on_with_what_it_has(tmp_path):
    vendor, suite = Vendor(), write_suite(tmp_path, CASES, EXACT)
    async with place(tmp_path, vendor, **gates(*CHECKS)) as here:
        await release(here, (await gated(here, suite)).record)
        await again(here, suite)
        before = vendor.asked
        await again(here, suite)
        assert vendor.asked == before
        await again(here, suite, "again_2")
        assert vendor.asked == before + MANY


async def test_another_policy_since_then_is_no_reason_to_find_nothing(tmp_path):
    vendor, suite = Vendor(), write_suite(tmp_path, CASES, EXACT)
    async with place(tmp_path, vendor, **gates(*CHECKS)) as here:
        passed = (await gated(here, suite)).record
        await release(here, passed)
        changed = msgspec.structs.replace(here.loaded.config, policy_hash="another", config_hash="another")
        here.loaded = msgspec.structs.replace(here.loaded, config=changed)
        assert (await again(here, suite)).again == passed.id


async def test_a_suite_that_is_another_by_now_cannot_be_compared(tmp_path):
    vendor, suite = Vendor(), write_suite(tmp_path, CASES, EXACT)
    async with place(tmp_path, vendor, **gates(*CHECKS)) as here:
        await release(here, (await gated(here, suite)).record)
        for number, other in enumerate(((CASES[:-1], EXACT), (CASES, [*EXACT, {"kind": "refusal"}]))):
            record = await again(here, write_suite(tmp_path, *other), f"again_{number}")
            assert (record.verdict, record.again) == ("inconclusive", None)


async def test_samples_that_are_not_what_the_record_signed_are_no_measure(tmp_path):
    vendor, suite = Vendor(), write_suite(tmp_path, CASES, EXACT)
    async with place(tmp_path, vendor, **gates(*CHECKS)) as here:
        passed = (await gated(here, suite)).record
        await release(here, passed)
        edit = (
            "UPDATE eval_samples SET body = (SELECT body FROM eval_samples WHERE model = 'old' LIMIT 1) "
            "WHERE key = (SELECT min(key) FROM eval_samples WHERE model = 'new')"
        )
        here.store.writer.run(lambda db: db.execute(edit))
        assert (await again(here, suite)).again is None
