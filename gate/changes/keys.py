"""The keys of a registry, on disk, and the set of keys that a gate trusts.

A key folder holds `public.json`, the set of public keys, and one `ID.pem` (PKCS #8, mode 0600)
for each key whose private half is here. `public.json` is what a gate needs: its keys are the
ones trusted. While several keys are active, everything is signed with each of them, so rotation
is: `gate keys new`, copy public.json to the gates, `gate keys retire OLD`, copy it again.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

from cryptography.hazmat.primitives.serialization import load_pem_private_key
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from securesystemslib.exceptions import KeyMismatchError
from securesystemslib.signer import CryptoSigner, SSlibKey

from gate import files
from gate.changes.errors import ChangesError
from gate.changes.files import PUBLIC
from gate.files import replace_file

_log = logging.getLogger(__name__)


class KeyStoreError(ChangesError):
    """A key folder or file can't be read, or does not hold what it must; says what to do."""


class PublicKey(BaseModel):
    """One entry of public.json: an Ed25519 key in hex and the day it was made."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)
    keyid: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    keytype: Literal["ed25519"]
    scheme: Literal["ed25519"]
    public: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    created: Annotated[int, Field(ge=0)]

    def key(self) -> SSlibKey:
        """Return the key as the signature library wants it."""
        return SSlibKey(self.keyid, self.keytype, self.scheme, {"public": self.public})


class _PublicSet(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)
    keys: Annotated[list[PublicKey], Field(max_length=64)]


class KeyStore:
    """The folder of a registry's keys."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.public_path = folder / PUBLIC

    def new(self) -> PublicKey:
        """Make a key: the private half on disk first, then its entry in public.json.

        Raises KeyStoreError.
        """
        signer = CryptoSigner.generate_ed25519()
        public = PublicKey(
            keyid=signer.public_key.keyid,
            keytype="ed25519",
            scheme="ed25519",
            public=signer.public_key.keyval["public"],
            created=int(time.time()),
        )
        keys = self.list()
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            replace_file(self._private_path(public.keyid), signer.private_bytes)
            self._write_public([*keys, public])
        except OSError as error:
            raise KeyStoreError(f"can't write a key to {self.folder}: {error}") from error
        return public

    def list(self) -> list[PublicKey]:
        """Return every active key, oldest first; empty before the first. Raises KeyStoreError."""
        return read_public(self.public_path) if self.public_path.exists() else []

    def retire(self, prefix: str, *, last: bool = False) -> PublicKey:
        """Forget the key whose id starts with `prefix`, private half and all.

        Raises KeyStoreError; also for the only key, unless `last`.
        """
        keys = self.list()
        found = [key for key in keys if prefix and key.keyid.startswith(prefix)]
        if len(found) != 1:
            many = "more than one key" if found else "no key"
            raise KeyStoreError(f"{many} in {self.folder} has an id that starts with {prefix!r}")
        if len(keys) == 1 and not last:
            raise KeyStoreError(
                f"{found[0].keyid[:16]} is the only key; make its successor first, with: "
                "gate keys new"
            )
        try:
            self._write_public([key for key in keys if key is not found[0]])
            self._private_path(found[0].keyid).unlink(missing_ok=True)
        except OSError as error:
            raise KeyStoreError(f"can't retire a key in {self.folder}: {error}") from error
        return found[0]

    def signers(self) -> Sequence[CryptoSigner]:
        """Return a signer for every active key whose private half is here.

        Raises KeyStoreError if there is none, or one can't be read or fits another key.
        """
        signers = []
        for public in self.list():
            path = self._private_path(public.keyid)
            try:
                private = load_pem_private_key(path.read_bytes(), None)
                signers.append(CryptoSigner(private, public.key()))
            except FileNotFoundError:
                continue
            except (OSError, ValueError, TypeError, KeyMismatchError) as error:
                raise KeyStoreError(f"can't use the private key {path}: {error}") from error
        if not signers:
            raise KeyStoreError(f"no private key in {self.folder}; make one with: gate keys new")
        return signers

    def _private_path(self, keyid: str) -> Path:
        return self.folder / f"{keyid}.pem"

    def _write_public(self, keys: Sequence[PublicKey]) -> None:
        document = _PublicSet(keys=list(keys)).model_dump()
        replace_file(self.public_path, json.dumps(document, indent=2) + "\n", mode=files.PUBLIC)


class TrustedKeys:
    """The public keys that a gate trusts: a public.json, read again whenever it changes.

    A file that breaks while the gate runs is reported and leaves the last good set in force.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._stamp: tuple[int, int, int] | None = None
        self._keys: tuple[SSlibKey, ...] = ()
        self._complaint = ""

    def current(self) -> Sequence[SSlibKey]:
        """Return the keys in force now.

        Raises KeyStoreError as long as no good file was ever read.
        """
        try:
            status = self.path.stat()
            stamp = (status.st_mtime_ns, status.st_size, status.st_ino)
            if stamp != self._stamp:
                keys = tuple(public.key() for public in read_public(self.path))
                self._keys, self._stamp = keys, stamp
        except (OSError, KeyStoreError) as error:
            if self._stamp is None:
                raise KeyStoreError(
                    f"no trusted keys: {error}; copy the registry's {PUBLIC} to {self.path}"
                ) from error
            if str(error) != self._complaint:
                _log.error("keeping the %d keys trusted so far: %s", len(self._keys), error)
            self._complaint = str(error)
        return self._keys


def read_public(path: Path) -> list[PublicKey]:
    """Read a public.json. Raises KeyStoreError."""
    try:
        keys = _PublicSet.model_validate_json(path.read_bytes()).keys
    except OSError as error:
        raise KeyStoreError(f"can't read {path}: {error}") from error
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(map(str, first["loc"]))
        raise KeyStoreError(
            f"{path} is not a set of public keys: {place} {first['msg']}"
        ) from error
    if len({key.keyid for key in keys}) != len(keys):
        raise KeyStoreError(f"{path} names a key twice; remove one entry")
    return keys
