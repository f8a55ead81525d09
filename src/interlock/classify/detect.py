"""What stands in a text that must not go everywhere: keys, cards, ids, addresses.

One pass of an automaton over the whole text (`re2.Set`, linear in its length, and the interpreter
is free meanwhile) says which kinds may be in it; only for those are places searched and check
digits computed. Almost every text ends after the first pass. No backtracking engine touches text.

`scan` reports kinds and places, never the text itself, and says nothing about what follows from a
finding: that is `labels`.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

import re2
from msgspec import Struct

from interlock.classify import identifiers, keys, passwords
from interlock.classify.disguise import (
    BASE64,
    ESCAPED,
    FOLDABLE,
    PERCENT,
    fold,
    origins,
    percent_decoded,
    text_in_base64,
    unescaped,
)

Span = tuple[int, int]


class Hit(Struct, frozen=True):
    """`kind` is the detector, or `detector.what` (`secret.github`); `start` and `end` index the text."""

    kind: str
    start: int
    end: int


class Rule(Struct, frozen=True):
    """`pattern` finds candidates; `places` turns a match into the spans that pass their check."""

    kind: str
    pattern: str
    places: Callable[[Any], Iterator[Span]]


def _group(number: int, check: Callable[[str], bool]) -> Callable[[Any], Iterator[Span]]:
    """The span of a group of the match, if its text passes."""

    def places(match: Any) -> Iterator[Span]:
        if check(match.group(number)):
            yield match.span(number)

    return places


def _form(form: keys.Form) -> Rule:
    def places(match: Any) -> Iterator[Span]:
        if form.check(match.group(2)):
            yield match.span(1)

    return Rule(f"secret.{form.kind}", form.pattern, places)


def _token(match: Any) -> Iterator[Span]:
    if passwords.is_token(match.group(1), match.group(2)):
        yield match.span(2)


def _either_group(match: Any) -> Iterator[Span]:
    yield match.span(1) if match.group(1) else match.span(2)


def _national_id(kind: str, pattern: str, check: identifiers.Check) -> Rule:
    separators = str.maketrans("", "", " -.:+") if kind != "fi_hetu" else {}

    def places(match: Any) -> Iterator[Span]:
        number = 1 if match.re.groups else 0
        if check(match.group(number).translate(separators).upper()):
            yield match.span(number)

    return Rule(f"national_id.{kind}", pattern, places)


def _run(places: Callable[[str, int, int], Iterator[Span]]) -> Callable[[Any], Iterator[Span]]:
    return lambda match: places(match.string, *match.span())


def _always(_: str) -> bool:
    return True


RULES: Final[tuple[Rule, ...]] = (
    Rule("card", identifiers.CARD, _run(identifiers.cards)),
    *(_national_id(*row) for row in identifiers.NATIONAL_IDS),
    Rule("iban", identifiers.IBAN, _run(identifiers.ibans)),
    Rule("secret.private_key", keys.PRIVATE_KEY, _group(1, _always)),
    *(_form(form) for form in keys.FORMS),
    Rule("secret.slack", keys.SLACK, _group(1, keys.slack)),
    Rule("secret.jwt", keys.JWT, _group(1, keys.looks_random)),
    Rule("secret.url_password", passwords.URL, _group(1, passwords.is_url_password)),
    Rule("secret.auth_header", passwords.HEADER, _group(1, passwords.is_header_value)),
    Rule("secret.curl_user", passwords.CURL, _group(1, passwords.is_curl_user)),
    Rule("secret.xml_password", passwords.XML, _group(1, passwords.is_xml_password)),
    Rule("secret.bundle", passwords.BUNDLE, _group(1, _always)),
    Rule("secret.kubernetes", passwords.KUBERNETES, _either_group),
    Rule("secret.vendor", passwords.VENDOR, _group(1, passwords.is_vendor_key)),
    Rule("secret.token", passwords.TOKEN, _token),
    Rule("secret.password", passwords.PASSWORD, _group(1, passwords.is_password)),
    Rule("email", identifiers.EMAIL, _group(0, _always)),
    Rule("phone", identifiers.PHONE, _group(0, identifiers.phone)),
)
DETECTORS: Final = ("secret", "iban", "card", "national_id", "email", "phone")

Opened = Callable[[str], str | None]
_WRAPPINGS: Final[tuple[tuple[str, Opened], ...]] = (
    (BASE64, text_in_base64),
    (PERCENT, percent_decoded),
    (ESCAPED, unescaped),
)
_DEEPEST: Final = 2  # text in text in text; deeper nesting is not opened

# The automaton grows with the texts it meets; when this is full it starts afresh, it never gives up.
_AUTOMATON_BYTES: Final = 64 << 20


def _compile() -> tuple[Any, tuple[Any, ...]]:
    options = re2.Options()
    options.max_mem = _AUTOMATON_BYTES
    options.never_capture = True
    every = re2.Set.SearchSet(options)
    patterns = [rule.pattern for rule in RULES] + [pattern for pattern, _ in _WRAPPINGS] + [FOLDABLE]
    for pattern in patterns:
        every.Add(pattern)
    every.Compile()
    return every, tuple(re2.compile(pattern) for pattern in patterns[:-1])


_EVERY, _SEARCHES = _compile()
_FOLDABLE: Final = len(_SEARCHES)


def suspicious(text: str) -> bool:
    """Whether `scan` has to look closer: one pass, no places. False means that nothing is there."""
    return _EVERY.Match(text.encode("utf-8", "replace")) is not None


def scan(text: str) -> tuple[Hit, ...]:
    """Everything that the detectors find, in order of place; indices are into the text as given."""
    return tuple(sorted(_scan(text, 0), key=lambda hit: (hit.start, hit.end, hit.kind)))


def _scan(text: str, depth: int) -> set[Hit]:
    if not text.isascii():
        text = text.encode("utf-8", "replace").decode()  # a lone surrogate becomes one `?`
    matched = _EVERY.Match(text)
    if matched is None:
        return set()
    hits = _search(text, matched, depth)
    if _FOLDABLE in matched and (folded := fold(text)) != text:
        places = origins(text)
        for hit in _search(folded, _EVERY.Match(folded) or (), depth):
            hits.add(Hit(hit.kind, places[hit.start], places[hit.end - 1] + 1))
    return hits


def _search(text: str, matched: Iterable[int], depth: int) -> set[Hit]:
    """The places of what the first pass matched. Of one detector's overlapping hits the first rule's stays."""
    hits: set[Hit] = set()
    taken: dict[str, bytearray] = {}
    for index in sorted(matched):
        if index < len(RULES):
            rule = RULES[index]
            mask = taken.setdefault(rule.kind.partition(".")[0], bytearray(len(text)))
            for match in _SEARCHES[index].finditer(text):
                for start, end in rule.places(match):
                    if mask.find(1, start, end) < 0:
                        mask[start:end] = b"\x01" * (end - start)
                        hits.add(Hit(rule.kind, start, end))
        elif index < _FOLDABLE and depth < _DEEPEST:
            hits |= _inside(index, text, depth)
    return hits


def _inside(index: int, text: str, depth: int) -> set[Hit]:
    """What is found in text wrapped in text, each at the place of its wrapping."""
    hits: set[Hit] = set()
    for match in _SEARCHES[index].finditer(text):
        opened = _WRAPPINGS[index - len(RULES)][1](match.group())
        if opened is not None:
            hits |= {Hit(hit.kind, *match.span()) for hit in _scan(opened, depth + 1)}
    return hits
