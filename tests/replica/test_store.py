"""One replica in one process: what it answers, what it refuses, what survives reopening."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import lmdb
import pytest

from gate.filings import Change, Filing, Override, OverrideKind, Status
from gate.replica import (
    LOCAL_EPOCH,
    BadChange,
    Difference,
    NewEpoch,
    OldEpoch,
    Replica,
    ReplicaBusy,
    ReplicaCorrupt,
    ReplicaError,
    ReplicaMissing,
    ReplicaUnusable,
    RevisionGap,
    SetShrinks,
    digest,
    set_aside,
    verify,
    within,
)

FILED = Status.FILED
ABSENT = Status.ABSENT
REVOKED = Status.REVOKED


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "replica"


@pytest.fixture
def replica(path: Path) -> Iterator[Replica]:
    with Replica.open(path, writable=True) as replica:
        yield replica


def filed(*domains: str) -> list[Filing]:
    return [Filing(domain, FILED, f"京ICP备{number}号") for number, domain in enumerate(domains, 1)]


def apply(replica: Replica, revision: int, *changes: Change, epoch: str = "e1") -> None:
    replica.apply(changes, epoch=epoch, from_revision=revision, to_revision=revision + 1)


def contents(replica: Replica, *, revoked: bool = True) -> dict[str, str]:
    return {filing.domain: filing.status.value for filing in replica.items(revoked=revoked)}


class TestNew:
    def test_a_new_replica_is_empty_and_has_no_position(self, replica: Replica) -> None:
        assert replica.position() is None
        assert replica.count() == 0
        assert replica.lookup("www.example.com") is None
        assert replica.get("example.com") is None
        assert list(replica.items()) == []
        assert replica.digest() == digest([])
        assert replica.overrides() == {}

    def test_reading_what_is_not_there_says_so(self, path: Path) -> None:
        with pytest.raises(ReplicaMissing, match=r"no replica at .*: import filings or"):
            Replica.open(path, writable=False)
        assert not path.exists()

    def test_a_file_that_was_never_filled_is_missing_too(self, path: Path) -> None:
        path.mkdir(parents=True)
        lmdb.open(str(path)).close()
        with pytest.raises(ReplicaMissing, match="never filled"):
            Replica.open(path, writable=False)
        with Replica.open(path, writable=True) as replica:
            assert replica.position() is None

    def test_twice_in_one_process_is_refused(self, replica: Replica, path: Path) -> None:
        with pytest.raises(ReplicaBusy, match="already open in this process"):
            Replica.open(path, writable=False)

    def test_a_reader_cannot_write(self, replica: Replica, path: Path) -> None:
        replica.load(filed("a.com"), epoch="e1", revision=1)
        replica.close()
        with Replica.open(path, writable=False) as reader:
            with pytest.raises(ReplicaUnusable, match="for reading only"):
                apply(reader, 1, Change("b.com", FILED))
            with pytest.raises(ReplicaUnusable, match="for reading only"):
                reader.load(filed("b.com"), epoch="e1", revision=2)
            assert contents(reader) == {"a.com": "filed"}

    def test_a_path_that_cannot_be_made_is_named(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        with pytest.raises(ReplicaUnusable, match="file/replica"):
            Replica.open(tmp_path / "file" / "replica", writable=True)


class TestLookup:
    @pytest.mark.parametrize(
        ("name", "domain"),
        [
            ("example.com", "example.com"),
            ("www.example.com", "example.com"),
            ("a.b.c.d.e.f.example.com", "example.com"),
            ("notexample.com", None),
            ("example.com.cn", None),
            ("com", None),
            ("", None),
            ("shop.example.com", "shop.example.com"),
            ("a.shop.example.com", "shop.example.com"),
            ("x.y.deep.b.c.d.org", "deep.b.c.d.org"),
            ("b.c.d.org", None),
        ],
    )
    def test_the_nearest_filing_up_the_labels(
        self, replica: Replica, name: str, domain: str | None
    ) -> None:
        replica.load(
            filed("deep.b.c.d.org", "example.com", "shop.example.com"), epoch="e1", revision=1
        )
        for asked in (name, name.encode()):
            filing = replica.lookup(asked)
            assert (filing.domain if filing else None) == domain

    def test_deeper_domains_are_found_as_soon_as_they_are_filed(self, replica: Replica) -> None:
        replica.load(filed("a.com"), epoch="e1", revision=1)
        assert replica.lookup("x.d.c.b.org") is None
        apply(replica, 1, Change("d.c.b.org", FILED))
        found = replica.lookup("x.d.c.b.org")
        assert found is not None
        assert found.domain == "d.c.b.org"

    def test_get_is_exact(self, replica: Replica) -> None:
        replica.load(filed("a.com"), epoch="e1", revision=1)
        assert replica.get("a.com") == Filing("a.com", FILED, "京ICP备1号")
        assert replica.get("www.a.com") is None


class TestApply:
    def test_changes_and_position_go_together(self, replica: Replica, path: Path) -> None:
        replica.load(filed("a.com", "b.com"), epoch="e1", revision=7)
        replica.apply(
            [
                Change("b.com", ABSENT),
                Change("c.com", Status.FILED_ELSEWHERE, "京ICP备9号", 5),
                Change("d.com", Status.SUSPENDED),
                Change("never.com", ABSENT),
                Change("a.com", FILED, "京ICP备1号-5"),
            ],
            epoch="e1",
            from_revision=7,
            to_revision=12,
        )
        expected = {
            "a.com": "filed",
            "b.com": "revoked",
            "c.com": "filed_elsewhere",
            "d.com": "suspended",
        }
        for _ in range(2):
            assert contents(replica) == expected
            assert replica.get("a.com") == Filing("a.com", FILED, "京ICP备1号-5")
            assert replica.get("b.com") == Filing("b.com", REVOKED)
            assert replica.count() == 3
            position = replica.position()
            assert position is not None
            assert (position.epoch, position.revision) == ("e1", 12)
            replica.close()
            replica = Replica.open(path, writable=True)
        replica.close()

    def test_the_last_change_of_a_domain_in_a_batch_counts(self, replica: Replica) -> None:
        replica.load([], epoch="e1", revision=0)
        apply(replica, 0, Change("a.com", FILED), Change("a.com", ABSENT), Change("b.com", FILED))
        assert contents(replica) == {"a.com": "revoked", "b.com": "filed"}
        assert replica.count() == 1

    def test_a_revoked_domain_can_be_filed_again(self, replica: Replica) -> None:
        replica.load(filed("a.com"), epoch="e1", revision=1)
        apply(replica, 1, Change("a.com", ABSENT))
        apply(replica, 2, Change("a.com", ABSENT))
        assert replica.count() == 0
        apply(replica, 3, Change("a.com", FILED))
        assert (contents(replica), replica.count()) == ({"a.com": "filed"}, 1)

    def test_the_first_batch_of_a_log_needs_no_snapshot(self, replica: Replica) -> None:
        apply(replica, 0, Change("a.com", FILED))
        assert contents(replica) == {"a.com": "filed"}

    @pytest.mark.parametrize(
        ("epoch", "start", "end", "error"),
        [
            ("e2", 6, 7, RevisionGap),  # a gap
            ("e2", 4, 5, RevisionGap),  # a repeat
            ("e2", 4, 6, RevisionGap),  # an overlap
            ("e2", 5, 4, RevisionGap),  # backwards
            ("e1", 5, 6, OldEpoch),
            ("e3", 5, 6, NewEpoch),
            ("e3", 0, 1, NewEpoch),
        ],
    )
    def test_a_batch_that_does_not_fit_changes_nothing(
        self, replica: Replica, epoch: str, start: int, end: int, error: type[Exception]
    ) -> None:
        replica.load(filed("a.com"), epoch="e1", revision=9)
        replica.load(filed("a.com"), epoch="e2", revision=5)
        before = replica.position()
        with pytest.raises(error) as caught:
            replica.apply(
                [Change("b.com", FILED)], epoch=epoch, from_revision=start, to_revision=end
            )
        assert caught.value.have == before  # type: ignore[attr-defined]
        assert (contents(replica), replica.position()) == ({"a.com": "filed"}, before)

    def test_a_first_batch_in_the_middle_of_a_log_is_a_gap(self, replica: Replica) -> None:
        with pytest.raises(NewEpoch, match="load a snapshot first"):
            apply(replica, 5, Change("a.com", FILED))
        assert replica.position() is None

    @pytest.mark.parametrize(
        "change",
        [
            Change("A.com", FILED),
            Change("a.com.", FILED),
            Change("com", FILED),
            Change("", FILED),
            Change("a..com", FILED),
            Change("1.2.3.4", FILED),
            Change("例子.中国", FILED),
            Change("a\ud800.com", FILED),
            Change("a" * 64 + ".com", FILED),
            Change("A.com", ABSENT),
            Change("a.com", REVOKED),
            Change("a.com", FILED, "京ICP备1号\n"),
            Change("a.com", FILED, "a\tb"),
            Change("a.com", FILED, "\ud800"),
            Change("a.com", FILED, "x" * 200),
        ],
    )
    def test_one_bad_change_refuses_the_batch(self, replica: Replica, change: Change) -> None:
        replica.load(filed("a.com"), epoch="e1", revision=1)
        with pytest.raises(BadChange) as caught:
            apply(replica, 1, Change("b.com", FILED), change)
        assert caught.value.domain == change.domain
        position = replica.position()
        assert position is not None
        assert (contents(replica), position.revision) == ({"a.com": "filed"}, 1)


class TestLoad:
    def test_a_load_replaces_the_set_and_keeps_tombstones(self, replica: Replica) -> None:
        replica.load(filed("a.com", "b.com", "d.com", "z.com"), epoch="e1", revision=1)
        apply(replica, 1, Change("z.com", ABSENT))
        replica.load(filed("b.com", "c.com"), epoch="e1", revision=5)
        assert contents(replica) == {
            "a.com": "revoked",
            "b.com": "filed",
            "c.com": "filed",
            "d.com": "revoked",
            "z.com": "revoked",
        }
        assert contents(replica, revoked=False) == {"b.com": "filed", "c.com": "filed"}
        assert replica.count() == 2
        assert replica.digest() == digest(filed("b.com", "c.com"))

    def test_loads_alternate_and_the_file_does_not_grow_with_them(self, replica: Replica) -> None:
        names = [f"n{number:06d}.com" for number in range(20_000)]
        sizes = []
        for revision in range(1, 7):
            replica.load(filed(*names), epoch="e1", revision=revision)
            sizes.append(replica.info().file_bytes)
        assert replica.count() == len(names)
        assert sizes[-1] == sizes[2]

    def test_a_tombstone_in_a_snapshot_is_one(self, replica: Replica) -> None:
        replica.load([*filed("a.com"), Filing("b.com", REVOKED)], epoch="e1", revision=1)
        assert (contents(replica), replica.count()) == ({"a.com": "filed", "b.com": "revoked"}, 1)

    @pytest.mark.parametrize(
        ("bound", "closing", "loads"),
        [(0.1, 10, True), (0.1, 11, False), (0.0, 0, True), (0.0, 1, False), (1.0, 100, True)],
    )
    def test_a_set_that_closes_more_than_a_bound_leaves_the_old_one(
        self, replica: Replica, bound: float, closing: int, loads: bool
    ) -> None:
        names = [f"d{number:03}.cn" for number in range(100)]
        others = [Filing(f"e{number:02}.cn", Status.SUSPENDED) for number in range(50)]
        replica.load([*filed(*names), *others], epoch="e1", revision=1)
        new = filed(*names[closing:], "new.cn")
        if loads:
            replica.load(new, epoch="e1", revision=2, check=within(bound))
        else:
            with pytest.raises(SetShrinks) as caught:
                replica.load(new, epoch="e1", revision=2, check=within(bound))
            assert (caught.value.closing, caught.value.filed) == (closing, 100)
        position = replica.position()
        assert position is not None
        assert position.revision == (2 if loads else 1)
        assert replica.count() == (101 - closing if loads else 150)

    @pytest.mark.parametrize(
        "status", [None, Status.SUSPENDED, Status.FILED_ELSEWHERE, Status.REVOKED]
    )
    def test_a_filed_domain_closes_whatever_it_becomes(
        self, replica: Replica, status: Status | None
    ) -> None:
        replica.load(filed("a.cn", "b.cn"), epoch="e1", revision=1)
        new = [*([Filing("a.cn", status)] if status else []), *filed("b.cn", "c.cn")]
        seen: list[Difference] = []
        replica.load(new, epoch="e1", revision=2, check=seen.append)
        assert seen == [Difference(filed=2, closing=1, opening=1)]

    def test_an_empty_set_can_be_loaded(self, replica: Replica) -> None:
        replica.load(filed("a.com"), epoch="e1", revision=1)
        replica.load([], epoch="e1", revision=2)
        assert (contents(replica), replica.count()) == ({"a.com": "revoked"}, 0)

    def test_progress_counts_records(self, replica: Replica) -> None:
        seen: list[int] = []
        names = [f"n{number:06d}.com" for number in range(60_000)]
        replica.load(filed(*names), epoch="e1", revision=1, progress=seen.append)
        assert seen == sorted(seen)
        assert seen[-1] == len(names)
        assert len(seen) > 1

    @pytest.mark.parametrize(
        ("filings", "domain"),
        [
            (filed("b.com", "a.com"), "a.com"),
            (filed("a.com", "a.com"), "a.com"),
            ([Filing("a.com", ABSENT)], "a.com"),
            (filed("a.com", "com"), "com"),
            (filed("a.com", "b.COM"), "b.COM"),
            ([Filing("a.com", FILED, "a\nb")], "a.com"),
        ],
    )
    def test_a_bad_filing_leaves_the_old_set(
        self, replica: Replica, filings: list[Filing], domain: str
    ) -> None:
        replica.load(filed("old.com"), epoch="e1", revision=1)
        with pytest.raises(BadChange) as caught:
            replica.load(filings, epoch="e1", revision=2)
        assert caught.value.domain == domain
        assert contents(replica) == {"old.com": "filed"}

    def test_a_stream_that_breaks_leaves_the_old_set(self, replica: Replica) -> None:
        def broken() -> Iterator[Filing]:
            for number in range(120_000):
                yield Filing(f"n{number:06d}.com", FILED)
            raise ConnectionError("cut")

        replica.load(filed("old.com"), epoch="e1", revision=1)
        with pytest.raises(ConnectionError):
            replica.load(broken(), epoch="e1", revision=2)
        assert contents(replica) == {"old.com": "filed"}
        replica.load(filed("new.com"), epoch="e1", revision=2)
        assert contents(replica) == {"new.com": "filed", "old.com": "revoked"}

    @pytest.mark.parametrize(
        ("epoch", "revision", "error"), [("e1", 99, OldEpoch), ("e2", 4, RevisionGap)]
    )
    def test_an_older_snapshot_is_refused(
        self, replica: Replica, epoch: str, revision: int, error: type[Exception]
    ) -> None:
        replica.load(filed("a.com"), epoch="e1", revision=9)
        replica.load(filed("b.com"), epoch="e2", revision=5)
        with pytest.raises(error):
            replica.load(filed("c.com"), epoch=epoch, revision=revision)
        assert contents(replica, revoked=False) == {"b.com": "filed"}
        replica.load(filed("c.com"), epoch="e2", revision=5)  # the same revision may come again
        assert contents(replica, revoked=False) == {"c.com": "filed"}

    def test_one_bulk_load_at_a_time(self, replica: Replica) -> None:
        def nested() -> Iterator[Filing]:
            with pytest.raises(ReplicaBusy, match="under way"):
                replica.load(filed("b.com"), epoch="e1", revision=2)
            yield from filed("a.com")

        replica.load(nested(), epoch="e1", revision=1)
        assert contents(replica) == {"a.com": "filed"}

    def test_lookups_see_the_old_set_until_the_switch(self, replica: Replica) -> None:
        replica.load(filed("old.com"), epoch="e1", revision=1)

        def stream() -> Iterator[Filing]:
            for number in range(110_000):
                if number % 50_000 == 0:
                    assert replica.lookup("www.old.com") == Filing("old.com", FILED, "京ICP备1号")
                    assert replica.lookup("n000000.com") is None
                yield Filing(f"n{number:06d}.com", FILED)

        replica.load(stream(), epoch="e1", revision=2)
        assert replica.lookup("www.n000000.com") is not None
        assert replica.lookup("www.old.com") == Filing("old.com", REVOKED)


class TestLocal:
    """Imports into a replica that follows no registry."""

    def test_edits_and_loads_count_up(self, replica: Replica) -> None:
        replica.edit([Change("a.com", FILED)])
        replica.load_local(filed("b.com"))
        replica.edit([Change("c.com", FILED)])
        position = replica.position()
        assert position is not None
        assert (position.epoch, position.revision) == (LOCAL_EPOCH, 3)
        assert contents(replica, revoked=False) == {"b.com": "filed", "c.com": "filed"}

    def test_a_replica_that_follows_a_registry_takes_none(self, replica: Replica) -> None:
        replica.load(filed("a.com"), epoch="e1", revision=1)
        with pytest.raises(NewEpoch, match="make the change in the registry"):
            replica.edit([Change("b.com", FILED)])
        with pytest.raises(NewEpoch, match="make the change in the registry"):
            replica.load_local(filed("b.com"))
        assert contents(replica) == {"a.com": "filed"}

    def test_a_registry_takes_over_with_a_snapshot(self, replica: Replica) -> None:
        replica.edit([Change("a.com", FILED)])
        with pytest.raises(NewEpoch):
            apply(replica, 0, Change("b.com", FILED))
        replica.load(filed("b.com"), epoch="e1", revision=1)
        assert contents(replica, revoked=False) == {"b.com": "filed"}


class TestOverrides:
    def test_overrides_are_kept_beside_the_set(self, replica: Replica, path: Path) -> None:
        exempt = Override("a.com", OverrideKind.EXEMPT, 2e9, "因為 because", "操作员", 1.5)
        suspended = Override("b.a.com", OverrideKind.SUSPENDED, None, "", "ops", 2.5)
        replica.set_override(exempt)
        replica.set_override(suspended)
        replica.load(filed("c.com"), epoch="e1", revision=1)
        replica.load(filed("d.com"), epoch="e2", revision=1)
        replica.close()
        with Replica.open(path, writable=False) as reader:
            assert reader.overrides() == {"a.com": exempt, "b.a.com": suspended}
            reader.refresh()
            assert reader.current_overrides == reader.overrides()

    def test_a_later_override_replaces_the_earlier(self, replica: Replica) -> None:
        for kind in OverrideKind:
            replica.set_override(Override("a.com", kind, 5.0, "", "", 0.0))
        assert [one.kind for one in replica.overrides().values()] == [OverrideKind.SUSPENDED]

    @pytest.mark.parametrize("domain", ["A.com", "com", "", "1.2.3.4"])
    def test_only_a_canonical_domain_has_one(self, replica: Replica, domain: str) -> None:
        with pytest.raises(BadChange):
            replica.set_override(Override(domain, OverrideKind.EXEMPT, 5.0, "", "", 0.0))


class TestDamage:
    """A file that cannot be trusted is said to be so; it never answers wrongly or kills."""

    @pytest.fixture
    def filled(self, path: Path) -> Path:
        with Replica.open(path, writable=True) as replica:
            replica.load(filed(*(f"n{n:05d}.com" for n in range(5000))), epoch="e1", revision=1)
        verify(path)
        return path

    @pytest.mark.parametrize("writable", [True, False])
    @pytest.mark.parametrize(
        "content", [b"not a database " * 1000, b"\0" * 100_000, b"SQLite format 3\0" + b"\0" * 8192]
    )
    def test_another_kind_of_file(self, path: Path, content: bytes, writable: bool) -> None:
        path.mkdir(parents=True)
        (path / "data.mdb").write_bytes(content)
        with pytest.raises(ReplicaCorrupt, match="set it aside"):
            Replica.open(path, writable=writable)

    @pytest.mark.parametrize("writable", [True, False])
    @pytest.mark.parametrize("keep", [0.3, 0.6, 0.9])
    def test_a_truncated_file(self, filled: Path, keep: float, writable: bool) -> None:
        data = filled / "data.mdb"
        os.truncate(data, int(data.stat().st_size * keep))
        with pytest.raises(ReplicaCorrupt, match="set it aside"):
            Replica.open(filled, writable=writable)

    def test_pages_overwritten_are_found_by_a_full_check(self, filled: Path) -> None:
        data = filled / "data.mdb"
        with data.open("r+b") as file:
            file.seek(data.stat().st_size // 2 // 4096 * 4096)
            file.write(os.urandom(4096))
        with pytest.raises(ReplicaCorrupt, match="faults, the first"):
            verify(filled)
        with pytest.raises(ReplicaCorrupt):
            Replica.open(filled, writable=True, full_check=True)

    def test_records_that_no_gate_wrote(self, filled: Path) -> None:
        with lmdb.open(str(filled), max_dbs=4, map_size=1 << 30) as env:
            names = env.open_db(b"names.1")
            with env.begin(names, write=True) as txn:
                assert txn.get(b"n00001.com")
                txn.put(b"n00001.com", b"\x0f")
        with Replica.open(filled, writable=False) as replica:
            assert replica.lookup("n00002.com") is not None
            for read in (
                lambda: replica.find(b"n00001.com"),
                lambda: replica.get("n00001.com"),
                lambda: list(replica.items()),
            ):
                with pytest.raises(ReplicaCorrupt, match=r"n00001\.com.* no known status"):
                    read()

    @pytest.mark.parametrize(
        "state", [b"{", b"[]", b"{}", b'{"format": 1}', b'{"format": 99}', b"\xff"]
    )
    def test_a_damaged_state_record(self, filled: Path, state: bytes) -> None:
        with lmdb.open(str(filled), max_dbs=4, map_size=1 << 30) as env:
            states = env.open_db(b"state")
            with env.begin(states, write=True) as txn:
                txn.put(b"state", state)
        with Replica.open(filled, writable=True) as replica:
            for read in (
                replica.position,
                lambda: replica.find(b"a.com"),
                lambda: apply(replica, 1, Change("a.com", FILED)),
            ):
                with pytest.raises(ReplicaCorrupt):
                    read()

    def test_set_aside_makes_room_for_a_new_one(self, filled: Path) -> None:
        first = set_aside(filled, 0)
        assert first.name == "replica.corrupt-19700101T000000Z"
        verify(first)
        with Replica.open(filled, writable=True) as replica:
            assert replica.position() is None
        second = set_aside(filled, 0)
        assert second != first
        assert not filled.exists()

    def test_a_verified_file_must_exist(self, path: Path) -> None:
        with pytest.raises(ReplicaMissing):
            verify(path)


class TestSizes:
    def test_the_map_grows_when_it_is_full(self, path: Path) -> None:
        with Replica.open(path, writable=True, map_size=1 << 17) as replica:
            names = [f"n{number:06d}.com" for number in range(30_000)]
            replica.load(filed(*names), epoch="e1", revision=1)
            replica.apply(
                [Change(f"m{number:06d}.com", FILED) for number in range(30_000)],
                epoch="e1",
                from_revision=1,
                to_revision=2,
            )
            assert replica.count() == 60_000
            assert replica.info().map_bytes > 1 << 21
        with Replica.open(path, writable=False, map_size=1 << 12) as reader:
            assert reader.lookup("www.m029999.com") is not None
        verify(path)

    def test_a_million_names_with_licences_fit_into_50_bytes_each(self, replica: Replica) -> None:
        # By a sample: 100,000 names of 13 characters with eight-byte licences.
        filings = [
            Filing(f"n{number:08d}.com", FILED, f"粤ICP备{2_021_000_000 + number}号-1")
            for number in range(100_000)
        ]
        replica.load(filings, epoch="e1", revision=1)
        assert replica.info().set_bytes < 50 * len(filings)

    def test_info(self, replica: Replica, path: Path) -> None:
        replica.load(filed("a.com", "b.com"), epoch="e1", revision=4)
        apply(replica, 4, Change("a.com", ABSENT))
        replica.set_override(Override("c.com", OverrideKind.EXEMPT, 5.0, "", "", 0.0))
        info = replica.info()
        assert (info.path, info.count, info.records, info.overrides) == (path, 1, 2, 1)
        assert info.position == replica.position()
        assert info.file_bytes == (path / "data.mdb").stat().st_size

    def test_replaced_tells_when_another_file_took_its_place(
        self, replica: Replica, path: Path, tmp_path: Path
    ) -> None:
        assert not replica.replaced()
        shutil.move(path, tmp_path / "moved")
        assert replica.replaced()


def test_every_error_is_a_replica_error() -> None:
    for error in (BadChange, NewEpoch, OldEpoch, RevisionGap, ReplicaBusy, ReplicaCorrupt):
        assert issubclass(error, ReplicaError)
