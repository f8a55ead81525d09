"""Our names of OpenTelemetry's conventions are those of the published files."""

import yaml

from interlock.live import semconv
from interlock.live.otlp import attributes
from tests import data


def read(name):
    return yaml.safe_load(data.path("specs", name).read_text("utf-8"))


def test_every_attribute_is_in_the_registry():
    known = {
        one["id"]: one for group in read("otel-gen-ai-registry.yaml")["groups"] for one in group["attributes"]
    }
    assert set(semconv.ATTRIBUTES) <= known.keys()
    values = {
        name: {member["value"] for member in known[name]["type"]["members"]}
        for name in (semconv.PROVIDER, semconv.OPERATION, semconv.TOKEN_TYPE)
    }
    ours = {*semconv.BY_VENDOR.values(), *semconv.BY_KIND.values()}
    assert ours <= values[semconv.PROVIDER]
    assert {semconv.CHAT, *semconv.OPERATIONS.values()} <= values[semconv.OPERATION]
    assert {"input", "output"} <= values[semconv.TOKEN_TYPE]


def test_every_metric_is_a_histogram_of_the_conventions_in_its_unit():
    known = {
        group["metric_name"]: group
        for group in read("otel-gen-ai-metrics.yaml")["groups"]
        if "metric_name" in group
    }
    for name, unit in semconv.UNITS.items():
        assert (known[name]["instrument"], known[name]["unit"]) == ("histogram", unit)


def test_what_a_span_of_a_call_must_have_is_what_the_conventions_require():
    groups = {group["id"]: group for group in read("otel-gen-ai-spans.yaml")["groups"]}
    refs = {one["ref"] for group in groups.values() for one in group.get("attributes", ()) if "ref" in one}
    used = {*semconv.ATTRIBUTES, semconv.ERROR_TYPE} - {semconv.TOKEN_TYPE}
    assert used <= refs


def test_a_vendor_that_the_conventions_do_not_know_goes_by_its_own_name():
    assert semconv.provider_name("openai", "cerebras") == "cerebras"
    assert semconv.provider_name("openai", "mistral") == "mistral_ai"
    assert semconv.provider_name("azure", "azure") == "azure.ai.openai"


def test_attributes_are_written_as_otlp_json_does_and_unknown_ones_are_left_out():
    pairs = (("a", 5), ("b", 0.5), ("c", True), ("d", ("x", "y")), ("e", None), ("f", "t"))
    assert attributes(pairs) == [
        {"key": "a", "value": {"intValue": "5"}},
        {"key": "b", "value": {"doubleValue": 0.5}},
        {"key": "c", "value": {"boolValue": True}},
        {"key": "d", "value": {"arrayValue": {"values": [{"stringValue": "x"}, {"stringValue": "y"}]}}},
        {"key": "f", "value": {"stringValue": "t"}},
    ]
