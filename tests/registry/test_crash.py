"""The registry killed, and its database restarted, at random moments under load.

Afterwards the records and the log agree, and whatever was acknowledged is there.
"""

from __future__ import annotations

import random
import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event, Lock

import pytest

from gate.registry.bulk.files import FileFormat
from gate.registry.client import Remote, RemoteError
from gate.registry.commands import Approve, CancelService, ChangeService, Outcome
from gate.registry.database import Database
from gate.registry.errors import RegistryError
from gate.registry.log import read_after
from gate.registry.migrations import migrate
from gate.registry.queries import find_applications
from gate.registry.registry import LOCAL, Registry
from gate.registry.verifying import verify
from gate.registry.views import ImportView
from tests.harness.postgres import PostgresServer
from tests.harness.registry_process import RegistryProcess
from tests.harness.waiting import wait_for
from tests.registry.filings import first_filing

pytestmark = pytest.mark.programs

WORKERS = 3
ROUNDS = 3


class Load:
    """Operations from several clients, until told to stop; what was acknowledged is kept."""

    def __init__(self, port: int, token: str, prefix: str) -> None:
        self._url = f"http://127.0.0.1:{port}"
        self._token = token
        self._prefix = prefix
        self._stop = Event()
        self._lock = Lock()
        self.acknowledged: list[Outcome] = []
        self.errors: list[str] = []
        self._threads = ThreadPoolExecutor(WORKERS)
        self._futures = [self._threads.submit(self._work, number) for number in range(WORKERS)]

    def stop(self) -> None:
        """Stop, and wait for the clients; a fault of theirs is raised."""
        self._stop.set()
        self._threads.shutdown()
        for future in self._futures:
            future.result()

    def _work(self, own: int) -> None:
        remote = Remote(self._url, self._token)
        number = 0
        while not self._stop.is_set():
            number += 1
            domain = f"{self._prefix}-{own}-{number}.cn"
            try:
                filed = remote.perform(first_filing(domain, account=domain[:-3]))
                assert filed.application is not None
                self._keep(remote.perform(Approve(application=filed.application, generate=True)))
                self._keep(remote.perform(ChangeService(domain=domain, domains=(f"new-{domain}",))))
                if number % 2:
                    self._keep(remote.perform(CancelService(domain=f"new-{domain}")))
            except RemoteError as error:
                with self._lock:
                    self.errors.append(error.code)
                if self._stop.wait(0.02):
                    return

    def _keep(self, outcome: Outcome) -> None:
        with self._lock:
            self.acknowledged.append(outcome)


def check(database: str, acknowledged: list[Outcome]) -> None:
    """The records are sound, and every acknowledged change is in the log at its revision."""
    opened = Database(database)
    try:
        with opened.read() as connection:
            assert list(verify(connection, "gate")) == []
            every = read_after(connection, 0, limit=10**9)
    finally:
        opened.close()
    for outcome in acknowledged:
        found = every[outcome.revision - len(outcome.changes) : outcome.revision]
        assert [(c.domain, c.status, c.licence, c.time) for c in found] == [
            (c.domain, c.status, c.licence, c.time) for c in outcome.changes
        ]


def run(
    process: RegistryProcess,
    database: str,
    *,
    strike: Callable[[], None],
    mend: Callable[[], object],
    seed: int,
) -> Load | None:
    """Some rounds of load, each struck at a random moment; gives back the last load."""
    moments = random.Random(seed)
    acknowledged: list[Outcome] = []
    load = None
    for number in range(ROUNDS):
        load = Load(process.port, process.admin, f"r{number}")
        wanted = moments.randint(3, 40)
        wait_for(lambda load=load, wanted=wanted: len(load.acknowledged) >= wanted,  # type: ignore[misc]
                 "operations to be done", 60)  # fmt: skip
        strike()
        load.stop()
        acknowledged += load.acknowledged
        mend()
        check(database, acknowledged)
    return load


def test_a_killed_registry_has_lost_nothing(database_url: str, tmp_path: Path) -> None:
    process = RegistryProcess(tmp_path / "registry", {"database": database_url})
    process.start()
    try:
        run(process, database_url, strike=process.kill, mend=process.start, seed=1)
        assert process.stop() == 0
    finally:
        process.kill()


def test_the_registry_outlives_a_crash_of_postgresql(
    postgres: PostgresServer, tmp_path: Path
) -> None:
    database = postgres.new_database()
    process = RegistryProcess(tmp_path / "registry", {"database": database})
    process.start()

    def crash() -> None:
        postgres.stop("immediate")

    def mend() -> None:
        postgres.start()
        wait_for(lambda: answers(process.remote), "the registry to work again", 30)

    try:
        last = run(process, database, strike=crash, mend=mend, seed=2)
        assert last is not None
        assert set(last.errors) <= {"database_unavailable", "commit_unknown", "busy"}
        assert process.stop() == 0
    finally:
        process.kill()


def answers(remote: Remote) -> bool:
    try:
        remote.head()
    except RemoteError:
        return False
    return True


def test_a_full_disk_refuses_and_loses_nothing(tmp_path: Path) -> None:
    database = Database(str(tmp_path / "registry.db"))
    migrate(database)
    registry = Registry(database)

    def room(pages: int) -> None:
        # The writer has one connection: this is the disk that it meets.
        with database.write() as connection:
            connection.exec_driver_sql(f"PRAGMA max_page_count = {pages}")

    with database.write() as connection:
        pages = int(connection.exec_driver_sql("PRAGMA page_count").scalar_one())
    room(pages + 8)
    codes = []
    done_before = 0
    for number in range(2000):
        try:
            registry.perform(first_filing(f"d{number}.cn", account=f"a{number}"), actor=LOCAL)
        except RegistryError as error:
            codes.append((error.code, "full" in error.en))
            break
        done_before += 1
    assert codes == [("database_unavailable", True)]
    room(1_000_000)
    registry.perform(first_filing("after.cn", account="after"), actor=LOCAL)
    database.close()
    opened = Database(str(tmp_path / "registry.db"))
    with opened.read() as connection:
        assert list(verify(connection, "gate")) == []
        found = find_applications(connection, state="submitted", after=0, limit=10_000)
    opened.close()
    assert len(found) == done_before + 1


def test_a_long_poll_does_not_hold_up_a_stop(tmp_path: Path) -> None:
    process = RegistryProcess(tmp_path / "registry", {"database": str(tmp_path / "registry.db")})
    process.start()
    try:
        with socket.create_connection(("127.0.0.1", process.port)) as poll:
            poll.sendall(
                b"GET /v1/changes?since=0&wait=60 HTTP/1.1\r\nHost: registry\r\n"
                + f"Authorization: Bearer {process.admin}\r\n\r\n".encode()
            )
            wait_for(lambda: answers(process.remote), "an answer", 10)
            assert process.stop() == 0
            answer = poll.recv(65536)
        assert answer.startswith(b"HTTP/1.1 200 ")
    finally:
        process.kill()


def done(remote: Remote, digest: str) -> ImportView | None:
    state = remote.import_state(digest)
    return state if state.state == "done" else None


@pytest.mark.parametrize("seed", range(2))
def test_a_killed_import_is_gone_on_with(tmp_path: Path, seed: int) -> None:
    lines = "".join(f"d{n}.cn,京ICP备{10000000 + n}号-1,公司,a{n}\n" for n in range(20_000))
    path = tmp_path / "list.csv"
    path.write_text("domain,licence,subject,account\n" + lines + "cn,京ICP备10000000号-9,公司,x\n")
    database = str(tmp_path / "registry.db")
    process = RegistryProcess(tmp_path / "registry", {"database": database})
    process.start()
    try:
        remote = process.remote
        progress = remote.import_file(path, FileFormat.CSV, pause=0.01)
        wanted = random.Random(seed).randint(0, 19_000)
        state = next(progress)
        for state in progress:
            if state.lines >= wanted:
                break
        process.kill()
        process.start()
        remote = process.remote
        digest = state.digest
        end = wait_for(lambda: done(remote, digest), "the import to be done", 60)
        assert end is not None
        assert (end.accepted, end.refused, end.lines) == (20_000, 1, 20_002)
        assert [row.line for row in remote.refusals(digest)] == [20_002]
        assert process.stop() == 0
        check(database, [])
    finally:
        process.kill()
