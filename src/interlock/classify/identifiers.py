"""Personal and payment identifiers: what each looks like, and the check that makes it one.

A pattern alone raises nothing where a check digit exists: a number that fails its check is not
found. Numbers with a weak check or none (a bare Aadhaar, nine digits) need their name beside them.
Names of people, places and dates are not looked for.
"""

from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Final

from interlock.classify.checksums import (
    IBAN_LENGTHS,
    day_of_year,
    iban,
    luhn,
    payment_card,
    verhoeff,
    weighted,
)
from interlock.classify.disguise import START

Span = tuple[int, int]
Check = Callable[[str], bool]
"""Whether a match, stripped of spaces and dashes and in upper case, is the real thing."""

# Eight digits with at most three signs between two of them: every number below has them, and so has
# little else but dates. Written with digits and signs only, what a number is takes one look more.
NUMBER: Final = r"[0-9](?:[ \t\r\n,.\-/_:()+]{0,3}[0-9]){7}"

# --- payment cards ----------------------------------------------------------------------------

# Every run of groups of digits, one separator between two; windows of it are checked.
CARD_MARK: Final = r"[0-9](?:[ .\-/_]?[0-9]){11}"
CARD: Final = r"[0-9](?:[ .\-/_]?[0-9]){11,}"
# Beside its name, a card needs no issuer's prefix and no usual grouping: the Luhn digit is enough.
NAMED_CARD: Final = (
    r"(?i:\b(?:cards?|cc|kreditkarte|karte|tarjeta|carte|carta|cart\x{e3}o|visa|mastercard|maestro|amex|jcb)\b"
    r"[^0-9\n]{0,30})([0-9](?:[ \-]?[0-9]){11,18})\b"
)
_CARD_GROUPS: Final = frozenset(
    {(4, 4, 4, 4), (4, 6, 5), (4, 6, 4), (4, 4, 4, 4, 3), (4, 4, 5), (4, 4, 4, 1), (8, 8), (6, 13), (6, 10)}
    | {(4, 8, 4), (8, 4, 4), (4, 4, 8), (4, 12), (12, 4), (4, 11), (10, 5)}  # two texts laid end to end
    | {(length,) for length in range(13, 20)}
)
# A card, its expiry and its code; longer runs and more groups in a row are a table of numbers.
_LONGEST_RUN: Final = 48
_MOST_GROUPS: Final = 8


def cards(text: str, start: int, end: int) -> Iterator[Span]:
    """The card numbers in a run of digit groups: whole groups, grouped as cards are printed."""
    if end - start > _LONGEST_RUN:
        return
    groups = _groups(text, start, end)
    if len(groups) > _MOST_GROUPS:
        return
    lengths = tuple([stop - begin for begin, stop in groups])
    first = 0
    while first < len(groups):
        last = _card_end(text, groups, lengths, first)
        if last:
            yield groups[first][0], groups[last - 1][1]
        first = last or first + 1


# What stands between digits of a run becomes one space each.
_SPACED: Final = str.maketrans(dict.fromkeys("\t\r\n,.-/_", " "))


def _groups(text: str, start: int, end: int) -> list[Span]:
    """The groups of digits in a run; an empty one between two signs that stand side by side."""
    groups: list[Span] = []
    for digits in text[start:end].translate(_SPACED).split(" "):
        groups.append((start, start + len(digits)))
        start += len(digits) + 1
    return groups


def _card_end(text: str, groups: list[Span], lengths: tuple[int, ...], first: int) -> int:
    """The group after the card that begins with group `first`, or 0 where none does."""
    for last in range(first + 1, min(first + 5, len(groups)) + 1):
        if lengths[first:last] in _CARD_GROUPS and payment_card(
            "".join([text[start:end] for start, end in groups[first:last]])
        ):
            return last
    return 0


# Cards written with other separators, or several: only as four groups, as Amex, or digit by digit.
_SIGNS: Final = r"[ \t\r\n,.\-/_]"
SPACED_CARD: Final = rf"[0-9](?:{_SIGNS}{{0,3}}[0-9]){{11}}"
SPACED_CARD_RUN: Final = rf"[0-9](?:{_SIGNS}{{0,3}}[0-9]){{11,}}"
_SPACED_GROUPS: Final = ((4, 4, 4, 4), (4, 6, 5), *((1,) * length for length in (19, 18, 17, 16, 15, 14, 13)))

_MORE_GROUPS: Final = 4  # an expiry and a code beside the card; more is a table
_MOST_SPACED: Final = max(map(len, _SPACED_GROUPS)) + _MORE_GROUPS


def spaced_cards(text: str, start: int, end: int) -> Iterator[Span]:
    """The cards in a run of groups, with no like group beside them: that is a list of numbers.

    Megabytes of numbers are one run: they are seen to be no card before each gets a place of its own.
    """
    if end - start > _LONGEST_RUN:
        some = text[start:end].translate(_SPACED).split(None, _MOST_SPACED)
        if len(some) > _MOST_SPACED:
            return
    groups = [group for group in _groups(text, start, end) if group[0] < group[1]]
    lengths = tuple(last - first for first, last in groups)
    for sizes in _SPACED_GROUPS:
        if len(groups) > len(sizes) + _MORE_GROUPS:
            continue
        for first in range(len(groups) - len(sizes) + 1):
            last = first + len(sizes)
            beside = lengths[max(first - 1, 0) : first] + lengths[last : last + 1]
            if lengths[first:last] != sizes or set(beside) & set(sizes):
                continue
            if sizes[0] == 1 and len(_signs_between(text, groups[first:last])) > 1:
                continue
            if payment_card("".join(text[begin:stop] for begin, stop in groups[first:last])):
                yield groups[first][0], groups[last - 1][1]


def _signs_between(text: str, groups: list[Span]) -> set[str]:
    return {text[one[1] : other[0]] for one, other in pairwise(groups)}


# --- IBAN -------------------------------------------------------------------------------------

IBAN_MARK: Final = rf"{START}[A-Za-z]{{2}}[0-9]{{2}}(?:[ \-]?[0-9A-Za-z]){{6}}"
_UPPER: Final = r"[A-Z]{2}[0-9]{2}(?:[ \-]?[A-Z0-9]){11,30}"
IBAN: Final = rf"{START}({_UPPER}|{_UPPER.replace('A-Z', 'a-z')})"


def ibans(text: str, start: int, end: int) -> Iterator[Span]:
    """The IBAN that a run begins with; words that follow it in capitals are not part of it."""
    wanted = IBAN_LENGTHS.get(text[start : start + 2].upper(), 0)
    bare = text[start:end].translate(_JOINED)
    if not wanted or len(bare) < wanted or not iban(bare[:wanted].upper()):
        return
    place = start
    while wanted:
        wanted -= text[place] not in " -"
        place += 1
    more = text[place : place + 1]
    if not (more.isascii() and more.isalnum()):
        yield start, place


_JOINED: Final = str.maketrans("", "", " -")


# --- national ids -----------------------------------------------------------------------------


def _us_ssn(value: str) -> bool:
    """Social Security Number: no check digit, but areas, groups and serials that were never issued."""
    area, group, serial = value[:3], value[3:5], value[5:]
    return area not in ("000", "666") and area < "900" and group != "00" and serial != "0000"


def _us_itin(value: str) -> bool:
    group = int(value[3:5])
    return 50 <= group <= 65 or 70 <= group <= 88 or 90 <= group <= 92 or 94 <= group <= 99


def _uk_nino(value: str) -> bool:
    return value[:2] not in ("BG", "GB", "KN", "NK", "NT", "TN", "ZZ")


_DNI_LETTERS: Final = "TRWAGMYFPDXBNJZSQVHLCKE"


def _es_nif(value: str) -> bool:
    return _DNI_LETTERS[int(value[:8]) % 23] == value[8]


def _es_nie(value: str) -> bool:
    return _es_nif(str("XYZ".index(value[0])) + value[1:])


_HETU_CHECKS: Final = "0123456789ABCDEFHJKLMNPRSTUVWXY"


def _fi_hetu(value: str) -> bool:
    digits = value[:6] + value[-4:-1]
    return day_of_year(digits[2:4], digits[:2]) and _HETU_CHECKS[int(digits) % 31] == value[-1]


# By the place of a letter in the alphabet; a digit counts as the letter of its place.
_CODICE_ODD: Final = (
    *(1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18),
    *(20, 11, 3, 6, 8, 12, 14, 16, 10, 22, 25, 24, 23),
)


def _it_codice(value: str) -> bool:
    total = 0
    for place, char in enumerate(value[:15]):
        number = int(char) if char.isdigit() else ord(char) - 65
        total += number if place % 2 else _CODICE_ODD[number]
    return total % 26 == ord(value[15]) - 65


def _pl_pesel(value: str) -> bool:
    """The month is raised by 20 for people born from 2000 on; other centuries are not looked for."""
    month = value[2:4] if value[2] < "2" else f"{int(value[2]) - 2}{value[3]}"
    right = weighted(value, (1, 3, 7, 9, 1, 3, 7, 9, 1, 3, 1)) % 10 == 0
    return right and month < "13" and day_of_year(month, value[4:6])


def _tr_kimlik(value: str) -> bool:
    digits = [int(digit) for digit in value]
    tenth = (sum(digits[0:9:2]) * 7 - sum(digits[1:8:2])) % 10
    return digits[0] != 0 and digits[9] == tenth and digits[10] == sum(digits[:10]) % 10


def _de_steuer_id(value: str) -> bool:
    """Tax id: of its first ten digits exactly one stands twice or thrice; then ISO 7064 mod 11, 10."""
    counts = sorted((value[:10].count(digit) for digit in set(value[:10])), reverse=True)
    if value[0] == "0" or counts[0] not in (2, 3) or counts[1] != 1:
        return False
    product = 10
    for digit in value[:10]:
        total = (int(digit) + product) % 10 or 10
        product = total * 2 % 11
    return (11 - product) % 10 == int(value[10])


def _no_fnr(value: str) -> bool:
    return (
        day_of_year(value[2:4], value[:2])
        and weighted(value, (3, 7, 6, 1, 8, 9, 4, 5, 2, 1)) % 11 == 0
        and weighted(value, (5, 4, 3, 2, 7, 6, 5, 4, 3, 2, 1)) % 11 == 0
    )


def _be_rrn(value: str) -> bool:
    body, check = int(value[:9]), int(value[9:])
    return day_of_year(value[2:4], value[4:6]) and check in (97 - body % 97, 97 - (2_000_000_000 + body) % 97)


def _eleven_digits(value: str) -> bool:
    """Eleven bare digits that are some country's id, and not a mobile number as China writes them.

    A number made up at random passes about once in sixty: PESEL and TR kimlik have weak checks.
    """
    mobile = value[0] == "1" and value[1] >= "3"
    weak = not mobile and (_pl_pesel(value) or _tr_kimlik(value))
    return weak or _de_steuer_id(value) or _no_fnr(value) or _be_rrn(value)


def _se_personnummer(value: str) -> bool:
    return day_of_year(value[-8:-6], value[-6:-4]) and luhn(value[-10:])


def _kr_rrn(value: str) -> bool:
    check = (11 - weighted(value[:12], (2, 3, 4, 5, 6, 7, 8, 9, 2, 3, 4, 5)) % 11) % 10
    return value[6] in "12345678" and day_of_year(value[2:4], value[4:6]) and check == int(value[12])


def _za_id(value: str) -> bool:
    return day_of_year(value[2:4], value[4:6]) and luhn(value)


def _fr_nir(value: str) -> bool:
    return value[0] in "1278" and "01" <= value[3:5] <= "12" and 97 - int(value[:13]) % 97 == int(value[13:])


def _br_cpf(value: str) -> bool:
    first = weighted(value, (10, 9, 8, 7, 6, 5, 4, 3, 2)) * 10 % 11 % 10
    second = weighted(value, (11, 10, 9, 8, 7, 6, 5, 4, 3, 2)) * 10 % 11 % 10
    return len(set(value)) > 1 and value[9:] == f"{first}{second}"


def _cn_id(value: str) -> bool:
    total = weighted(value, (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2))
    right = "10X98765432"[total % 11] == value[17]
    return right and value[6:8] in ("19", "20") and day_of_year(value[10:12], value[12:14])


def _sg_nric(value: str) -> bool:
    total = weighted(value[1:8], (2, 7, 6, 5, 4, 3, 2)) + (4 if value[0] in "TG" else 0)
    return ("JZIHGFEDCBA" if value[0] in "ST" else "XWUTRQPNMLK")[total % 11] == value[8]


def _in_aadhaar(value: str) -> bool:
    return value[0] in "23456789" and value != value[::-1] and verhoeff(value)


def aadhaars(text: str, start: int, end: int) -> Iterator[Span]:
    """An Aadhaar number as it is printed: a run of exactly three groups of four, and not three years."""
    if end - start != 14 or [stop - begin for begin, stop in _groups(text, start, end)] != [4, 4, 4]:
        return
    value = text[start : start + 4] + text[start + 5 : start + 9] + text[start + 10 : end]
    years = all(value[place : place + 2] in ("19", "20") for place in (0, 4, 8))
    if not years and _in_aadhaar(value):
        yield start, end


def _th_id(value: str) -> bool:
    total = weighted(value, (13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2))
    return value[0] != "0" and (11 - total % 11) % 10 == int(value[12])


def _alone(pattern: str) -> str:
    return rf"{START}({pattern})\b"


# Kind, pattern with the id as group 1, check. Ids of digits and signs; all of them hold a NUMBER.
NUMBERED_IDS: Final[tuple[tuple[str, str, Check], ...]] = (
    ("us_ssn", _alone(r"[0-9]{3}-[0-9]{2}-[0-9]{4}"), _us_ssn),
    (
        "us_ssn",
        r"(?i:\b(?:ssn|social security)\b[^0-9\n]{0,30})([0-9]{3}[ -]?[0-9]{2}[ -]?[0-9]{4})\b",
        _us_ssn,
    ),
    ("us_itin", _alone(r"9[0-9]{2}-[5-9][0-9]-[0-9]{4}"), _us_itin),
    ("es_nif", _alone(r"[0-9]{8}-?[A-HJ-NP-TV-Za-hj-np-tv-z]"), _es_nif),
    ("eleven_digits", _alone(r"[0-9]{11}"), _eleven_digits),
    ("no_fnr", _alone(r"[0-3][0-9][01][0-9]{3} [0-9]{5}"), _no_fnr),
    ("be_rrn", _alone(r"[0-9]{2}\.[01][0-9]\.[0-3][0-9]-[0-9]{3}\.[0-9]{2}"), _be_rrn),
    ("se_personnummer", _alone(r"(?:18|19|20)?[0-9]{2}[01][0-9][0-3][0-9][-+][0-9]{4}"), _se_personnummer),
    ("kr_rrn", _alone(r"[0-9]{2}[01][0-9][0-3][0-9]-[1-8][0-9]{6}"), _kr_rrn),
    ("za_id", _alone(r"[0-9]{2}[01][0-9][0-3][0-9]{5}[012][89][0-9]"), _za_id),
    ("fr_nir", _alone(r"[1278] ?[0-9]{2} ?[0-9]{2} ?[0-9]{2} ?[0-9]{3} ?[0-9]{3} ?[0-9]{2}"), _fr_nir),
    ("br_cpf", _alone(r"[0-9]{3}\.[0-9]{3}\.[0-9]{3}-[0-9]{2}"), _br_cpf),
    ("cn_id", _alone(r"[1-9][0-9]{16}[0-9Xx]"), _cn_id),
    ("in_aadhaar", r"(?i:\baadhaar\b[^0-9\n]{0,30})([2-9][0-9]{11})\b", _in_aadhaar),
    ("th_id", _alone(r"[1-8]-[0-9]{4}-[0-9]{5}-[0-9]{2}-[0-9]"), _th_id),
    ("ca_sin", _alone(r"[1-9][0-9]{2}-[0-9]{3}-[0-9]{3}"), luhn),
)

# Ids with letters among the digits.
LETTERED_IDS: Final[tuple[tuple[str, str, Check], ...]] = (
    (
        "uk_nino",
        _alone(r"(?i:[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z] ?[0-9]{2} ?[0-9]{2} ?[0-9]{2} ?[A-D])"),
        _uk_nino,
    ),
    ("es_nie", _alone(r"[XYZxyz]-?[0-9]{7}-?[A-HJ-NP-TV-Za-hj-np-tv-z]"), _es_nie),
    ("fi_hetu", _alone(r"[0-3][0-9][01][0-9]{3}[-+A-FU-Y][0-9]{3}[0-9A-FHJ-NPR-Y]"), _fi_hetu),
    ("it_codice_fiscale", _alone(r"(?i:[A-Z]{6}[0-9]{2}[A-EHLMPR-T][0-9]{2}[A-Z][0-9]{3}[A-Z])"), _it_codice),
    ("sg_nric", _alone(r"[STFG][0-9]{7}[A-Z]"), _sg_nric),
)

# --- addresses of people ----------------------------------------------------------------------

EMAIL_MARK: Final = r"[0-9A-Za-z._%+-]@[0-9A-Za-z-]+\.[A-Za-z]"
EMAIL: Final = r"\b[A-Za-z0-9._%+-]{1,64}@(?:[A-Za-z0-9-]{1,63}\.){1,8}[A-Za-z]{2,24}\b"

# International numbers with `+`, North American ones as they are printed, and national ones with a
# leading zero in three groups. Bare runs of digits are not called phones.
PHONE: Final = (
    r"\+[1-9][0-9]{0,2}(?:[ .\-]?\(?[0-9]{1,4}\)?){2,5}[0-9]\b"
    r"|\(?\b[2-9][0-9]{2}\)?[ .\-][0-9]{3}[.\-][0-9]{4}\b"
    r"|\([0-9]{2,5}\) ?[0-9]{3,4}[ \-][0-9]{3,5}\b"
    r"|\b0[0-9]{1,4}[ \-][0-9]{3,4}[ \-][0-9]{2,4}(?:[ \-][0-9]{2})?\b"
)


def phone(value: str) -> bool:
    """Whether a number has as many digits as a phone number can have."""
    return 8 <= sum(char.isdigit() for char in value) <= 15
