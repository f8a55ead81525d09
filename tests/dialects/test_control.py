"""Fields that would let a caller choose target, credentials, headers or identity (row C10)."""

import json

import pytest

from interlock.dialects import DIALECTS
from interlock.dialects.control import CHAT_CONTROL_FIELDS, CONTROL_FIELDS, CONTROL_METADATA
from tests.dialects.bodies import BOTH, decode, refusal


@pytest.mark.parametrize("dialect", BOTH)
@pytest.mark.parametrize("name", CONTROL_FIELDS)
@pytest.mark.parametrize("value", ["https://evil.test", {}, None, False])
def test_c10_a_control_field_of_the_body_is_refused_by_name_whatever_it_holds(dialect, name, value):
    error = refusal(dialect, **{name: value})
    assert error.param == name
    assert error.hint


@pytest.mark.parametrize("dialect", BOTH)
@pytest.mark.parametrize("name", CONTROL_METADATA)
def test_c10_identity_in_metadata_is_refused_by_name(dialect, name):
    assert refusal(dialect, metadata={"workflow": "x", name: "admin"}).param == f"metadata.{name}"


def test_c10_the_list_has_what_cost_others_their_keys():
    assert {"api_base", "base_url", "api_key", "extra_headers", "extra_body", "user_config"} <= set(
        CONTROL_FIELDS
    )
    assert {"custom_llm_provider", "mock_response", "tags", "fallbacks"} <= set(CONTROL_FIELDS)
    assert {"role", "tenant"} <= set(CONTROL_METADATA)


def test_c10_fields_that_get_around_budgets_and_tool_policy_are_refused():
    budgets = {"max_new_tokens", "max_output_tokens", "min_tokens", "best_of", "n_predict", "num_predict"}
    tools = {"plugins", "search_parameters", "tool_resources", "options"}
    assert budgets | tools <= set(CONTROL_FIELDS)
    assert set(CHAT_CONTROL_FIELDS) == {*CONTROL_FIELDS, "mcp_servers"}
    error = refusal("openai-chat", mcp_servers=[{"name": "kb"}])
    assert error.param == "mcp_servers"
    assert error.hint
    assert decode("openai-chat", service_tier="flex").extra == {"service_tier": "flex"}


@pytest.mark.parametrize("thread", [{"type": "create"}, {"type": "continue", "previous_message_id": "msg_1"}])
def test_c10_a_thread_that_the_vendor_would_hold_is_refused_in_words_that_anthropics_sdk_goes_by(thread):
    error = refusal("anthropic-messages", thread=thread)
    assert error.param == "thread"
    said = json.loads(DIALECTS["anthropic-messages"].encode_error(error))["error"]
    assert said["details"] == {"error_code": "thread_unsupported_request", "unsupported": ["thread"]}
    assert decode("anthropic-messages", thread=None).extra == {}


@pytest.mark.parametrize("dialect", BOTH)
def test_c10_an_unknown_field_is_kept_by_name_and_null_is_as_good_as_absent(dialect):
    request = decode(dialect, brand_new={"a": [1]}, other=None)
    assert request.extra == {"brand_new": {"a": [1]}}
