"""Token counts as Gemini gives them: thoughts beside the answer, the input of tools beside the prompt."""

from typing import Any

from interlock.types.answer import Usage


def read_usage(raw: Any) -> Usage:
    """Our counts from a `usageMetadata`. A count that is no number is unknown."""
    if type(raw) is not dict:
        return Usage()
    prompt, said = _count(raw.get("promptTokenCount")), _count(raw.get("candidatesTokenCount"))
    thoughts = _count(raw.get("thoughtsTokenCount"))
    of_tools = _count(raw.get("toolUsePromptTokenCount"))
    if said is None and prompt is not None:
        # A count of nothing is left out: an answer of thoughts alone has only the total to tell it by.
        total = _count(raw.get("totalTokenCount"))
        said = None if total is None else total - prompt - (thoughts or 0) - (of_tools or 0)
    return Usage(
        input_tokens=None if prompt is None else prompt + (of_tools or 0),
        cached_tokens=_count(raw.get("cachedContentTokenCount")),
        output_tokens=None if said is None else said + (thoughts or 0),
        reasoning_tokens=thoughts,
    )


def _count(value: Any) -> int | None:
    return value if type(value) is int else None
