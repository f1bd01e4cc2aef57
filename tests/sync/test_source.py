"""Fetching a snapshot: what breaks off goes on where it stopped, or begins again."""

from __future__ import annotations

import asyncio
import base64
import dataclasses
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from gate.changes.batch import PAYLOAD_TYPE, Batch
from gate.changes.envelope import seal
from gate.changes.errors import Cause, SyncError
from gate.changes.keys import KeyStore
from gate.changes.snapshot import MANIFEST_HEADER, MANIFEST_TYPE, Manifest
from gate.changes.verifier import Verifier
from gate.filings import Change, Position, Status
from gate.net.backoff import Backoff
from gate.sync import source as module
from gate.sync.source import RESUMES, Source

FILE = bytes(range(256)) * 1000
ANOTHER = FILE[::-1]
MANIFEST = Manifest("20260101T000000Z-aa", 7, 3, "0" * 64, 100)


@dataclass
class Registry:
    """A registry that breaks off its answers as it is told."""

    keys: KeyStore
    content: bytes = FILE
    manifest: Manifest = MANIFEST
    etag: str = '"one"'
    ranges: bool = True
    cuts: list[int] = field(default_factory=list)
    """After how many bytes the next answers break off."""
    asked: list[str] = field(default_factory=list)
    """The ranges that were asked for, "" for the whole."""
    status: int | None = None
    """The status of an answer for a part, instead of the right one."""

    async def answer(self, request: web.Request) -> web.StreamResponse:
        asked = request.headers.get("Range", "")
        self.asked.append(asked)
        sealed = seal(self.manifest.encode(), MANIFEST_TYPE, self.keys.signers())
        headers = {MANIFEST_HEADER: base64.b64encode(sealed).decode(), "ETag": self.etag}
        start, status = 0, 200
        if asked and self.ranges:
            if request.headers["If-Match"] != self.etag:
                return web.Response(status=412)
            start, status = int(re.findall(r"bytes=(\d+)-", asked)[0]), 206
            headers["Content-Range"] = f"bytes {start}-{len(self.content) - 1}/{len(self.content)}"
            if self.status is not None:
                return web.Response(status=self.status)
        rest = self.content[start:]
        response = web.StreamResponse(status=status, headers=headers)
        response.content_length = len(rest)
        await response.prepare(request)
        if self.cuts:
            await response.write(rest[: self.cuts.pop(0)])
            assert request.transport is not None
            request.transport.close()
            return response
        await response.write(rest)
        await response.write_eof()
        return response


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Registry:
    monkeypatch.setattr(module, "Backoff", lambda: Backoff(first=0.001, longest=0.001))
    keys = KeyStore(tmp_path / "keys")
    keys.new()
    return Registry(keys)


@pytest.fixture
async def source(registry: Registry) -> AsyncIterator[Source]:
    app = web.Application()
    app.router.add_get("/v1/snapshot", registry.answer)
    async with TestServer(app) as server:
        url = str(server.make_url("")).rstrip("/")
        verifier = Verifier(registry.keys.public_path)
        async with Source(url, verifier, token_file=None, tls=None) as source:
            yield source


def welcome(_: Manifest) -> None:
    """Every snapshot will do."""


async def test_a_snapshot_that_is_refused_by_its_manifest_is_not_read(
    registry: Registry, source: Source, tmp_path: Path
) -> None:
    def refuse(manifest: Manifest) -> None:
        raise SyncError(Cause.OLD_REVISION, f"revision {manifest.revision} is old")

    with pytest.raises(SyncError, match="revision 7 is old"):
        await source.snapshot(tmp_path / "part", refuse)
    assert registry.asked == [""]
    assert not (tmp_path / "part").exists()


async def test_a_download_that_breaks_off_goes_on_where_it_stopped(
    registry: Registry, source: Source, tmp_path: Path
) -> None:
    registry.cuts = [100_000, 50_000]
    assert await source.snapshot(tmp_path / "part", welcome) == MANIFEST
    assert (tmp_path / "part").read_bytes() == FILE
    assert registry.asked == ["", "bytes=100000-", "bytes=150000-"]


@pytest.mark.parametrize(
    "change",
    [
        {"etag": '"two"'},
        {"manifest": dataclasses.replace(MANIFEST, revision=8)},
        {"status": 416},
    ],
    ids=["another file", "another manifest", "a shorter file"],
)
async def test_another_snapshot_is_fetched_from_its_beginning(
    registry: Registry, source: Source, tmp_path: Path, change: dict[str, object]
) -> None:
    registry.cuts = [100_000]
    real = registry.answer

    async def answer(request: web.Request) -> web.StreamResponse:
        if registry.asked:  # the first one has broken off
            registry.content = ANOTHER
            for name, value in change.items():
                setattr(registry, name, value)
        return await real(request)

    app = web.Application()
    app.router.add_get("/v1/snapshot", answer)
    async with TestServer(app) as server:
        source.url = str(server.make_url("")).rstrip("/")
        assert await source.snapshot(tmp_path / "part", welcome) == registry.manifest
    assert (tmp_path / "part").read_bytes() == ANOTHER
    assert registry.asked == ["", "bytes=100000-", ""]


async def test_a_registry_that_gives_no_parts_is_asked_for_the_whole_again(
    registry: Registry, source: Source, tmp_path: Path
) -> None:
    registry.ranges = False
    registry.cuts = [100_000]
    await source.snapshot(tmp_path / "part", welcome)
    assert (tmp_path / "part").read_bytes() == FILE


@pytest.mark.parametrize("etag", ["", 'W/"one"'])
async def test_without_a_strong_tag_the_whole_is_asked_for(
    registry: Registry, source: Source, tmp_path: Path, etag: str
) -> None:
    registry.etag = etag
    registry.cuts = [100_000]
    await source.snapshot(tmp_path / "part", welcome)
    assert (tmp_path / "part").read_bytes() == FILE
    assert registry.asked == ["", ""]


async def test_a_download_that_breaks_off_too_often_is_given_up(
    registry: Registry, source: Source, tmp_path: Path
) -> None:
    registry.cuts = [10] * 100
    with pytest.raises(SyncError) as caught:
        await source.snapshot(tmp_path / "part", welcome)
    assert caught.value.cause is Cause.TRUNCATED
    assert registry.asked == ["", *(f"bytes={10 * n}-" for n in range(1, RESUMES + 1))]


# Changes


@pytest.mark.parametrize("body", [b"[" * 4_000, b"\xff", b"[1]", b""])
async def test_a_refusal_in_no_known_shape_is_told_by_its_status(
    registry: Registry, body: bytes
) -> None:
    async def refuse(_: web.Request) -> web.Response:
        return web.Response(status=503, body=body)

    app = web.Application()
    app.router.add_get("/v1/changes", refuse)
    async with TestServer(app) as server:
        url = str(server.make_url("")).rstrip("/")
        verifier = Verifier(registry.keys.public_path)
        async with Source(url, verifier, token_file=None, tls=None) as source:
            with pytest.raises(SyncError, match="answered 503: Service Unavailable") as refused:
                await source.changes(at(0), wait=0.0)
    assert refused.value.cause is Cause.UNREACHABLE


@dataclass
class Log:
    """A registry's log of `head` changes, given two at a time."""

    keys: KeyStore
    head: int
    asked: list[int] = field(default_factory=list)
    arrived: asyncio.Event = field(default_factory=asyncio.Event)

    async def answer(self, request: web.Request) -> web.Response:
        since = int(request.query["since"])
        self.asked.append(since)
        self.arrived.set()
        end = min(since + 2, self.head)
        changes = tuple(Change(f"a{n}.cn", Status.FILED, "", 100) for n in range(since, end))
        batch = Batch(MANIFEST.epoch, since, end, changes, self.head, 100)
        return web.Response(body=seal(batch.encode(), PAYLOAD_TYPE, self.keys.signers()))


@pytest.fixture
async def following(registry: Registry) -> AsyncIterator[tuple[Log, Source]]:
    log = Log(registry.keys, 5)
    app = web.Application()
    app.router.add_get("/v1/changes", log.answer)
    async with TestServer(app) as server:
        url = str(server.make_url("")).rstrip("/")
        verifier = Verifier(registry.keys.public_path)
        async with Source(url, verifier, token_file=None, tls=None) as source:
            yield log, source


def at(revision: int) -> Position:
    return Position(MANIFEST.epoch, revision, 100.0)


async def test_a_gate_far_behind_has_the_next_batch_fetched_while_it_applies_one(
    following: tuple[Log, Source],
) -> None:
    log, source = following
    first = await source.changes(at(0), wait=0)
    assert first.to_revision == 2
    log.arrived.clear()
    if log.asked == [0]:  # it may have come already
        await asyncio.wait_for(log.arrived.wait(), 10)
    assert log.asked == [0, 2]
    found = [await source.changes(at(revision), wait=0) for revision in (2, 4)]
    assert [batch.to_revision for batch in found] == [4, 5]
    assert (await source.changes(at(5), wait=0)).changes == ()
    assert log.asked == [0, 2, 4, 5], "each was asked for once, and nothing beyond the head"


async def test_a_batch_fetched_for_another_place_is_not_taken(
    following: tuple[Log, Source],
) -> None:
    _, source = following
    await source.changes(at(0), wait=0)
    batch = await source.changes(at(3), wait=0)  # a push was faster
    assert (batch.from_revision, batch.to_revision) == (3, 5)
    assert (await source.changes(at(5), wait=0)).from_revision == 5
