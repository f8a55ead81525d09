"""What an answer cites reaches callers of every dialect, whole and streamed, each in its dialect's own place.

A citation without an address has such a place in its vendor's dialect only: others have it in `citations`,
beside the answer.
"""

import json
from typing import Any, Final

import pytest
from msgspec import Struct
from openai.types.responses import Response

from interlock.adapters import ADAPTERS
from interlock.dialects import DIALECTS
from interlock.types.labels import Dialect, Wire
from tests.adapters.carried import TARGETS
from tests.adapters.every import DIALECTS_IN, Recording, as_chat, as_message, decoded, read, recordings
from tests.adapters.recorded import ask, payloads, write
from tests.adapters.test_carried_or_refused import completion, converse, gemini, message, response
from tests.adapters.test_recorded_answers import chat_of, message_of
from tests.adapters.test_vendors import chunks
from tests.aws_frames import BEGIN, METADATA, delta, stop

SAID: Final = "Ä so"
PAGE: Final = "https://x.test/page"


class Cited(Struct, frozen=True):
    """One answer of SAID with one citation of it all, as a vendor sends it. `own`: whose dialect it is in."""

    wire: Wire
    body: dict[str, Any]
    stream: bytes
    own: Dialect | None
    url: bool = True


def events(*listed: dict[str, Any]) -> bytes:
    return b"".join(b"event: %b\ndata: %b\n\n" % (e["type"].encode(), json.dumps(e).encode()) for e in listed)


def of_chat(wire: Wire = "openai", **top: Any) -> Cited:
    note = {"url": PAGE, "title": "T", "start_index": 0, "end_index": 4, "content": "words"}
    notes = [] if top else [{"type": "url_citation", "url_citation": note}]
    body = {**completion({"content": SAID, "annotations": notes}), **top}
    data = chunks({"content": SAID}, *([] if top else [{"annotations": notes}]), **top)
    return Cited(wire, body, data, "openai-chat")


def of_responses(note: dict[str, Any], *, url: bool = True) -> Cited:
    part = {"type": "output_text", "text": SAID, "annotations": [note]}
    body = response(part)
    (item,) = body["output"]
    place = {"output_index": 0, "content_index": 0, "item_id": "m"}
    data = events(
        {"type": "response.created", "response": {**body, "output": [], "status": "in_progress"}},
        {"type": "response.output_item.added", "output_index": 0, "item": {**item, "content": []}},
        {"type": "response.content_part.added", **place, "part": {**part, "text": "", "annotations": []}},
        {"type": "response.output_text.delta", **place, "delta": SAID},
        {"type": "response.output_text.annotation.added", **place, "annotation_index": 0, "annotation": note},
        {"type": "response.output_text.done", **place, "text": SAID},
        {"type": "response.content_part.done", **place, "part": part},
        {"type": "response.output_item.done", "output_index": 0, "item": item},
        {"type": "response.completed", "response": body},
    )
    return Cited("openai-responses", body, data, "openai-responses", url)


def of_anthropic(note: dict[str, Any], *, url: bool = True) -> Cited:
    def on(kind: str, **fields: Any) -> dict[str, Any]:
        return {"type": f"content_block_{kind}", "index": 0, **fields}

    body = message({"type": "text", "text": SAID, "citations": [note]})
    data = events(
        {"type": "message_start", "message": {**body, "content": [], "stop_reason": None}},
        on("start", content_block={"type": "text", "text": "", "citations": []}),
        on("delta", delta={"type": "citations_delta", "citation": note}),
        on("delta", delta={"type": "text_delta", "text": SAID}),
        on("stop"),
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 3}},
        {"type": "message_stop"},
    )
    return Cited("anthropic", body, data, "anthropic-messages", url)


def of_gemini(**metadata: Any) -> Cited:
    body = gemini(SAID, **metadata)
    return Cited("gemini", body, b"data: %b\n\n" % json.dumps(body).encode(), None)


def of_bedrock(location: dict[str, Any], *, url: bool = True) -> Cited:
    note = {"location": location, "sourceContent": [{"text": "words"}], "title": "marked"}
    body = converse({"citationsContent": {"content": [{"text": SAID}], "citations": [note]}})
    data = BEGIN + delta(text=SAID) + delta(citation=note) + stop() + METADATA
    return Cited("bedrock", body, data, "anthropic-messages", url)


FLAT: Final = {"type": "url_citation", "url": PAGE, "title": "T", "start_index": 0, "end_index": 4}
CASES: Final = {
    "an address in chat": of_chat(),
    "an address in chat of Azure": of_chat("azure"),
    "addresses listed beside it (Perplexity)": of_chat(
        citations=[PAGE], search_results=[{"url": PAGE, "title": "T"}]
    ),
    "addresses alone beside it (xAI)": of_chat(citations=[PAGE]),
    "an address in responses": of_responses(FLAT),
    "an address without its place (xAI)": of_responses({"type": "url_citation", "url": PAGE, "title": ""}),
    "a file in responses": of_responses(
        {"type": "file_citation", "file_id": "f", "filename": "marked", "index": 3}, url=False
    ),
    "a page that Anthropic's search found": of_anthropic(
        {
            "type": "web_search_result_location",
            "url": PAGE,
            "title": "T",
            "cited_text": "words",
            "encrypted_index": "e",
        }
    ),
    "a search result with an address": of_anthropic(
        {
            "type": "search_result_location",
            "source": PAGE,
            "title": "T",
            "cited_text": "words",
            "search_result_index": 0,
            "start_block_index": 0,
            "end_block_index": 1,
        }
    ),
    "a document of Anthropic's": of_anthropic(
        {
            "type": "char_location",
            "cited_text": "words",
            "document_index": 0,
            "document_title": "marked",
            "start_char_index": 0,
            "end_char_index": 5,
        },
        url=False,
    ),
    "a text that Gemini repeats": of_gemini(
        citationMetadata={"citationSources": [{"uri": PAGE, "startIndex": 0, "endIndex": 5}]}
    ),
    "a page that Google's search found": of_gemini(
        groundingMetadata={
            "groundingChunks": [{"web": {"uri": PAGE, "title": "T"}}],
            "groundingSupports": [
                {"segment": {"startIndex": 0, "endIndex": 5}, "groundingChunkIndices": [0]}
            ],
        }
    ),
    "a page that Google names for nothing in particular": of_gemini(
        groundingMetadata={"groundingChunks": [{"maps": {"uri": PAGE, "title": "T"}}]}
    ),
    "a document of Bedrock's": of_bedrock(
        {"documentChar": {"documentIndex": 0, "start": 0, "end": 5}}, url=False
    ),
    "a page of Bedrock's": of_bedrock({"web": {"url": PAGE, "domain": "x.test"}}),
}


def whole(wire: Wire, body: bytes, dialect: Dialect) -> dict[str, Any]:
    """An answer as a caller is shown it, in the form that the SDK's types have."""
    found = decoded(wire, body)
    if dialect == "openai-chat":
        return as_chat(found)
    if dialect == "anthropic-messages":
        return as_message(found)
    shown: dict[str, Any] = json.loads(DIALECTS[dialect].encode_answer(found, ask(dialect), "m"))
    return shown


def streamed(wire: Wire, data: bytes, dialect: Dialect) -> dict[str, Any]:
    """The same of a stream, as the SDK puts it together."""
    written = write(dialect, read(wire, data))
    told = payloads(written)
    last = told[-2 if dialect == "anthropic-messages" else -1]
    if dialect != "openai-responses":  # the SDKs do not keep what stands beside an answer's last words
        put_together = chat_of if dialect == "openai-chat" else message_of
        return {
            **put_together(written),
            **({"citations": last["citations"]} if "citations" in last else {}),
        }
    response: dict[str, Any] = last["response"]
    added = [event for event in told if event["type"].endswith("annotation.added")]
    assert [event["annotation"] for event in added] == in_place(response, dialect)
    return response


def in_place(body: dict[str, Any], dialect: Dialect) -> list[Any]:
    """The citations that stand where their dialect has them."""
    if dialect == "openai-chat":
        return list(body["choices"][0]["message"].get("annotations") or [])
    if dialect == "anthropic-messages":
        return [one for block in body["content"] for one in block.get("citations") or ()]
    texts = [part for item in body["output"] for part in item.get("content") or ()]
    return [one for text in texts for one in text.get("annotations") or ()]


def all_of(body: dict[str, Any], dialect: Dialect) -> list[Any]:
    return in_place(body, dialect) + list(body.get("citations") or [])


def both(case: Cited, dialect: Dialect) -> list[dict[str, Any]]:
    return [
        whole(case.wire, json.dumps(case.body).encode(), dialect),
        streamed(case.wire, case.stream, dialect),
    ]


@pytest.mark.parametrize("dialect", DIALECTS_IN)
@pytest.mark.parametrize("name", CASES)
def test_citations_of_an_answer_reach_callers_of_every_dialect_whole_and_streamed(name, dialect):
    case = CASES[name]
    for shown in both(case, dialect):
        found = all_of(shown, dialect)
        assert len(found) == 1
        assert (PAGE if case.url else "marked") in json.dumps(found)


@pytest.mark.parametrize("dialect", DIALECTS_IN)
@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.url])
def test_an_address_stands_where_its_dialect_has_one_with_the_words_that_it_is_cited_for(name, dialect):
    case = CASES[name]
    for shown in both(case, dialect):
        if case.own == dialect and case.wire != "bedrock":  # as it came
            assert all_of(shown, dialect) == all_of(case.body, dialect)
            continue
        (one,) = in_place(shown, dialect)
        fields = one["url_citation"] if dialect == "openai-chat" else one
        kind = "web_search_result_location" if dialect == "anthropic-messages" else "url_citation"
        assert (one["type"], fields["url"]) == (kind, PAGE)
        assert type(fields["title"]) is str
        if "start_index" in fields or dialect != "anthropic-messages":
            assert SAID[fields["start_index"] : fields["end_index"]] == SAID


def test_the_words_of_a_source_go_with_it_to_whom_has_a_place_for_them():
    from_chat, from_anthropic = CASES["an address in chat"], CASES["a page that Anthropic's search found"]
    for shown in both(from_chat, "anthropic-messages"):
        assert in_place(shown, "anthropic-messages")[0]["cited_text"] == "words"
    for shown in both(from_anthropic, "openai-chat"):
        assert in_place(shown, "openai-chat")[0]["url_citation"]["content"] == "words"


@pytest.mark.parametrize("dialect", DIALECTS_IN)
@pytest.mark.parametrize("name", [name for name, case in CASES.items() if not case.url])
def test_what_has_no_address_stands_beside_the_answers_of_other_dialects_as_its_vendor_wrote_it(
    name, dialect
):
    case = CASES[name]
    for shown in both(case, dialect):
        if dialect == case.own:
            assert "citations" not in shown
        else:
            assert "marked" in json.dumps(shown["citations"])
            assert in_place(shown, dialect) == []


def test_places_are_counted_from_where_each_dialect_counts_them():
    """Anthropic cites a block, chat counts in the whole of the message, responses in one of its texts."""
    note = {"type": "web_search_result_location", "url": PAGE, "title": "T", "cited_text": "w"}
    before, cited = {"type": "text", "text": "Äh. "}, {"type": "text", "text": SAID, "citations": [note]}
    body = json.dumps(message(before, cited)).encode()
    (in_chat,) = in_place(whole("anthropic", body, "openai-chat"), "openai-chat")
    spans = [in_chat["url_citation"][name] for name in ("start_index", "end_index")]
    assert spans == [4, 8]
    (in_text,) = in_place(whole("anthropic", body, "openai-responses"), "openai-responses")
    assert [in_text["start_index"], in_text["end_index"]] == [0, 4]
    data = CASES["a page that Anthropic's search found"].stream
    block = events(
        {"type": "content_block_start", "index": 7, "content_block": {"type": "text", "text": "Äh."}},
        {"type": "content_block_delta", "index": 7, "delta": {"type": "text_delta", "text": " "}},
        {"type": "content_block_stop", "index": 7},
    )
    begin, rest = data.split(b"event: content_block_start", 1)
    longer = begin + block + b"event: content_block_start" + rest
    (in_chat,) = in_place(streamed("anthropic", longer, "openai-chat"), "openai-chat")
    assert [in_chat["url_citation"][name] for name in ("start_index", "end_index")] == spans
    (in_text,) = in_place(streamed("anthropic", longer, "openai-responses"), "openai-responses")
    assert [in_text["start_index"], in_text["end_index"]] == [0, 4]


def test_places_in_the_second_text_of_a_response_are_counted_from_the_first_in_a_chat():
    def item(at: int, text: str, *notes: dict[str, Any]) -> dict[str, Any]:
        part = {"type": "output_text", "text": text, "annotations": [*notes]}
        return {"type": "message", "id": f"m{at}", "role": "assistant", "content": [part]}

    for output in (
        [item(0, "Äh. "), item(1, SAID, FLAT)],
        [{**item(0, "Äh. "), "content": item(0, "Äh. ")["content"] + item(0, SAID, FLAT)["content"]}],
    ):
        body: dict[str, Any] = {"id": "r", "model": "m", "status": "completed", "output": output}
        told: list[dict[str, Any]] = [
            {"type": "response.created", "response": {**body, "output": [], "status": "in_progress"}}
        ]
        for at, one in enumerate(output):
            told.append(
                {"type": "response.output_item.added", "output_index": at, "item": {**one, "content": []}}
            )
            for number, part in enumerate(one["content"]):
                place: dict[str, Any] = {"output_index": at, "content_index": number}
                text = part["text"]
                told += [
                    {"type": "response.output_text.delta", **place, "delta": text},
                    {"type": "response.output_text.done", **place, "text": text},
                    {"type": "response.content_part.done", **place, "part": part},
                ]
            told.append({"type": "response.output_item.done", "output_index": at, "item": one})
        bare = events(told[0], {"type": "response.completed", "response": body})
        full = events(*told, {"type": "response.completed", "response": body})
        for shown in (
            whole("openai-responses", json.dumps(body).encode(), "openai-chat"),
            streamed("openai-responses", bare, "openai-chat"),
            streamed("openai-responses", full, "openai-chat"),
        ):
            (one,) = in_place(shown, "openai-chat")
            fields = one["url_citation"]
            assert (fields["start_index"], fields["end_index"]) == (4, 8)


@pytest.mark.parametrize("kind", ["reasoning_content", "refusal"])
@pytest.mark.parametrize("dialect", ["anthropic-messages", "openai-responses"])
def test_what_is_cited_beside_a_thought_or_a_refusal_is_not_put_on_it(kind, dialect):
    notes = [{"type": "url_citation", "url_citation": {"url": PAGE, "title": "T"}}]
    shown = streamed("openai", chunks({kind: "hm", "annotations": notes}), dialect)
    assert in_place(shown, dialect) == []
    assert shown["citations"] == notes


MANY: Final = 20_000


@pytest.mark.parametrize(
    "case",
    [
        of_chat(citations=[f"{PAGE}/{number}" for number in range(MANY)]),
        of_gemini(
            citationMetadata={
                "citationSources": [
                    {"uri": f"{PAGE}/{number}", "startIndex": number % 7, "endIndex": 5}
                    for number in range(MANY)
                ]
            }
        ),
    ],
    ids=["listed", "placed"],
)
def test_u11_a_server_that_names_sources_without_end_makes_nobody_wait(case):
    """Each is looked at once: to look at all for each of them would take minutes here."""
    for shown in both(case, "openai-responses"):
        assert [one["url"] for one in in_place(shown, "openai-responses")] == [
            f"{PAGE}/{number}" for number in range(MANY)
        ]


def test_sources_of_an_answer_without_words_stand_beside_it():
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    body = {**completion({"tool_calls": [call]}, "tool_calls"), "citations": [PAGE]}
    data = chunks({"tool_calls": [{**call, "index": 0}]}, citations=[PAGE])
    for dialect in DIALECTS_IN:
        for shown in (whole("openai", json.dumps(body).encode(), dialect), streamed("openai", data, dialect)):
            assert shown["citations"] == [PAGE]


def cited_in(one: Recording) -> int:
    """How many citations a recorded answer has, counted in the vendor's own words."""
    if not one.stream:
        return _listed(json.loads(one.data))
    told = [json.loads(line[6:]) for line in one.data.split(b"\n") if line.startswith(b"data: {")]
    if one.wire == "anthropic":
        return sum(event.get("delta", {}).get("type") == "citations_delta" for event in told)
    return sum(event.get("type") == "response.output_text.annotation.added" for event in told)


def _listed(value: Any) -> int:
    if isinstance(value, list):
        return sum(map(_listed, value))
    if not isinstance(value, dict):
        return 0
    found = [value.get(name) for name in ("annotations", "citations")]
    here = sum(len(one) for one in found if isinstance(one, list))
    return here + sum(map(_listed, value.values()))


@pytest.mark.parametrize("dialect", DIALECTS_IN)
def test_every_recorded_answer_shows_callers_of_every_dialect_as_many_citations_as_it_has(dialect):
    seen: dict[tuple[Wire, bool], int] = {}
    for one in recordings():
        if one.wire == "bedrock" or (count := cited_in(one)) == 0:
            continue
        shown = (streamed if one.stream else whole)(one.wire, one.data, dialect)
        assert len(all_of(shown, dialect)) == count, one.name
        seen[one.wire, one.stream] = seen.get((one.wire, one.stream), 0) + count
    assert {("openai-responses", False), ("openai-responses", True), ("anthropic", True)} <= seen.keys()


def test_what_a_caller_of_responses_is_shown_of_a_cited_answer_is_valid_to_its_sdk():
    for case in CASES.values():
        if case.own != "openai-responses":
            shown = whole(case.wire, json.dumps(case.body).encode(), "openai-responses")
            Response.model_validate(shown)


def next_turn(shown: dict[str, Any], dialect: Dialect) -> dict[str, Any]:
    """The request that an SDK makes of an answer: all of it goes back."""
    ask_, more = ({"role": "user", "content": said} for said in ("hi", "more"))
    if dialect == "openai-responses":
        return {"model": "m", "input": [ask_, *shown["output"], more]}
    said = shown["choices"][0]["message"] if dialect == "openai-chat" else None
    turn = said or {"role": "assistant", "content": shown["content"]}
    limit = {} if dialect == "openai-chat" else {"max_tokens": 9}
    return {"model": "m", **limit, "messages": [ask_, turn, more]}


@pytest.mark.parametrize("wire", ADAPTERS)
@pytest.mark.parametrize("dialect", DIALECTS_IN)
def test_a_conversation_goes_on_after_a_cited_answer_at_every_vendor(dialect, wire):
    for name, case in CASES.items():
        shown = whole(case.wire, json.dumps(case.body).encode(), dialect)
        request = DIALECTS[dialect].decode_request(json.dumps(next_turn(shown, dialect)).encode(), {})
        assert ADAPTERS[wire].cannot_carry(request) == (), name
        sent = ADAPTERS[wire].encode_request(request, TARGETS[wire]).body.decode()
        assert SAID in sent
        if wire == "anthropic":  # it knows no page by a name that another vendor did not give it
            assert '"encrypted_index":""' not in sent
