"""Signed envelopes: only what a trusted key has signed gets through, and only as what it is."""

from __future__ import annotations

import base64
import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from securesystemslib.signer import CryptoSigner, SSlibKey

from gate.changes.envelope import seal, unseal
from gate.changes.errors import Cause, SyncError

TYPE = "application/vnd.test+json"
SIGNER = CryptoSigner.generate_ed25519()
OTHER = CryptoSigner.generate_ed25519()
STRANGER = CryptoSigner.generate_ed25519()
TRUSTED = [SIGNER.public_key, OTHER.public_key]
SEALED = seal(b"the payload", TYPE, [SIGNER])


def refused(sealed: bytes, trusted: list[SSlibKey] = TRUSTED, limit: int = 10_000) -> Cause:
    with pytest.raises(SyncError) as caught:
        unseal(sealed, TYPE, trusted, limit=limit)
    return caught.value.cause


def changed(**fields: Any) -> bytes:
    return json.dumps(json.loads(SEALED) | fields).encode()


@given(st.binary(max_size=200))
def test_what_is_sealed_is_unsealed(payload: bytes) -> None:
    assert unseal(seal(payload, TYPE, [SIGNER]), TYPE, TRUSTED, limit=10_000) == payload


def test_it_is_dsse() -> None:
    """The fields of the DSSE v1 specification, and its pre-authentication encoding."""
    envelope = json.loads(SEALED)
    assert set(envelope) == {"payload", "payloadType", "signatures"}
    signature = base64.b64decode(envelope["signatures"][0]["sig"])
    signed = b"DSSEv1 %d %s 11 the payload" % (len(TYPE), TYPE.encode())
    SIGNER._private_key.public_key().verify(signature, signed)  # type: ignore[union-attr,call-arg]


@pytest.mark.parametrize(
    ("name", "sealed", "cause"),
    [
        ("another payload", changed(payload="b3RoZXI="), Cause.BAD_SIGNATURE),
        (
            "another key's signature under this key's id",
            changed(
                signatures=[
                    {
                        "keyid": SIGNER.public_key.keyid,
                        "sig": json.loads(seal(b"the payload", TYPE, [STRANGER]))["signatures"][0][
                            "sig"
                        ],
                    }
                ]
            ),
            Cause.BAD_SIGNATURE,
        ),
        (
            "an empty signature",
            changed(signatures=[{"keyid": SIGNER.public_key.keyid, "sig": ""}]),
            Cause.BAD_SIGNATURE,
        ),
        ("a stranger's key", seal(b"the payload", TYPE, [STRANGER]), Cause.UNKNOWN_KEY),
        ("another type of payload", seal(b"x", "text/other", [SIGNER]), Cause.MALFORMED),
        ("no signature", changed(signatures=[]), Cause.MALFORMED),
        ("nine signatures", changed(signatures=[{"keyid": "a", "sig": ""}] * 9), Cause.MALFORMED),
        (
            "one key twice",
            changed(signatures=json.loads(SEALED)["signatures"] * 2),
            Cause.MALFORMED,
        ),
        ("a field more", changed(more=1), Cause.MALFORMED),
        ("no base64", changed(payload="?!"), Cause.MALFORMED),
        ("base64 cut short", changed(payload="abcde"), Cause.MALFORMED),
        ("a number for the payload", changed(payload=1), Cause.MALFORMED),
        ("nothing", b"", Cause.MALFORMED),
        ("no JSON", b"\x00\xff", Cause.MALFORMED),
        ("a list", b"[]", Cause.MALFORMED),
    ],
)
def test_a_bad_envelope_is_refused(name: str, sealed: bytes, cause: Cause) -> None:
    assert refused(sealed) is cause


@given(st.integers(0, len(SEALED) - 1), st.integers(1, 255))
def test_no_flipped_byte_gets_another_payload_through(place: int, flip: int) -> None:
    sealed = bytearray(SEALED)
    sealed[place] ^= flip
    with contextlib.suppress(SyncError):
        assert unseal(bytes(sealed), TYPE, TRUSTED, limit=10_000) == b"the payload"


def test_an_oversize_envelope_is_not_even_parsed() -> None:
    assert refused(b"{" * 101, limit=100) is Cause.OVERSIZE


def test_nobody_is_trusted_by_default() -> None:
    assert refused(SEALED, trusted=[]) is Cause.UNKNOWN_KEY


def test_while_keys_rotate_either_of_them_is_enough() -> None:
    both = seal(b"x", TYPE, [SIGNER, OTHER])
    for key in TRUSTED:
        assert unseal(both, TYPE, [key], limit=10_000) == b"x"


def test_nothing_is_sealed_without_a_key() -> None:
    with pytest.raises(ValueError, match="gate keys new"):
        seal(b"x", TYPE, [])
