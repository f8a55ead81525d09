"""Any grader as a guardrail: on the live answers of both arms, and on copies beside what was answered."""

import asyncio
from typing import Any

import pytest

from interlock.errors import ConfigError
from tests.release.test_rollouts import act, begin, breaking, look, many, plans, state
from tests.server.harness import pool, serving, until
from tests.server.upstream import Upstream
from tests.server.vendors import chat

LONG = " ".join(["word"] * 40)
BRIEF = {"brief": {"kind": "length", "at_most": 10}}
HALF = {
    "steps": [{"weight": 0.5, "for": "1h"}, {"weight": 1.0}],
    "sticky_by": "request",
    "graders": BRIEF,
    "grade": 1.0,
}
COPIED = {
    "steps": [{"weight": 0, "for": "1h"}, {"weight": 1.0}],
    "sticky_by": "request",
    "shadow": 1.0,
}


def wordy(seen: Any) -> Any:
    """An upstream whose candidate talks a lot."""
    return chat(LONG if seen.json["model"] == "up-s" else "Short.")


async def until_it_ends(server, name, most=600):
    asked = 0
    while (await look(server, name))["state"] == "running" and asked < most:
        await many(server, 20)
        asked += 20
        await asyncio.sleep(0.05)
    return await look(server, name)


async def test_a_candidate_whose_live_answers_a_grader_finds_worse_is_taken_back_with_the_evidence(tmp_path):
    plan = {**HALF, "guardrails": [{"metric": "brief", "drop_at_most": 0.05}]}
    async with Upstream(wordy) as up, serving(tmp_path, pool(up.url, **plans(canary=plan))) as server:
        row = await begin(server)
        row = await until_it_ends(server, row["id"])
        assert (row["state"], server.gateway.store.aliases()["prod"].active) == ("aborted", 1)
        (evidence,) = row["evidence"]
        assert (evidence["metric"], evidence["verdict"]) == ("brief", "breach")
        assert (evidence["value"], evidence["baseline"]) == (0.0, 1.0)
        assert evidence["high"] < -0.05
        scores = {(one["grader"], one["arm"]): one["value"] for one in row["grades"]}
        assert scores == {("brief", "canary"): 0.0, ("brief", "stable"): 1.0}


async def test_a_candidate_whose_live_answers_are_as_good_goes_on(tmp_path):
    plan = {**HALF, "steps": [{"weight": 0.5, "for": "1ms"}, {"weight": 1.0}]}
    plan["guardrails"] = [{"metric": "brief", "drop_at_most": 0.3}]
    async with (
        Upstream(chat("Short.")) as up,
        serving(tmp_path, pool(up.url, **plans(canary=plan))) as server,
    ):
        row = await begin(server)
        for _ in range(30):
            await many(server, 10)
            if (await look(server, row["id"]))["state"] == "promoted":
                break
        await until(state(server, row["id"], "promoted"), within=30)


async def test_a_candidate_whose_copies_are_worse_is_taken_back_before_it_answered_anybody(tmp_path):
    plan = {**COPIED, "graders": BRIEF, "guardrails": [{"metric": "shadow.brief", "drop_at_most": 0.05}]}
    async with Upstream(wordy) as up, serving(tmp_path, pool(up.url, **plans(canary=plan))) as server:
        row = await begin(server)
        seen: set[str] = set()
        for _ in range(40):
            seen |= set(await many(server, 10))
            if (await look(server, row["id"]))["state"] == "aborted":
                break
            await asyncio.sleep(0.05)
        await until(state(server, row["id"], "aborted"))
        (evidence,) = (await look(server, row["id"]))["evidence"]
        assert (evidence["metric"], evidence["value"], evidence["baseline"]) == ("shadow.brief", 0.0, 1.0)
        assert evidence["n"] == evidence["n_baseline"]
        assert seen == {"prod@1"}


async def test_copies_that_agree_let_a_rollout_go_on_and_too_few_pause_it(tmp_path):
    graders = {"agrees": {"kind": "consistency"}}
    plan = {
        **COPIED,
        "steps": [{"weight": 0, "for": "1ms"}, {"weight": 0.5, "for": "1h"}, {"weight": 1.0}],
        "graders": graders,
        "guardrails": [{"metric": "shadow.agrees", "at_least": 0.5}],
    }
    async with (
        Upstream(chat("Short.")) as up,
        serving(tmp_path, pool(up.url, **plans(canary=plan))) as server,
    ):
        row = await begin(server)
        await until(state(server, row["id"], "paused"))
        assert (await look(server, row["id"]))["waits_for"] == "data"
        await many(server, 20)
        await until(state(server, row["id"], "running"))
        found = await look(server, row["id"])
        assert (found["step"], found["weight"]) == (1, 0.5)


async def test_a_copy_that_fails_counts_where_a_guardrail_names_it(tmp_path):
    plan = {**COPIED, "guardrails": [{"metric": "shadow.error_rate", "at_most": 0.05}]}
    config = pool("", **plans(canary=plan), resilience={"breaker": {"failures": 1000}})
    async with Upstream(breaking("up-s")) as up:
        config["providers"]["alpha"]["base_url"] = f"{up.url}/v1"
        async with serving(tmp_path, config) as server:
            row = await begin(server)
            row = await until_it_ends(server, row["id"])
            assert row["state"] == "aborted"
            assert row["evidence"][0]["metric"] == "shadow.error_rate"


async def test_only_a_share_of_live_answers_is_graded(tmp_path):
    plan = {**HALF, "grade": 0.3, "guardrails": [{"metric": "brief", "drop_at_most": 0.05}]}
    async with (
        Upstream(chat("Short.")) as up,
        serving(tmp_path, pool(up.url, **plans(canary=plan))) as server,
    ):
        row = await begin(server)
        await many(server, 60)
        await until(lambda: server.gateway.gradings.idle)
        graded = sum(one["n"] for one in (await look(server, row["id"]))["grades"])
        assert 5 < graded < 35


async def test_a_rollout_keeps_its_graders_whatever_becomes_of_the_config(tmp_path):
    plan = {**HALF, "guardrails": [{"metric": "brief", "drop_at_most": 0.05}]}
    async with Upstream(chat("Short.")) as up:
        config = pool(up.url, **plans(canary=plan))
        async with serving(tmp_path, config) as server:
            row = await begin(server)
            config["rollouts"]["canary"] = {"steps": [{"weight": 1.0}]}
            server.write(config)
            assert await server.reloader.reload()
            server.gateway.refresh_world()
            await many(server, 10)
            await until(lambda: server.gateway.gradings.idle)
            assert sum(one["n"] for one in (await look(server, row["id"]))["grades"]) == 10
            assert (await act(server, row["id"], "abort")).status_code == 200


async def test_a_reload_with_a_grader_that_is_none_keeps_the_config_that_runs(tmp_path):
    config = pool("http://127.0.0.1:9", **plans(canary={**HALF}))
    async with serving(tmp_path, config) as server:
        before = server.gateway.state.config.config_hash
        config["rollouts"]["canary"]["graders"] = {"x": {"kind": "nonsense"}}
        server.write(config)
        assert not await server.reloader.reload()
        assert server.gateway.state.config.config_hash == before
        assert any("unknown grader `nonsense`" in str(line.get("problems")) for line in server.log)


@pytest.mark.parametrize(
    ("plan", "said"),
    [
        ({"graders": {"x": {"kind": "nonsense"}}}, "unknown grader `nonsense`"),
        ({"graders": {"x": {"kind": "function", "file": "x.py"}}}, "runs code"),
        (
            {
                "graders": {"x": {"kind": "judge", "model": "gpt", "rubric": "r"}},
                "shadow": 0.5,
                "guardrails": [{"metric": "shadow.x", "drop_at_most": 0.1}],
            },
            "which have no score themselves",
        ),
        ({"graders": {"x": {"kind": "json_schema", "schema": "none.json"}}}, "none.json"),
        (
            {"graders": {"x": {"kind": "consistency"}}, "guardrails": [{"metric": "x", "at_least": 0.5}]},
            "something to compare a live answer with",
        ),
        (
            {
                "graders": {"x": {"kind": "consistency"}},
                "shadow": 0.5,
                "guardrails": [{"metric": "shadow.x", "drop_at_most": 0.1}],
            },
            "which have no score themselves",
        ),
    ],
)
async def test_a_grader_that_could_never_decide_is_refused_with_its_place(tmp_path, plan, said):
    good = {"steps": [{"weight": 0.5, "for": "1h"}, {"weight": 1.0}]}
    config = pool("http://127.0.0.1:9", **plans(canary={**good, **plan}))
    with pytest.raises(ConfigError) as raised:
        async with serving(tmp_path, config):
            pass
    (problem,) = raised.value.problems
    assert said in problem.problem
    assert problem.path.startswith("rollouts.canary.")
