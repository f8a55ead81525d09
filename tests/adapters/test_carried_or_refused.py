"""Each thing that one may ask for, and each thing that an answer may say: carried, or refused by name."""

import json
from typing import Any, Final

import pytest

from interlock.adapters import ADAPTERS
from interlock.config.written import ToolSpec
from interlock.dialects import DIALECTS
from interlock.execute.validation.verdict import Expected, judge_answer
from interlock.types.answer import Answer
from interlock.types.labels import Dialect, Wire
from interlock.types.request import ToolCall
from tests.adapters.carried import FEATURES, TARGETS, chat, items, outcome, page
from tests.adapters.every import DIALECTS_IN
from tests.adapters.recorded import ask
from tests.data import ROOT
from tests.execute.given import decision

CACHE_MARKS: Final = ("marks for the prompt cache", "marks for the prompt cache, on parts")
THOUGHTS: Final = tuple(
    f"{kind} thoughts of an earlier answer" for kind in ("signed", "unsigned", "redacted")
)
MAY_BE_LEFT_OUT: Final = {
    **dict.fromkeys(CACHE_MARKS, "where a prompt may be cached: the answer is the same"),
    **dict.fromkeys(THOUGHTS, "vendors allow it, and refuse a thought that they have not signed"),
}
"""What a model may be asked without. The record says so."""
PLACES: Final = [
    pytest.param(feature, dialect, wire, id=f"{feature}-{dialect}-{wire}")
    for feature, by_dialect in FEATURES.items()
    for dialect in by_dialect
    for wire in ADAPTERS
]


def found(feature: str, dialect: Dialect, wire: Wire) -> str:
    return outcome(FEATURES[feature][dialect], dialect, wire)


def of(*features: str) -> list[Any]:
    return [place for place in PLACES if place.values[0] in features]


@pytest.mark.parametrize(("feature", "dialect", "wire"), PLACES)
def test_whatever_is_asked_for_is_carried_or_refused_by_name(feature, dialect, wire):
    got = found(feature, dialect, wire)
    said = got.startswith("left out: `") and feature in MAY_BE_LEFT_OUT
    assert got == "carried" or got.startswith("refused: `") or said, got


def test_the_page_lists_what_is_carried_and_every_combination_that_is_refused():
    text = (ROOT / "docs" / "what-is-carried.md").read_text("utf-8")
    written = [line for line in text.splitlines() if line.startswith("| ") and line.count("|") == 9]
    assert written[1:] == page()


@pytest.mark.parametrize("feature", FEATURES)
def test_its_own_wire_format_carries_whatever_a_dialect_can_ask_for(feature):
    own: dict[Dialect, Wire] = {
        "openai-chat": "openai",
        "openai-responses": "openai-responses",
        "anthropic-messages": "anthropic",
    }
    for dialect in FEATURES[feature]:
        # What neither OpenAI nor Anthropic has ever shown so, only another vendor can have.
        foreign = feature == "unsigned thoughts of an earlier answer"
        assert (found(feature, dialect, own[dialect]) == "carried") != foreign


@pytest.mark.parametrize(("feature", "dialect", "wire"), of("log probabilities"))
def test_log_probabilities_are_asked_of_those_that_have_them_and_refused_by_the_others(
    feature, dialect, wire
):
    has = {"openai-chat": ("openai", "azure", "gemini"), "openai-responses": ("openai-responses",)}[dialect]
    assert (found(feature, dialect, wire) == "carried") == (wire in has)


@pytest.mark.parametrize(("feature", "dialect", "wire"), of("citations of a document"))
def test_citations_are_asked_of_those_that_cite_documents_and_refused_by_the_others(feature, dialect, wire):
    assert (found(feature, dialect, wire) == "carried") == (wire in ("anthropic", "bedrock"))


@pytest.mark.parametrize(
    ("feature", "dialect", "wire"), of("a document as data", "a document as text", "an image as data")
)
def test_documents_and_images_that_are_in_the_request_reach_every_wire_format(feature, dialect, wire):
    assert found(feature, dialect, wire) == "carried"


@pytest.mark.parametrize(("feature", "dialect", "wire"), of(*CACHE_MARKS))
def test_prompt_cache_marks_go_where_there_are_such_and_change_no_answer_elsewhere(feature, dialect, wire):
    own = {"openai-chat": ("openai", "azure"), "openai-responses": ("openai-responses",)}.get(dialect, ())
    others = ("anthropic", "bedrock") if "parts" in feature else ("openai-responses",)
    assert (found(feature, dialect, wire) == "carried") == (wire in (*own, *others))


@pytest.mark.parametrize(("feature", "dialect", "wire"), of(*THOUGHTS))
def test_an_earlier_thought_never_keeps_a_conversation_from_a_model(feature, dialect, wire):
    assert not found(feature, dialect, wire).startswith("refused")


@pytest.mark.parametrize(("feature", "dialect", "wire"), of("a refusal in an earlier answer"))
def test_an_earlier_refusal_is_said_to_every_model(feature, dialect, wire):
    assert found(feature, dialect, wire) == "carried"


ONE_AT_MOST: Final[dict[Dialect, dict[str, Any]]] = {
    "openai-chat": chat(
        parallel_tool_calls=False, tools=[{"type": "function", "function": {"name": "f", "parameters": {}}}]
    ),
    "openai-responses": items(
        parallel_tool_calls=False, tools=[{"type": "function", "name": "f", "parameters": {}}]
    ),
    "anthropic-messages": chat(
        max_tokens=50,
        tool_choice={"type": "auto", "disable_parallel_tool_use": True},
        tools=[{"name": "f", "input_schema": {"type": "object"}}],
    ),
}


@pytest.mark.parametrize("wire", ADAPTERS)
@pytest.mark.parametrize("dialect", ONE_AT_MOST)
def test_one_call_at_most_is_asked_of_those_that_have_a_word_for_it_and_of_every_answer(dialect, wire):
    asked = {"model": "m", **ONE_AT_MOST[dialect]}
    request = DIALECTS[dialect].decode_request(json.dumps(asked).encode(), {})
    assert ADAPTERS[wire].cannot_carry(request) == ()
    sent = ADAPTERS[wire].encode_request(request, TARGETS[wire]).body.decode()
    word = '"disable_parallel_tool_use":true' if wire == "anthropic" else '"parallel_tool_calls":false'
    assert (word in sent) == (wire not in ("gemini", "bedrock"))
    calls = tuple(ToolCall(id=name, name="f", arguments="{}") for name in ("a", "b"))
    expected = Expected(request, decision(), None, {}, ToolSpec())
    one, two = (
        judge_answer(Answer(id="", upstream_model="", parts=parts, finish="tool_calls"), expected)
        for parts in (calls[:1], calls)
    )
    assert (one.violation, two.violation is None) == (None, False)


# --- answers ----------------------------------------------------------------------------------


def completion(message: dict[str, Any], finish: str = "stop", **choice: Any) -> dict[str, Any]:
    told = {"role": "assistant", "content": None, **message}
    usage = {
        "prompt_tokens": 100,
        "completion_tokens": 30,
        "total_tokens": 130,
        "prompt_tokens_details": {"cached_tokens": 40},
        "completion_tokens_details": {"reasoning_tokens": 20},
    }
    return {
        "id": "a",
        "model": "m",
        "choices": [{"index": 0, "message": told, "finish_reason": finish, **choice}],
        "usage": usage,
    }


def response(*parts: dict[str, Any]) -> dict[str, Any]:
    message = {"type": "message", "id": "m", "role": "assistant", "status": "completed", "content": [*parts]}
    usage = {
        "input_tokens": 100,
        "output_tokens": 30,
        "total_tokens": 130,
        "input_tokens_details": {"cached_tokens": 40},
        "output_tokens_details": {"reasoning_tokens": 20},
    }
    return {"id": "a", "model": "m", "status": "completed", "output": [message], "usage": usage}


def message(*blocks: dict[str, Any], stop: str = "end_turn") -> dict[str, Any]:
    usage = {
        "input_tokens": 60,
        "cache_read_input_tokens": 40,
        "output_tokens": 30,
        "output_tokens_details": {"thinking_tokens": 20},
    }
    return {"id": "a", "model": "m", "content": [*blocks], "stop_reason": stop, "usage": usage}


def gemini(text: str, finish: str = "STOP", **candidate: Any) -> dict[str, Any]:
    usage = {
        "promptTokenCount": 100,
        "cachedContentTokenCount": 40,
        "candidatesTokenCount": 10,
        "thoughtsTokenCount": 20,
    }
    content = {"parts": [{"text": text}], "role": "model"}
    return {
        "responseId": "a",
        "candidates": [{"content": content, "finishReason": finish, **candidate}],
        "usageMetadata": usage,
    }


def converse(block: dict[str, Any], stop: str = "end_turn") -> dict[str, Any]:
    usage = {"inputTokens": 60, "cacheReadInputTokens": 40, "outputTokens": 30}
    return {"output": {"message": {"content": [block]}}, "stopReason": stop, "usage": usage}


PLAIN: Final[dict[Wire, dict[str, Any]]] = {
    "openai": completion({"content": "said"}),
    "azure": completion({"content": "said"}),
    "openai-responses": response({"type": "output_text", "text": "said"}),
    "anthropic": message({"type": "text", "text": "said"}),
    "gemini": gemini("said"),
    "bedrock": converse({"text": "said"}),
}
WIRES: Final = tuple(PLAIN)


def shown(wire: Wire, body: dict[str, Any], dialect: Dialect) -> dict[str, Any]:
    """An answer of a vendor as a caller of a dialect is shown it."""
    answer = ADAPTERS[wire].decode_answer(json.dumps(body).encode())
    assert isinstance(answer, Answer), answer
    encoded: dict[str, Any] = json.loads(DIALECTS[dialect].encode_answer(answer, ask(dialect), "m"))
    return encoded


@pytest.mark.parametrize("dialect", DIALECTS_IN)
@pytest.mark.parametrize("wire", WIRES)
def test_cached_and_reasoning_tokens_reach_callers_of_every_dialect(wire, dialect):
    usage = shown(wire, PLAIN[wire], dialect)["usage"]
    if dialect == "anthropic-messages":
        counts = usage["input_tokens"], usage["cache_read_input_tokens"], usage["output_tokens"]
        assert counts == (60, 40, 30)
        thought = usage.get("output_tokens_details", {}).get("thinking_tokens")
    else:
        names = ("prompt", "completion") if dialect == "openai-chat" else ("input", "output")
        assert [usage[f"{name}_tokens"] for name in names] == [100, 30]
        assert usage[f"{names[0]}_tokens_details"]["cached_tokens"] == 40
        thought = usage.get(f"{names[1]}_tokens_details", {}).get("reasoning_tokens")
    if wire == "bedrock":  # it counts them with the output and not apart
        assert not thought
    else:
        assert thought == 20


REFUSED: Final[dict[Wire, dict[str, Any]]] = {
    "openai": completion({"refusal": "no"}),
    "azure": completion({"refusal": "no"}),
    "openai-responses": response({"type": "refusal", "refusal": "no"}),
    "anthropic": message({"type": "text", "text": "no"}, stop="refusal"),
    "gemini": gemini("no", "SAFETY"),
    "bedrock": converse({"text": "no"}, "guardrail_intervened"),
}


@pytest.mark.parametrize("dialect", DIALECTS_IN)
@pytest.mark.parametrize("wire", WIRES)
def test_a_refusal_looks_like_one_to_callers_of_every_dialect(wire, dialect):
    got = shown(wire, REFUSED[wire], dialect)
    assert "no" in json.dumps(got)
    if dialect == "anthropic-messages":
        assert got["stop_reason"] == "refusal"
    elif dialect == "openai-chat":
        choice = got["choices"][0]
        assert choice["message"]["refusal"] == "no" or choice["finish_reason"] == "content_filter"
    else:
        kinds = [part["type"] for item in got["output"] for part in item["content"]]
        cut = got["incomplete_details"] or {}
        assert kinds == ["refusal"] or cut.get("reason") == "content_filter"


LOGPROBS: Final = [{"token": "said", "logprob": -0.5, "bytes": [115], "top_logprobs": []}]


def test_log_probabilities_of_an_answer_reach_whoever_could_ask_for_them():
    said = completion({"content": "said"}, logprobs={"content": LOGPROBS, "refusal": None})
    assert shown("openai", said, "openai-chat")["choices"][0]["logprobs"]["content"] == LOGPROBS
    part = {"type": "output_text", "text": "said", "annotations": [], "logprobs": LOGPROBS}
    got = shown("openai-responses", response(part), "openai-responses")
    assert got["output"][0]["content"][0]["logprobs"] == LOGPROBS
    chosen = {"chosenCandidates": [{"token": "said", "logProbability": -0.5}]}
    google = shown("gemini", gemini("said", logprobsResult=chosen), "openai-chat")
    assert google["choices"][0]["logprobs"]["content"][0]["logprob"] == -0.5
