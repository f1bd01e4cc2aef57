"""Snapshots: the whole filed set, as a file, with a signed manifest.

The file is one line a filing, `domain TAB status TAB licence LF`, sorted by domain, compressed
with zstd. The manifest says which revision it is, how many lines it has and what their SHA-256
is, and comes first: a gate knows whom the file is from before it reads the rest, and nothing of
it is in force before the last line has proved right.
"""

from __future__ import annotations

import hashlib
import json
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from gate.changes.batch import MAX_LICENCE, MAX_REVISION, check_epoch
from gate.changes.errors import Cause, SyncError
from gate.filings import Filing, Status

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

MANIFEST_TYPE: Final = "application/vnd.filing-gate.manifest.v1+json"
MANIFEST_HEADER: Final = "Gate-Manifest"
MEDIA_TYPE: Final = "application/vnd.filing-gate.snapshot+zstd"

MAX_MANIFEST: Final = 16_384
MAX_LINES: Final = 1_000_000_000
_PIECE: Final = 1 << 20
_MAX_LINE: Final = 1024  # bytes; a name has 253, a licence 64 characters of up to 4

_STATUSES: Final = {
    status.value: status for status in (Status.FILED, Status.FILED_ELSEWHERE, Status.SUSPENDED)
}


@dataclass(slots=True, frozen=True)
class Manifest:
    """What a snapshot is: its place in the log, its lines, their SHA-256 in hex.

    `created` is in Unix seconds. Raises SyncError(malformed) if a part is out of range.
    """

    epoch: str
    revision: int
    count: int
    sha256: str
    created: int

    def __post_init__(self) -> None:
        check_epoch(self.epoch)
        for name, value, most in (
            ("revision", self.revision, MAX_REVISION),
            ("count", self.count, MAX_LINES),
            ("created", self.created, MAX_REVISION),
        ):
            if not 0 <= value <= most:
                raise _malformed(f"the manifest's {name} {value} is out of range")
        if not re.fullmatch(r"[0-9a-f]{64}", self.sha256):
            raise _malformed("the manifest's sha256 is not 64 hexadecimal digits")

    def encode(self) -> bytes:
        """Return the payload to sign."""
        fields = {name: getattr(self, name) for name in self.__slots__}
        return json.dumps(fields, separators=(",", ":")).encode()


def decode_manifest(payload: bytes) -> Manifest:
    """Read a manifest's payload strictly. Raises SyncError(malformed)."""
    try:
        raw = json.loads(payload)
    except (ValueError, RecursionError) as error:
        raise _malformed(f"the manifest is not JSON: {error}") from error
    match raw:
        case {
            "epoch": str(epoch),
            "revision": int(revision),
            "count": int(count),
            "sha256": str(sha256),
            "created": int(created),
        } if len(raw) == 5 and bool not in {type(revision), type(count), type(created)}:
            return Manifest(epoch, revision, count, sha256, created)
    raise _malformed("the manifest lacks a field, or one has the wrong type")


def read_filings(path: Path, manifest: Manifest) -> Iterator[Filing]:
    """Yield the filings of a compressed snapshot file, for a bulk load that an error ends.

    Raises SyncError at the latest after the last filing: `truncated`, `digest`, `malformed`,
    `oversize` (more than the manifest says); OSError if the file can't be read.
    """
    digest = hashlib.sha256()
    count = 0
    with path.open("rb") as file:
        for block in _blocks(file):
            digest.update(block)
            for line in block[:-1].split(b"\n"):
                count += 1
                yield _filing(line, count)
            if count > manifest.count:
                raise SyncError(
                    Cause.OVERSIZE,
                    f"the snapshot has more lines than the {manifest.count} of its manifest",
                )
    if count < manifest.count:
        raise SyncError(
            Cause.TRUNCATED,
            f"the snapshot ends after {count} of {manifest.count} filings; it is fetched again",
        )
    if digest.hexdigest() != manifest.sha256:
        raise SyncError(
            Cause.DIGEST,
            f"the snapshot's SHA-256 is {digest.hexdigest()}, its manifest says "
            f"{manifest.sha256}; nothing of it was taken",
        )


def _blocks(file: BinaryIO) -> Iterator[bytes]:
    """Yield the decompressed lines, some thousand at a time, each block with whole lines."""
    unpack = zstd.ZstdDecompressor()
    rest = b""
    try:
        while not unpack.eof:
            raw = file.read(_PIECE) if unpack.needs_input else b""
            if unpack.needs_input and not raw:
                raise SyncError(
                    Cause.TRUNCATED, "the snapshot's file ends too early; it is fetched again"
                )
            data = rest + unpack.decompress(raw, max_length=_PIECE)
            end = data.rfind(b"\n") + 1
            rest = data[end:]
            if len(rest) > _MAX_LINE:
                raise _malformed(f"the snapshot has a line of more than {_MAX_LINE} bytes")
            if end:
                yield data[:end]
    except zstd.ZstdError as error:
        raise SyncError(Cause.DIGEST, f"the snapshot can't be decompressed: {error}") from error
    if rest:
        raise _malformed("the snapshot's last line has no end")
    if unpack.unused_data or file.read(1):
        raise _malformed("the snapshot's file goes on after its end")


def _filing(line: bytes, number: int) -> Filing:
    """Return the filing on a line; whether its domain is one is for the replica to say."""
    try:
        domain, status, licence = line.decode().split("\t")
        if len(licence) > MAX_LICENCE or not licence.isprintable():
            raise ValueError(f"the licence number {licence[:64]!r}")
        return Filing(domain, _STATUSES[status], licence)
    except (ValueError, KeyError) as error:
        raise _malformed(f"line {number} of the snapshot is not a filing: {error}") from error


def _malformed(message: str) -> SyncError:
    return SyncError(Cause.MALFORMED, message)
