"""Fields of a body that would let a caller choose what only the operator may choose. All are refused.

A gateway that passed such fields on was how others lost their keys: the caller named a base URL and
the gateway sent its credentials there.
"""

from typing import Any, Final

from interlock.wire.fields import Misfit

_TARGET: Final = "which provider and which credentials a request gets is the operator's choice"
_HEADERS: Final = "what is sent upstream beside the body is the operator's choice"
_ROUTING: Final = "fallbacks, retries and routing follow the config"
_TEST: Final = "it would replace the model's answer"
_BUDGET: Final = "budgets and limits count `max_tokens` and one answer; this would get around them"
_TOOLS: Final = "policy judges the tools in `tools`; this would add others beside them"
_AT_VENDOR: Final = "policy cannot judge what only the vendor holds; send it in `input`"
_IDENTITY: Final = "who a caller is follows from its key alone"

CONTROL_FIELDS: Final[dict[str, str]] = {
    "api_base": _TARGET,
    "api_key": _TARGET,
    "api_type": _TARGET,
    "api_version": _TARGET,
    "azure_ad_token": _TARGET,
    "azure_endpoint": _TARGET,
    "base_url": _TARGET,
    "custom_llm_provider": _TARGET,
    "deployment_id": _TARGET,
    "organization": _TARGET,
    "user_config": _TARGET,
    "extra_body": _HEADERS,
    "extra_headers": _HEADERS,
    "extra_query": _HEADERS,
    "headers": _HEADERS,
    "proxy": _HEADERS,
    "allowed_model_region": _ROUTING,
    "context_window_fallbacks": _ROUTING,
    "fallbacks": _ROUTING,
    "max_retries": _ROUTING,
    "model_list": _ROUTING,
    "models": _ROUTING,
    "num_retries": _ROUTING,
    "provider": _ROUTING,
    "route": _ROUTING,
    "router": _ROUTING,
    "tags": _ROUTING,
    "data_sources": _TOOLS,
    "mock_response": _TEST,
    "mock_tool_calls": _TEST,
    "best_of": _BUDGET,
    "max_new_tokens": _BUDGET,
    "max_output_tokens": _BUDGET,
    "min_tokens": _BUDGET,
    "n_predict": _BUDGET,
    "num_predict": _BUDGET,
    "options": _BUDGET,
    "plugins": _TOOLS,
    "search_parameters": _TOOLS,
    "tool_resources": _TOOLS,
}
"""Top-level fields. The vendors of chat and messages have no field of such a name."""

CHAT_CONTROL_FIELDS: Final[dict[str, str]] = {**CONTROL_FIELDS, "mcp_servers": _TOOLS}
"""Those of OpenAI chat. Anthropic's `mcp_servers` are read, and judged, as tools."""

RESPONSES_CONTROL_FIELDS: Final[dict[str, str]] = {
    **{name: reason for name, reason in CHAT_CONTROL_FIELDS.items() if name != "max_output_tokens"},
    "max_completion_tokens": "the name here is `max_output_tokens`",
    "max_tokens": "the name here is `max_output_tokens`",
    "conversation": _AT_VENDOR,
    "prompt": _AT_VENDOR,
}
"""Those of OpenAI responses."""

CONTROL_METADATA: Final[dict[str, str]] = {
    "allow": _IDENTITY,
    "max_data_class": _IDENTITY,
    "role": _IDENTITY,
    "tenant": _IDENTITY,
    "user_tier": _IDENTITY,
}
"""Keys of `metadata`, in every dialect."""


def refuse_control_fields(fields: dict[str, Any], refused: dict[str, str]) -> None:
    """Raises Misfit naming a control field, if there is one. `refused` is the dialect's list of them."""
    if not refused.keys().isdisjoint(fields):
        _refuse(fields, refused)


def refuse_control_metadata(metadata: dict[str, Any]) -> None:
    """Raises Misfit naming a control key of `metadata`, if there is one."""
    if not CONTROL_METADATA.keys().isdisjoint(metadata):
        _refuse(metadata, CONTROL_METADATA)


def _refuse(fields: dict[str, Any], reasons: dict[str, str]) -> None:
    name = next(name for name in fields if name in reasons)
    raise Misfit("is not for callers to set", path=name, hint=reasons[name])
