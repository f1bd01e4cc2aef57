"""Snapshot files and manifests: as raw bytes, and as lines in a file that fits its manifest."""

from __future__ import annotations

import hashlib
import sys
import tempfile
from pathlib import Path

from gate.changes.errors import Cause, SyncError
from gate.changes.snapshot import Manifest, decode_manifest, read_filings

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

TOKENS = (
    *(b"\tfiled\t", b"\tfiled_elsewhere\t", b"\tsuspended\t\n", b"example.com.cn", b"\n"),
    *("京ICP备12345678号-1\n".encode(), b"\x28\xb5\x2f\xfd", b'"epoch":"', b'"revision":'),
    *(
        b'"count":',
        b'"sha256":"',
        b"0" * 64,
        b'"created":',
        b"true",
        b"1e9",
        b"9223372036854775808",
    ),
)

_folder = tempfile.TemporaryDirectory(prefix="gate-fuzz-")
_file = Path(_folder.name) / "snapshot"


def check(data: bytes) -> None:
    """Only SyncError is raised, and nothing is accepted but what its manifest describes."""
    check_manifest(data)
    # A file of any bytes, which cannot fit the manifest of another one.
    assert not isinstance(read(data, manifest_of(b"example.com.cn\tfiled\t\n")), bytes)
    check_lines(data)


def parse(data: bytes) -> None:
    """A file of such lines once."""
    check_lines(data)


def check_manifest(data: bytes) -> None:
    """What is accepted is read back from what would be signed of it."""
    try:
        manifest = decode_manifest(data)
    except SyncError as error:
        assert error.cause is Cause.MALFORMED
        assert str(error)
        return
    assert decode_manifest(manifest.encode()) == manifest


def check_lines(lines: bytes) -> None:
    """Lines have one form: what is read of them, written again, is the same bytes."""
    packed = zstd.compress(lines, 1)
    accepted = read(packed, manifest_of(lines))
    if isinstance(accepted, bytes):
        assert accepted == lines
        assert read(packed[:-1], manifest_of(lines)) is Cause.TRUNCATED
        assert not isinstance(read(packed + b"\x00", manifest_of(lines)), bytes)
        assert not isinstance(read(packed, manifest_of(lines + b"\n")), bytes)
    else:
        assert accepted is Cause.MALFORMED


def manifest_of(lines: bytes) -> Manifest:
    """The manifest that the registry would sign for these lines."""
    return Manifest("e", 7, lines.count(b"\n"), hashlib.sha256(lines).hexdigest(), 1_767_225_600)


def read(packed: bytes, manifest: Manifest) -> bytes | Cause:
    """All filings of a file, written again as lines, or why the file is refused."""
    _file.write_bytes(packed)
    lines = []
    try:
        for filing in read_filings(_file, manifest):
            lines.append(f"{filing.domain}\t{filing.status.value}\t{filing.licence}\n".encode())
    except SyncError as error:
        assert str(error)
        return error.cause
    return b"".join(lines)
