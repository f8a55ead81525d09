"""Bodies of requests, checked before anything reads them.

Two parsers must not see two requests: what a lenient one would read differently (keys that come
twice, NaN, lone surrogates, numbers of any length, nesting of any depth) is refused here. It does
not know what a request is; the dialects do.
"""

import json
from collections.abc import Iterable, Sequence
from typing import Any, Final

import msgspec

from interlock.errors import ApiError

MOST_DEPTH: Final = 128
"""Levels of objects and lists. Everything behind this check may recurse that deep without a thought."""
MOST_DIGITS: Final = 19
"""The digits of an integer that may be longer than what other parsers hold in 64 bits."""
_MOST_SHOWN: Final = 64
_AT_ONCE: Final = 256 * 1024

_decode: Final = msgspec.json.Decoder().decode
_encode: Final = msgspec.json.Encoder().encode
_DIGITS_TO_ZERO: Final = bytes(0x30 if 0x30 <= byte <= 0x39 else byte for byte in range(256))
_LONG: Final = b"0" * (MOST_DIGITS + 1)
_BOM: Final = b"\xef\xbb\xbf"


def check_body(body: bytes) -> None:
    """Refuse a body that is no JSON object, or that two parsers could read differently.

    Raises ApiError: invalid_request.
    """
    read_object(body)


def read_object(body: bytes) -> dict[str, Any]:
    """The JSON object that `body` is, checked as by `check_body`. Raises ApiError: invalid_request."""
    try:
        value = _decode(body)
    except RecursionError:
        raise _too_deep() from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise _no_json(body, error) from None
    if type(value) is not dict:
        raise ApiError("invalid_request", "the body must be a JSON object")
    # As many brackets as that, in strings or not, are needed to be too deep.
    if count_byte(body, b"[") + count_byte(body, b"{") > MOST_DEPTH and _depth(value) > MOST_DEPTH:
        raise _too_deep()
    long = body.translate(_DIGITS_TO_ZERO).find(_LONG) >= 0
    # A body that is exactly what its own value encodes to has lost nothing: no key came twice.
    # Whitespace alone makes no difference either; escapes and odd numbers need the slow way.
    compact = _encode(value)
    if long or (compact != body and compact != msgspec.json.format(body, indent=-1)):
        _check_slowly(body)
    return value


def count_strings(body: bytes, texts: Sequence[str]) -> int | None:
    """How many strings stand in JSON: also those that a decoder passed over, as their name came twice.

    `texts` are the decoded strings that can hold a quotation mark; none need be given of a body without a
    backslash. Every string has two marks around it, and all others are escaped ones inside. None where one
    may be written by its number, as it is then no mark in the body.
    """
    marks = count_byte(body, b'"')
    if texts:
        if body.find(b"\\u0022") >= 0:
            return None
        marks -= sum([text.count('"') for text in texts])
    return marks // 2


def count_byte(body: bytes, byte: bytes) -> int:
    """How often a byte stands in a body; `replace` jumps from one to the next, `count` looks at all.

    Both hold the interpreter, so much of a large body is not looked at in one go.
    """
    if len(body) > _AT_ONCE:
        return sum([body.count(byte, at, at + _AT_ONCE) for at in range(0, len(body), _AT_ONCE)])
    return len(body) - len(body.replace(byte, b""))


def _depth(value: Any) -> int:
    """How deep objects and lists nest, level by level: this must not recurse itself."""
    level, depth = [value], 0
    while level:
        depth += 1
        level = [
            inner
            for outer in level
            for inner in (outer.values() if type(outer) is dict else outer)
            if type(inner) is dict or type(inner) is list
        ]
    return depth


def _check_slowly(body: bytes) -> None:
    """Look at every key and every number of a body that is JSON and not too deep."""
    json.loads(body, object_pairs_hook=_unique, parse_int=_bounded)


def _unique(pairs: Iterable[tuple[str, Any]]) -> None:
    seen: set[str] = set()
    for name, _ in pairs:
        if name in seen:
            shown = name if len(name) <= _MOST_SHOWN else name[:_MOST_SHOWN] + "…"
            raise ApiError(
                "invalid_request",
                f"the key `{shown}` comes twice in one object",
                hint="send each key once: policy and model must see one value",
                param=shown,
            )
        seen.add(name)


def _bounded(digits: str) -> None:
    if len(digits.lstrip("-")) > MOST_DIGITS:
        raise ApiError("invalid_request", f"the body holds an integer of more than {MOST_DIGITS} digits")


def _too_deep() -> ApiError:
    return ApiError("invalid_request", f"the body nests deeper than {MOST_DEPTH} levels")


def _no_json(body: bytes, error: Exception) -> ApiError:
    """Why a body is no JSON, without any of its content."""
    if not body.strip(b" \t\r\n"):
        return ApiError("invalid_request", "the body is empty", hint="send a JSON object")
    if body.startswith(_BOM):
        return ApiError(
            "invalid_request", "the body begins with a byte order mark", hint="send UTF-8 without one"
        )
    if isinstance(error, UnicodeDecodeError):
        return ApiError("invalid_request", "the body is not valid UTF-8")
    if isinstance(error, msgspec.ValidationError):
        return ApiError("invalid_request", "the body holds a number that is out of range")
    return ApiError("invalid_request", f"the body is not valid JSON: {error}")
