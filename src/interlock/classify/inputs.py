"""Texts that a model reads one by one, as embedding models do; some come as the ids of their tokens."""

import msgspec

from interlock.classify.tokens import count, is_long, spell
from interlock.types.request import AnyPart, Request, Text, Tokens

USUAL_FAMILY = "cl100k"
"""What clients cut text into ids by, where they do not know the model's own tokenizer."""


def holds_ids(request: Request) -> bool:
    """Whether some input comes as ids, which only models of one tokenizer can read."""
    return any(isinstance(part, Tokens) for message in request.messages for part in message.parts)


def spelled_out(request: Request, family: str, exact: bool) -> Request:
    """The request with its ids as text, for whoever has to look into it. It is never sent like that.

    `exact`: the family holds the model's own tokenizer.
    """

    def readable(part: AnyPart) -> AnyPart:
        if not isinstance(part, Tokens):
            return part
        return Text(text=spell(part.ids, family if exact else USUAL_FAMILY), trust=part.trust)

    return msgspec.structs.replace(
        request,
        messages=tuple(
            msgspec.structs.replace(message, parts=tuple(readable(part) for part in message.parts))
            for message in request.messages
        ),
    )


def count_inputs(request: Request, family: str, exact: bool) -> tuple[int, int, bool]:
    """Tokens of all inputs together, of the longest, and whether the figures are estimates."""
    estimated = not exact
    total = longest = 0
    for message in request.messages:
        for part in message.parts:
            if isinstance(part, Tokens):
                tokens = len(part.ids)
            elif isinstance(part, Text):
                tokens = count(part.text, family)
                estimated = estimated or is_long(part.text)
            else:
                continue
            total, longest = total + tokens, max(longest, tokens)
    return total, longest, estimated
