"""Check digits: the right ones pass, and changing any one digit fails."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interlock.classify.checksums import IBAN_LENGTHS, entropy, iban, luhn, payment_card, verhoeff

DIGITS = st.text("0123456789", min_size=11, max_size=18)


@given(DIGITS)
def test_exactly_one_last_digit_satisfies_luhn(body):
    assert sum(luhn(body + digit) for digit in "0123456789") == 1


@given(DIGITS)
def test_exactly_one_last_digit_satisfies_verhoeff(body):
    assert sum(verhoeff(body + digit) for digit in "0123456789") == 1


@given(DIGITS, st.integers(0, 10), st.integers(1, 9), st.sampled_from([luhn, verhoeff]))
def test_a_single_wrong_digit_never_passes(body, place, shift, check):
    right = next(body + digit for digit in "0123456789" if check(body + digit))
    wrong = right[:place] + str((int(right[place]) + shift) % 10) + right[place + 1 :]
    assert not check(wrong)


@given(DIGITS, st.integers(0, 9))
def test_verhoeff_notices_two_neighbours_that_changed_places(body, place):
    right = next(body + digit for digit in "0123456789" if verhoeff(body + digit))
    if right[place] != right[place + 1]:
        assert not verhoeff(right[:place] + right[place + 1] + right[place] + right[place + 2 :])


@pytest.mark.parametrize(
    ("number", "valid"),
    [
        ("4111111111111111", True),
        ("4222222222222", True),
        ("378282246310005", True),
        ("5555555555554444", True),
        ("2223000048400011", True),
        ("30569309025904", True),
        ("6011111111111117", True),
        ("3530111333300000", True),
        ("4111111111111112", False),
        ("411111111111111", False),
        ("9111111111111111", False),
        ("0000000000000000", False),
    ],
)
def test_a_card_has_an_issuers_prefix_and_length_and_a_right_digit(number, valid):
    assert payment_card(number) is valid


@given(st.sampled_from(sorted(IBAN_LENGTHS)), st.data())
def test_exactly_one_pair_of_check_digits_makes_an_iban(country, data):
    length = IBAN_LENGTHS[country] - 4
    body = data.draw(st.text("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ", min_size=length, max_size=length))
    right = [pair for pair in range(2, 99) if iban(f"{country}{pair:02}{body}")]
    assert len(right) == 1
    assert not iban(f"{country}{right[0]:02}{body}0")


def test_entropy_is_zero_for_one_character_and_full_for_all_different():
    assert entropy("xxxxxxxx") == 0
    assert entropy("abcdefgh") == 3
