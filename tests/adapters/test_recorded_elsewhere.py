"""Every recorded request, for the wire formats that are nobody's dialect: named, or sent whole."""

import base64
import json
import re
from collections.abc import Iterator
from typing import Any, Final

import pytest

from interlock.adapters import ADAPTERS, Target
from interlock.dialects import DIALECTS
from interlock.errors import ApiError
from interlock.types.labels import Kind
from interlock.types.request import Request
from tests.adapters.recorded import calls
from tests.adapters.test_recorded_requests import leaves, texts
from tests.dialects.bodies import BOTH

ELSEWHERE: Final[tuple[Kind, ...]] = ("gemini", "bedrock")
TARGET: Final = Target(
    upstream_model="anthropic.claude", base_url="https://x.test", api_key="k", max_output_tokens=None
)


def _at_bedrock(text: str, words: tuple[str, ...]) -> str:
    """Names of files lose some characters there, and documents of text are data."""
    if words[-1] == "filename":
        return " ".join(re.sub(r"[^a-zA-Z0-9()\[\]]+", " ", text).split())
    in_document = words[-1] == "data" and "document" in words and "base64" not in words
    return base64.b64encode(text.encode()).decode() if in_document else text


LOOKS: Final = {"gemini": lambda text, _: text, "bedrock": _at_bedrock}
"""How a text of a request looks where it arrives."""
NOT_SENT: Final[dict[str, str]] = {
    "id": "Gemini tells calls apart by their order",
    "media_type": "a format under another name",
    "model": "the pool's own name for it",
    "role": "other words",
    "tool_choice": "other words",
    "tool_call_id": "Gemini tells results apart by their order",
    "tool_use_id": "Gemini tells results apart by their order",
    "type": "other words",
}
"""Texts of a request that are not looked for, by the field that holds them, and why."""


def requests() -> Iterator[tuple[str, dict[str, Any], Request]]:
    for dialect in BOTH:
        for row in calls(dialect, status=None):
            body = row["request"]
            try:
                yield row["source"], body, DIALECTS[dialect].decode_request(json.dumps(body).encode(), {})
            except ApiError:
                continue  # several answers at once, for instance: no model is asked


def unfolded(body: dict[str, Any]) -> dict[str, Any]:
    """A body with the JSON Schema of its answer, which Bedrock wants as text, as the object that it is."""
    schema = body.get("outputConfig", {}).get("textFormat", {}).get("structure", {}).get("jsonSchema")
    return {**body, "schema": json.loads(schema["schema"])} if schema else body


@pytest.mark.parametrize("kind", ELSEWHERE)
def test_no_text_of_a_recorded_request_is_lost_unless_its_field_is_named(kind):
    looked_at = carried = 0
    for source, body, request in requests():
        named = ADAPTERS[kind].cannot_carry(request)
        if named:
            with pytest.raises(ApiError) as refused:
                ADAPTERS[kind].encode_request(request, TARGET)
            assert refused.value.param == named[0], source
            continue
        carried += 1
        call = ADAPTERS[kind].encode_request(request, TARGET)
        sent = "\n".join(texts(unfolded(json.loads(call.body))))
        left_out = {name.rpartition(".")[2] for name in call.left_out}
        for text, words in leaves(body):
            if words[-1] not in NOT_SENT and not left_out.intersection(words):
                looked_at += 1
                assert LOOKS[kind](text, words) in sent, (source, words, text[:50])
    assert carried > 80
    assert looked_at > 400
