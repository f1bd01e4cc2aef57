"""Snapshot files: whole, or refused."""

from __future__ import annotations

import collections
import dataclasses
import hashlib
import itertools
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from gate.changes.errors import Cause, SyncError
from gate.changes.snapshot import Manifest, decode_manifest, read_filings
from gate.filings import Filing, Status
from gate.replica import Replica, digest_line

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

FILINGS = [
    Filing(f"a{number:05d}.cn", status, "京ICP备12345678号-1" if number % 2 else "")
    for number in range(3000)
    for status in [list(Status)[number % 3]]
]
LINES = b"".join(digest_line(f.domain, f.status, f.licence) for f in FILINGS)


def manifest(data: bytes = LINES, count: int = len(FILINGS)) -> Manifest:
    return Manifest("1-a", 7, count, hashlib.sha256(data).hexdigest(), 1_790_000_000)


def read(path: Path, data: bytes, said: Manifest) -> list[Filing]:
    path.write_bytes(data)
    return list(read_filings(path, said))


def test_a_whole_file_gives_its_filings(tmp_path: Path) -> None:
    assert read(tmp_path / "s", zstd.compress(LINES), manifest()) == FILINGS


def test_the_digest_is_the_replicas(tmp_path: Path) -> None:
    """So that a gate's set can be compared with its registry's at any time."""
    with Replica.open(tmp_path / "replica", writable=True) as replica:
        replica.load(FILINGS, epoch="1-a", revision=7)
        assert replica.digest() == manifest().sha256


def test_an_empty_set_is_a_set(tmp_path: Path) -> None:
    assert read(tmp_path / "s", zstd.compress(b""), manifest(b"", 0)) == []


def line(text: bytes) -> tuple[bytes, Manifest]:
    return zstd.compress(text), manifest(text, text.count(b"\n"))


@pytest.mark.parametrize(
    ("name", "data", "said", "cause"),
    [
        ("no bytes", b"", manifest(), Cause.TRUNCATED),
        ("half the file", zstd.compress(LINES)[:2000], manifest(), Cause.TRUNCATED),
        ("half the lines", *line(LINES[:1000] + b"\n"), Cause.MALFORMED),
        (
            "fewer lines than said",
            zstd.compress(LINES[: LINES.index(b"a00100")]),
            manifest(),
            Cause.TRUNCATED,
        ),
        ("more lines than said", zstd.compress(LINES), manifest(count=2999), Cause.OVERSIZE),
        (
            "one byte changed",
            zstd.compress(LINES.replace(b"a00777", b"b00777")),
            manifest(),
            Cause.DIGEST,
        ),
        ("another digest", zstd.compress(LINES), manifest(b"other"), Cause.DIGEST),
        ("no zstd", LINES, manifest(), Cause.DIGEST),
        ("more behind the end", zstd.compress(LINES) + b"x", manifest(), Cause.MALFORMED),
        ("a line without an end", *line(b"a.cn\tfiled\t"), Cause.MALFORMED),
        ("a field too few", *line(b"a.cn\tfiled\n"), Cause.MALFORMED),
        ("a field too many", *line(b"a.cn\tfiled\tx\ty\n"), Cause.MALFORMED),
        ("an unknown status", *line(b"a.cn\trevoked\t\n"), Cause.MALFORMED),
        ("no UTF-8", *line(b"a.cn\tfiled\t\xff\n"), Cause.MALFORMED),
        ("a carriage return", *line(b"a.cn\tfiled\tx\r\n"), Cause.MALFORMED),
        ("a licence too long", *line(b"a.cn\tfiled\t" + b"x" * 65 + b"\n"), Cause.MALFORMED),
        ("a line too long", *line(b"a" * 3_000_000 + b"\n"), Cause.MALFORMED),
    ],
)
def test_anything_else_is_refused(
    tmp_path: Path, name: str, data: bytes, said: Manifest, cause: Cause
) -> None:
    with pytest.raises(SyncError) as caught:
        read(tmp_path / "s", data, said)
    assert caught.value.cause is cause, str(caught.value)


def test_a_bomb_is_given_up_in_time(tmp_path: Path) -> None:
    """A gigabyte of the same line in a few kilobytes: no more is unpacked than was promised."""
    squeeze = zstd.ZstdCompressor()
    block = b"a.cn\tfiled\t\n" * 100_000
    data = b"".join(squeeze.compress(block) for _ in range(900)) + squeeze.flush()
    path = tmp_path / "s"
    path.write_bytes(data)
    taken = itertools.count()
    with pytest.raises(SyncError) as caught:
        collections.deque(zip(read_filings(path, manifest(count=1000)), taken, strict=False), 0)
    assert caught.value.cause is Cause.OVERSIZE
    assert next(taken) < 300_000


def test_a_manifest_is_read_back() -> None:
    assert decode_manifest(manifest().encode()) == manifest()


@pytest.mark.parametrize(
    "change",
    [
        {"revision": -1},
        {"revision": "7"},
        {"revision": True},
        {"count": -1},
        {"count": 2**63},
        {"sha256": "ab"},
        {"sha256": "A" * 64},
        {"epoch": ""},
        {"epoch": "a/b"},
        {"created": None},
        {"more": 1},
    ],
)
def test_a_bad_manifest_is_malformed(change: dict[str, Any]) -> None:
    fields = dataclasses.asdict(manifest()) | change
    with pytest.raises(SyncError) as caught:
        decode_manifest(json.dumps(fields).encode())
    assert caught.value.cause is Cause.MALFORMED


@pytest.mark.parametrize("bad", [b"", b"[]", b"{", b"null", b"[" * 100_000])
def test_what_is_no_manifest_is_malformed(bad: bytes) -> None:
    with pytest.raises(SyncError) as caught:
        decode_manifest(bad)
    assert caught.value.cause is Cause.MALFORMED
