"""What is known of an answer only later, as guardrails count it: each record once, and only those read."""

import random
from functools import partial

import msgspec
import pytest

from interlock.config.written import Check, Watched
from interlock.release.afterwards import Duty, follow
from interlock.release.controller import Followed
from interlock.rollout.after import After
from interlock.rollout.plan import Plan, Step, begin
from interlock.store import rollouts, watches
from interlock.store.rollouts import StoredRollout
from interlock.wiring import now_us
from tests.release.test_afterwards import active, ask, heard, place, promote, watcher
from tests.store.given import opened, record

OVERRIDES = {"metric": "override_rate", "at_most": 0.15}
BEGAN = now_us()
"""The store goes by its own clock."""
OVERRIDDEN = b'{"override":"edit"}'


def decision(arm="stable", propensity=0.5, tenant="acme", endpoint="/v1/chat/completions"):
    return msgspec.json.encode(
        {
            "route": {"arm": arm},
            "why": {"propensity": propensity},
            "signals": {"tenant": tenant, "endpoint": endpoint},
        }
    )


def answered(number, **changes):
    fields = {"decision": decision(), "rest": b'{"status":"ok"}', "created_at": BEGAN + number}
    return record(number, **{**fields, **changes})


def put(store, rows, overridden=()):
    for row in rows:
        store.put_record(row).result()
    for number in overridden:
        store.writer.run(
            lambda db, name=f"dec_{number:08}": db.execute(
                "UPDATE records SET outcome = ?2 WHERE id = ?1", (name, OVERRIDDEN)
            ).fetchall()
        )


async def test_feedback_that_is_said_sixty_times_of_one_answer_is_one_answer_that_was_overridden(tmp_path):
    watch = {"prod": {"guardrails": [OVERRIDES], "on_breach": "roll_back"}}
    async with place(tmp_path, watch=watch) as (server, _):
        await promote(server)
        name = (await server.chat()).headers["x-interlock-decision-id"]
        await ask(server, 99)
        for _ in range(60):
            got = await server.client.post(f"/v1/decisions/{name}/outcome", json={"override": "edit"})
            assert got.status_code == 200, got.text
        await watcher(server).look(server.gateway.state.config)
        assert (await heard(server), active(server)) == ([], 2)
        (shown,) = (await server.client.get("/v1/aliases/prod/watch")).json()["guardrails"]
        assert (shown["value"], shown["n"]) == (0.01, 100)


def duty(baseline=1000, **bound):
    release = watches.Release(version=1, model="gpt", at=BEGAN, since=BEGAN, rollout=None)
    checks = (Check(metric="override_rate", **bound),)
    return Duty(alias="prod", release=release, guardrails=checks, written=Watched(baseline=baseline))


def test_a_past_of_many_pages_is_judged_page_by_page_by_what_was_noted_of_its_own_answers(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(rollouts, "PAGE", 60)
    with opened(tmp_path / "store.db") as store:
        put(store, map(answered, range(300)), overridden=range(0, 300, 7))
        after = After()
        looked = follow(store, after, duty(at_most=0.15))
        assert looked is not None
        assert looked.breached == ()
        assert after.findings[0].value == pytest.approx(43 / 300)
        assert after.findings[0].n == 300


def test_what_a_late_measure_is_held_to_is_what_it_was_at_first_and_a_change_is_heard(tmp_path):
    draw = random.Random(2)
    bad = [number for number in range(600) if draw.random() < (0.05 if number < 400 else 0.6)]
    with opened(tmp_path / "store.db") as store:
        put(store, map(answered, range(400)), overridden=[n for n in bad if n < 400])
        after, watched = After(), duty(baseline=200, rise_at_most=0.1)
        looked = follow(store, after, watched)
        assert looked is not None
        assert looked.breached == ()
        assert after.findings[0].baseline == pytest.approx(0.05, abs=0.03)
        put(store, map(answered, range(400, 600)), overridden=[n for n in bad if n >= 400])
        looked = follow(store, after, watched)
        assert looked is not None
        assert [one.metric for one in looked.breached] == ["override_rate"]


def test_what_is_noted_of_an_answer_more_than_a_day_after_it_is_waited_for_no_longer(tmp_path):
    with opened(tmp_path / "store.db") as store:
        old = BEGAN - 2 * 86_400_000_000
        rows = (answered(number, created_at=old + number) for number in range(100))
        put(store, rows, overridden=range(5))
        watched = duty(at_most=0.15)
        watched = msgspec.structs.replace(
            watched, release=msgspec.structs.replace(watched.release, since=old)
        )
        after = After()
        follow(store, after, watched)
        assert after.findings[0].value == pytest.approx(0.05)
        assert after.late == {"override_rate": 0}
        put(store, [answered(number) for number in range(100, 200)], overridden=range(50, 60))
        follow(store, after, watched)
        assert (after.late, after.answered) == ({"override_rate": 0}, 200)
        put(store, [answered(200)], overridden=range(100, 110))
        follow(store, after, watched)
        assert after.late == {"override_rate": 1}, "as many as there were answers, the others later"
        put(store, [answered(number) for number in range(201, 240)])
        follow(store, after, watched)
        assert after.late == {"override_rate": 10}


def under_way(weight=0.5):
    plan = Plan(
        name="canary",
        steps=(Step(weight=weight, for_us=3_600_000_000), Step(weight=1.0)),
        guardrails=(Check(metric="override_rate", rise_at_most=0.02),),
    )
    return StoredRollout(
        id="rol_1",
        alias="prod",
        from_version=1,
        to_version=2,
        candidate="small",
        plan=plan,
        progress=begin(plan, BEGAN),
        by="test",
        started_at=BEGAN,
    )


def test_what_is_no_part_of_the_comparison_is_not_among_its_overrides_either(tmp_path):
    with opened(tmp_path / "store.db") as store:
        row = under_way()
        stable = [answered(number) for number in range(200)]
        canary = [
            answered(200 + number, alias_version=2, decision=decision("canary")) for number in range(200)
        ]
        others = [
            *(answered(400 + number, decision=decision(propensity=1.0)) for number in range(100)),
            *(answered(500 + number, decision=decision(tenant="interlock-evals")) for number in range(50)),
            *(
                answered(550 + number, decision=decision(endpoint="/v1/messages/count_tokens"))
                for number in range(50)
            ),
        ]
        put(store, [*stable, *canary, *others], overridden=[0, 1, *range(200, 320), *range(400, 600)])
        (finding,) = Followed(row).follow(store, row)
        assert (finding.baseline, finding.n_baseline) == (0.01, 200)
        assert (finding.value, finding.n) == (0.6, 200)
        assert finding.verdict == "breach"


def left(store, page):
    """How many records there are behind a page."""
    return store.read(lambda db: db.execute("SELECT count(*) FROM records WHERE seq > ?", (page.to,)).get)


def test_records_of_other_aliases_are_passed_over_once_and_not_again_at_every_look(tmp_path):
    with opened(tmp_path / "store.db") as store:
        put(store, [answered(0), *(answered(number, alias="busy") for number in range(1, 300))])
        next_page = partial(rollouts.ended, alias="prod", since=BEGAN)
        page = store.read(partial(next_page, after=None))
        assert ([row[0] for row in page.rows], page.more) == ([1], False)
        assert left(store, page) == 0
        put(store, [answered(number, alias="busy") for number in range(300, 400)])
        page = store.read(partial(next_page, after=page.to))
        assert page.rows == []
        assert left(store, page) == 0
        put(store, [answered(400)])
        page = store.read(partial(next_page, after=page.to))
        assert [row[0] for row in page.rows] == [401]


def test_a_page_that_is_full_is_read_on_from_its_own_last_record(tmp_path, monkeypatch):
    monkeypatch.setattr(rollouts, "PAGE", 60)
    with opened(tmp_path / "store.db") as store:
        put(store, (answered(n, alias="prod" if n % 2 else "busy") for n in range(300)))
        seen, page = [], rollouts.Page(rows=[], to=None, more=True)
        while page.more:
            page = store.read(partial(rollouts.ended, alias="prod", since=BEGAN, after=page.to))
            seen += [row[0] for row in page.rows]
        assert seen == [*range(2, 301, 2)]


def test_one_that_is_quiet_is_followed_to_where_the_store_is_and_what_is_open_is_not_lost(tmp_path):
    with opened(tmp_path / "store.db") as store:
        still = b'{"status":"failed"}'
        put(store, [answered(0), answered(1, status="failed", rest=still)])
        row, watched, after = under_way(), duty(at_most=0.15), After()
        followed = Followed(row)
        for last in (2, 50):
            put(store, [answered(number, alias="busy") for number in range(last, last + 48)])
            follow(store, after, watched)
            followed.follow(store, row)
            assert (after.seq, followed.after) == (last + 48, last + 48)
            assert (after.open, followed.open, after.answered) == ([2], {2}, 1)
        put(store, [answered(1)], overridden=[1])
        follow(store, after, watched)
        followed.follow(store, row)
        assert (after.open, followed.open, after.answered) == ([], set(), 2)
        assert after.late == {"override_rate": 1}
        assert followed.watch.requests["stable"] == 2
