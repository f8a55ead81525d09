"""What callers say about their own requests: read from headers and metadata, and sent nowhere."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interlock.adapters import ADAPTERS, Target
from interlock.types.labels import DATA_CLASSES, RANK, RISK_TIERS
from interlock.types.request import Hints
from tests.dialects.bodies import BOTH, decode, refusal, user

TARGET = Target(upstream_model="m", base_url="http://x", api_key=None, max_output_tokens=None)
SAID = {
    "data_class": "confidential",
    "risk_tier": "high",
    "latency_class": "batch",
    "residency": "eu",
    "task": "code",
    "difficulty": "hard",
    "lane": "code-patch",
    "session": "s-1",
    "deadline_ms": "5000",
    "max_cost_usd": "0.25",
}
READ = Hints(
    data_class="confidential",
    risk_tier="high",
    latency_class="batch",
    residencies=("eu",),
    task="code",
    difficulty="hard",
    lane="code-patch",
    session="s-1",
    deadline_ms=5000,
    max_cost_usd=0.25,
)


def header(key: str) -> str:
    return f"x-interlock-{key.replace('_', '-')}"


@pytest.mark.parametrize("dialect", BOTH)
def test_every_hint_reads_the_same_from_headers_and_from_metadata(dialect):
    assert decode(dialect, {header(key): value for key, value in SAID.items()}).hints == READ
    request = decode(dialect, metadata=dict(SAID))
    assert request.hints == READ
    assert request.metadata == {}


@pytest.mark.parametrize("dialect", BOTH)
def test_numbers_in_metadata_may_be_numbers(dialect):
    hints = decode(dialect, metadata={"deadline_ms": 5000, "max_cost_usd": 0.25}).hints
    assert (hints.deadline_ms, hints.max_cost_usd) == (5000, 0.25)


@pytest.mark.parametrize("dialect", BOTH)
def test_without_hints_there_are_none_and_other_metadata_stays(dialect):
    request = decode(dialect, {"x-other": "1"}, metadata={"workflow": "close"})
    assert request.hints == Hints()
    assert request.metadata == {"workflow": "close"}


@given(st.sampled_from(DATA_CLASSES), st.sampled_from(DATA_CLASSES), st.sampled_from(RISK_TIERS))
def test_of_header_and_metadata_the_stricter_label_counts(one, other, tier):
    request = decode(
        "openai-chat",
        {"x-interlock-data-class": one, "x-interlock-risk-tier": tier},
        metadata={"data_class": other, "risk_tier": "medium"},
    )
    assert request.hints.data_class == max(one, other, key=RANK.__getitem__)
    assert request.hints.risk_tier == max(tier, "medium", key=RANK.__getitem__)


def test_of_header_and_metadata_the_smaller_number_and_every_place_count():
    hints = decode(
        "openai-chat",
        {
            "x-interlock-deadline-ms": "900",
            "x-interlock-max-cost-usd": "1",
            "x-interlock-residency": "eu, de",
        },
        metadata={"deadline_ms": "800", "max_cost_usd": "2", "residency": ["us", "eu"]},
    ).hints
    assert (hints.deadline_ms, hints.max_cost_usd) == (800, 1.0)
    assert hints.residencies == ("eu", "de", "us")


@pytest.mark.parametrize("key", ["task", "lane", "latency_class", "session", "difficulty"])
def test_a_choice_that_header_and_metadata_make_differently_is_refused(key):
    other = "interactive" if key == "latency_class" else "other"
    error = refusal("openai-chat", {header(key): SAID[key]}, metadata={key: other})
    assert error.param == f"metadata.{key}"
    assert decode("openai-chat", {header(key): SAID[key]}, metadata={key: SAID[key]}).hints != Hints()


@pytest.mark.parametrize("dialect", BOTH)
@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("data_class", "secret"),
        ("data_class", "Public"),
        ("risk_tier", "none"),
        ("latency_class", "fast"),
        ("residency", ""),
        ("residency", "eu,,us"),
        ("task", ""),
        ("task", "a\tb"),
        ("lane", "x" * 300),
        ("session", " "),
        ("deadline_ms", "0"),
        ("deadline_ms", "-5"),
        ("deadline_ms", "1e3"),
        ("deadline_ms", "9" * 400),
        ("deadline_ms", "٣"),
        ("max_cost_usd", "-0.1"),
        ("max_cost_usd", "nan"),
        ("max_cost_usd", "inf"),
        ("max_cost_usd", "cheap"),
    ],
)
def test_a_bad_value_is_refused_by_name_and_never_passed_over(dialect, key, value):
    assert refusal(dialect, {header(key): value}).param == header(key)
    if value.strip():
        assert refusal(dialect, metadata={key: value}).param == f"metadata.{key}"


@pytest.mark.parametrize(
    ("key", "value"),
    [("data_class", 3), ("task", ["code"]), ("deadline_ms", True), ("deadline_ms", 1.5), ("residency", [1])],
)
def test_a_hint_of_a_wrong_type_is_refused_by_name(key, value):
    assert refusal("openai-chat", metadata={key: value}).param == f"metadata.{key}"


@pytest.mark.parametrize("dialect", BOTH)
def test_hints_and_labels_are_in_nothing_that_goes_upstream(dialect):
    secret = {key: f"{value}" for key, value in SAID.items()} | {"lane": "canary-lane", "session": "canary-s"}
    parts = user({"type": "text", "text": "hi", "trust": "untrusted", "source": "canary-source"})
    request = decode(dialect, {header("task"): "code"}, metadata=secret, messages=parts, store=...)
    assert request.messages[-1].parts[0].source == "canary-source"
    for adapter in ADAPTERS.values():
        sent = adapter.encode_request(request, TARGET)
        text = json.dumps([sent.url, sent.headers]) + sent.body.decode()
        assert "canary" not in text
        assert "untrusted" not in text
        assert "code-patch" not in text
        assert "interlock-" not in text


@pytest.mark.parametrize("dialect", BOTH)
@pytest.mark.parametrize("value", [7, None, ["a"], {"b": "c"}])
def test_metadata_that_is_no_text_is_refused_by_name(dialect, value):
    assert refusal(dialect, metadata={"workflow": value}).param == "metadata.workflow"


@pytest.mark.parametrize("dialect", BOTH)
def test_metadata_that_is_no_object_is_refused(dialect):
    assert refusal(dialect, metadata="data_class=public").param == "metadata"


@pytest.mark.parametrize("dialect", BOTH)
def test_a8_header_and_metadata_name_the_same_session(dialect):
    assert decode(dialect, metadata={"session": " S9 "}).hints.session == "S9"
    sent = "voilà".encode().decode("latin-1")
    hints = decode(dialect, {header("session"): sent}, metadata={"session": "voilà"}).hints
    assert hints.session == "voilà"
    assert decode(dialect, {header("session"): "caf\xe9"}).hints.session == "café"


@pytest.mark.parametrize("dialect", BOTH)
@pytest.mark.parametrize(
    "name",
    ["x-interlock-dataclass", "x_interlock_data_class", "x-interlock-data_class", "x-interlock-secret"],
)
def test_a8_a_mistyped_hint_header_is_refused_by_name(dialect, name):
    error = refusal(dialect, {name: "regulated"})
    assert error.param == name
    assert "x-interlock-data-class" in (error.hint or "")


@pytest.mark.parametrize("dialect", BOTH)
@pytest.mark.parametrize(
    "key", ["Data_Class", "data-class", "x-interlock-data-class", "X_Interlock_DataClass"]
)
def test_a8_a_mistyped_hint_in_metadata_is_refused_by_name(dialect, key):
    error = refusal(dialect, metadata={key: "regulated"})
    assert (error.param, error.hint) == (f"metadata.{key}", "did you mean `data_class`?")
