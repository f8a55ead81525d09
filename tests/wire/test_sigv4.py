"""AWS signatures against those that AWS publishes and its own SDK makes, and what they are made of."""

from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interlock.wire.sigv4 import Credentials, parse_credentials, region_of, sign

SECRET: Final = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"  # AWS's own example
AT: Final = "2015-08-30T12:36:00.000000Z"
FORM: Final = ("content-type", "application/x-www-form-urlencoded")
JSON: Final = ("content-type", "application/json")
BEDROCK: Final = "https://bedrock-runtime.us-east-1.amazonaws.com/model"


def signature(
    url: str,
    *headers: tuple[str, str],
    body: bytes = b"",
    token: str | None = None,
    service: str = "service",
    at: str = AT,
) -> dict[str, str]:
    who = Credentials("AKIDEXAMPLE", SECRET, token)
    return dict(sign(url, headers, body, credentials=who, region="us-east-1", service=service, at=at))


@pytest.mark.parametrize(
    ("url", "headers", "body", "expected"),
    [
        (
            "https://example.amazonaws.com/",
            (),
            b"",
            "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b",
        ),
        (
            "https://example.amazonaws.com/?Param1=value1",
            (),
            b"",
            "28038455d6de14eafc1f9222cf5aa6f1a96197d7deb8263271d420d138af7f11",
        ),
        (
            "https://example.amazonaws.com/",
            (FORM,),
            b"Param1=value1",
            "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a",
        ),
    ],
    ids=["post-vanilla", "post-vanilla-query", "post-x-www-form-urlencoded"],
)
def test_the_signatures_of_awss_published_test_suite_come_out(url, headers, body, expected):
    found = signature(url, *headers, body=body)
    names = "content-type;host;x-amz-date" if headers else "host;x-amz-date"
    assert found["x-amz-date"] == "20150830T123600Z"
    assert found["authorization"] == (
        "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, "
        f"SignedHeaders={names}, Signature={expected}"
    )


@pytest.mark.parametrize(
    ("url", "token", "expected"),
    [
        (
            f"{BEDROCK}/anthropic.claude-v2%3A1/converse",
            None,
            "bbed9c3e84fb8b72cc9e7f290769bff49e34377e22a35007cb0001e211d71c7b",
        ),
        (
            f"{BEDROCK}/arn%3Aaws%3Abedrock%3Aus-east-1%3A1%3Ainference-profile%2Fx/converse-stream",
            "TOKEN/+=",
            "eb5721f147e4277622a30eb652a227219adf6cbcff9ab01af075261138e253b4",
        ),
        (
            "http://127.0.0.1:8123/model/x/converse",
            None,
            "d2219a89fa7ac6c36823ce60c82df095acfea93ea6938cc3dcdc092b3e5666da",
        ),
    ],
    ids=["a name with a colon", "an ARN, with a token", "a port"],
)
def test_the_signature_of_a_call_of_bedrock_is_the_one_that_awss_own_sdk_makes(url, token, expected):
    found = signature(url, JSON, body=b"{}", token=token, service="bedrock")
    assert found["authorization"].endswith(f"Signature={expected}")
    assert found.get("x-amz-security-token") == token


@given(st.binary(max_size=50), st.binary(max_size=50))
def test_another_body_or_instant_has_another_signature_and_the_same_has_the_same(one, other):
    url = f"{BEDROCK}/m/converse"
    first = signature(url, JSON, body=one)
    assert first == signature(url, JSON, body=one)
    assert (first == signature(url, JSON, body=other)) == (one == other)
    assert (
        first["authorization"] != signature(url, JSON, body=one, at="2015-08-30T12:36:01Z")["authorization"]
    )


def test_the_secret_is_in_nothing_that_is_sent_or_shown():
    found = signature(f"{BEDROCK}/m/converse", JSON, token="TOKEN")
    assert all(SECRET not in value for value in found.values())
    assert SECRET not in repr(Credentials("AKIDEXAMPLE", SECRET, "TOKEN"))
    assert "TOKEN" not in repr(Credentials("AKIDEXAMPLE", SECRET, "TOKEN"))


@pytest.mark.parametrize(
    ("key", "found"),
    [
        ("AKIA1:s/e+c", Credentials("AKIA1", "s/e+c")),
        ("ASIA1:sec:tok==", Credentials("ASIA1", "sec", "tok==")),
        ("ABSKabcdef=", None),
        ("AKIA1:", None),
        (":sec", None),
        ("a:b:", None),
        ("a:b:c:d", None),
        ("", None),
    ],
)
def test_an_access_key_is_two_or_three_pieces_and_anything_else_is_none(key, found):
    assert parse_credentials(key) == found


@pytest.mark.parametrize(
    ("url", "regions", "found"),
    [
        ("https://bedrock-runtime.eu-central-1.amazonaws.com", ("us-east-1",), "eu-central-1"),
        ("https://bedrock-runtime-fips.us-gov-west-1.amazonaws.com", (), "us-gov-west-1"),
        ("https://bedrock-runtime.cn-north-1.amazonaws.com.cn", (), "cn-north-1"),
        ("https://vpce-0a-1b.bedrock-runtime.us-east-1.vpce.amazonaws.com", (), "us-east-1"),
        ("https://bedrock-runtime.us-west-2.api.aws", (), "us-west-2"),
        ("https://proxy.example", ("eu-west-3",), "eu-west-3"),
        ("https://proxy.example", ("eu", "eu-west-3"), "eu-west-3"),
        ("https://us-east-1.example", (), None),
        ("https://proxy.example", ("eu",), None),
        ("https://proxy.example", ("eu-west-1", "eu-west-3"), None),
    ],
)
def test_the_region_is_the_hosts_else_the_only_one_that_is_known(url, regions, found):
    assert region_of(url, regions) == found
