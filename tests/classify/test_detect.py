"""What the detectors find and what they leave alone, where it stands, and what the search is made of."""

import ast
import base64
import random
import string
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest
import re2
from hypothesis import given, settings
from hypothesis import strategies as st

from interlock.classify import detect, keys
from interlock.classify.checksums import payment_card
from interlock.classify.detect import DETECTORS, RULES, scan, suspicious
from tests.classify.build import CARD, IBAN, SECRET
from tests.data import rows

SOURCE = Path(detect.__file__).parent


def kinds(text: str) -> set[str]:
    return {hit.kind for hit in scan(text)}


def found(text: str) -> list[tuple[str, str]]:
    return [(hit.kind, text[hit.start : hit.end]) for hit in scan(text)]


def made(prefix: str, length: int, alphabet: str = string.ascii_letters + string.digits) -> str:
    """A key of a vendor's form, made up here so that scanners of this repository stay quiet."""
    return prefix + "".join(random.Random(length).choices(alphabet, k=length))


HEX = "0123456789abcdef"
KEYS = {
    "openai": made("sk-" + "proj-", 74) + "T3Blbk" + "FJ" + made("", 74),
    "anthropic": made("sk-" + "ant-api03-", 93) + "AA",
    "openrouter": made("sk-or-" + "v1-", 64, HEX),
    "google_api_key": made("AI" + "za", 35),
    "huggingface": made("h" + "f_", 34, string.ascii_letters),
    "groq": made("gs" + "k_", 52),
    "aws_access_key": SECRET,
    "azure_client_secret": "abc" + "8Q~" + made("", 34),
    "github": made("gh" + "p_", 36),
    "gitlab": made("glp" + "at-", 20),
    "npm": made("np" + "m_", 36),
    "stripe": made("sk_" + "live_", 24),
    "slack": "xo" + "xb-123456789012-" + made("", 24),
    "sendgrid": made("SG" + ".", 22) + "." + made("", 43),
    "twilio": made("S" + "K", 32, HEX),
    "digitalocean": made("dop_" + "v1_", 64, HEX),
    "jwt": made("ey" + "J", 30) + "." + made("ey" + "J", 60) + "." + made("", 43),
    "private_key": "-----BEGIN RSA PRIV" + "ATE KEY-----\n" + made("", 64) + "\n" + made("", 64),
}


@pytest.mark.parametrize("name", sorted(KEYS))
@pytest.mark.parametrize("around", ["{}", "My key is {}, keep it.", '{{"k": "{}"}}', "K={};\n", "a\\n{}\\nb"])
def test_a_vendors_key_is_found_where_it_stands(name, around):
    text = around.format(KEYS[name])
    hits = [hit for hit in scan(text) if hit.kind == f"secret.{name}"]
    assert len(hits) == 1
    assert text[hits[0].start : hits[0].end].startswith(KEYS[name][:20])


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        ("secret.password", 'db_password = "Tr0ub4dor&3"', "Tr0ub4dor&3"),
        ("secret.password", "the password is hunter42x", "hunter42x"),
        ("secret.password", '{"password": "s3cr3t-Pa55"}', "s3cr3t-Pa55"),
        ("secret.token", "api_key: 9f8e7d6c5b4a39281706", "9f8e7d6c5b4a39281706"),
        ("secret.token", 'clientSecret => "Zq81mN0pXw77LkJd"', "Zq81mN0pXw77LkJd"),
        ("secret.auth_header", "Authorization: Bearer 7Gh29dKq81LmZx03", "7Gh29dKq81LmZx03"),
        ("secret.url_password", "postgres://app:s3cret99@db.internal/x", "s3cret99"),
        ("secret.curl_user", "curl -u admin:Pa55word9 https://example.com", "admin:Pa55word9"),
        ("secret.vendor", 'adafruitToken = "k3j2h1g9f8d7s6a5p0o9"', "k3j2h1g9f8d7s6a5p0o9"),
        ("card", f"pay with {CARD} please", CARD),
        ("card", "4111-1111-1111-1111 exp 12/27", "4111-1111-1111-1111"),
        ("card", "amex 3782 822463 10005", "3782 822463 10005"),
        ("card", "5555555555554444", "5555555555554444"),
        ("card", f"{CARD} 12 27 123", CARD),
        ("iban", f"send it to {IBAN} TODAY", IBAN),
        ("iban", "gb29nwbk60161331926819", "gb29nwbk60161331926819"),
        ("email", "mail Ann.Lee+x@mail.example.co.uk!", "Ann.Lee+x@mail.example.co.uk"),
        ("phone", "call +49 30 1234567 now", "+49 30 1234567"),
        ("phone", "call (415) 555-0132 now", "(415) 555-0132"),
        ("national_id.us_ssn", "SSN 460-89-9847", "460-89-9847"),
        ("national_id.es_nif", "DNI 12345678Z", "12345678Z"),
        ("national_id.fi_hetu", "hetu 131052-308T", "131052-308T"),
        ("national_id.it_codice_fiscale", "RSSMRA85T10A562S", "RSSMRA85T10A562S"),
        ("national_id.br_cpf", "CPF 529.982.247-25", "529.982.247-25"),
        ("national_id.cn_id", "11010519491231002X", "11010519491231002X"),
        ("national_id.fr_nir", "2 55 08 14 168 025 38", "2 55 08 14 168 025 38"),
        ("national_id.uk_nino", "NI AB 12 34 56 C", "AB 12 34 56 C"),
        ("national_id.sg_nric", "S1234567D", "S1234567D"),
        ("national_id.eleven_digits", "PESEL 44051401458", "44051401458"),
        ("national_id.in_aadhaar", "3998 7654 3211", "3998 7654 3211"),
    ],
)
def test_each_kind_is_found_with_its_place(kind, text, value):
    assert (kind, value) in found(text)


@pytest.mark.parametrize(
    "text",
    [
        "4111 1111 1111 1112",
        "1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16",
        "4111111111111111" * 3,
        "DE89 3704 0044 0532 0130 01",
        "GB29NWBK6016133192681",
        "DNI 12345678A",
        "000-12-3456",
        "529.982.247-24",
        "the password is incorrect",
        'password = "${DB_PASSWORD}"',
        "password: <your password>",
        "token: xxxxxxxxxxxxxxxxxxxx",
        "api_key = os.environ['API_KEY']",
        'token = "{{ secrets.TOKEN_12345 }}"',
        "max_tokens: 4096",
        "https://example.com:8080/@user",
        "AK" + "IAIOSFODNN7EXAMPLE",
        "sk_live_xxxxxxxxxxxxxxxxxxxxxxxx",
        "2026-11-23T09:00:00.000000Z and 1763888400000",
        "call 12345678",
        "1 2 3 4 5 6 4111 1111 1111 1111",
        "DE89370400440532013000AB",
        "password: settings.db_password_2",
        "2014 2015 2022",
        "3998 7654 3211 3998 7654 3211",
        "sizes: 2300 4411 5000 6120 7000 8123 9001 4111 1111 1111 1111",
        "f47ac10b-58cc-4372-a567-0e02b2c3d479",
        "",
    ],
)
def test_what_only_looks_like_one_raises_nothing(text):
    assert kinds(text) <= {"phone"}


@given(st.text("0123456789", min_size=12, max_size=19))
def test_digits_that_are_no_card_are_never_called_one(digits):
    assert ("card" in kinds(digits)) == payment_card(digits)


@given(
    st.sampled_from([CARD, IBAN, *KEYS.values()]),
    st.text("Ω ñ€x-.\n", max_size=20),
    st.text(" ,é\n", max_size=9),
)
def test_places_are_indices_of_the_text_as_given_whatever_stands_around(value, before, after):
    text = f"{before} {value} {after}"
    assert any(text[hit.start : hit.end].startswith(value[:19]) for hit in scan(text))


def test_overlapping_hits_of_one_detector_are_one_hit_by_its_most_telling_rule():
    assert [kind for kind, _ in found(f"aws_token = {SECRET}")] == ["secret.aws_access_key"]


def test_hits_of_different_detectors_may_overlap():
    assert {"secret.password", "card"} <= kinds('password = "4111-1111-1111-1111x"') | kinds(
        f"{CARD}\npassword=a1!xyz"
    )


# --- disguises --------------------------------------------------------------------------------

DISGUISES: dict[str, Callable[[str], str]] = {
    "full width": lambda value: value.translate({code: code + 0xFEE0 for code in range(0x21, 0x7F)}),
    "zero width": "\u200b".join,
    "soft hyphen": "\u00ad".join,
    "combining": lambda value: "\u0332".join(value) + "\u0332",
    "variation selector": "\ufe0f".join,
    "control": "\x01".join,
    "no-break spaces": lambda value: value.replace(" ", "\u00a0"),
    "base64": lambda value: base64.b64encode(value.encode()).decode(),
    "url-safe base64": lambda value: base64.urlsafe_b64encode(f"???{value}>>>".encode()).decode(),
    "base64 twice": lambda value: base64.b64encode(base64.b64encode(value.encode())).decode(),
    "percent": lambda value: "".join(f"%{ord(char):02X}" for char in value),
    "percent for spaces": lambda value: value.replace(" ", "%20"),
    "escapes": lambda value: "".join(f"\\u{ord(char):04x}" for char in value),
    "hex escapes": lambda value: "".join(f"\\x{ord(char):02x}" for char in value),
}


@pytest.mark.parametrize("disguise", sorted(DISGUISES))
@pytest.mark.parametrize(("detector", "value"), [("card", CARD), ("iban", IBAN), ("secret", SECRET)])
def test_a_disguised_value_is_found_at_the_place_of_its_disguise(disguise, detector, value):
    hidden = DISGUISES[disguise](value)
    text = f"Grüße, please use {hidden} ."
    hits = [hit for hit in scan(text) if hit.kind.startswith(detector)]
    assert hits
    assert text.index(hidden) <= hits[0].start < hits[0].end <= text.index(hidden) + len(hidden)


@pytest.mark.parametrize("zero", [0x660, 0x966, 0x1D7CE, 0xFF10], ids=["Arabic", "Hindi", "bold", "wide"])
def test_digits_of_other_scripts_are_digits(zero):
    digits = CARD.translate({ord("0") + digit: zero + digit for digit in range(10)})
    assert kinds(f"card {digits}") == {"card"}


@pytest.mark.parametrize("dash", "\u2010\u2011\u2012\u2013\u2014\u2212")
def test_dashes_of_all_kinds_separate_the_groups_of_a_number(dash):
    assert "card" in kinds(CARD.replace(" ", dash))


@pytest.mark.parametrize("disguise", ["full width", "zero width", "no-break spaces"])
def test_places_are_exact_behind_characters_that_fold_away(disguise):
    hidden = DISGUISES[disguise](CARD)
    text = f"a\u200bb\u200bc ﬀ ½ é {hidden} z\u200bz"
    assert ("card", hidden) in found(text)


def test_an_invisible_character_beside_a_key_does_not_hide_it():
    assert "secret.aws_access_key" in kinds(f"key {SECRET}\u200bAND MORE")


def test_a_lone_surrogate_does_not_break_a_scan():
    assert "card" in kinds(f"\ud800 {CARD} \udfff")


# --- how it is built --------------------------------------------------------------------------


def test_no_module_of_the_classifier_imports_a_backtracking_engine():
    for path in SOURCE.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not {"re", "sre_compile", "regex", "fnmatch", "glob"}.intersection(names), path.name


def test_the_linear_engine_accepts_every_pattern_and_each_rule_has_a_known_detector():
    for rule in RULES:
        assert re2.compile(rule.pattern)
        assert re2.compile(rule.mark)
        assert rule.kind.partition(".")[0] in DETECTORS


def every_text() -> Iterator[str]:
    for name in ("detect_secrets_sample", "gitleaks_generated_sample", "gitleaks_strings_sample"):
        for row in rows("secrets", f"{name}.jsonl"):
            yield base64.b64decode(row["text_b64"]).decode()
    for row in rows("pii", "presidio_recognizer_strings_sample.jsonl"):
        yield row["text"]


def test_wherever_a_pattern_stands_its_mark_stands_too():
    marks, seen = detect._marks(), set()
    for text in every_text():
        marked = marks.match(text)
        for index, rule in enumerate(RULES):
            if index not in marked:
                assert not detect._search_for(rule.pattern).search(text), (rule.kind, text)
            else:
                seen.add(rule.kind)
    assert len(seen) > 60


@cache
def characters(alphabet: str) -> str:
    return "".join(char for char in string.printable if re2.fullmatch(alphabet, char))


@settings(max_examples=120, deadline=None)
@given(st.sampled_from(keys.FORMS), st.sampled_from(["", " ", "\n", '"', "=", "\\n"]), st.data())
def test_a_forms_mark_stands_in_everything_of_the_form(form, before, data):
    prefix = data.draw(st.from_regex(form.prefix, fullmatch=True, alphabet=st.characters(max_codepoint=126)))
    tail = data.draw(st.text(characters(form.alphabet), min_size=form.least, max_size=form.least))
    text = before + prefix + tail
    assert detect._search_for(form.pattern).search(text)
    index = next(index for index, rule in enumerate(RULES) if rule.pattern == form.pattern)
    assert index in detect._marks().match(text)


def test_a_key_behind_a_megabyte_of_noise_is_still_found():
    """The automaton grows with new text and may start afresh; it must never give up."""
    noise = "".join(random.Random(1).choices(string.printable, k=1_000_000))
    text = f"{noise}\n\n{SECRET}\n"
    assert ("secret.aws_access_key", len(noise) + 2) in [(hit.kind, hit.start) for hit in scan(text)]


def test_ordinary_prose_ends_after_the_first_pass():
    plain = [row["prompt"] for row in rows("refusal", "purplellama_false_refusal_sample.jsonl")]
    assert sum(map(suspicious, plain)) <= len(plain) / 10


@pytest.mark.parametrize(
    "text",
    [CARD.replace(" ", sign) for sign in ("\n", ", ", ",", "  ", " - ", "\r\n", "\t", "_", " / ")]
    + [" ".join("4111111111111111"), "-".join("4111111111111111"), "3782,822463,10005"]
    + ["&#52;111 &#x31;111 1111 1111", "&#52;&#49;&#49;&#49;" + "&#49;" * 12],
)
def test_a8_a_card_is_found_whatever_separates_its_groups(text):
    assert "card" in kinds(f"it is {text} ok")


@pytest.mark.parametrize("signs", [", ", ",", "\n", " "])
def test_a8_lists_of_numbers_are_no_cards(signs):
    assert not kinds(signs.join(["4111", "1111", "1111", "1111", "4111", "1111", "1111", "1111", "7000"]))
    assert not kinds(signs.join("41111111111111112345678"))
    assert signs == " " or not kinds(signs.join(["4111", "1111", "1111", "1111", "7000"]))
    assert not kinds(signs.join(["41", "1111", "11", "1111", "1111"]))


def test_a8_base64_is_opened_four_deep():
    text = CARD
    for _ in range(4):
        text = base64.b64encode(text.encode()).decode()
    assert "card" in kinds(text)
