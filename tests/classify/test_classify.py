"""Request to signals: each signal by example, and how labels join by property."""

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from interlock.classify.findings import class_of
from interlock.classify.labels import risk_of, strictest
from interlock.config.written import Classification, ToolSpec
from interlock.errors import ApiError
from interlock.types.labels import DATA_CLASSES, RANK, RISK_TIERS, TRUSTS
from interlock.types.request import (
    Audio,
    File,
    Hints,
    Image,
    Message,
    Opaque,
    Reasoning,
    Request,
    ResponseFormat,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
)
from interlock.types.signals import Allow, Caller, Signals
from tests.classify.build import CALLER, CARD, CONFIG, IBAN, SECRET, ask, signals, user

EMAIL = "ann@example.com"
PHONE = "+49 30 1234567"


def hinted(**hints: Any) -> Request:
    return ask("hi", hints=Hints(**hints))


def with_part(part: Any) -> Request:
    return ask(Message(role="user", parts=(Text(text="hi"), part)))


# --- plain signals ----------------------------------------------------------------------------


def test_a_plain_question_has_the_signals_of_the_contracts_defaults():
    found = signals("hi")
    assert (found.data_class, found.trust, found.risk_tier) == ("internal", "trusted", "low")
    assert (found.latency_class, found.task, found.difficulty) == ("interactive", "unknown", "unknown")
    assert (found.modalities, found.needs, found.findings) == (("text",), (), ())
    assert (found.lane, found.session, found.residency, found.metadata) == (None, None, (), {})
    assert (found.alias, found.model, found.hour_utc) == ("prod", "prod", 9)


def test_everything_of_the_caller_that_routing_needs_is_copied():
    caller = Caller(
        key="k",
        tenant="acme",
        team="ops",
        user_tier="free",
        role="operator",
        environment="prod",
        residency="eu",
        max_data_class="internal",
        allow=Allow(aliases=("prod",)),
    )
    found = signals("hi", caller)
    for name in ("key", "tenant", "team", "user_tier", "role", "environment", "max_data_class", "allow"):
        assert getattr(found, name) == getattr(caller, name)
    assert found.residency == ("eu",)


def test_limits_session_and_stream_come_from_the_request():
    hints = Hints(session="s", deadline_ms=900, max_cost_usd=0.0, task="triage", difficulty="hard")
    found = signals(ask("hi", max_output_tokens=7, stream=True, hints=hints))
    assert (found.max_output_tokens, found.deadline_ms, found.max_cost_usd) == (7, 900, 0.0)
    assert (found.session, found.stream, found.task, found.difficulty) == ("s", True, "triage", "hard")


def test_endpoint_hour_and_what_cannot_be_carried_are_passed_on():
    found = signals("hi", endpoint="/v1/messages", hour_utc=23, cannot_carry={"anthropic": ("seed",)})
    assert (found.endpoint, found.hour_utc, found.cannot_carry) == (
        "/v1/messages",
        23,
        {"anthropic": ("seed",)},
    )


def test_only_metadata_that_the_config_declares_is_a_signal():
    assert signals(ask("hi", metadata={"workflow": "close", "other": "x"})).metadata == {"workflow": "close"}


def test_signals_survive_being_recorded():
    found = signals(ask(f"{CARD}", tools=(Tool(name="search"),)))
    assert msgspec.json.decode(msgspec.json.encode(found), type=Signals) == found


@pytest.mark.parametrize("model", ["main", "auto", "lane:code", "openai/main", "nobody"])
def test_only_the_name_of_an_alias_is_an_alias(model):
    assert signals(ask("hi", model=model)).alias is None


# --- tools, schema, modalities, needs ---------------------------------------------------------


def test_tools_are_named_once_with_the_union_of_their_effects_and_families():
    names = ("search", "kb_retrieve", "search", "unlisted")
    found = signals(ask("hi", tools=tuple(Tool(name=name) for name in names)))
    assert found.tools == ("search", "kb_retrieve", "unlisted")
    assert found.tool_effect == ("read", "write", "external")
    assert found.tool_family == ("search",)
    assert found.needs == ("tools",)


def test_a_configured_default_is_what_an_unlisted_tool_may_do():
    config = msgspec.structs.replace(CONFIG, default_tool=ToolSpec(effects=("read",)))
    assert signals(ask("hi", tools=(Tool(name="x"),)), config=config).tool_effect == ("read",)


@pytest.mark.parametrize(
    ("choice", "forced"),
    [(None, None), (ToolChoice(mode="required"), "*"), (ToolChoice(mode="tool", name="search"), "search")],
)
def test_the_tool_that_a_caller_forces_is_named(choice, forced):
    assert signals(ask("hi", tools=(Tool(name="search"),), tool_choice=choice)).tool_choice == forced


@pytest.mark.parametrize(
    ("response_format", "has_schema"),
    [(None, False), (ResponseFormat(), False), (ResponseFormat(json_schema={}), True)],
)
def test_only_the_callers_own_schema_needs_a_model_that_can_follow_one(response_format, has_schema):
    found = signals(ask("hi", response_format=response_format))
    assert found.has_schema is has_schema
    assert found.needs == (("json_schema",) if has_schema else ())


@pytest.mark.parametrize(
    ("part", "modality", "need"),
    [
        (Image(url="https://example.com/a.png"), "image", "vision"),
        (File(data="JVBERi0=", media_type="application/pdf"), "file", "files"),
        (Audio(data="AAAA", format="wav"), "audio", "audio"),
        (ToolResult(call_id="c", content=(Image(url="https://example.com/a.png"),)), "image", "vision"),
        (ToolResult(call_id="c", content=(File(file_id="f"),)), "file", "files"),
    ],
)
def test_what_stands_in_messages_and_results_decides_what_a_model_must_take(part, modality, need):
    found = signals(with_part(part))
    assert (found.modalities, found.needs) == (("text", modality), (need,))


@pytest.mark.parametrize("part", [File(text="x"), ToolResult(call_id="c", content=(File(text="x"),))])
def test_a_document_that_is_text_can_be_read_by_any_model(part):
    found = signals(with_part(part))
    assert (found.modalities, found.needs) == (("text", "file"), ())


@pytest.mark.parametrize(
    ("reasoning", "needed"),
    [
        (None, False),
        (Reasoning(), False),
        (Reasoning(effort="none"), False),
        (Reasoning(budget_tokens=1024, disabled=True), False),
        (Reasoning(effort="low"), True),
        (Reasoning(budget_tokens=1024), True),
    ],
)
def test_reasoning_is_needed_when_it_is_asked_for(reasoning, needed):
    assert ("reasoning" in signals(ask("hi", reasoning=reasoning)).needs) is needed


# --- hints ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("hints", "param"),
    [
        ({"data_class": "secret"}, "data_class"),
        ({"data_class": ""}, "data_class"),
        ({"data_class": "Confidential"}, "data_class"),
        ({"risk_tier": "extreme"}, "risk_tier"),
        ({"latency_class": "fast"}, "latency_class"),
        ({"lane": "nowhere"}, "lane"),
        ({"deadline_ms": 0}, "deadline_ms"),
        ({"deadline_ms": -5}, "deadline_ms"),
        ({"max_cost_usd": -0.1}, "max_cost_usd"),
        ({"max_cost_usd": float("nan")}, "max_cost_usd"),
        ({"max_cost_usd": float("inf")}, "max_cost_usd"),
    ],
)
def test_a_bad_value_of_a_hint_is_refused_by_its_name(hints, param):
    with pytest.raises(ApiError) as refused:
        signals(hinted(**hints))
    assert (refused.value.code, refused.value.status, refused.value.param) == ("invalid_request", 400, param)


def test_a_refused_hint_is_shown_cut_to_a_line():
    with pytest.raises(ApiError) as refused:
        signals(hinted(data_class="x" * 10_000))
    assert len(refused.value.message) < 200


@pytest.mark.parametrize(("model", "hint", "lane"), [
    ("prod", "triage", "triage"),
    ("lane:triage", None, "triage"),
    ("lane:triage", "triage", "triage"),
    ("lane:unknown", None, "unknown"),
    ("auto", None, None),
])  # fmt: skip
def test_a_lane_is_chosen_by_hint_or_by_model(model, hint, lane):
    assert signals(ask("hi", model=model, hints=Hints(lane=hint))).lane == lane


def test_two_different_lanes_in_one_request_are_refused():
    with pytest.raises(ApiError, match="triage"):
        signals(ask("hi", model="lane:triage", hints=Hints(lane="code")))


def test_residency_is_the_keys_and_every_hint_each_once():
    caller = Caller(residency="eu")
    assert signals(hinted(residencies=("us", "eu", "us")), caller).residency == ("eu", "us")


@pytest.mark.parametrize("latency_class", ["interactive", "background", "batch"])
def test_a_latency_class_is_what_the_caller_chose(latency_class):
    assert signals(hinted(latency_class=latency_class)).latency_class == latency_class


# --- depth ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "Think step by step about this.",
        "Please THINK CAREFULLY.",
        "Bitte erkläre das Schritt für Schritt.",
        "Explique en profondeur.",
        "Explícalo paso a paso.",
        "Spiega passo dopo passo.",
        "Объясни подробно.",
        "请一步一步地解释。",
        "詳しく教えてください。",
        "단계별로 설명해 주세요.",
    ],
)
def test_a_user_asks_for_depth_in_many_languages(text):
    assert signals(text).asks_for_depth


def test_only_the_users_last_words_ask_for_depth():
    deep = "Think step by step."
    assert signals(ask("Hi.", Message(role="assistant", parts=(Text(text=deep),)), deep)).asks_for_depth
    for request in (
        ask(deep, "Thanks, that is all."),
        ask(Message(role="system", parts=(Text(text=deep),)), "Hi."),
        ask("Hi.", Message(role="tool", parts=(ToolResult(call_id="c", content=(Text(text=deep),)),))),
        with_part(File(text=deep)),
        ask(Message(role="assistant", parts=(Text(text=deep),))),
    ):
        assert not signals(request).asks_for_depth


@pytest.mark.parametrize(
    ("effort", "deep"), [("low", False), ("medium", False), ("high", True), ("xhigh", True)]
)
def test_high_effort_asks_for_depth(effort, deep):
    assert signals(ask("hi", reasoning=Reasoning(effort=effort))).asks_for_depth is deep


# --- data class -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "data_class"),
    [
        ("hi", "internal"),
        (EMAIL, "internal"),
        (PHONE, "internal"),
        (IBAN, "confidential"),
        (SECRET, "confidential"),
        ("password: Tr0ub4dor&3", "confidential"),
        (CARD, "regulated"),
        ("SSN 460-89-9847", "regulated"),
        (f"{SECRET} {CARD}", "regulated"),
    ],
)
def test_detectors_raise_the_class_as_the_contract_says(text, data_class):
    assert signals(text).data_class == data_class


@pytest.mark.parametrize(
    ("detectors", "text", "data_class"),
    [
        ({"email": "confidential"}, EMAIL, "confidential"),
        ({"phone": "regulated"}, PHONE, "regulated"),
        ({"secret": "regulated"}, SECRET, "regulated"),
        ({"secret.aws_access_key": "regulated"}, SECRET, "regulated"),
        ({"secret": "regulated", "secret.aws_access_key": "confidential"}, SECRET, "confidential"),
        ({"card": "confidential"}, CARD, "confidential"),
        ({"email": "public"}, EMAIL, "internal"),
    ],
)
def test_a_configured_detector_stands_for_its_configured_class(detectors, text, data_class):
    config = msgspec.structs.replace(CONFIG, classification=Classification(detectors=detectors))
    assert signals(text, config=config).data_class == data_class


def test_what_a_detector_stands_for_is_looked_up_from_narrow_to_wide():
    assert class_of("email", {}) is None
    assert class_of("national_id.es_nif", {}) == "regulated"
    assert (
        class_of("national_id.es_nif", {"national_id.es_nif": "internal", "national_id": "public"})
        == "internal"
    )


@pytest.mark.parametrize("default", DATA_CLASSES)
def test_without_label_or_finding_the_class_is_the_configured_default(default):
    config = msgspec.structs.replace(CONFIG, classification=Classification(default=default))
    assert signals("hi", config=config).data_class == default


CLASSES = st.sampled_from(DATA_CLASSES)
MAYBE = st.none() | CLASSES


@given(CLASSES, MAYBE, MAYBE, MAYBE, st.sampled_from(["hi", IBAN, CARD]))
def test_the_class_is_the_highest_of_default_key_session_hint_and_finding(default, key, session, hint, text):
    config = msgspec.structs.replace(CONFIG, classification=Classification(default=default))
    found = signals(
        ask(text, hints=Hints(data_class=hint)), Caller(data_class=key), config, session_class=session
    )
    finding = {"hi": "public", IBAN: "confidential", CARD: "regulated"}[text]
    everything = [default, finding, *(label for label in (key, session, hint) if label)]
    assert found.data_class == max(everything, key=DATA_CLASSES.index)


# --- trust ------------------------------------------------------------------------------------


def tool_result(name: str | None, *content: Any, **fields: Any) -> ToolResult:
    return ToolResult(call_id="c", name=name, content=content or (Text(text="x"),), **fields)


@pytest.mark.parametrize(
    ("part", "trust"),
    [
        (Text(text="x"), "trusted"),
        (Text(text="x", trust="untrusted"), "untrusted"),
        (Text(text="x", source="kb"), "trusted"),
        (Text(text="x", source="email"), "untrusted"),
        (Text(text="x", source="nobody-knows"), "untrusted"),
        (Text(text="x", source="kb", trust="untrusted"), "untrusted"),
        (Text(text="x", source="email", trust="trusted"), "untrusted"),
        (Image(url="https://example.com/a.png"), "trusted"),
        (Image(url="https://example.com/a.png", source="email"), "untrusted"),
        (File(text="x"), "untrusted"),
        (File(text="x", trust="trusted"), "untrusted"),
        (File(text="x", source="kb"), "trusted"),
        (File(text="x", source="kb", trust="untrusted"), "untrusted"),
        (tool_result("search"), "untrusted"),
        (tool_result(None), "untrusted"),
        (tool_result("nobody-knows"), "untrusted"),
        (tool_result("search", trust="trusted"), "untrusted"),
        (tool_result("search", Text(text="x", trust="trusted")), "untrusted"),
        (tool_result("kb_retrieve"), "trusted"),
        (tool_result("kb_retrieve", File(text="x")), "trusted"),
        (tool_result("kb_retrieve", trust="untrusted"), "untrusted"),
        (tool_result("kb_retrieve", Text(text="x", trust="untrusted")), "untrusted"),
        (tool_result("kb_retrieve", Text(text="x", source="email")), "untrusted"),
        (tool_result("kb_retrieve", source="email"), "untrusted"),
        (tool_result("search", source="kb"), "trusted"),
        (tool_result("search", Text(text="x", source="kb")), "trusted"),
        (tool_result("search", Text(text="x", source="kb"), Text(text="y")), "untrusted"),
        (ToolResult(call_id="c", name="search", content=()), "untrusted"),
        (ToolCall(id="c", name="search", arguments="{}"), "trusted"),
        (Thinking(text="x"), "trusted"),
        (Opaque(dialect="anthropic-messages", kind="web_search_tool_result", value={}), "untrusted"),
        (Opaque(dialect="anthropic-messages", kind="server_tool_use", value={}), "trusted"),
    ],
)
def test_trust_is_the_configs_to_give_and_anybodys_to_take(part, trust):
    found = signals(with_part(part))
    assert found.trust == trust
    assert found.risk_tier == ("medium" if trust == "untrusted" else "low")


# --- risk -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data_class", "trust", "tier"),
    [
        ("public", "trusted", "low"),
        ("internal", "trusted", "low"),
        ("internal", "untrusted", "medium"),
        ("confidential", "trusted", "medium"),
        ("confidential", "untrusted", "high"),
        ("regulated", "trusted", "high"),
        ("regulated", "untrusted", "high"),
    ],
)
def test_risk_is_derived_from_class_and_trust(data_class, trust, tier):
    assert risk_of(data_class, trust) == tier


@pytest.mark.parametrize("stated", RISK_TIERS)
@pytest.mark.parametrize("text", ["hi", IBAN, CARD])
def test_a_stated_risk_can_only_raise_the_derived_one(stated, text):
    derived = signals(text).risk_tier
    assert signals(ask(text, hints=Hints(risk_tier=stated))).risk_tier == strictest((derived, stated))


def test_offering_tools_does_not_change_the_risk():
    assert signals(ask("hi", tools=(Tool(name="deploy"),))).risk_tier == "low"


# --- how parts join ---------------------------------------------------------------------------

PARTS = st.sampled_from(
    [
        Text(text="Good morning."),
        Text(text=f"Write to {EMAIL} ."),
        Text(text=f"Pay {IBAN} ."),
        Text(text=f"Card {CARD} ."),
        Text(text=f"Key {SECRET} ."),
        Text(text="Forwarded mail.", source="email"),
        Text(text="From the handbook.", source="kb"),
        Text(text="A web page.", trust="untrusted"),
        Text(text="Believe me.", trust="trusted"),
        File(text=f"Invoice for {IBAN} ."),
        File(text="Minutes.", source="kb"),
        Image(url="https://example.com/a.png"),
        ToolCall(id="c", name="search", arguments='{"q": "weather"}'),
        tool_result("search", Text(text="Rain.")),
        tool_result("kb_retrieve", Text(text=f"Customer pays by {CARD} .")),
    ]
)
MESSAGES = st.lists(
    st.builds(
        Message,
        role=st.sampled_from(["system", "user", "assistant", "tool"]),
        parts=st.lists(PARTS, min_size=1, max_size=3).map(tuple),
    ),
    min_size=1,
    max_size=5,
)


def ranks(found: Signals) -> tuple[int, int, int]:
    return RANK[found.data_class], RANK[found.trust], RANK[found.risk_tier]


def alone(part: Any) -> Signals:
    return signals(ask(Message(role="user", parts=(part,))))


@settings(max_examples=80, deadline=None)
@given(MESSAGES)
def test_a_request_is_as_sensitive_and_as_untrusted_as_its_worst_part(messages):
    found = signals(ask(*messages))
    each = [alone(part) for message in messages for part in message.parts]
    assert found.data_class == max((part.data_class for part in each), key=DATA_CLASSES.index)
    assert found.trust == max((part.trust for part in each), key=TRUSTS.index)
    assert found.risk_tier == risk_of(found.data_class, found.trust)


@settings(max_examples=80, deadline=None)
@given(MESSAGES, st.data())
def test_adding_any_part_anywhere_never_lowers_a_label(messages, data):
    """Each value here stands whole in a part. Two halves of one count only while they are neighbours."""
    before = ranks(signals(ask(*messages)))
    place = data.draw(st.integers(0, len(messages)))
    more = [*messages[:place], Message(role="user", parts=(data.draw(PARTS),)), *messages[place:]]
    assert all(new >= old for new, old in zip(ranks(signals(ask(*more))), before, strict=True))


@settings(max_examples=50, deadline=None)
@given(MESSAGES, st.randoms(use_true_random=False))
def test_the_order_of_messages_does_not_matter(messages, shuffler):
    shuffled = list(messages)
    shuffler.shuffle(shuffled)
    assert ranks(signals(ask(*messages))) == ranks(signals(ask(*shuffled)))


STATEMENTS = st.builds(
    Hints,
    data_class=st.none() | st.sampled_from(DATA_CLASSES),
    risk_tier=st.none() | st.sampled_from(RISK_TIERS),
    residencies=st.lists(st.sampled_from(["eu", "us"]), max_size=2).map(tuple),
)


@settings(max_examples=80, deadline=None)
@given(MESSAGES, STATEMENTS, st.none() | st.sampled_from(TRUSTS))
def test_nothing_that_a_caller_states_ever_lowers_a_label(messages, hints, trust):
    quiet = ranks(signals(ask(*messages)))
    stated = [
        msgspec.structs.replace(
            message,
            parts=tuple(
                msgspec.structs.replace(part, trust=trust) if part.trust is None else part
                for part in message.parts
            ),
        )
        for message in messages
    ]
    said = ranks(signals(ask(*stated, hints=hints), Caller(residency="eu")))
    assert all(new >= old for new, old in zip(said, quiet, strict=True))


def test_classifying_twice_gives_the_same_signals():
    request = ask(user("hi", CARD), tools=(Tool(name="search"),))
    assert signals(request, CALLER) == signals(request, CALLER)
