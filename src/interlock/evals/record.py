"""A gate's record: what was asked, of which models, and what came of it; signed, and found again.

The signature is an HMAC-SHA256 under a secret of the store. The one who asks whether a release may go on is
the store's own owner, so nobody else has to be able to check it, and no key has to be handed out: a
public-key signature would add a dependency and a key to guard, and would keep off nobody who can read the
store.
"""

import hashlib
import hmac
from collections.abc import Iterable
from typing import Any, Final

import msgspec
from msgspec import Struct

from interlock.evals.checks import Finding, Verdict
from interlock.evals.identity import Change

SECRET: Final = "gates"  # noqa: S105 - a name, not a secret
"""The store's name for the secret that records are signed with."""

_encode: Final = msgspec.json.Encoder(order="sorted").encode


class Side(Struct, frozen=True, kw_only=True):
    """One of the two that were compared. `samples` is a hash over the keys of all its samples, `cases`
    their number.
    """

    model: str
    version: str | None
    identity: dict[str, Any]
    cases: int
    samples: str


class GateRecord(Struct, frozen=True, kw_only=True):
    """One run of a gate. `suites` is each suite's hash by name; `at` is RFC 3339.

    `run`: it ran again over what was released already, and its samples are kept under this name; then
    `again` is the record whose candidate it is compared with, None where there was none yet.
    """

    id: str
    at: str
    by: str
    alias: str
    verdict: Verdict
    why: str
    change: Change
    suites: dict[str, str]
    config_hash: str
    policy_hash: str
    baseline: Side
    candidate: Side
    checks: tuple[Finding, ...]
    run: str | None = None
    again: str | None = None


class Signed(Struct, frozen=True, kw_only=True):
    """A record as it is kept: its very bytes, and their signature in hexadecimal."""

    body: bytes
    signature: str


def sign(record: GateRecord, secret: bytes) -> Signed:
    body = _encode(record)
    return Signed(body=body, signature=_mac(body, secret))


def verify(signed: Signed, secret: bytes) -> GateRecord | None:
    """The record, if it is what was signed; None for one that was edited or is of another store."""
    if not hmac.compare_digest(_mac(signed.body, secret), signed.signature):
        return None
    try:
        return msgspec.json.decode(signed.body, type=GateRecord)
    except msgspec.DecodeError:
        return None


def find_passing(signed: Iterable[Signed], wanted: Change, secret: bytes) -> GateRecord | None:
    """The first record that passed for exactly this change; give the newest first.

    Exactly: the same alias, the same two identities, the same checks over the same suites. The rest of the
    config may have changed since; the record says under which it ran.
    """
    for one in signed:
        record = verify(one, secret)
        if record is None or record.run is not None:
            continue  # a run over what is active lets nothing new through
        if record.verdict == "pass" and record.change == wanted:
            return record
    return None


def _mac(body: bytes, secret: bytes) -> str:
    return hmac.new(secret, body, hashlib.sha256).hexdigest()
