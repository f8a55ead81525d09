"""Re-asks and edits: what is noticed in real conversations, and what is none of it."""

import asyncio
import threading

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from interlock.dialects import DIALECTS
from interlock.server import noticing
from interlock.server.case import LARGE, Asker, Case
from interlock.server.noticing import (
    MOST_CALLERS,
    MOST_QUESTIONS,
    PAUSE_US,
    WITHIN_US,
    Asked,
    Memory,
    is_near,
    notice,
    question_of,
)
from tests.live.given import decision
from tests.server.harness import pool, serving, until
from tests.server.test_process import process
from tests.server.upstream import Upstream, answer
from tests.server.vendors import chat

SALT = 7
S = 1_000_000
ME = Asker("acme", "k", "s1")


def user(text):
    return {"role": "user", "content": text}


def said(text):
    return {"role": "assistant", "content": text}


def request(*messages, dialect="openai-chat", **fields):
    body = {"model": "prod", "messages": list(messages), **fields}
    return DIALECTS[dialect].decode_request(msgspec.json.encode(body), {})


class Talk:
    """One caller's requests, each ten seconds after the answer before, unless it says otherwise."""

    def __init__(self, who=ME):
        self.who = who
        self.memory = Memory()
        self.now = 1_000 * S
        self.count = 0

    def ask(self, *messages, after=10.0, ok=True, lasts=1.0, attempt=None, who=None, **fields):
        question = question_of(request(*messages, **fields), SALT)
        self.count += 1
        name = f"d{self.count}"
        began = self.now + int(after * S)
        self.now = began + int(lasts * S)
        if question is None:
            return None
        asker = msgspec.structs.replace(who or self.who, attempt=attempt)
        seen = self.memory.take(Asked(asker, name, question, began, self.now, ok))
        return None if seen is None else (seen.id, seen.kind)


FRANCE = "What is the capital of France, and since when?"
LONG = "Summarise the contract below for a customer in three sentences. " + "whereas " * 60


def test_the_same_question_asked_again_is_a_reask_of_the_answer_before():
    talk = Talk()
    assert talk.ask(user(FRANCE)) is None
    assert talk.ask(user(FRANCE)) == ("d1", "reask")
    assert talk.ask(user(f"  {FRANCE.upper()} ")) == ("d2", "reask"), "capitals and spaces say nothing new"


def test_a_question_asked_again_below_its_answer_is_a_reask():
    talk = Talk()
    talk.ask(user("Hello there, assistant"))
    first = [user("Hello there, assistant"), said("Hi!"), user(FRANCE)]
    assert talk.ask(*first) is None
    assert talk.ask(*first, said("Lyon."), user(FRANCE)) == ("d2", "reask")


def test_a_question_put_otherwise_in_its_place_of_a_conversation_is_an_edit():
    talk = Talk()
    history = [user("I am planning a trip to Rome"), said("How nice! When?")]
    talk.ask(history[0])
    talk.ask(*history, user("In May, with two small children"))
    assert talk.ask(*history, user("October. Which museums are worth it?")) == ("d2", "edit")


def test_a_question_to_which_something_was_added_is_an_edit_even_without_a_history():
    talk = Talk()
    talk.ask(user("Write a poem about cats for my grandmother"))
    assert talk.ask(user("Write a short poem about cats for my grandmother")) == ("d1", "edit")
    assert talk.ask(user("Write a poem about cats for my grandmother, and make it rhyme")) is not None


def test_the_instructions_of_the_system_may_change_meanwhile():
    talk = Talk()
    talk.ask({"role": "system", "content": "It is 10:01."}, user(FRANCE))
    assert talk.ask({"role": "system", "content": "It is 10:02."}, user(FRANCE)) == ("d1", "reask")


def pictured(number):
    url = f"https://e.example/{number}.png"
    words = {"type": "text", "text": "What do you see in this picture?"}
    return user([words, {"type": "image_url", "image_url": {"url": url}}])


NOTHING = {
    "another question": [[user(FRANCE)], [user("How do I boil an egg without breaking it?")]],
    "one word replaced": [
        [user("What is the capital of France?")],
        [user("What is the capital of Spain?")],
    ],
    "a follow-up": [
        [user(FRANCE)],
        [user(FRANCE), said("Paris, since 987."), user("And how many people live there today?")],
    ],
    "go on, and go on": [
        [user("Go on")],
        [user("Go on"), said("…"), user("Go on")],
    ],
    "questions about one document": [
        [user(f"{LONG} Question: who pays for the transport?")],
        [user(f"{LONG} Question: when does it end?")],
    ],
    "examples before each question": [
        [user("2+2"), said("4"), user("Which is larger, 7 or 12, and why?")],
        [user("2+2"), said("4"), user("Name the colours of the rainbow in order")],
    ],
    "another picture": [[pictured(number)] for number in range(2)],
}


@pytest.mark.parametrize("turns", NOTHING.values(), ids=NOTHING.keys())
def test_what_is_another_question_is_no_signal(turns):
    talk = Talk()
    assert [talk.ask(*messages) for messages in turns] == [None] * len(turns)


def call(number):
    return {
        "role": "assistant",
        "content": None,
        "tool_calls": [
            {"id": f"c{number}", "type": "function", "function": {"name": "find", "arguments": "{}"}}
        ],
    }


def result(number):
    return {"role": "tool", "tool_call_id": f"c{number}", "content": "nothing found"}


def test_of_a_very_long_question_only_its_beginning_and_end_are_taken_apart():
    """It is the same one where all of it is the same, and an edit where it differs in between."""
    text = "Summarise this, please: " + "whereas it was agreed, " * 20_000 + "and signed. In three sentences!"
    other = text.replace("agreed", "denied", 12_000).replace("denied", "agreed", 8_000)
    talk = Talk()
    assert talk.ask(user(text)) is None
    assert talk.ask(user(text)) == ("d1", "reask")
    assert talk.ask(user(other)) == ("d2", "edit")
    assert len(noticing._outer(text)[1]) <= 2 * noticing.MOST_CHARACTERS + 1
    assert noticing._outer(FRANCE) == ("", FRANCE)


def test_the_turns_of_an_agent_with_its_tools_are_no_questions():
    """OpenAI's form, and with a reminder behind each result, as coding agents send them."""
    talk, history = Talk(), [user("Find out why the build fails and repair it")]
    assert talk.ask(*history) is None
    for number in range(6):
        history += [call(number), result(number)]
        assert talk.ask(*history) is None
        assert talk.ask(*history, user("Remember to keep the list of tasks up to date")) is None


def test_an_agent_in_anthropics_form_is_passed_over_as_well():
    talk = Talk()
    history = [user("Find out why the build fails and repair it")]
    fields = {"dialect": "anthropic-messages", "max_tokens": 10}
    assert talk.ask(*history, **fields) is None
    for number in range(4):
        use = {"type": "tool_use", "id": f"t{number}", "name": "find", "input": {}}
        found = {"type": "tool_result", "tool_use_id": f"t{number}", "content": "nothing"}
        reminder = {"type": "text", "text": "Remember to keep the list of tasks up to date"}
        history += [{"role": "assistant", "content": [use]}, {"role": "user", "content": [found, reminder]}]
        assert talk.ask(*history, **fields) is None


def test_prompts_cut_from_one_template_are_soon_no_signal():
    talk = Talk()
    prompt = "Is this review of our hotel friendly or not? Answer with one word."
    endings = ["", " Ref 1.", " Ref 1 2.", " Ref 1 2 3.", " Ref 1 2 3 4."]
    found = [talk.ask(user(prompt + ending)) for ending in endings]
    assert found[3:] == [None, None]


def test_a_program_that_says_the_same_after_each_answer_is_soon_no_signal():
    talk, history, found = Talk(), [], []
    for number in range(6):
        history.append(user("Please go on with the next file in the list"))
        found.append(talk.ask(*history))
        history.append(said(f"Done: {number}"))
    assert found[2:] == [None] * 4


def test_a_library_that_tries_again_is_no_caller_that_asks_again():
    talk = Talk()
    talk.ask(user(FRANCE), attempt="idem-1")
    assert talk.ask(user(FRANCE), attempt="idem-1") is None
    talk = Talk()
    talk.ask(user(FRANCE), ok=False)
    assert talk.ask(user(FRANCE)) is None, "nobody judges an answer that never came"


@pytest.mark.parametrize(
    ("after", "noticed"), [(0.2, False), (1.0, True), (300.0, True), (301.0, False)], ids=str
)
def test_it_takes_a_moment_to_read_an_answer_and_after_minutes_it_is_another_matter(after, noticed):
    assert (PAUSE_US, WITHIN_US) == (1 * S, 300 * S)
    talk = Talk()
    talk.ask(user(FRANCE))
    assert (talk.ask(user(FRANCE), after=after) is not None) is noticed


def test_requests_side_by_side_are_no_signal():
    talk = Talk()
    talk.ask(user(FRANCE), lasts=20)
    assert talk.ask(user(FRANCE), after=-15) is None


def test_callers_are_strangers_to_each_other():
    talk = Talk()
    talk.ask(user(FRANCE))
    for who in (Asker("other", "k", "s1"), Asker("acme", "k2", "s1"), Asker("acme", "k", "s2")):
        assert talk.ask(user(FRANCE), who=who) is None


def test_what_is_remembered_is_bounded_and_forgotten():
    talk = Talk()
    for number in range(MOST_CALLERS + 50):
        for _ in range(2):
            talk.ask(user("Tell me something new"), after=0, lasts=0, who=Asker("acme", "k", f"s{number}"))
    assert len(talk.memory) == MOST_CALLERS
    assert max(map(len, talk.memory._known.values())) <= MOST_QUESTIONS
    talk.ask(user(FRANCE), after=WITHIN_US / S + 1)
    assert len(talk.memory) == 1


def test_no_word_of_a_question_is_remembered():
    question = question_of(request(user("My secret is swordfish")), SALT)
    assert question is not None
    assert "swordfish" not in repr(question)
    assert question != question_of(request(user("My secret is swordfish")), SALT + 1)


WORDS = st.lists(st.integers(0, 50), min_size=4, max_size=40)


@settings(deadline=None)
@given(WORDS, WORDS)
def test_being_near_is_mutual_and_everything_is_near_to_itself(one, other):
    assert is_near(tuple(one), tuple(one))
    assert is_near(tuple(one), tuple(other)) == is_near(tuple(other), tuple(one))


# --- on a real server ---------------------------------------------------------------------------

SESSION = {"x-interlock-session": "s1"}


async def noticed(server, name):
    await server.gateway.noticer.look()
    return server.record(name).noticed


@pytest.fixture
def at_once(monkeypatch):
    """A caller as quick as a test."""
    monkeypatch.setattr(noticing, "PAUSE_US", 0)


@pytest.mark.usefixtures("at_once")
async def test_a_reask_is_in_the_record_the_figures_and_the_metrics(tmp_path):
    async with Upstream(chat()) as up, serving(tmp_path, pool(up.url)) as server:
        first = await server.chat(FRANCE, headers=SESSION)
        await server.chat(FRANCE, headers=SESSION)
        assert await noticed(server, first) == "reask"
        (row,) = (await server.client.get("/v1/routes")).json()["data"]
        assert (row["reask_rate"], row["edit_rate"]) == ({"value": 0.5, "n": 2}, {"value": 0.0, "n": 2})
        assert row["override_rate"]["value"] == 0, "what was noticed is not what somebody said"
        text = (await server.client.get("/metrics")).text
        labels = 'alias="prod",alias_version="1",provider="alpha",model="gpt",arm="stable",noticed="reask"'
        assert f"interlock_reasks_total{{{labels}}} 1" in text
        name = first.headers["x-interlock-decision-id"]
        shown = (await server.client.get(f"/v1/decisions/{name}")).json()
        assert (shown["noticed"], shown["outcome"]) == ("reask", None)


@pytest.mark.usefixtures("at_once")
async def test_an_answer_has_one_signal_however_often_it_is_asked_again(tmp_path):
    async with Upstream(chat()) as up, serving(tmp_path, pool(up.url)) as server:
        name = (await server.chat(FRANCE, headers=SESSION)).headers["x-interlock-decision-id"]
        keep = noticing.keep
        seen = noticing.Seen(name, "edit")
        assert await asyncio.to_thread(keep, server.gateway.store, seen) is not None
        assert not await asyncio.to_thread(keep, server.gateway.store, seen)
        assert 'noticed="edit"} 1' in (await server.client.get("/metrics")).text


@pytest.mark.usefixtures("at_once")
@pytest.mark.parametrize(
    "fields",
    [
        {"headers": {}},
        {"headers": {**SESSION, "x-stainless-retry-count": "1"}},
        {"headers": {"x-interlock-session": "another"}},
    ],
    ids=["no session", "a library's retry", "another session"],
)
async def test_without_a_session_and_for_a_librarys_retry_nothing_is_noticed(tmp_path, fields):
    async with Upstream(chat()) as up, serving(tmp_path, pool(up.url)) as server:
        first = await server.chat(FRANCE, headers=SESSION if fields["headers"] else {})
        await server.chat(FRANCE, **fields)
        assert await noticed(server, first) is None


@pytest.mark.usefixtures("at_once")
async def test_a_user_is_as_good_as_a_session_and_a_failed_answer_is_nobodys_reask(tmp_path):
    replies = [chat(), chat(), answer({"error": {"message": "x"}}, 400), chat()]
    async with Upstream(lambda _: replies.pop(0)) as up, serving(tmp_path, pool(up.url)) as server:
        names = [await server.chat(FRANCE, user="ann") for _ in range(2)]
        assert await noticed(server, names[0]) == "reask"
        failed = await server.chat("Why is the sky blue at noon?", user="ann")
        assert failed.status_code == 400
        await server.chat("Why is the sky blue at noon?", user="ann")
        assert await noticed(server, failed) is None


async def test_a_request_without_session_and_user_leaves_nothing_to_compare(tmp_path):
    async with Upstream(chat()) as up, serving(tmp_path, pool(up.url)) as server:
        await server.chat(FRANCE)
        assert not server.gateway.noticer._waiting


async def test_what_waits_is_bounded_where_nobody_looks(tmp_path):
    async with serving(tmp_path, pool("http://127.0.0.1:9")) as server:
        noticer = server.gateway.noticer
        case = Case(request(user(FRANCE)), decision(), b"", 0, 0, ME)
        for _ in range(noticing.MOST_WAITING + 10):
            noticer.note(case, "ok")
        assert len(noticer._waiting) == noticing.MOST_WAITING


async def test_the_bytes_that_wait_are_bounded_and_nothing_very_large_waits(tmp_path):
    async with serving(tmp_path, pool("http://127.0.0.1:9")) as server:
        noticer = server.gateway.noticer
        noticer.note(Case(request(user(FRANCE)), decision(), b"", 0, noticing.MOST_SIZE + 1, ME), "ok")
        assert not noticer._waiting
        case = Case(request(user(FRANCE)), decision(), b"", 0, noticing.MOST_SIZE, ME)
        most = noticing.MOST_BYTES // noticing.MOST_SIZE
        for _ in range(most + 3):
            noticer.note(case, "ok")
        assert len(noticer._waiting) == most
        await noticer.look()
        for _ in range(most + 3):
            noticer.note(case, "ok")
        assert len(noticer._waiting) == most, "what was looked at counts no longer"


async def test_large_requests_are_compared_beside_the_loop_and_others_have_their_turn(tmp_path, monkeypatch):
    on_the_loop, turns = [], []

    def noting(*given):
        on_the_loop.append(threading.current_thread() is threading.main_thread())
        turns.append(turn)
        return question_of(*given)

    turn, done = 0, False

    async def others():
        nonlocal turn
        while not done:
            turn += 1
            await asyncio.sleep(0)

    monkeypatch.setattr(noticing, "question_of", noting)
    async with serving(tmp_path, pool("http://127.0.0.1:9")) as server:
        noticer = server.gateway.noticer
        for size in (100, LARGE + 1, LARGE, LARGE, LARGE):
            noticer.note(Case(request(user(FRANCE)), decision(), b"", 0, size, ME), "ok")
        beside = asyncio.create_task(others())
        await asyncio.sleep(0)
        await noticer.look()
        done = True
        await beside
    assert on_the_loop == [True, False, True, True, True]
    assert turns[2] > turns[1]
    assert turns[4] > turns[2], "not all in one turn"


async def test_a_request_that_cannot_be_compared_ends_the_noticing_of_no_other(tmp_path, monkeypatch):
    faults, compared = [], []

    def odd(asked, _):
        compared.append(asked)
        if len(compared) == 1:
            raise ValueError("odd")

    monkeypatch.setattr(noticing, "question_of", odd)
    async with serving(tmp_path, pool("http://127.0.0.1:9")) as server:
        noticer = server.gateway.noticer
        for _ in range(3):
            noticer.note(Case(request(user(FRANCE)), decision(), b"", 0, 10, ME), "ok")
        noting = asyncio.create_task(
            notice(noticer, server.gateway.say, lambda *given: faults.append(given), look_s=0.01)
        )
        await until(lambda: not noticer._waiting)
        assert len(compared) == 3
        assert [(during, type(error)) for during, error in faults] == [("noticing", ValueError)]
        noting.cancel()


async def test_a_worker_notices_by_itself(tmp_path):
    async with Upstream(chat()) as up, process(tmp_path, pool(up.url)) as (_, client):
        body = {"model": "prod", "messages": [user(FRANCE)]}
        await client.post("/v1/chat/completions", json=body, headers=SESSION)
        await asyncio.sleep(PAUSE_US / S + 0.1)
        await client.post("/v1/chat/completions", json=body, headers=SESSION)

        async def counted():
            return 'noticed="reask"} 1' in (await client.get("/metrics")).text

        await until(counted, 20)


@pytest.mark.usefixtures("at_once")
async def test_a_library_that_names_its_request_asks_once_however_often_it_tries(tmp_path):
    async with Upstream(chat()) as up, serving(tmp_path, pool(up.url)) as server:
        headers = {**SESSION, "idempotency-key": "idem-1"}
        first = await server.chat(FRANCE, headers=headers)
        await server.chat(FRANCE, headers=headers)
        assert await noticed(server, first) is None
        await server.chat(FRANCE, headers={**SESSION, "idempotency-key": "idem-2"})
        await server.gateway.noticer.look()
        rows = [server.record(row.id).noticed for row in server.gateway.store.each_record()]
        assert rows == [None, "reask", None]
