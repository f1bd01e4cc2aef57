"""Signed envelopes: DSSE (Dead Simple Signing Envelope, v1) with Ed25519, by securesystemslib.

Why DSSE: it signs the payload's bytes as they are together with their type, so that nothing has
to be parsed or canonicalised before the signature is known to be good, and a snapshot's manifest
can never be passed off as a batch. It has no algorithm field for an attacker to choose. And an
envelope may carry several signatures, which makes rotation simple: while two keys are active
everything is signed with both, and a gate that trusts either of them goes on.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from securesystemslib.dsse import Envelope
from securesystemslib.exceptions import VerificationError
from securesystemslib.signer import CryptoSigner, Key, SSlibKey

from gate.changes.errors import Cause, SyncError

MAX_SIGNATURES: Final = 8

_Base64 = Annotated[str, Field(pattern=r"^[A-Za-z0-9+/]*={0,2}$")]


class _Signature(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)
    keyid: Annotated[str, Field(min_length=1, max_length=128)]
    sig: Annotated[_Base64, Field(max_length=1024)]


class _Envelope(BaseModel):
    """The JSON form, https://github.com/secure-systems-lab/dsse (envelope.md)."""

    model_config = ConfigDict(extra="forbid", strict=True)
    payload: _Base64
    payloadType: str
    signatures: Annotated[list[_Signature], Field(min_length=1, max_length=MAX_SIGNATURES)]


def seal(payload: bytes, payload_type: str, signers: Sequence[CryptoSigner]) -> bytes:
    """Sign the payload with every signer; gives the envelope as JSON on one line.

    Raises ValueError without signers.
    """
    if not signers:
        raise ValueError("there is no key to sign with; make one with: gate keys new")
    envelope = Envelope(payload, payload_type, {})
    for signer in signers:
        envelope.sign(signer)
    return json.dumps(envelope.to_dict(), separators=(",", ":")).encode()


def unseal(sealed: bytes, payload_type: str, trusted: Sequence[SSlibKey], *, limit: int) -> bytes:
    """Return the payload of an envelope that carries a good signature of a trusted key.

    Raises SyncError: `oversize` beyond `limit` bytes, `malformed`, `unknown_key` if no signature
    is by a trusted key, `bad_signature` if one says that it is and is not.
    """
    if len(sealed) > limit:
        raise SyncError(
            Cause.OVERSIZE, f"the envelope takes {len(sealed)} bytes; {limit} is the limit"
        )
    try:
        checked = _Envelope.model_validate_json(sealed)
        envelope = Envelope.from_dict(checked.model_dump())
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(map(str, first["loc"])) or "the whole"
        raise SyncError(
            Cause.MALFORMED, f"not a signed envelope: {place}: {first['msg']}"
        ) from error
    except ValueError as error:
        raise SyncError(Cause.MALFORMED, f"not a signed envelope: {error}") from error
    if envelope.payload_type != payload_type:
        raise SyncError(
            Cause.MALFORMED,
            f"the envelope holds {envelope.payload_type[:80]!r}; {payload_type!r} is due here",
        )
    known: list[Key] = [key for key in trusted if key.keyid in envelope.signatures]
    if not known:
        ids = ", ".join(keyid[:16] for keyid in envelope.signatures)
        raise SyncError(
            Cause.UNKNOWN_KEY,
            f"signed with {ids}, which this gate does not trust; "
            "copy the registry's public.json to the gate's sync.keys file",
        )
    try:
        envelope.verify(known, 1)
    except VerificationError as error:
        raise SyncError(
            Cause.BAD_SIGNATURE,
            f"the signature of key {known[0].keyid[:16]} does not fit the payload",
        ) from error
    return envelope.payload
