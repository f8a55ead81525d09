"""How much of published test strings is found, and how often something else is taken for a secret.

The thresholds are what is reached, not what one would wish for; the reasons stand beside them.
"""

import base64
from collections.abc import Iterator
from typing import Any

from interlock.classify.detect import scan
from tests.data import rows

SETS = ("detect_secrets_sample", "gitleaks_generated_sample", "gitleaks_strings_sample")
# Not forms of keys: a public address, a template, a file's name, and keys that are nothing but `xxxx`.
OTHER_RULES = {"ip_public", "high_entropy_strings", "pkcs12-file"}


def labelled() -> Iterator[tuple[dict[str, Any], str]]:
    for name in SETS:
        for row in rows("secrets", f"{name}.jsonl"):
            yield row, base64.b64decode(row["text_b64"]).decode()


def is_key(row: dict[str, Any], text: str) -> bool:
    return row["rule"] not in OTHER_RULES and "xxxxxxxx" not in text


def has_secret(text: str) -> bool:
    return any(hit.kind.startswith("secret.") for hit in scan(text))


def test_at_least_99_percent_of_the_keys_of_vendors_and_clouds_are_found():
    secret = [(row, text) for row, text in labelled() if row["label"] == "secret" and is_key(row, text)]
    missed = [(row["rule"], row["id"]) for row, text in secret if not has_secret(text)]
    assert len(secret) > 250
    assert len(missed) <= len(secret) / 100, missed


def test_at_least_95_percent_of_everything_labelled_a_secret_is_found():
    secret = [text for row, text in labelled() if row["label"] == "secret"]
    assert sum(map(has_secret, secret)) >= len(secret) * 0.95


def test_at_most_6_percent_of_what_is_no_secret_is_taken_for_one():
    """Five percent is the aim: six of the ten are Google's published sample keys, of the right form."""
    harmless = [(row, text) for row, text in labelled() if row["label"] == "not_secret"]
    taken = [(row["rule"], row["id"]) for row, text in harmless if has_secret(text)]
    assert len(harmless) > 150
    assert len(taken) <= len(harmless) * 0.06, taken


def test_at_most_3_percent_of_what_is_no_secret_is_taken_for_one_published_sample_keys_aside():
    harmless = [
        (row, text)
        for row, text in labelled()
        if row["label"] == "not_secret" and row["rule"] != "gcp-api-key"
    ]
    taken = [(row["rule"], row["id"]) for row, text in harmless if has_secret(text)]
    assert len(taken) <= len(harmless) * 0.03, taken


def test_the_secret_itself_is_in_the_span_of_a_generated_row():
    generated = [row for row in rows("secrets", "gitleaks_generated_sample.jsonl") if row["secret_b64"]]
    near = 0
    for row in generated:
        text = base64.b64decode(row["text_b64"]).decode()
        start = text.index(base64.b64decode(row["secret_b64"]).decode())
        near += any(hit.start <= start + 4 < hit.end for hit in scan(text))
    assert near == len(generated)


# --- personal and payment data ----------------------------------------------------------------

DETECTOR = {
    "CREDIT_CARD": "card",
    "IBAN_CODE": "iban",
    "EMAIL_ADDRESS": "email",
    "US_SSN": "national_id.us_ssn",
}
RECOGNIZER = {"credit_card": "card", "iban": "iban", "email": "email", "phone": "phone"}


def test_every_card_iban_address_and_social_security_number_in_sentences_is_found():
    for row in rows("pii", "presidio_research_sample.jsonl"):
        hits = scan(row["text"])
        for span in row["spans"]:
            kind = DETECTOR.get(span["type"])
            if kind:
                assert any(
                    hit.kind == kind and hit.start <= span["start"] and hit.end >= span["end"] for hit in hits
                ), span


def test_sentences_hold_no_finding_but_those_that_are_labelled():
    for row in rows("pii", "presidio_research_sample.jsonl"):
        labels = [span for span in row["spans"] if span["type"] in {*DETECTOR, "PHONE_NUMBER"}]
        for hit in scan(row["text"]):
            assert any(hit.start < span["end"] and span["start"] < hit.end for span in labels), hit


def test_valid_and_invalid_cards_ibans_addresses_and_phones_are_told_apart():
    seen = 0
    for row in rows("pii", "presidio_recognizer_strings_sample.jsonl"):
        kind = RECOGNIZER.get(row["recognizer"])
        if kind:
            seen += 1
            places = [[hit.start, hit.end] for hit in scan(row["text"]) if hit.kind == kind]
            assert len(places) == row["expected_len"], row
            if kind in ("card", "iban") and row["expected_positions"]:
                assert places == row["expected_positions"], row
    assert seen > 100


IDS = {
    "es_nie": "es_nie",
    "es_nif": "es_nif",
    "fi_personal_identity_code": "fi_hetu",
    "pl_pesel": "eleven_digits",
    "tr_national_id": "eleven_digits",
    "uk_nino": "uk_nino",
    "za_id_number": "za_id",
    "ca_sin": "ca_sin",
}


def test_national_ids_with_a_check_are_found_when_valid_and_never_when_invalid():
    seen = 0
    for row in rows("pii", "presidio_recognizer_strings_sample.jsonl"):
        if row["recognizer"] in IDS:
            seen += 1
            kind = f"national_id.{IDS[row['recognizer']]}"
            assert len([hit for hit in scan(row["text"]) if hit.kind == kind]) == row["expected_len"], row
    assert seen > 40


def test_no_secret_card_or_id_is_seen_in_ordinary_questions_and_answers():
    texts = [row["prompt"] for row in rows("refusal", "purplellama_false_refusal_sample.jsonl")]
    for row in rows("citations", "expertqa_sample.jsonl"):
        texts += [value for value in row.values() if isinstance(value, str)]
    raising = [hit for text in texts for hit in scan(text) if hit.kind not in ("email", "phone")]
    assert len(texts) > 300
    assert not raising
