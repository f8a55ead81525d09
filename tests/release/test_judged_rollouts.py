"""A model as the judge of live answers and copies: whom it judges, what it may see, and what it costs."""

from typing import Any

import pytest

from interlock.errors import ConfigError
from tests.release.test_rollouts import begin, look, many, plans
from tests.server.harness import pool, serving, until
from tests.server.upstream import Upstream
from tests.server.vendors import chat, message

LONG = " ".join(["word"] * 40)
SHORT = "Short."
COPIED = {"steps": [{"weight": 0, "for": "1h"}, {"weight": 1.0}], "sticky_by": "request", "shadow": 1.0}
BETTER = {"better": {"kind": "judge", "model": "judge", "rubric": "Brevity."}}


def answers(seen: Any) -> Any:
    """The candidate talks a lot."""
    return chat(LONG if seen.json["model"] == "up-s" else SHORT)


def brevity(seen: Any) -> Any:
    """A judge that always prefers the shorter answer, whichever comes first."""
    text = seen.json["messages"][0]["content"]
    text = text if isinstance(text, str) else text[0]["text"]
    if "Answer A" not in text:
        return message("VERDICT: " + ("FAIL" if LONG in text else "PASS"))
    first = text.index(SHORT) < text.index(LONG) if SHORT in text and LONG in text else None
    return message("VERDICT: " + ("SAME" if first is None else "A" if first else "B"))


def judged(home: str, judge: str, **plan: Any) -> dict[str, Any]:
    config = pool(home, judge, **plans(canary={**COPIED, "graders": BETTER, **plan}))
    config["models"]["judge"] = {**config["models"]["claude"], "upstream": "sage-9"}
    return config


def got_class(headers: dict[str, str]) -> str:
    return headers.get("x-interlock-data-class", "internal")


async def settled(server, name):
    gateway = server.gateway
    await until(lambda: gateway.copies.idle and gateway.gradings.idle)
    await gateway.mirrors.flush()
    return await look(server, name)


async def test_a_judge_compares_a_copy_with_the_live_answer_in_both_orders(tmp_path):
    async with (
        Upstream(answers) as home,
        Upstream(brevity) as judge,
        serving(tmp_path, judged(home.url, judge.url)) as server,
    ):
        row = await begin(server)
        await many(server, 1)
        found = await settled(server, row["id"])
        assert len(judge.seen) == 2
        (better,) = [one for one in found["shadow"]["comparisons"] if one["grader"] == "better"]
        assert (better["value"], better["n"], better["live"]) == (0.0, 1, None)
        assert found["unseen"]["judged"] == 2
        kept = [server.record(stored.id) for stored in server.gateway.store.each_record()]
        unseen = [record for record in kept if record.shadow_of is not None]
        assert sorted(record.attempts[0].model for record in unseen) == ["judge", "judge", "small"]
        assert found["unseen"]["cost_usd"] == pytest.approx(sum(one.cost_usd or 0 for one in unseen))


async def test_a_judge_of_live_answers_is_a_guardrail(tmp_path):
    plan = {
        "steps": [{"weight": 0.5, "for": "1h"}, {"weight": 1.0}],
        "shadow": 0.0,
        "grade": 1.0,
        "guardrails": [{"metric": "better", "drop_at_most": 0.1}],
    }
    async with (
        Upstream(answers) as home,
        Upstream(brevity) as judge,
        serving(tmp_path, judged(home.url, judge.url, **plan)) as server,
    ):
        row = await begin(server)
        for _ in range(20):
            await many(server, 10)
            found = await settled(server, row["id"])
            if found["state"] == "aborted":
                break
        await until(lambda: server.gateway.state.setting.world.rollouts == {})
        assert (await look(server, row["id"]))["evidence"][0]["metric"] == "better"


@pytest.mark.parametrize(
    ("text", "headers", "extra"),
    [
        ("secret plans", {"x-interlock-data-class": "confidential"}, {}),
        ("stay", {"x-interlock-residency": "eu"}, {"policy": "residency"}),
        ("by workflow", {}, {"policy": "workflow"}),
    ],
    ids=["data-class", "residency", "rule-over-metadata"],
)
async def test_a9_a_judge_outside_does_not_get_a_byte_of_what_has_to_stay(tmp_path, text, headers, extra):
    rules = {
        "residency": {"name": "eu", "when": {"residency": "eu"}, "then": {"regions": ["eu"]}},
        "workflow": {
            "name": "hr",
            "when": {"metadata": {"workflow": "hr"}},
            "then": {"providers": ["alpha"]},
        },
    }
    async with Upstream(chat(SHORT)) as home, Upstream(brevity) as judge:
        config = judged(home.url, judge.url)
        config["providers"]["alpha"]["trusted_for"] = "regulated"
        config["metadata"] = ["workflow"]
        if extra:
            config["policy"] = [rules[extra["policy"]]]
        async with serving(tmp_path, config) as server:
            row = await begin(server)
            got = await server.chat(text, headers=headers, metadata={"workflow": "hr"})
            assert got.status_code == 200, got.text
            found = await settled(server, row["id"])
            assert (found["shadow"]["sent"], judge.seen) == (1, [])
            assert found["unseen"]["unjudged"] == 2
            (better,) = [one for one in found["shadow"]["comparisons"] if one["grader"] == "better"]
            assert (better["value"], better["n"], better["unknown"]) == (None, 0, 1)
            if "workflow" not in text:
                kept = [server.record(stored.id) for stored in server.gateway.store.each_record()]
                denied = [one.decision for one in kept if one.status == "denied"]
                assert {one.signals.model for one in denied} == {"judge"}
                assert {one.policy.data_class for one in denied} == {got_class(headers)}


async def test_a9_an_answer_that_holds_more_than_its_request_is_not_shown_to_a_judge_outside(tmp_path):
    card = "Your card is 4111 1111 1111 1111."
    async with Upstream(chat(card)) as home, Upstream(brevity) as judge:
        config = judged(home.url, judge.url)
        async with serving(tmp_path, config) as server:
            row = await begin(server)
            await server.chat("What is my card?")
            assert (await settled(server, row["id"]))["shadow"]["sent"] == 1
            assert judge.seen == []


async def test_a_judge_of_the_candidates_own_family_is_not_asked(tmp_path):
    async with Upstream(answers) as home, Upstream(brevity) as judge:
        config = judged(home.url, judge.url)
        config["models"]["judge"]["upstream"] = "up-9"  # named as the candidate is
        async with serving(tmp_path, config) as server:
            row = await begin(server)
            await many(server, 1)
            await settled(server, row["id"])
            assert judge.seen == []


async def without_the_active_model(server, config):
    """The operator takes its entry out of the pool while the rollout is under way."""
    del config["models"]["gpt"]
    config["aliases"]["prod"] = "small"
    server.write(config)
    assert await server.reloader.reload()
    server.gateway.refresh_world()


async def test_a_judge_is_not_asked_about_a_model_that_left_the_pool_and_the_server_runs_and_starts(tmp_path):
    async with Upstream(answers) as home, Upstream(brevity) as judge:
        config = judged(home.url, judge.url)
        async with serving(tmp_path, config) as server:
            await begin(server)
            assert server.gateway.mirrors.by_alias["prod"].related == frozenset()
            await without_the_active_model(server, config)
            assert server.gateway.mirrors.by_alias["prod"].related == {"judge"}
        async with serving(tmp_path, config) as server:
            assert server.gateway.mirrors.by_alias["prod"].related == {"judge"}
            assert not [line for line in server.log if line["event"] == "fault"]


async def test_copies_that_cannot_be_prepared_are_left_out_and_said_and_end_no_tick_and_no_start(
    tmp_path, monkeypatch
):
    async with Upstream(answers) as home, Upstream(brevity) as judge:
        config = judged(home.url, judge.url)
        async with serving(tmp_path, config) as server:
            row = await begin(server)

        def broken(*_):
            raise KeyError("of another release")

        monkeypatch.setattr("interlock.server.mirrors.restored", broken)
        async with serving(tmp_path, config) as server:
            assert server.gateway.mirrors.by_alias == {}
            server.gateway.refresh_world()
            assert (await server.chat()).status_code == 200
            # Once for each time that it was tried, as when the world has changed.
            said = {(line["during"], line["error"]) for line in server.log if line["event"] == "fault"}
            assert said == {(f"mirror of rollout {row['id']}", "KeyError")}


async def test_a_judge_that_is_no_model_is_refused_with_its_place(tmp_path):
    config = judged("http://127.0.0.1:9", "http://127.0.0.1:9")
    del config["models"]["judge"]
    with pytest.raises(ConfigError) as raised:
        async with serving(tmp_path, config):
            pass
    (problem,) = raised.value.problems
    assert (problem.path, problem.problem) == (
        "rollouts.canary.graders.better.model",
        "there is no model `judge`",
    )
