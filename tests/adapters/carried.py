"""What of a request reaches each wire format: one small request for each thing that one may ask for."""

import base64
import json
from collections.abc import Iterator
from typing import Any, Final

import pytest
from msgspec import Struct

from interlock.adapters import ADAPTERS, Target
from interlock.config.vendors import VENDORS
from interlock.dialects import DIALECTS
from interlock.errors import ApiError
from interlock.types.labels import Dialect, Wire

PDF: Final = base64.b64encode(b"%PDF-1.4 marked").decode()
PNG: Final = base64.b64encode(b"\x89PNG marked").decode()
SCHEMA: Final = {
    "type": "object",
    "properties": {"marked": {"type": "string"}},
    "additionalProperties": False,
}
TARGETS: Final = {
    wire: Target(
        upstream_model="anthropic.claude",
        base_url="https://x.test",
        api_key="k",
        max_output_tokens=None,
        quirks=VENDORS[
            "openai" if wire == "openai-responses" else "google" if wire == "gemini" else wire
        ].quirks,
    )
    for wire in ADAPTERS
}
"""Each wire format as the vendor speaks it whose own it is."""


class Asks(Struct, frozen=True):
    """A body that asks for one thing, and what of it has to be found where it arrives."""

    fields: dict[str, Any]
    mark: str = "marked"


def chat(*content: Any, **fields: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": list(content) or "hi"}], **fields}


def later(*turn: dict[str, Any]) -> dict[str, Any]:
    """A conversation that has gone on after an earlier answer."""
    return {"messages": [{"role": "user", "content": "hi"}, *turn, {"role": "user", "content": "more"}]}


def items(*parts: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {"input": [{"role": "user", "content": list(parts)}] if parts else "hi", **fields}


def document(source: dict[str, Any], **more: Any) -> dict[str, Any]:
    return chat({"type": "document", "source": source, **more}, {"type": "text", "text": "hi"})


def url(kind: str, of: str) -> dict[str, Any]:
    return {"type": kind, kind: {"url": of}}


_PDF_URL: Final = "https://x.test/marked.pdf"
_PNG_URL: Final = "https://x.test/marked.png"
_TEXT: Final = {"type": "text", "media_type": "text/plain", "data": "marked"}
_DATA: Final = {"type": "base64", "media_type": "application/pdf", "data": PDF}
_IMAGE: Final = {"type": "base64", "media_type": "image/png", "data": PNG}

FEATURES: Final[dict[str, dict[Dialect, Asks]]] = {
    "log probabilities": {
        "openai-chat": Asks(chat(logprobs=True, top_logprobs=2), "ogprobs"),
        "openai-responses": Asks(
            items(include=["message.output_text.logprobs"], top_logprobs=2), "output_text.logprobs"
        ),
    },
    "citations of a document": {
        "anthropic-messages": Asks(document(_TEXT, citations={"enabled": True}), "citations"),
    },
    "a document as data": {
        "openai-chat": Asks(
            chat(
                {
                    "type": "file",
                    "file": {"filename": "a.pdf", "file_data": f"data:application/pdf;base64,{PDF}"},
                }
            ),
            PDF,
        ),
        "openai-responses": Asks(
            items(
                {"type": "input_file", "filename": "a.pdf", "file_data": f"data:application/pdf;base64,{PDF}"}
            ),
            PDF,
        ),
        "anthropic-messages": Asks(document(_DATA), PDF),
    },
    "a document as text": {
        "anthropic-messages": Asks(document(_TEXT)),
    },
    "a document by its address": {
        "openai-responses": Asks(items({"type": "input_file", "file_url": _PDF_URL}), _PDF_URL),
        "anthropic-messages": Asks(document({"type": "url", "url": _PDF_URL}), _PDF_URL),
    },
    "a document that only the vendor has": {
        "openai-chat": Asks(chat({"type": "file", "file": {"file_id": "marked"}})),
        "openai-responses": Asks(items({"type": "input_file", "file_id": "marked"})),
        "anthropic-messages": Asks(document({"type": "file", "file_id": "marked"})),
    },
    "an image as data": {
        "openai-chat": Asks(chat(url("image_url", f"data:image/png;base64,{PNG}")), PNG),
        "openai-responses": Asks(
            items({"type": "input_image", "image_url": f"data:image/png;base64,{PNG}"}), PNG
        ),
        "anthropic-messages": Asks(chat({"type": "image", "source": _IMAGE}), PNG),
    },
    "an image by its address": {
        "openai-chat": Asks(chat(url("image_url", _PNG_URL)), _PNG_URL),
        "openai-responses": Asks(items({"type": "input_image", "image_url": _PNG_URL}), _PNG_URL),
        "anthropic-messages": Asks(
            chat({"type": "image", "source": {"type": "url", "url": _PNG_URL}}), _PNG_URL
        ),
    },
    "marks for the prompt cache": {
        "openai-chat": Asks(chat(prompt_cache_key="marked")),
        "openai-responses": Asks(items(prompt_cache_key="marked")),
    },
    "marks for the prompt cache, on parts": {
        "openai-chat": Asks(
            chat({"type": "text", "text": "hi", "cache_control": {"type": "ephemeral"}}), "cache"
        ),
        "anthropic-messages": Asks(
            chat({"type": "text", "text": "hi", "cache_control": {"type": "ephemeral"}}), "cache"
        ),
    },
    "a refusal in an earlier answer": {
        "openai-chat": Asks(later({"role": "assistant", "content": None, "refusal": "marked"})),
        "openai-responses": Asks(
            {
                "input": [
                    {"role": "user", "content": "hi"},
                    {"role": "assistant", "content": [{"type": "refusal", "refusal": "marked"}]},
                    {"role": "user", "content": "more"},
                ]
            }
        ),
    },
    "signed thoughts of an earlier answer": {
        "anthropic-messages": Asks(
            later(
                {
                    "role": "assistant",
                    "content": [
                        {"type": "thinking", "thinking": "marked", "signature": "c2ln"},
                        {"type": "text", "text": "so"},
                    ],
                }
            )
        ),
    },
    "unsigned thoughts of an earlier answer": {
        "openai-chat": Asks(later({"role": "assistant", "content": "so", "reasoning_content": "marked"})),
        "anthropic-messages": Asks(
            later(
                {
                    "role": "assistant",
                    "content": [
                        {"type": "thinking", "thinking": "marked", "signature": ""},
                        {"type": "text", "text": "so"},
                    ],
                }
            )
        ),
    },
    "redacted thoughts of an earlier answer": {
        "anthropic-messages": Asks(
            later(
                {
                    "role": "assistant",
                    "content": [
                        {"type": "redacted_thinking", "data": "marked"},
                        {"type": "text", "text": "so"},
                    ],
                }
            )
        ),
    },
    "a speaker's name": {
        "openai-chat": Asks({"messages": [{"role": "user", "content": "hi", "name": "marked"}]}),
    },
    "an answer by a JSON Schema": {
        "openai-chat": Asks(
            chat(response_format={"type": "json_schema", "json_schema": {"name": "n", "schema": SCHEMA}})
        ),
        "openai-responses": Asks(
            items(text={"format": {"type": "json_schema", "name": "n", "schema": SCHEMA}})
        ),
        "anthropic-messages": Asks(chat(output_config={"format": {"type": "json_schema", "schema": SCHEMA}})),
    },
    "any JSON": {
        "openai-chat": Asks(chat(response_format={"type": "json_object"}), "json"),
        "openai-responses": Asks(items(text={"format": {"type": "json_object"}}), "json"),
    },
    "a seed": {"openai-chat": Asks(chat(seed=4711), "4711")},
    "`top_k`": {"anthropic-messages": Asks(chat(top_k=4711), "4711")},
    "a budget for thinking": {
        "anthropic-messages": Asks(
            chat(thinking={"type": "enabled", "budget_tokens": 4711}, max_tokens=9000), "4711"
        ),
    },
}


def outcome(asks: Asks, dialect: Dialect, wire: Wire) -> str:
    """`carried`, or `left out` or `refused` with the names of fields. What is left out must be said."""
    body = {"model": "m", **({"max_tokens": 50} if dialect == "anthropic-messages" else {}), **asks.fields}
    request = DIALECTS[dialect].decode_request(json.dumps(body).encode(), {})
    named = ADAPTERS[wire].cannot_carry(request)
    if named:
        with pytest.raises(ApiError) as refused:
            ADAPTERS[wire].encode_request(request, TARGETS[wire])
        assert refused.value.param == named[0]
        return "refused: " + ", ".join(f"`{name}`" for name in named)
    call = ADAPTERS[wire].encode_request(request, TARGETS[wire])
    data = call.body.decode()
    encoded = base64.b64encode(asks.mark.encode()).decode()  # Bedrock takes texts of documents as data
    if asks.mark in data or encoded in data:
        return "carried"
    return "left out: " + ", ".join(f"`{name}`" for name in call.left_out)


def table() -> Iterator[tuple[str, Dialect, dict[Wire, str]]]:
    for feature, by_dialect in FEATURES.items():
        for dialect, asks in by_dialect.items():
            yield feature, dialect, {wire: outcome(asks, dialect, wire) for wire in ADAPTERS}


def page() -> list[str]:
    """The rows of the table in docs/what-is-carried.md."""
    rows = []
    for feature, dialect, by_wire in table():
        cells = " | ".join("yes" if found == "carried" else found for found in by_wire.values())
        rows.append(f"| {feature} | {dialect} | {cells} |")
    return rows
