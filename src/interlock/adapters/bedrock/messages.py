"""Canonical messages -> the `system` and the turns of a Converse request.

Consecutive turns of one side become one. Where a caller marks that a prompt may be cached up to a block, a
cache point stands behind it, for models that know one.
"""

import base64
import hashlib
from collections.abc import Iterable
from typing import Any, Final

import msgspec
import re2

from interlock.adapters.bedrock.carry import DOCUMENTS, IMAGES
from interlock.adapters.carrying import Reads, cache_mark, with_name, words_of
from interlock.types.request import (
    AnyPart,
    Audio,
    Extra,
    File,
    Image,
    Message,
    Refusal,
    Request,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
)
from interlock.wire.seals import unseal

_decode: Final = msgspec.json.Decoder().decode
_ID: Final = re2.compile(r"[a-zA-Z0-9_.:-]{1,64}")
_NOT_IN_NAMES: Final = re2.compile(r"[^a-zA-Z0-9()\[\]]+")
_MOST_NAME: Final = 200
_TTLS: Final = ("5m", "1h")
_Block = dict[str, Any]


def write_messages(
    request: Request, reads: Reads, *, cached: bool
) -> tuple[list[_Block], list[dict[str, Any]]]:
    """The blocks of `system`, and the turns. `cached`: the model knows cache points. `reads` says which
    thoughts are sent.

    Instructions from the middle of a conversation join those at its beginning.
    """
    writer = _Writer(reads, cached=cached)
    system: list[_Block] = []
    turns: list[dict[str, Any]] = []
    for message in request.messages:
        words = words_of(message)
        blocks = [{"text": words}] if words is not None else writer.message(message)
        if message.role in ("system", "developer"):
            system += blocks
        elif blocks:
            _add_turn(turns, message, blocks)
    return system, turns


def cache_point(extra: Extra | None) -> _Block | None:
    """The point that stands for a caller's mark (`cache_control`); None without one."""
    mark = extra.get("cache_control") if extra is not None else None
    return _point(mark) if type(mark) is dict else None


def _point(mark: Extra) -> _Block:
    ttl = mark.get("ttl")
    return {"cachePoint": {"type": "default", **({"ttl": ttl} if ttl in _TTLS else {})}}


def _add_turn(turns: list[dict[str, Any]], message: Message, blocks: list[_Block]) -> None:
    role = "assistant" if message.role == "assistant" else "user"
    if turns and turns[-1]["role"] == role:
        turns[-1]["content"] += blocks
    else:
        turns.append({"role": role, "content": blocks})


def _is_nothing(part: AnyPart) -> bool:
    """Text without a character, which is refused."""
    return isinstance(part, Text) and not part.text


class _Writer:
    """Mutable, for one request: documents must each have a name of their own."""

    def __init__(self, reads: Reads, *, cached: bool) -> None:
        self._reads = reads
        self._cached = cached
        self._names: set[str] = set()

    def message(self, message: Message) -> list[_Block]:
        """The blocks of a message. A mark on the message itself is a point behind the last of them."""
        found = self.blocks(with_name(message))
        point = cache_point(message.extra) if self._cached else None
        if found and point is not None and "cachePoint" not in found[-1]:
            found.append(point)
        return found

    def blocks(self, parts: Iterable[AnyPart]) -> list[_Block]:
        found: list[_Block] = []
        for part in parts:
            if _is_nothing(part) or (isinstance(part, Thinking) and not self._reads(part)):
                continue
            found.append(self._block(part))
            mark = cache_mark(part) if self._cached else None
            if mark is not None:
                found.append(_point(mark))
        return found

    def _block(self, part: AnyPart) -> _Block:
        match part:
            case Text() | Refusal():
                return {"text": part.text}
            case ToolCall():
                arguments = _decode(part.arguments) if part.arguments else {}
                return {"toolUse": {"toolUseId": _id(part.id), "name": part.name, "input": arguments}}
            case ToolResult():
                return self._result(part)
            case Thinking():
                return _thinking(part)
            case Image():
                return {"image": {"format": IMAGES[part.media_type or ""], "source": {"bytes": part.data}}}
            case File():
                return self._document(part)
            case Audio():
                return {"audio": {"format": part.format, "source": {"bytes": part.data}}}
            case _:
                raise AssertionError(f"`cannot_carry` lets no {type(part).__name__} come here")

    def _result(self, part: ToolResult) -> _Block:
        content = [self._block(inner) for inner in part.content if not _is_nothing(inner)]
        result: _Block = {"toolUseId": _id(part.call_id), "content": content}
        return {"toolResult": {**result, "status": "error"} if part.is_error else result}

    def _document(self, part: File) -> _Block:
        """A document. Its source is text only where it may be cited: positions in it count characters."""
        citations = (part.extra or {}).get("citations")
        cited = type(citations) is dict and citations.get("enabled") is True
        document: _Block = {"name": self._name(part.name)}
        if part.text is not None:
            text = part.text
            plain = base64.b64encode(text.encode("utf-8", "replace")).decode("ascii")
            document |= {"format": "txt", "source": {"text": text} if cited else {"bytes": plain}}
        else:
            document |= {"format": DOCUMENTS[part.media_type or ""], "source": {"bytes": part.data}}
        if cited:
            document["citations"] = {"enabled": True}
        return {"document": document}

    def _name(self, name: str | None) -> str:
        """A name of the characters that names may have, that no other document of the request has."""
        plain = _NOT_IN_NAMES.sub(" ", name or "").strip()[: _MOST_NAME - 4] or "document"
        found, count = plain, 1
        while found in self._names:
            count += 1
            found = f"{plain} {count}"
        self._names.add(found)
        return found


def _thinking(part: Thinking) -> _Block:
    if part.redacted is not None:
        return {"reasoningContent": {"redactedContent": unseal("bedrock", part.redacted)}}
    text: _Block = {"text": part.text}
    if part.signature:
        text["signature"] = part.signature
    return {"reasoningContent": {"reasoningText": text}}


def _id(call_id: str) -> str:
    """The id of a call as Bedrock takes it: one that it would refuse is replaced, the same everywhere."""
    if _ID.fullmatch(call_id):
        return call_id
    return f"call_{hashlib.sha256(call_id.encode('utf-8', 'replace')).hexdigest()[:32]}"
