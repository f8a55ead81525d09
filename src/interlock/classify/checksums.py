"""Check digits and the measures that tell an identifier from a number that merely looks like one.

Every function takes the bare characters (no spaces, no dashes) and says yes or no. Which strings
are worth asking about is the business of `identifiers` and `secrets`.
"""

from collections import Counter
from math import log2
from typing import Final

_LUHN_DOUBLED: Final = bytes.maketrans(b"0123456789", b"0246813579")


def luhn(digits: str) -> bool:
    """The check of payment cards and of several national ids: doubled every second digit, mod 10."""
    codes = digits.encode()
    total = sum(codes[-1::-2]) + sum(codes[-2::-2].translate(_LUHN_DOUBLED))
    return (total - 48 * len(codes)) % 10 == 0


# Issuer prefixes (first, last) with the lengths each issuer uses. Prefixes of one row have equal length.
_BRANDS: Final[tuple[tuple[str, str, tuple[int, ...]], ...]] = (
    ("4", "4", (13, 16, 19)),  # Visa
    ("51", "55", (16,)),  # Mastercard
    ("2221", "2720", (16,)),  # Mastercard
    ("34", "34", (15,)),  # American Express
    ("37", "37", (15,)),  # American Express
    ("300", "305", (14, 16)),  # Diners Club
    ("36", "36", (14, 16)),  # Diners Club
    ("38", "39", (14, 16)),  # Diners Club
    ("6011", "6011", (16, 19)),  # Discover
    ("644", "659", (16, 19)),  # Discover
    ("3528", "3589", (16, 19)),  # JCB
    ("1800", "1800", (15,)),  # JCB
    ("2131", "2131", (15,)),  # JCB
    ("62", "62", (16, 17, 18, 19)),  # UnionPay
    ("81", "81", (16,)),  # UnionPay, RuPay
    ("2200", "2204", (16, 19)),  # Mir
    ("508", "508", (16,)),  # RuPay
    ("606", "608", (16,)),  # RuPay, Hipercard
    ("5018", "5020", (16, 18, 19)),  # Maestro
    ("5038", "5038", (16, 18, 19)),  # Maestro
    ("56", "58", (16, 18, 19)),  # Maestro
    ("6304", "6304", (16, 18, 19)),  # Maestro
    ("6759", "6763", (16, 18, 19)),  # Maestro
    ("1", "1", (15,)),  # UATP
)


def payment_card(digits: str) -> bool:
    """Whether the Luhn digit is right, and an issuer uses this prefix at this length."""
    if not luhn(digits):
        return False
    length = len(digits)
    return any(
        length in lengths and first <= digits[: len(first)] <= last for first, last, lengths in _BRANDS
    )


# Length of an IBAN by country, from the SWIFT registry.
IBAN_LENGTHS: Final[dict[str, int]] = {
    country: length
    for length, countries in {
        15: "NO",
        16: "BE",
        18: "DK FI FK FO GL NL SD",
        19: "MK SI",
        20: "AT BA EE KZ LT LU MN XK",
        21: "CH HR LI LV",
        22: "BG BH CR DE GB GE IE ME RS VA",
        23: "AE GI IL IQ OM SO TL",
        24: "AD CZ ES MD PK RO SA SE SK TN VG",
        25: "LY PT ST",
        26: "IS TR",
        27: "BI DJ FR GR IT MC MR SM",
        28: "AL AZ BY CY DO GT HN HU LB NI PL SV",
        29: "BR EG PS QA UA",
        30: "JO KW MU YE",
        31: "MT SC",
        32: "LC",
        33: "RU",
    }.items()
    for country in countries.split()
}


_LETTERS_AS_NUMBERS: Final = {ord(letter): str(int(letter, 36)) for letter in "ABCDEFGHIJKLMNOPQRSTUVWXYZ"}


def iban(value: str) -> bool:
    """Right length for its country, and 1 modulo 97 once rearranged. `value` is upper case."""
    if IBAN_LENGTHS.get(value[:2]) != len(value):
        return False
    rearranged = value[4:] + value[:4]
    return int(rearranged.translate(_LETTERS_AS_NUMBERS)) % 97 == 1


_VERHOEFF_PERMUTATION: Final = "1576283094"


def verhoeff(digits: str) -> bool:
    """The check of Aadhaar numbers: products in the dihedral group of ten elements."""
    check = 0
    for place, digit in enumerate(reversed(digits)):
        value = int(digit)
        for _ in range(place % 8):
            value = int(_VERHOEFF_PERMUTATION[value])
        check = _dihedral(check, value)
    return check == 0


def _dihedral(left: int, right: int) -> int:
    """Composition of two symmetries of a pentagon; 0-4 are rotations, 5-9 reflections."""
    if left < 5:
        return (left + right) % 5 + (5 if right >= 5 else 0)
    return (left - right) % 5 + (0 if right >= 5 else 5)


def weighted(digits: str, weights: tuple[int, ...]) -> int:
    """Sum of digits times weights, the base of most national check digits."""
    return sum((ord(digit) - 48) * weight for digit, weight in zip(digits, weights, strict=False))


_DAYS: Final = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)


def day_of_year(month: str, day: str) -> bool:
    """Whether a month has that day; 29 February always passes, the year is not looked at."""
    return 1 <= int(month) <= 12 and 1 <= int(day) <= _DAYS[int(month) - 1]


def entropy(value: str) -> float:
    """Bits per character of the value's own distribution: 0 for `xxxx`, at most log2(length)."""
    length = len(value)
    return -sum(count / length * log2(count / length) for count in Counter(value).values())
