"""What a webhook is sent with, so that its receiver knows who sent it, when, and that it is whole. Pure.

Source: the Standard Webhooks specification, version 1: the signed text is `id.timestamp.body`, the signature
is `v1,` and the base64 of its HMAC-SHA256, and a secret may be written as `whsec_` and its base64.
"""

import base64
import binascii
import hashlib
import hmac
from typing import Final

_PREFIX: Final = "whsec_"
LEAST_BYTES: Final = 24
"""Of a secret, by the specification."""


def key_of(secret: str) -> bytes:
    """The bytes that a secret stands for: those of its base64 behind `whsec_`, else its own.

    Raises ValueError where that is no base64, or too short to keep anybody from guessing it.
    """
    try:
        key = (
            base64.b64decode(secret.removeprefix(_PREFIX), validate=True)
            if _PREFIX in secret
            else secret.encode()
        )
    except binascii.Error:
        raise ValueError(f"what follows `{_PREFIX}` is no base64") from None
    if len(key) < LEAST_BYTES:
        raise ValueError(f"is shorter than {LEAST_BYTES} bytes")
    return key


def headers(key: bytes, name: str, at: int, body: bytes) -> tuple[tuple[str, str], ...]:
    """The headers of a body that is sent `at` so many seconds since the epoch. `name` is the event's id."""
    signed = b"%b.%d.%b" % (name.encode("ascii"), at, body)
    signature = base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode("ascii")
    return (
        ("content-type", "application/json"),
        ("webhook-id", name),
        ("webhook-timestamp", str(at)),
        ("webhook-signature", f"v1,{signature}"),
    )
