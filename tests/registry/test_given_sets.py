"""A set that has shrunk unexplained is given to no gate before a person's word."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gate.registry import log
from gate.registry.bulk.importing import import_file
from gate.registry.commands import CancelSubject, Role
from gate.registry.distribution.given import Given, GivenSet
from gate.registry.distribution.snapshots import Snapshots
from gate.registry.errors import RegistryError
from gate.registry.log import Head
from gate.registry.registry import LOCAL, Registry
from tests.harness.new_registry import migrated
from tests.registry.conftest import serving
from tests.registry.filings import do

COUNT = 20


def listed(folder: Path, count: int = COUNT) -> Path:
    """A list of filings, each of a subject of its own."""
    path = folder / f"list-{count}.csv"
    rows = (f"d{n:02}.cn,京ICP备{10000000 + n}号-1,公司" for n in range(count))
    path.write_text("\n".join(["domain,licence,subject", *rows]), encoding="utf-8")
    return path


def filled(folder: Path, name: str, count: int = COUNT) -> Registry:
    """A registry on a new database with so many filed domains."""
    database = migrated(str(folder / name))
    registry = Registry(database)
    for _ in import_file(registry, listed(folder, count), actor=LOCAL):
        pass
    return registry


def snapshots_of(registry: Registry, folder: Path, max_shrink: float = 0.1) -> Snapshots:
    return Snapshots(
        registry, folder / "work" / "snapshots", seconds=0, keep=1000, max_shrink=max_shrink
    )


def count_given(snapshots: Snapshots) -> int | str:
    """How many filings the newest snapshot has, or the code of the refusal."""
    try:
        return snapshots.current().manifest.count
    except RegistryError as error:
        return error.code


@pytest.mark.parametrize(
    ("last", "head", "filed", "unexplained"),
    [
        (GivenSet("e1", 100, 50), Head("e1", 100, 0), 50, 0),
        (GivenSet("e1", 100, 50), Head("e1", 100, 0), 40, 10),  # no change says so
        (GivenSet("e1", 100, 50), Head("e1", 110, 0), 40, 0),  # ten changes may
        (GivenSet("e1", 100, 50), Head("e1", 103, 0), 40, 7),
        (GivenSet("e1", 100, 50), Head("e2", 110, 0), 40, 10),  # of another history
        (GivenSet("e1", 100, 50), Head("e1", 90, 0), 40, 10),  # an older backup
        (GivenSet("e1", 100, 50), Head("e1", 120, 0), 70, 0),
    ],
)
def test_changes_of_the_log_explain_a_smaller_set(
    last: GivenSet, head: Head, filed: int, unexplained: int
) -> None:
    assert last.unexplained(head, filed) == unexplained


@pytest.mark.parametrize(
    ("count", "bound", "given"),
    [(18, 0.1, 18), (17, 0.1, "snapshot_held"), (0, 0.1, "snapshot_held"), (1, 1.0, 1)],
)
def test_another_database_in_the_place_of_the_first(
    tmp_path: Path, count: int, bound: float, given: int | str
) -> None:
    first = filled(tmp_path, "first.db")
    assert count_given(snapshots_of(first, tmp_path)) == COUNT
    first.database.close()
    second = filled(tmp_path, "second.db", count)
    snapshots = snapshots_of(second, tmp_path, bound)
    assert count_given(snapshots) == given
    assert count_given(snapshots) == given, "it waits as long as it takes"
    assert (snapshots.held is not None) == (given == "snapshot_held")
    second.database.close()


def test_operations_need_no_word_however_many(tmp_path: Path) -> None:
    registry = filled(tmp_path, "registry.db")
    snapshots = snapshots_of(registry, tmp_path)
    assert count_given(snapshots) == COUNT
    for number in range(COUNT):
        do(registry, CancelSubject(licence=f"京ICP备{10000000 + number}号"))
    assert count_given(snapshots) == 0
    snapshots = snapshots_of(registry, tmp_path)  # after a restart
    assert count_given(snapshots) == 0
    registry.database.close()


def test_a_hand_in_the_tables_is_noticed(tmp_path: Path) -> None:
    registry = filled(tmp_path, "registry.db")
    assert count_given(snapshots_of(registry, tmp_path)) == COUNT
    with registry.database.write() as connection:
        connection.exec_driver_sql("DELETE FROM domains WHERE domain > 'd02.cn'")
    assert count_given(snapshots_of(registry, tmp_path)) == "snapshot_held"
    registry.database.close()


def test_a_word_gives_the_set_out_and_is_the_measure_from_then_on(tmp_path: Path) -> None:
    first = filled(tmp_path, "first.db")
    assert count_given(snapshots_of(first, tmp_path)) == COUNT
    first.database.close()
    second = filled(tmp_path, "second.db", 5)
    snapshots = snapshots_of(second, tmp_path)
    assert count_given(snapshots) == "snapshot_held"
    second.accept_set(reason="a new beginning", actor=LOCAL)
    assert count_given(snapshots) == 5
    assert snapshots.held is None
    assert count_given(snapshots_of(second, tmp_path)) == 5
    with second.database.write() as connection:
        log.begin_epoch(connection)  # the word was for the epoch before
        connection.exec_driver_sql("DELETE FROM domains")
    assert count_given(snapshots_of(second, tmp_path)) == "snapshot_held"
    second.database.close()


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"epoch": 1}', b"\xff\xfe"])
def test_a_memory_that_is_damaged_is_told_of_and_begun_anew(
    tmp_path: Path, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "given.json"
    path.write_bytes(content)
    given = Given(path)
    assert given.last is None
    assert "is damaged" in caplog.text
    given.remember(GivenSet("e1", 1, 2))
    assert Given(path).last == GivenSet("e1", 1, 2)


@pytest.mark.programs
async def test_the_service_says_so_and_takes_the_word(tmp_path: Path) -> None:
    first = filled(tmp_path, "first.db")
    assert count_given(snapshots_of(first, tmp_path)) == COUNT
    first.database.close()
    filled(tmp_path, "second.db", 2).database.close()
    async with serving(str(tmp_path / "second.db"), tmp_path) as api:
        refused = await api.call("GET", "/v1/snapshot")
        assert (refused.status, refused.json()["code"]) == (503, "snapshot_held")
        assert "accept-set" in refused.json()["en"]
        head = (await api.call("GET", "/v1/head")).json()
        assert (head["filed"], head["held"]) == (2, {"before": COUNT, "filed": 2})
        metrics = (await api.call("GET", "/metrics")).body.decode()
        assert "gate_registry_set_held 1.0" in metrics
        body = {"reason": "a new beginning"}
        for role in (Role.READER, Role.REGISTRAR):
            answer = await api.call("POST", "/v1/snapshot/accept", role=role, json=body)
            assert answer.status == 403
        answer = await api.call("POST", "/v1/snapshot/accept", json=body)
        assert answer.status == 200
        assert (await api.call("GET", "/v1/snapshot")).status == 200
        assert (await api.call("GET", "/v1/head")).json()["held"] is None
        again = await api.call("POST", "/v1/snapshot/accept", json=body)
        assert (again.status, again.json()["code"]) == (409, "nothing_held")
        audit = (await api.call("GET", "/v1/audit")).json()["items"][-1]
        assert (audit["operation"], json.loads(audit["detail"])) == ("accept_set", body)
