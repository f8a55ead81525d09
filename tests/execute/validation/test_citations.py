"""Citations: at least one, and none of what the request did not give, in marks and in vendors' own forms."""

from typing import Final

import msgspec
import pytest
from hypothesis import given as for_all
from hypothesis import strategies as st

from interlock.adapters import ADAPTERS
from interlock.cited import Cited, marks_in
from interlock.config.written import ToolSpec
from interlock.execute.validation.contract import Contract
from interlock.execute.validation.sources import sources_of
from interlock.execute.validation.verdict import Expected, judge_answer
from interlock.types.request import File, Message, Opaque, Text, Tool, ToolCall, ToolResult
from tests import data
from tests.execute.given import decision, request
from tests.execute.validation.test_verdict import answer, says, streamed

CITES = Contract(owner="lane answers", citations=True)
USER = Text(text="How many days of leave are there?")
HANDBOOK = File(
    text="Leave: 28 days, see https://kb.example/leave.", name="Handbook.pdf", media_type="text/plain"
)
TERMS = File(text="Terms.", name="Terms", url="https://kb.example/terms")
NOTE = Text(text="Leave is 28 days.", source="kb")


def asked(*parts, tools=(), extra=None):
    return msgspec.structs.replace(request(*(parts or (USER,))), tools=tools, extra=extra or {})


def after(result, *, name="search"):
    """A request whose tool has returned this."""
    messages = (
        Message(role="user", parts=(USER,)),
        Message(role="assistant", parts=(ToolCall(id="c", name=name, arguments="{}"),)),
        Message(role="tool", parts=(ToolResult(call_id="c", name=name, content=(Text(text=result),)),)),
    )
    return msgspec.structs.replace(request(), messages=messages)


def judged(found, sources):
    return judge_answer(found, Expected(sources, decision(), CITES, {}, ToolSpec())).validation


def cites(text, *parts):
    return judged(says(text), asked(*parts)).verdict


@pytest.mark.parametrize(
    ("text", "verdict"),
    [
        ("28 days [1].", "passed"),
        ("28 days [1; Terms] of H2O [H2O].", "passed"),
        ("28 days [H2O].", "failed"),
        ("28 days[1][2].", "passed"),
        ("28 days [1, 2] or [1-2].", "passed"),
        ("28 days [^1] 【2】 【1†source】.", "passed"),
        ("28 days [handbook.pdf].", "passed"),
        ("28 days [Source 1].", "passed"),
        ("28 days [source: Handbook.pdf; Terms].", "passed"),
        ("28 days [1](https://kb.example/leave).", "passed"),
        ("28 days.", "failed"),
        ("28 days [3].", "failed"),
        ("28 days [1] or [9].", "failed"),
        ("28 days [1-9].", "failed"),
        ("28 days [1](https://evil.example).", "failed"),
        ("28 days [Contract.pdf].", "failed"),
        ("28 days, `days[1]`.", "failed"),
        ("```\ndays[1]\n```", "failed"),
        ("- [x] 28 days, as in [2024] and [0, 1]", "failed"),
        ('{"answer": "28 days [1]"}', "passed"),
        ('{"answer": "28 days", "sources": ["Handbook.pdf"]}', "passed"),
        ('{"answer": "28 days", "days": [1]}', "failed"),
    ],
)
def test_an_answer_cites_by_number_or_by_name_what_the_request_gave(text, verdict):
    assert cites(text, USER, HANDBOOK, TERMS) == verdict


def test_a_violation_says_which_number_of_how_many_and_never_the_answer():
    found = judged(says("4111 [7]"), asked(USER, HANDBOOK))
    assert found.violations == ("citations: the answer cites source 7 of 1",)
    assert found.triggers == ("schema_invalid",)


def test_without_a_source_there_is_nothing_that_could_be_cited():
    found = judged(says("28 days [1]."), asked(USER))
    assert found.violations == ("citations: the answer cites source 1 of 0",)
    assert "the request gives none" in judged(says("28 days."), asked(USER)).violations[0]


def test_a_part_with_a_source_is_cited_by_that_name():
    assert cites("28 days [kb].", USER, NOTE) == "passed"
    assert cites("28 days [1].", USER, NOTE) == "passed"
    assert cites("28 days [wiki].", USER, NOTE) == "failed"


@pytest.mark.parametrize(
    ("result", "text", "verdict"),
    [
        ("Leave is 28 days.", "28 days [1].", "passed"),
        ("Leave is 28 days.", "28 days [search].", "passed"),
        ("Leave is 28 days.", "28 days [2].", "failed"),
        ('[{"id": "kb-7", "text": "28"}, {"id": "kb-9", "text": "x"}]', "28 days [2].", "passed"),
        ('[{"id": "kb-7", "text": "28"}, {"id": "kb-9", "text": "x"}]', "28 days [kb-9].", "passed"),
        ('[{"id": "kb-7", "text": "28"}, {"id": "kb-9", "text": "x"}]', "28 days [3].", "failed"),
        ('{"results": [{"title": "Leave"}], "n": 1}', "28 days [Leave].", "passed"),
        ("[4] Leave is 28 days.\n[kb-12] More.", "28 days [4], [kb-12].", "passed"),
        ("[4] Leave is 28 days.", "28 days [5].", "failed"),
    ],
)
def test_what_a_tool_returned_is_cited_by_number_by_name_or_by_its_own_labels(result, text, verdict):
    assert judged(says(text), after(result)).verdict == verdict


def test_labels_in_the_models_own_words_are_no_sources():
    history = (Message(role="assistant", parts=(Text(text="[9] I said so."),)), *request().messages)
    sources = sources_of(msgspec.structs.replace(request(), messages=history))
    assert (sources.count, sources.names) == (0, frozenset())


def test_an_answer_that_calls_a_tool_first_need_not_cite_yet():
    search = Tool(name="search")
    found = answer(ToolCall(id="c", name="search", arguments="{}"), finish="tool_calls")
    assert judged(found, asked(USER, tools=(search,))).verdict == "passed"


ANTHROPIC: Final = "anthropic-messages"


def block(*citations):
    return answer(Text(text="28 days.", extra={ANTHROPIC: {"citations": list(citations)}}))


@pytest.mark.parametrize(
    ("citation", "verdict"),
    [
        ({"type": "char_location", "document_index": 1, "cited_text": "28"}, "passed"),
        ({"type": "page_location", "document_index": 2}, "failed"),
        ({"type": "search_result_location", "search_result_index": 0, "source": "s"}, "passed"),
        ({"type": "search_result_location", "search_result_index": 1, "source": "s"}, "failed"),
        ({"type": "web_search_result_location", "url": "https://kb.example/terms"}, "passed"),
        ({"type": "web_search_result_location", "url": "https://evil.example"}, "failed"),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_anthropics_citations_name_documents_results_and_urls_that_are_there(citation, verdict, stream):
    result = Opaque(dialect=ANTHROPIC, kind="search_result", value={"source": "https://s", "title": "S"})
    wanted = Expected(asked(USER, HANDBOOK, TERMS, result), decision(), CITES, {}, ToolSpec())
    if stream:
        delta = {ANTHROPIC: {"type": "citations_delta", "citation": citation}}
        found = streamed(answer(Text(text="28 days.", extra=delta)), wanted)
    else:
        found = judge_answer(block(citation), wanted)
    assert found.validation.verdict == verdict


def test_what_the_providers_own_search_found_in_the_answer_may_be_cited():
    results = {"content": [{"type": "web_search_result", "url": "https://found.example/a"}]}
    found = Opaque(dialect=ANTHROPIC, kind="web_search_tool_result", value=results)
    cited = {"type": "web_search_result_location", "url": "https://found.example/a"}
    text = Text(text="So.", extra={ANTHROPIC: {"citations": [cited]}})
    assert judged(answer(found, text), asked()).verdict == "passed"
    assert judged(answer(text), asked()).verdict == "failed"


def noted(*annotations, place="message"):
    return {"openai-chat": {place: {"annotations": list(annotations)}}}


@pytest.mark.parametrize("place", ["message", "delta"])
@pytest.mark.parametrize(
    ("annotation", "verdict"),
    [
        ({"type": "url_citation", "url_citation": {"url": "https://kb.example/leave"}}, "passed"),
        ({"type": "url_citation", "url": "https://kb.example/leave#days"}, "passed"),
        ({"type": "url_citation", "url_citation": {"url": "https://kb.example/leave2"}}, "failed"),
        ({"type": "file_citation", "filename": "Handbook.pdf"}, "passed"),
        ({"type": "file_citation", "file_citation": {"file_id": "file-9"}}, "failed"),
        ({"type": "url_citation"}, "failed"),
    ],
)
def test_openais_annotations_name_urls_and_files_that_are_there(annotation, verdict, place):
    found = answer(Text(text="28 days."), extra=noted(annotation, place=place))
    assert judged(found, asked(USER, HANDBOOK)).verdict == verdict


def test_a_request_that_lets_the_provider_search_takes_what_it_cites():
    cited = answer(Text(text="So."), extra=noted({"type": "url_citation", "url": "https://found.example"}))
    assert judged(cited, asked()).verdict == "failed"
    assert (
        judged(cited, asked(tools=(Tool(name="web_search", vendor={"type": "web_search"}),))).verdict
        == "passed"
    )


def test_perplexitys_numbers_go_to_the_list_that_comes_with_the_answer():
    top = {"openai-chat": {"top": {"citations": ["https://a.example", "https://b.example"]}}}
    assert judged(answer(Text(text="So [2]."), extra=top), asked()).verdict == "passed"
    assert judged(answer(Text(text="So [3]."), extra=top), asked()).verdict == "failed"


def test_what_gemini_cites_is_held_against_what_its_search_may_find():
    body = {
        "candidates": [
            {
                "content": {"parts": [{"text": "So."}]},
                "finishReason": "STOP",
                "citationMetadata": {"citationSources": [{"uri": "https://found.example"}]},
            }
        ]
    }
    cited = ADAPTERS["gemini"].decode_answer(msgspec.json.encode(body))
    assert judged(cited, asked()).violations == (
        "citations: the answer cites a URL that is none of the sources",
    )
    search = Tool(name="google_search", vendor={"type": "web_search"})
    assert judged(cited, asked(tools=(search,))).verdict == "passed"


def test_answers_that_experts_judged_cite_only_what_they_list():
    """Real answers: with their own list of sources as a tool's result numbers resolve, without it none do."""
    seen = 0
    for row in data.rows("citations", "expertqa_sample.jsonl"):
        listed = "\n".join(row["attribution"])
        numbers = {one.value for one in marks_in(row["answer"], ()) if one.kind == "number"}
        labelled = {one.value for one in marks_in(listed, ()) if one.kind == "number"}
        if not numbers or not numbers <= labelled:
            continue
        seen += 1
        assert judged(says(row["answer"]), after(listed)).verdict == "passed", row["question"]
        assert judged(says(row["answer"]), asked()).verdict == "failed", row["question"]
    assert seen > 20


@for_all(st.integers(1, 9), st.lists(st.integers(1, 12), min_size=1, max_size=5))
def test_an_answer_passes_exactly_if_every_number_is_one_of_the_sources(count, numbers):
    parts = [USER, *(File(text="t", name=f"f{place}") for place in range(count))]
    text = " ".join(f"So it is [{number}]." for number in numbers)
    assert (cites(text, *parts) == "passed") == (max(numbers) <= count)


@for_all(st.text(alphabet="[]()^-,;1a †【】`\n", max_size=60))
def test_c15_any_text_has_its_marks_read(text):
    assert all(isinstance(one, Cited) for one in marks_in(text, {"a"}))
