"""The signed change log over HTTP, and snapshots."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import sys
from pathlib import Path
from typing import Any

import pytest

from gate.changes.batch import MAX_CHANGES, PAYLOAD_TYPE, Batch, decode
from gate.changes.envelope import unseal
from gate.changes.keys import KeyStore
from gate.changes.snapshot import (
    MANIFEST_HEADER,
    MANIFEST_TYPE,
    MAX_MANIFEST,
    Manifest,
    decode_manifest,
    read_filings,
)
from gate.filings import Status
from gate.registry.bulk.importing import import_file
from gate.registry.commands import (
    Approve,
    CancelService,
    CancelSubject,
    ChangeService,
    Resume,
    Role,
    Suspend,
)
from gate.registry.database import Database
from gate.registry.dispatch import carry_out
from gate.registry.distribution.snapshots import Snapshots
from gate.registry.errors import RegistryError
from gate.registry.log import Head
from gate.registry.registry import LOCAL, Registry
from gate.replica import Replica
from tests.harness.new_registry import migrated
from tests.harness.waiting import patience
from tests.registry.conftest import Answer, Api, serving
from tests.registry.filings import do, file_another, file_first, first_filing

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd


def trusted(api: Api) -> list[Any]:
    """The public keys of the registry."""
    return [key.key() for key in KeyStore(api.service.sealer.public_path.parent).list()]


def opened(api: Api, answer: Answer) -> Batch:
    """The batch in an answer, after its signature was checked."""
    assert answer.status == 200, answer.body
    batch = decode(unseal(answer.body, PAYLOAD_TYPE, trusted(api), limit=1_000_000))
    assert answer.headers["Gate-Epoch"] == batch.epoch
    assert answer.headers["Gate-Revision"] == str(batch.head)
    return batch


async def file(api: Api, *domains: str) -> None:
    """One first filing and some new services, approved."""
    registry = api.service.registry
    file_first(registry, domains[0])
    for domain in domains[1:]:
        await asyncio.to_thread(file_another, registry, domain)


async def changes(api: Api, query: str) -> Answer:
    return await api.call("GET", f"/v1/changes?{query}", role=Role.READER)


async def test_changes_come_in_signed_batches(api: Api) -> None:
    await file(api, "a.cn", "b.cn", "c.cn")
    batch = opened(api, await changes(api, "since=0"))
    assert (batch.from_revision, batch.to_revision, batch.head) == (0, 3, 3)
    assert [change.domain for change in batch.changes] == ["a.cn", "b.cn", "c.cn"]
    batch = opened(api, await changes(api, f"since=1&limit=1&epoch={batch.epoch}"))
    assert (batch.from_revision, batch.to_revision, batch.head) == (1, 2, 3)


async def test_at_the_head_an_empty_batch_is_a_sign_of_life(api: Api) -> None:
    await file(api, "a.cn")
    batch = opened(api, await changes(api, "since=1"))
    assert (batch.from_revision, batch.to_revision, batch.changes) == (1, 1, ())
    waited = opened(api, await changes(api, "since=1&wait=0.05"))
    assert waited.changes == ()


async def test_a_long_poll_is_answered_by_the_next_change(api: Api) -> None:
    polls = [asyncio.create_task(changes(api, "since=0&wait=30")) for _ in range(5)]
    await api.do(first_filing("a.cn"))
    done, _ = await asyncio.wait(polls, timeout=0.2)
    assert not done  # an application is no change
    await api.do(Approve(application=1, generate=True))
    async with asyncio.timeout(10):
        answers = await asyncio.gather(*polls)
    for answer in answers:
        assert [change.domain for change in opened(api, answer).changes] == ["a.cn"]


async def test_a_long_poll_is_answered_when_another_process_writes(
    api: Api, database_url: str
) -> None:
    poll = asyncio.create_task(changes(api, "since=0&wait=30"))
    other = Database(database_url)
    await asyncio.to_thread(file_first, Registry(other), "a.cn")
    other.close()
    async with asyncio.timeout(10):
        assert opened(api, await poll).to_revision == 1


async def test_a_follower_that_lost_the_thread_is_told_to_take_a_snapshot(api: Api) -> None:
    await file(api, "a.cn", "b.cn")
    epoch = api.service.feed.head.epoch
    await asyncio.to_thread(api.service.registry.tidy, keep=1)
    for query, code in [
        ("since=0", "compacted"),
        ("since=3", "ahead"),
        ("since=2&epoch=20000101T000000Z-00000000", "old_epoch"),
    ]:
        answer = await changes(api, query)
        assert (answer.status, answer.json()["code"]) == (410, code)
        assert "snapshot" in answer.json()["en"]
    assert opened(api, await changes(api, f"since=1&epoch={epoch}")).to_revision == 2


async def test_a_new_epoch_ends_a_long_poll(api: Api) -> None:
    await file(api, "a.cn")
    epoch = api.service.feed.head.epoch
    poll = asyncio.create_task(changes(api, f"since=1&wait=30&epoch={epoch}"))
    await asyncio.sleep(0)
    await asyncio.to_thread(api.service.registry.renew_epoch, actor=LOCAL)
    async with asyncio.timeout(10):
        answer = await poll
    assert (answer.status, answer.json()["code"]) == (410, "old_epoch")


@pytest.mark.parametrize(
    "query",
    ["", "since=", "since=-1", "since=x", "since=9223372036854775808", "since=0&wait=61",
     "since=0&wait=nan", "since=0&wait=inf", "since=0&limit=0", "since=0&limit=5001",
     "since=0&since=1"],
)  # fmt: skip
async def test_a_question_out_of_bounds_is_refused(lite_api: Api, query: str) -> None:
    answer = await changes(lite_api, query)
    assert (answer.status, answer.json()["code"]) == (422, "field_invalid")


async def test_a_rotated_key_signs_at_once(lite_api: Api) -> None:
    await file(lite_api, "a.cn")
    store = KeyStore(lite_api.service.sealer.public_path.parent)
    (old,) = store.list()
    store.new()
    both = await changes(lite_api, "since=0")
    assert len(both.json()["signatures"]) == 2
    store.retire(old.keyid)
    alone = await changes(lite_api, "since=0")
    assert len(alone.json()["signatures"]) == 1
    assert opened(lite_api, alone).to_revision == 1


# Snapshots


def manifest(api: Api, answer: Answer) -> Manifest:
    sealed = base64.b64decode(answer.headers[MANIFEST_HEADER])
    return decode_manifest(unseal(sealed, MANIFEST_TYPE, trusted(api), limit=MAX_MANIFEST))


async def test_a_snapshot_is_the_filed_set_with_a_signed_manifest(api: Api, tmp_path: Path) -> None:
    await file(api, "b.cn", "a.cn", "gone.cn", "xn--fsqu00a.cn")
    await api.do(CancelService(domain="gone.cn"))
    answer = await api.call("GET", "/v1/snapshot", role=Role.READER)
    lines = zstd.decompress(answer.body)
    told = manifest(api, answer)
    assert told.epoch == api.service.feed.head.epoch
    assert (told.revision, told.count) == (5, 3)
    assert told.sha256 == hashlib.sha256(lines).hexdigest()
    rows = [line.split("\t") for line in lines.decode().splitlines()]
    assert [row[:2] for row in rows] == [
        ["a.cn", "filed"],
        ["b.cn", "filed"],
        ["xn--fsqu00a.cn", "filed"],
    ]
    path = tmp_path / "snapshot"
    path.write_bytes(answer.body)
    with Replica.open(tmp_path / "replica", writable=True) as replica:
        replica.load(read_filings(path, told), epoch=told.epoch, revision=told.revision)
        assert replica.digest() == told.sha256


async def test_an_empty_registry_has_a_snapshot_too(lite_api: Api) -> None:
    answer = await lite_api.call("GET", "/v1/snapshot", role=Role.READER)
    assert zstd.decompress(answer.body) == b""
    assert manifest(lite_api, answer).count == 0


async def test_a_snapshot_and_the_changes_after_it_are_the_whole(api: Api) -> None:
    await file(api, "a.cn", "b.cn")
    told = manifest(api, await api.call("GET", "/v1/snapshot"))
    await api.do(ChangeService(domain="b.cn", domains=("c.cn",)))
    batch = opened(api, await changes(api, f"since={told.revision}"))
    assert [(c.domain, c.status) for c in batch.changes] == [
        ("b.cn", Status.ABSENT),
        ("c.cn", Status.FILED),
    ]
    # A small set is made anew for each revision.
    assert manifest(api, await api.call("GET", "/v1/snapshot")).revision == batch.to_revision


async def test_a_broken_download_goes_on(lite_api: Api) -> None:
    await file(lite_api, *(f"site{n}.cn" for n in range(20)))
    whole = await lite_api.call("GET", "/v1/snapshot")
    headers = {"Range": "bytes=100-", "If-Match": whole.headers["ETag"]}
    rest = await lite_api.call("GET", "/v1/snapshot", headers=headers)
    assert (rest.status, rest.body) == (206, whole.body[100:])
    await lite_api.do(CancelService(domain="site3.cn"))
    # There is another snapshot by now: its rest is of no use.
    other = await lite_api.call("GET", "/v1/snapshot", headers=headers)
    assert other.status == 412


def test_a_snapshot_that_was_given_out_is_there_although_a_newer_one_is_made(
    lite: Registry, tmp_path: Path
) -> None:
    folder = tmp_path / "snapshots"
    snapshots = Snapshots(lite, folder, seconds=300.0, keep=1_000, max_shrink=1.0)
    given = snapshots.current()  # and not opened yet
    file_first(lite, "a.cn")
    assert snapshots.current().path != given.path
    assert list(read_filings(given.path, given.manifest)) == []
    for number in range(100):
        command = Resume(domain="a.cn") if number % 2 else Suspend(domain="a.cn", reason="x")
        do(lite, command)
        snapshots.current()
    assert not given.path.exists()
    assert len(list(folder.iterdir())) < 20


@pytest.mark.programs
async def test_the_log_is_compacted_while_serving(tmp_path: Path) -> None:
    url = str(tmp_path / "registry.db")
    lines = "".join(f"d{n}.cn,京ICP备{10000000 + n}号-1,公司\n" for n in range(1500))
    path = tmp_path / "list.csv"
    path.write_text("domain,licence,subject\n" + lines)
    database = migrated(url)
    list(import_file(Registry(database), path, actor=LOCAL, chunk_lines=100))
    database.close()
    async with serving(url, tmp_path, keep_changes=1000) as api, asyncio.timeout(patience(10)):
        while True:
            head: Head = await asyncio.to_thread(api.service.registry.head)
            if head.oldest:
                break
            await asyncio.sleep(0.01)
        assert (head.oldest, head.revision) == (500, 1500)


async def test_a_batch_beyond_what_an_envelope_holds_comes_in_parts(lite_api: Api) -> None:
    registry = lite_api.service.registry
    lines = "".join(
        f"d{n}.cn,京ICP备12345678号-{n // 20 + 1}A,公司\n" for n in range(MAX_CHANGES + 500)
    )
    path = lite_api.service.jobs.spool / "list"
    path.write_text("domain,licence,subject\n" + lines)
    await asyncio.to_thread(list, import_file(registry, path, actor=LOCAL))
    path.unlink()
    await lite_api.do(CancelSubject(licence="京ICP备12345678号"))
    have = MAX_CHANGES + 500
    sizes: list[int] = []
    while not sizes or sizes[-1]:
        batch = opened(lite_api, await changes(lite_api, f"since={have}"))
        assert batch.from_revision == have
        have = batch.to_revision
        sizes.append(len(batch.changes))
    assert (sizes, have) == ([MAX_CHANGES, 500, 0], 2 * (MAX_CHANGES + 500))


def test_an_operation_that_fails_half_way_leaves_nothing(lite: Registry) -> None:
    file_first(lite, "a.cn")
    before = lite.head()
    command = ChangeService(domain="a.cn", domains=("b.cn",))

    def fail() -> None:
        with lite.database.write() as connection:
            assert carry_out(lite.begin(connection, LOCAL), command).revision == 3
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert lite.head() == before
    assert do(lite, command).revision == 3


async def test_changes_that_are_still_in_memory_are_those_of_the_log(lite_api: Api) -> None:
    feed, registry = lite_api.service.feed, lite_api.service.registry

    async def same(since: int) -> None:
        kept = await feed.batch_after(since)
        assert kept.changes == tuple(feed._read(since, 5000).changes)
        assert (kept.from_revision, kept.head) == (since, feed.head.revision)

    await asyncio.to_thread(file_first, registry, "a0.cn")
    for number in range(1, 10):
        await asyncio.to_thread(file_another, registry, f"a{number}.cn")
    await feed.wait_beyond(9, 10)
    assert feed.head.revision == 10
    for since in range(10):
        await same(since)
    epoch = (await asyncio.to_thread(registry.renew_epoch, actor=LOCAL)).epoch
    async with asyncio.timeout(patience(10)):
        while feed.head.epoch != epoch:  # its revision is the same
            await feed.wait_beyond(10, 0.02)
    with pytest.raises(RegistryError, match="compacted"):
        await feed.batch_after(5)
