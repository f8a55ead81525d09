"""Thoughts of other vendors as `encrypted_content`, the one place where callers give thoughts back unread.

Such a vendor takes a thought back only with its signature, or in its opaque form.
"""

from typing import Any, Final

_SIGNATURE: Final = "interlock-signature:"
_REDACTED: Final = "interlock-redacted:"


def write_signature(signature: str) -> str:
    return _SIGNATURE + signature


def write_redacted(redacted: str) -> str:
    return _REDACTED + redacted


def read_encrypted(encrypted: Any) -> dict[str, Any]:
    """The signature or the opaque form that a reasoning item brings back; empty for its vendor's own."""
    if type(encrypted) is str:
        if encrypted.startswith(_SIGNATURE):
            return {"signature": encrypted.removeprefix(_SIGNATURE)}
        if encrypted.startswith(_REDACTED):
            return {"redacted": encrypted.removeprefix(_REDACTED)}
    return {}
