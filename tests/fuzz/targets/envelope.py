"""Signed envelopes from a registry, and the batches in them."""

from __future__ import annotations

import json
from base64 import b64decode

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from securesystemslib.signer import CryptoSigner

from gate.changes.batch import MAX_ENVELOPE, PAYLOAD_TYPE, Batch, decode
from gate.changes.envelope import seal, unseal
from gate.changes.errors import Cause, SyncError
from gate.filings import Change, Status

TOKENS = (
    *(b'{"payload":"', b'","payloadType":"', PAYLOAD_TYPE.encode(), b'","signatures":[{"keyid":"'),
    *(b'"epoch":', b'"from":', b'"to":', b'"head":', b'"issued_at":', b'"changes":[['),
    *(b'"filed"', b'"absent"', b"null", b"1e9", b"-1", b"\\u0000", b"9223372036854775807"),
)

# A key of fixed bytes, so that envelopes in the corpus stay good.
_signer = CryptoSigner(Ed25519PrivateKey.from_private_bytes(b"gate fuzzing key, no secret here"))
_trusted = [_signer.public_key]
SIGNED = Batch(
    epoch="20260101T000000Z-00000000",
    from_revision=3,
    to_revision=5,
    changes=(
        Change("example.com.cn", Status("filed"), "京ICP备12345678号-1", 1_767_225_600),
        Change("xn--fiqs8s.example.cn", Status("absent"), "", 1_767_225_601),
    ),
    head=9,
    issued_at=1_767_225_602,
).encode()
"""The only payload that was ever signed with the key."""


def sealed() -> bytes:
    """The good envelope; a seed."""
    return seal(SIGNED, PAYLOAD_TYPE, [_signer])


def check(data: bytes) -> None:
    """Only SyncError is raised; only what was signed comes out; a batch has one form."""
    check_envelope(data)
    check_batch(data)


def parse(data: bytes) -> None:
    """An envelope and a batch once."""
    check(data)


def check_envelope(data: bytes) -> None:
    """Nothing but the signed payload can come out of any envelope."""
    try:
        payload = unseal(data, PAYLOAD_TYPE, _trusted, limit=MAX_ENVELOPE)
    except SyncError as error:
        assert str(error)
        assert error.cause in {
            Cause.MALFORMED,
            Cause.OVERSIZE,
            Cause.UNKNOWN_KEY,
            Cause.BAD_SIGNATURE,
        }
        return
    assert payload == SIGNED
    assert b64decode(json.loads(data)["payload"]) == SIGNED


def check_batch(data: bytes) -> None:
    """A batch that is accepted has been written in the one canonical form."""
    try:
        batch = decode(data)
    except SyncError as error:
        assert str(error)
        assert error.cause in {Cause.MALFORMED, Cause.OVERSIZE}
        return
    assert batch.encode() == data
    assert len(batch.changes) == batch.to_revision - batch.from_revision
    rest = batch.after(batch.from_revision + len(batch.changes) // 2)
    assert batch.changes[len(batch.changes) // 2 :] == rest.changes
    assert decode(rest.encode()) == rest
