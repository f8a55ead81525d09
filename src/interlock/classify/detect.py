"""What stands in a text that must not go everywhere: keys, cards, ids, addresses.

One pass of an automaton over the whole text (`re2.Set`, linear in its length, and the interpreter
is free meanwhile) says which kinds may be in it; only for those are places searched and check
digits computed. Almost every text ends after the first pass. No backtracking engine touches text.

`scan` reports kinds and places, never the text itself, and says nothing about what follows from a
finding: that is `labels`.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from typing import Any, Final

import re2
from msgspec import Struct

from interlock.classify import identifiers, keys, passwords
from interlock.classify.checksums import luhn
from interlock.classify.disguise import (
    BASE64,
    BASE64_MARK,
    ENTITY,
    ENTITY_MARK,
    ESCAPED,
    ESCAPED_MARK,
    FOLDABLE,
    FOLDABLE_ASCII,
    PERCENT,
    PERCENT_MARK,
    entities_decoded,
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
    """Where `mark` stands in a text, `pattern` finds candidates, and `places` the spans that pass a check.

    A mark stands wherever its pattern does, and is short, so that the automaton of marks stays small.
    """

    kind: str
    mark: str
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

    return Rule(f"secret.{form.kind}", keys.mark(form), form.pattern, places)


def _token(match: Any) -> Iterator[Span]:
    if passwords.is_token(match.group(1), match.group(2)):
        yield match.span(2)


def _either_group(match: Any) -> Iterator[Span]:
    yield match.span(1) if match.group(1) else match.span(2)


_SEPARATORS: Final = str.maketrans("", "", " -.+")


def _bare(number: int, check: identifiers.Check) -> Callable[[Any], Iterator[Span]]:
    """The span of a group, if what remains of it without separators, in capitals, passes."""
    return _group(number, lambda text: check(text.translate(_SEPARATORS).upper()))


def _national_id(kind: str, pattern: str, check: identifiers.Check) -> Rule:
    return Rule(f"national_id.{kind}", pattern, pattern, _bare(1, check))


def _run(number: int, places: Callable[[str, int, int], Iterator[Span]]) -> Callable[[Any], Iterator[Span]]:
    return lambda match: places(match.string, *match.span(number))


def _always(_: str) -> bool:
    return True


_NUMBERS: Final = (
    Rule("card", identifiers.CARD_MARK, identifiers.CARD, _run(0, identifiers.cards)),
    Rule("card", identifiers.NAMED_CARD, identifiers.NAMED_CARD, _bare(1, luhn)),
    Rule("card", identifiers.SPACED_CARD, identifiers.SPACED_CARD_RUN, _run(0, identifiers.spaced_cards)),
    *(_national_id(*row) for row in identifiers.NUMBERED_IDS),
    Rule("national_id.in_aadhaar", identifiers.CARD_MARK, identifiers.CARD, _run(0, identifiers.aadhaars)),
    Rule("phone", identifiers.PHONE, identifiers.PHONE, _group(0, identifiers.phone)),
)
_FORMS: Final = tuple(_form(form) for form in keys.FORMS)
_OTHERS: Final = (
    *(_national_id(*row) for row in identifiers.LETTERED_IDS),
    Rule("iban", identifiers.IBAN_MARK, identifiers.IBAN, _run(1, identifiers.ibans)),
    Rule("secret.private_key", keys.PRIVATE_KEY_MARK, keys.PRIVATE_KEY, _group(1, _always)),
    Rule("secret.slack", keys.SLACK_MARK, keys.SLACK, _group(1, keys.slack)),
    Rule("secret.jwt", keys.JWT_MARK, keys.JWT, _group(1, keys.looks_random)),
    Rule("secret.url_password", passwords.URL_MARK, passwords.URL, _group(1, passwords.is_url_password)),
    Rule("secret.auth_header", passwords.HEADER_MARK, passwords.HEADER, _group(1, passwords.is_header_value)),
    Rule("secret.curl_user", passwords.CURL_MARK, passwords.CURL, _group(1, passwords.is_curl_user)),
    Rule("secret.xml_password", passwords.XML_MARK, passwords.XML, _group(1, passwords.is_xml_password)),
    Rule("secret.bundle", passwords.BUNDLE_MARK, passwords.BUNDLE, _group(1, _always)),
    Rule("secret.kubernetes", passwords.KUBERNETES_MARK, passwords.KUBERNETES, _either_group),
    Rule("secret.vendor", passwords.VENDOR_MARK, passwords.VENDOR, _group(1, passwords.is_vendor_key)),
    Rule("secret.token", passwords.TOKEN_MARK, passwords.TOKEN, _token),
    Rule("secret.password", passwords.PASSWORD_MARK, passwords.PASSWORD, _group(1, passwords.is_password)),
    Rule("email", identifiers.EMAIL_MARK, identifiers.EMAIL, _group(0, _always)),
)
RULES: Final[tuple[Rule, ...]] = (*_NUMBERS, *_FORMS, *_OTHERS)
DETECTORS: Final = ("secret", "iban", "card", "national_id", "email", "phone")

Opened = Callable[[str], str | None]
# What wraps text in text: a mark, the run that is wrapped, how to open it.
_WRAPPINGS: Final[tuple[tuple[str, str, Opened], ...]] = (
    (BASE64_MARK, BASE64, text_in_base64),
    (PERCENT_MARK, PERCENT, percent_decoded),
    (ESCAPED_MARK, ESCAPED, unescaped),
    (ENTITY_MARK, ENTITY, entities_decoded),
)
# Deeper nesting is not opened. Base64 shrinks as it is opened and counts one; the others, which could
# open the same text in every order, count two.
_DEEPEST: Final = 4

_BLOCK: Final = 4096
"""Characters of opened text that are looked at together."""

_FOLDABLE: Final = len(RULES) + len(_WRAPPINGS)
_AUTOMATON_BYTES: Final = 64 << 20  # when it has grown to this it starts afresh, it never gives up


def _automaton(patterns: Iterable[str]) -> Any:
    options = re2.Options()
    options.max_mem = _AUTOMATON_BYTES
    options.never_capture = True
    every = re2.Set.SearchSet(options)
    for pattern in patterns:
        every.Add(pattern)
    every.Compile()
    return every


class _Marks:
    """The first pass: which rules' and wrappings' marks stand in a text.

    Numbers, and keys with a form, are looked for together first, and told apart only where one is;
    long runs, which have to be counted out, and foldable characters have automata of their own. All
    together they would need ten times as many states, and a text that is new would be ten times as slow.
    """

    def __init__(self) -> None:
        first = [identifiers.NUMBER, keys.FORMS_MARK]
        first += [rule.mark for rule in _OTHERS]
        first += [mark for mark, _, _ in _WRAPPINGS[1:]]
        self._first = _automaton([*first, FOLDABLE_ASCII])
        self._long_run = _automaton([_WRAPPINGS[0][0]])
        self._foldable = _automaton([FOLDABLE])
        self._numbers = _automaton(rule.mark for rule in _NUMBERS)
        self._forms = _automaton(rule.mark for rule in _FORMS)

    def match(self, text: str) -> list[int]:
        """Indices of RULES, then of wrappings after them, and _FOLDABLE; in order, each once."""
        found: list[int] = []
        data = text.encode()  # once for all automata
        for index in self._first.Match(data) or ():
            if index == 0:
                found += self._numbers.Match(data) or ()
            elif index == 1:
                found += [len(_NUMBERS) + form for form in self._forms.Match(data) or ()]
            elif index < 2 + len(_OTHERS):
                found.append(len(_NUMBERS) + len(_FORMS) + index - 2)
            else:
                found.append(len(_NUMBERS) + len(_FORMS) + index - 1)
        if self._long_run.Match(data):
            found.append(len(RULES))
        if not text.isascii() and self._foldable.Match(data):
            found.append(_FOLDABLE)
        return sorted(set(found)) if found else found


@cache
def _marks() -> _Marks:
    """Built at the first text, not at import: it takes a tenth of a second."""
    return _Marks()


@cache
def _search_for(pattern: str) -> Any:
    return re2.compile(pattern)


def suspicious(text: str) -> bool:
    """Whether `scan` has to look closer: one pass, no places. False means that nothing is there."""
    return bool(_marks().match(text))


def scan(text: str, *, most: int | None = None) -> tuple[Hit, ...]:
    """Everything that the detectors find, in order of place; indices are into the text as given.

    With `most`, a kind that has been found so often is not looked for any further: enough to know
    that it is there, and text made of nothing else costs no more than other text.
    """
    hits = sorted(_scan(text, 0, most), key=lambda hit: (hit.start, hit.end, hit.kind))
    return tuple(_without_false_phones(hits))


_NUMBER_KINDS: Final = ("card", "iban", "national_id")


def _without_false_phones(hits: list[Hit]) -> Iterator[Hit]:
    """Groups of digits inside an IBAN or a card look like a phone number: the more telling kind stays."""
    ends = 0
    starts = [hit.start for hit in hits if hit.kind.startswith(_NUMBER_KINDS)]
    for hit in hits:
        if hit.kind.startswith(_NUMBER_KINDS):
            ends = max(ends, hit.end)
        shadowed = ends > hit.start or bisect_left(starts, hit.start) != bisect_left(starts, hit.end)
        if hit.kind != "phone" or not shadowed:
            yield hit


def _scan(text: str, depth: int, most: int | None) -> set[Hit]:
    if not text.isascii():
        text = text.encode("utf-8", "replace").decode()  # a lone surrogate becomes one `?`
    matched = _marks().match(text)
    if not matched:
        return set()
    hits = _search(text, matched, depth, most)
    if matched[-1] == _FOLDABLE and (folded := fold(text)) != text:
        places = origins(text)
        for hit in _search(folded, _marks().match(folded), depth, most):
            hits.add(Hit(hit.kind, places[hit.start], places[hit.end - 1] + 1))
    return hits


def _search(text: str, matched: Iterable[int], depth: int, most: int | None) -> set[Hit]:
    """The places of what was marked. Of one detector's overlapping hits the first rule's stays."""
    hits: set[Hit] = set()
    taken: dict[str, bytearray] = {}
    counts: Counter[str] = Counter()
    for index in matched:
        if index < len(RULES):
            rule = RULES[index]
            mask = taken.setdefault(rule.kind.partition(".")[0], bytearray(len(text)))
            for start, end in _places(rule, text):
                if counts[rule.kind] == most:
                    break
                if mask.find(1, start, end) < 0:
                    mask[start:end] = b"\x01" * (end - start)
                    hits.add(Hit(rule.kind, start, end))
                    counts[rule.kind] += 1
        elif index < _FOLDABLE and depth < _DEEPEST:
            hits |= _inside(_WRAPPINGS[index - len(RULES)], text, depth, most)
    return hits


def _places(rule: Rule, text: str) -> Iterator[Span]:
    for match in _matches(rule.pattern, text):
        yield from rule.places(match)


class _Match:
    """A match in ASCII text that was looked for in its bytes, where no place has to be converted."""

    __slots__ = ("_found", "string")

    def __init__(self, found: Any, text: str) -> None:
        self._found = found
        self.string = text

    def span(self, number: int = 0) -> Span:
        span: Span = self._found.span(number)
        return span

    def group(self, number: int = 0) -> str | None:
        start, end = self._found.span(number)
        return None if start < 0 else self.string[start:end]


def _matches(pattern: str, text: str) -> Iterator[Any]:
    """All matches; in text that is ASCII at half the cost, which counts where there are thousands."""
    if not text.isascii():
        yield from _search_for(pattern).finditer(text)
        return
    for found in _search_for(pattern).finditer(text.encode()):
        yield _Match(found, text)


def _inside(wrapping: tuple[str, str, Opened], text: str, depth: int, most: int | None) -> set[Hit]:
    """What is found in text wrapped in text, each at the place of its wrapping.

    Several short runs are looked at together first: most hold nothing.
    """
    mark, pattern, open_ = wrapping
    deeper = depth + (1 if mark == BASE64_MARK else 2)
    hits: set[Hit] = set()
    block: list[tuple[Span, str]] = []
    size = 0
    for match in _matches(pattern, text):
        opened = open_(match.group())
        if opened is not None:
            block.append((match.span(), opened))
            size += len(opened)
        if size > _BLOCK:
            hits |= _inside_block(block, deeper, most)
            block, size = [], 0
    return hits | _inside_block(block, deeper, most)


def _inside_block(block: list[tuple[Span, str]], depth: int, most: int | None) -> set[Hit]:
    if len(block) > 1 and not suspicious("\n".join([opened for _, opened in block])):
        return set()
    return {Hit(hit.kind, *span) for span, opened in block for hit in _scan(opened, depth, most)}
