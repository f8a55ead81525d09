"""Seeing through simple disguises, so that a value cannot hide behind how it is written.

Two kinds: characters that read like ASCII but are not (full width, other scripts' digits, invisible
characters in between), which `fold` undoes, and text inside text (base64, percent and backslash
escapes), which `decoded` opens. Both are for looking only: what goes upstream is never changed.
Homoglyphs of other alphabets and encryption are beyond this module.
"""

import binascii
import unicodedata
from collections.abc import Iterator
from typing import Final
from urllib.parse import unquote_to_bytes

import msgspec
import re2

# --- characters -------------------------------------------------------------------------------

_INVISIBLE_LETTERS: Final = frozenset("\u115f\u1160\u2800\u3164\uffa0")
_KEPT_CONTROLS: Final = frozenset("\t\n\v\f\r")
_CACHED_CHARACTERS: Final = 20_000


class _Folding(dict[int, str]):
    """A table for `str.translate`, filled as characters are met; bounded, as text is the caller's."""

    def __missing__(self, code: int) -> str:
        folded = _fold_character(chr(code))
        if len(self) < _CACHED_CHARACTERS:
            self[code] = folded
        return folded


def _fold_character(char: str) -> str:
    category = unicodedata.category(char)
    if category in ("Cf", "Mn", "Me") or char in _INVISIBLE_LETTERS:
        return ""
    if category == "Cc":
        return char if char in _KEPT_CONTROLS else ""
    if category == "Nd":
        return str(unicodedata.decimal(char))
    if category == "Pd" or char == "\u2212":
        return "-"
    if category == "Zs":
        return " "
    return unicodedata.normalize("NFKC", char)


_FOLDING: Final = _Folding()

# Where folding can change what is found: invisible characters inside a run of ASCII, spaces and
# dashes of other kinds between digits or capitals, and characters that fold to ASCII letters,
# digits or the signs that keys are made of. Text without these is left alone, as it costs 30 ns a
# character to fold.
FOLDABLE_ASCII: Final = r"[!-~][\x00-\x08\x0e-\x1f\x7f]"
FOLDABLE: Final = (
    r"[!-~][\p{Cf}\p{Mn}\p{Me}\x00-\x08\x0e-\x1f\x7f-\x{9f}\x{115f}\x{1160}\x{2800}\x{3164}\x{ffa0}]"
    r"|[0-9A-Z][\x{a0}\x{1680}\x{2000}-\x{200a}\x{202f}\x{205f}\x{3000}"
    r"\x{58a}\x{5be}\x{2010}-\x{2015}\x{2212}\x{2e3a}\x{2e3b}\x{301c}\x{3030}\x{fe58}\x{fe63}]"
    r"|[\x{aa}\x{ba}\x{b2}\x{b3}\x{b9}\x{17f}\x{2b0}-\x{2b8}\x{2e1}-\x{2e3}\x{1d2c}-\x{1d6a}\x{1d9c}-\x{1dbb}"
    r"\x{2024}\x{2070}-\x{209c}\x{2100}-\x{2115}\x{2119}-\x{211d}\x{2124}-\x{2139}\x{2145}-\x{2149}"
    r"\x{2160}-\x{217f}\x{2460}-\x{24ea}\x{2c7c}\x{2c7d}\x{a7f2}-\x{a7f4}"
    r"\x{fe33}\x{fe34}\x{fe4d}-\x{fe4f}\x{fe52}\x{fe58}\x{fe62}-\x{fe63}\x{fe6b}\x{ff0b}\x{ff0d}-\x{ff0f}"
    r"\x{ff10}-\x{ff19}\x{ff20}-\x{ff3a}\x{ff3f}\x{ff41}-\x{ff5a}"
    r"\x{107a5}\x{1d400}-\x{1d7cb}\x{1f100}-\x{1f190}]"
    r"|[\x{fe55}\x{fe66}\x{ff1a}\x{ff1d}]\s*[\"'!-~]"
    r"|[^\P{Nd}0-9]"
)


def fold(text: str) -> str:
    """The text as a reader sees it: invisible characters gone, look-alikes of ASCII made ASCII."""
    return text.translate(_FOLDING)


def origins(text: str) -> list[int]:
    """For each character of `fold(text)`, and for its end, the index in `text` that it came from."""
    places = [place for place, char in enumerate(text) for _ in _FOLDING[ord(char)]]
    places.append(len(text))
    return places


# Where a value may begin: no letter or digit before it, but a line break as source text writes it.
START: Final = r"(?:^|[^0-9A-Za-z]|\\[nrt])"

# --- text inside text -------------------------------------------------------------------------

# A card number in base64 has twenty characters. Signs are rare in base64 of plain text, and paths of
# URLs are full of them, so the mark does without.
BASE64_MARK: Final = "[A-Za-z0-9]{20}"
BASE64: Final = "[A-Za-z0-9+/_-]{20,}={0,2}"
PERCENT_MARK: Final = "%[0-9A-Fa-f]{2}"
PERCENT: Final = r"[!-~]*%[0-9A-Fa-f]{2}[!-~]*"
ESCAPED_MARK: Final = r"\\(?:u00[2-7]|x[2-7])[0-9A-Fa-f]"
ESCAPED: Final = r"[!-~]*\\(?:u00[2-7]|x[2-7])[0-9A-Fa-f][!-~]*"
ENTITY_MARK: Final = "&#[0-9xX][0-9A-Fa-f]{1,7};"
ENTITY: Final = "[ -~]*&#[0-9xX][0-9A-Fa-f]{1,7};[ -~]*"

_URL_SAFE: Final = str.maketrans("-_", "+/")
_PROBE: Final = 4096
_CONTROLS: Final = frozenset(map(chr, range(32))) - _KEPT_CONTROLS


def text_in_base64(data: str) -> str | None:
    """The text that base64 `data` holds, or None where it is binary or not base64 at all."""
    head = _bytes_in_base64(data[:_PROBE])
    if head is None or not _reads_as_text(head, cut=len(data) > _PROBE):
        return None
    whole = head if len(data) <= _PROBE else _bytes_in_base64(data)
    if whole is None or not _reads_as_text(whole, cut=False):
        return None
    return whole.decode()


def _bytes_in_base64(data: str) -> bytes | None:
    bare = data.rstrip("=").translate(_URL_SAFE)
    if len(bare) % 4 == 1:
        bare = bare[:-1]
    try:
        return binascii.a2b_base64(bare + "=" * (-len(bare) % 4))
    except ValueError:
        return None


def _reads_as_text(data: bytes, *, cut: bool) -> bool:
    """Whether bytes are UTF-8 without control characters; `cut` forgives a last character cut in two."""
    try:
        text = data.decode()
    except UnicodeDecodeError as problem:
        if not cut or problem.start < len(data) - 3:
            return False
        text = data[: problem.start].decode()
    return not _CONTROLS.intersection(text)


_LEAST_PRINTABLE: Final = 0.6  # of bytes that are text in some code page; of random bytes it is 0.38
_PRINTABLE: Final = bytes([*b"\t\n\r", *range(32, 127)])
_DROPPED: Final = {ord(char): None for char in _CONTROLS}
_LONG_DATA: Final = 1 << 20


def text_in_data(data: str) -> str | None:
    """The text that attached base64 holds in any usual encoding, without control characters.

    None for pictures and the like. Of more than a megabyte, the beginning says which it is.
    """
    bare = "".join(data.split())
    if len(bare) > _LONG_DATA and _text_of(_bytes_in_base64(bare[:_PROBE]) or b"") is None:
        return None
    return _text_of(_bytes_in_base64(bare) or b"")


def _text_of(data: bytes) -> str | None:
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return data.decode("utf-16", "replace").translate(_DROPPED)
    bare = data.replace(b"\x00", b"") if data.count(0) * 4 >= len(data) else data  # UTF-16 of ASCII
    if not bare or len(bare.translate(None, _PRINTABLE)) > len(bare) * (1 - _LEAST_PRINTABLE):
        return text if (text := _utf8(data)) is not None else None
    return (_utf8(bare) or bare.decode("latin-1")).translate(_DROPPED)


def _utf8(data: bytes) -> str | None:
    try:
        return data.decode().translate(_DROPPED)
    except UnicodeDecodeError:
        return None


_LONG_BASE64: Final = 4096
_DIGITS: Final = re2.compile(r"[0-9](?:[/_-]?[0-9]){11,}")
_NOT_BASE64: Final = re2.compile(r"[^A-Za-z0-9+/_=\s-]")


def readable(data: str) -> str:
    """What of attached data may be text as it stands: all of it, of long base64 its long numbers.

    Random base64 of a megabyte holds what looks like a key, but no long number.
    """
    if len(data) <= _LONG_BASE64 or _NOT_BASE64.search(data):
        return data
    return "\n".join(match.group() for match in _DIGITS.finditer(data))


def entities_decoded(run: str) -> str:
    """A run of HTML with its numeric entities (`&#52;`, `&#x34;`) as characters."""
    head, *rest = run.split("&#")
    return head + "".join(map(_entity, rest))


def _entity(part: str) -> str:
    number, semicolon, after = part[:9].partition(";")
    if not semicolon:
        return f"&#{part}"
    try:
        char = chr(int(number[1:], 16) if number[:1] in ("x", "X") else int(number))
    except (ValueError, OverflowError):
        return f"&#{part}"
    return char + after + part[9:]


def percent_decoded(run: str) -> str:
    """A run of a URL with its `%41` as characters."""
    return unquote_to_bytes(run).decode("utf-8", "replace")


def unescaped(run: str) -> str:
    """A run of source text with its JSON or C escapes of ASCII characters as characters."""
    head, *rest = run.replace("\\x", "\\u00").split("\\u00")
    return head + "".join(_character(part[:2]) + part[2:] for part in rest)


def _character(digits: str) -> str:
    try:
        return chr(int(digits, 16))
    except ValueError:
        return digits


def strings(value: object) -> Iterator[str]:
    """Every line worth reading of a JSON value: `"key": "text"` as a person would write it, unescaped."""
    waiting = [value]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            for key, inner in value.items():
                if isinstance(inner, dict | list):
                    yield str(key)
                    waiting.append(inner)
                else:
                    yield f'"{key}": "{inner}"'
        elif isinstance(value, list | tuple):
            waiting += value
        else:
            yield str(value)


def json_text(value: object) -> str:
    """A JSON value as text to look at: as it stands on the wire, unless escapes would hide something."""
    text = msgspec.json.encode(value).decode()
    return "\n".join(strings(value)) if "\\" in text else text


def json_unescaped(text: str) -> str | None:
    """What JSON text says once its escapes are undone; None where there are none, or it is not JSON."""
    if "\\" not in text:
        return None
    try:
        return "\n".join(strings(msgspec.json.decode(text)))
    except (msgspec.DecodeError, RecursionError):
        return None
