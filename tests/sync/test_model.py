"""The promise, as a model: whatever happens on the way, an acknowledged change is in force.

A real registry (SQLite), its real log, signatures and snapshots, and two gates with real replicas
and workers that cache verdicts. What lies between is the adversary: batches are sent late, twice,
out of order or not at all, several channels bring them at once and are cancelled, acknowledgements
are lost, and each side is restarted at any moment, which for the registry and the control process
means everything but the disk is gone.

A record is kept of what the registry said at each revision. After each acknowledgement the gate's
verdict for every domain is compared with it, and at rest the gates' with the registry's.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import tempfile
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from gate.changes.batch import Batch, split
from gate.changes.errors import Cause, SyncError
from gate.changes.snapshot import MANIFEST_TYPE, read_filings
from gate.changes.verifier import Verifier
from gate.registry import log
from gate.registry.bulk.importing import import_file
from gate.registry.commands import (
    AccessFiling,
    Approve,
    CancelAccess,
    CancelService,
    CancelSubject,
    ChangeService,
    ChangeSubject,
    Command,
    Resume,
    Suspend,
)
from gate.registry.distribution.sealing import Sealer
from gate.registry.distribution.snapshots import Snapshots
from gate.registry.errors import RegistryError
from gate.registry.opening import open_registry
from gate.registry.places import Places
from gate.registry.registry import LOCAL, Registry
from gate.replica import Replica
from gate.settings import RegistrySettings
from gate.sync.applier import Applier
from tests.harness.examples import examples
from tests.harness.new_registry import migrated, share_statements
from tests.registry.filings import first_filing, new_service
from tests.sync.fleet import CachingFleet

T = TypeVar("T")

DOMAINS = ["a.cn", "b.a.cn", "c.com.cn", "d.cn", "xn--fsqu00a.com"]
NAMES = [*DOMAINS, "www.a.cn", "x.b.a.cn", "other.cn"]
ACCOUNTS = ["a1", "a2"]


class ModelGate:
    """One gate: its replica on disk, its workers, and what it has acknowledged."""

    def __init__(self, folder: Path, keys: Path) -> None:
        self.folder = folder
        self.verifier = Verifier(keys)
        self.replica = Replica.open(folder, writable=True)
        self.fleet = CachingFleet(self.replica)
        self.applier = Applier(self.replica, self.fleet)
        self.acknowledged = -1

    def restart(self, *, workers: bool) -> None:
        """The control process dies and comes again; the workers, too, or they go on."""
        self.replica.close()
        self.replica = Replica.open(self.folder, writable=True)
        self.fleet.replica = self.replica
        self.fleet.broken = False
        if workers:
            for cache in self.fleet.caches:
                cache.clear()
        self.applier = Applier(self.replica, self.fleet)


class Sync(RuleBasedStateMachine):
    """See the module."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.folder = Path(tempfile.mkdtemp(prefix="gate-model-"))
        self.registry_settings = RegistrySettings()
        self.places = Places.of(self.registry_settings, self.folder)
        self.said: dict[int, dict[str, str]] = {}
        self.flying: list[tuple[int, bytes]] = []
        self.files = 0

    @initialize()
    def begin(self) -> None:
        self.open_registry()
        keys = self.folder / "keys" / "public.json"
        self.gates = [ModelGate(self.folder / f"gate{n}", keys) for n in range(2)]
        for gate in self.gates:
            self.snapshot(gate)

    def teardown(self) -> None:
        try:
            if hasattr(self, "gates"):
                self.come_to_rest()
        finally:
            for gate in getattr(self, "gates", ()):
                gate.replica.close()
            if hasattr(self, "registry"):
                self.registry.database.close()
            self.loop.close()
            shutil.rmtree(self.folder)

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.loop.run_until_complete(work)

    # The registry

    def open_registry(self) -> None:
        if not Path(self.places.database).exists():
            migrated(self.places.database).close()
        self.registry: Registry = open_registry(self.places, self.registry_settings)
        share_statements(self.registry.database)
        self.sealer = Sealer(self.places.keys_dir)
        self.snapshots = Snapshots(
            self.registry, self.folder / "snapshots", seconds=300.0, keep=1_000, max_shrink=1.0
        )
        self.remember()

    def remember(self) -> None:
        """Note what is on record at the log's head."""
        with self.registry.database.read() as connection:
            head = log.head(connection)
            rows = connection.exec_driver_sql("SELECT domain, status FROM domains")
            self.said[head.revision] = {str(row[0]): str(row[1]) for row in rows}

    def do(self, command: Command) -> None:
        """Carry out an operation, if the registry's rules allow it."""
        with contextlib.suppress(RegistryError):
            done = self.registry.perform(command, actor=LOCAL)[0]
            if done.application is not None and command.operation != "approve":
                self.do(Approve(application=done.application, generate=True))
        self.remember()

    @rule(
        domain=st.sampled_from(DOMAINS),
        account=st.sampled_from(ACCOUNTS),
        other=st.sampled_from(DOMAINS),
        choice=st.integers(0, 9),
    )
    def operate(self, domain: str, account: str, other: str, choice: int) -> None:
        """An operation that its domain's state allows."""
        match self.status(domain):
            case "filed":
                ways: list[Command] = [
                    CancelService(domain=domain),
                    CancelAccess(domain=domain),
                    Suspend(domain=domain, reason="order"),
                    ChangeService(domain=domain, domains=(other,)),
                ]
            case "suspended":
                ways = [Resume(domain=domain), CancelService(domain=domain)]
            case "filed_elsewhere":
                licence = self.value("SELECT licence FROM domains WHERE domain = ?", domain)
                ways = [AccessFiling(domain=domain, licence=licence, account=account)]
            case _:
                subject = self.subject(account)
                ways = [
                    new_service(domain, account=account, licence=subject)
                    if subject
                    else first_filing(domain, account=account)
                ]
        self.do(ways[choice % len(ways)])

    def status(self, domain: str) -> str:
        return self.value("SELECT status FROM domains WHERE domain = ?", domain)

    def subject(self, account: str) -> str:
        query = "SELECT licence FROM subjects WHERE cancelled_at IS NULL AND account = ?"
        return self.value(query, account)

    def value(self, query: str, key: str) -> str:
        """The first value of a query; empty for none."""
        with self.registry.database.read() as connection:
            row = connection.exec_driver_sql(query, (key,)).first()
        return "" if row is None else str(row[0])

    @rule(account=st.sampled_from(ACCOUNTS))
    def cancel_subject(self, account: str) -> None:
        """Every domain of its services goes in one batch."""
        if subject := self.subject(account):
            self.do(CancelSubject(licence=subject))

    @rule(account=st.sampled_from(ACCOUNTS), serial=st.integers(1, 3))
    def renumber(self, account: str, serial: int) -> None:
        """Every domain of its services gets another licence number, in one batch."""
        if subject := self.subject(account):
            self.do(ChangeSubject(licence=subject, new_licence=f"鲁ICP备0000000{serial}号"))

    @rule(
        names=st.lists(st.sampled_from(DOMAINS), min_size=1, max_size=3, unique=True),
        state=st.sampled_from(["filed", "filed_elsewhere", "suspended"]),
        chunk=st.integers(1, 3),
    )
    def bring(self, names: list[str], state: str, chunk: int) -> None:
        """An import, a batch for each chunk."""
        self.files += 1
        path = self.folder / f"{self.files}.csv"
        rows = [
            f"{name},京ICP备0000000{DOMAINS.index(name)}号-1,某某{DOMAINS.index(name)},{state}\n"
            for name in names
        ]
        path.write_text("domain,licence,subject,status\n" + "".join(rows) + f"#{self.files}\n")
        for _ in import_file(self.registry, path, actor=LOCAL, chunk_lines=chunk):
            self.remember()

    @rule()
    def registry_restart(self) -> None:
        """It is killed: only what was committed is left."""
        self.registry.database.close()
        self.open_registry()

    @rule(keep=st.integers(0, 3))
    def compact(self, keep: int) -> None:
        with self.registry.database.write() as connection:
            log.compact(connection, keep=keep)

    @rule(what=st.integers(0, 5))
    def something_rare(self, what: int) -> None:
        if what == 0:
            self.registry.renew_epoch(actor=LOCAL)
            self.remember()
        elif what == 1:  # the gates trust the file that the new key is in
            store = self.sealer._store
            store.new()
            if len(store.list()) > 2:
                store.retire(store.list()[0].keyid)

    # The way between

    def batch_after(self, revision: int, limit: int) -> Batch:
        with self.registry.database.read() as connection:
            changes = log.read_after(connection, revision, limit=limit)
            head = log.head(connection)
        now = self.registry.now()
        if not changes:
            return Batch(head.epoch, revision, revision, (), head.revision, now)
        return next(split(head.epoch, revision, changes, head=head.revision, issued_at=now))

    @rule(number=st.integers(0, 1), back=st.integers(0, 3), limit=st.integers(1, 9))
    def send(self, number: int, back: int, limit: int) -> None:
        """A batch sets out to a gate, from about where the gate is."""
        position = self.gates[number].applier.position
        since = max(0, (position.revision if position else 0) - back)
        with contextlib.suppress(RegistryError):
            self.flying.append((number, self.sealer.batch(self.batch_after(since, limit))))

    @rule(number=st.integers(0, 1), ahead=st.integers(1, 3))
    def send_too_far(self, number: int, ahead: int) -> None:
        """An earlier batch was lost, and this one comes nevertheless."""
        position = self.gates[number].applier.position
        since = (position.revision if position else 0) + ahead
        with contextlib.suppress(RegistryError):
            self.flying.append((number, self.sealer.batch(self.batch_after(since, 9))))

    @rule(number=st.integers(0, 1), back=st.integers(0, 2))
    def push(self, number: int, back: int) -> None:
        """A batch that arrives at once, the first half of which may be known."""
        self.send(number, back, 9)
        if self.flying:
            self.take(self.gates[number], self.flying[-1][1])

    @rule(number=st.integers(0, 1), workers=st.booleans())
    def push_and_die(self, number: int, workers: bool) -> None:
        """The gate commits a batch, and is killed before its workers have heard of it."""
        self.send(number, 0, 9)
        gate = self.gates[number]
        gate.fleet.broken = True
        if self.flying:
            self.take(gate, self.flying[-1][1])
        gate.restart(workers=workers)

    @precondition(lambda self: self.flying)
    @rule(data=st.data(), keep=st.booleans(), crash=st.booleans(), workers=st.booleans())
    def arrive(self, data: st.DataObject, keep: bool, crash: bool, workers: bool) -> None:
        """Any batch that is on its way arrives, and perhaps again later."""
        place = data.draw(st.integers(0, len(self.flying) - 1))
        number, sealed = self.flying[place]
        if not keep:
            del self.flying[place]
        self.take(self.gates[number], sealed)
        if crash:
            self.gates[number].restart(workers=workers)

    @precondition(lambda self: self.flying)
    @rule()
    def lose_everything(self) -> None:
        self.flying.clear()

    @rule(number=st.integers(0, 1))
    def pull(self, number: int) -> None:
        gate = self.gates[number]
        self.catch_up(gate)

    @rule(
        number=st.integers(0, 1),
        ways=st.lists(st.sampled_from(["push", "pull", "load"]), min_size=2, max_size=3),
        first=st.integers(0, 2),
        turns=st.integers(0, 9),
    )
    def at_the_same_time(self, number: int, ways: list[str], first: int, turns: int) -> None:
        """Several channels at once, one of which is cancelled at any of its awaits."""
        gate = self.gates[number]
        works = [work for way in ways if (work := self.work(gate, way)) is not None]

        async def race() -> list[int | BaseException]:
            tasks = [asyncio.create_task(work) for work in works]
            for _ in range(turns):
                await asyncio.sleep(0)
            tasks[first % len(tasks)].cancel()
            return await asyncio.gather(*tasks, return_exceptions=True)

        done = self.run(race()) if works else []
        for outcome in done:
            if isinstance(outcome, SyncError):
                assert outcome.cause in {Cause.GAP, Cause.UNENFORCED, Cause.OLD_REVISION}, outcome
            elif isinstance(outcome, int):
                gate.acknowledged = max(gate.acknowledged, outcome)
            else:
                assert isinstance(outcome, asyncio.CancelledError), repr(outcome)
        if not gate.fleet.broken:
            self.run(gate.applier.settle())
            position = gate.applier.position
            assert position is not None
            self.check_acknowledged(gate, position.revision)

    def work(self, gate: ModelGate, way: str) -> Coroutine[Any, Any, int] | None:
        """What a channel would do next; None if there is nothing for it."""
        position = gate.applier.position
        if position is None or position.epoch != self.registry.head().epoch:
            way = "load"
        if way == "load":
            file = self.snapshots.current()
            return gate.applier.load(file.manifest, read_filings(file.path, file.manifest))
        assert position is not None
        back = 1 if way == "push" else 0
        try:
            batch = self.batch_after(max(0, position.revision - back), 3)
        except RegistryError:  # compacted
            return None
        return gate.applier.apply(batch)

    @rule(number=st.integers(0, 1), broken=st.booleans())
    def worker_hangs(self, number: int, broken: bool) -> None:
        self.gates[number].fleet.broken = broken

    @rule(number=st.integers(0, 1), workers=st.booleans())
    def gate_restart(self, number: int, workers: bool) -> None:
        self.gates[number].restart(workers=workers)

    # What a gate does with it

    def outcome(self, work: Coroutine[Any, Any, int]) -> int | SyncError:
        """The revision that is acknowledged, or why it is not."""
        try:
            return self.run(work)
        except SyncError as error:
            return error

    def take(self, gate: ModelGate, sealed: bytes) -> None:
        before = gate.applier.position
        try:
            batch = gate.verifier.batch(sealed)
        except SyncError:
            return  # signed with a key that was retired meanwhile
        outcome = self.outcome(gate.applier.apply(batch))
        if isinstance(outcome, int):
            self.check_acknowledged(gate, outcome)
        elif outcome.cause is not Cause.UNENFORCED:
            assert outcome.cause in {Cause.GAP, Cause.OLD_EPOCH, Cause.NEW_EPOCH}, outcome
            assert gate.applier.position == before, f"refused ({outcome}) and yet taken"

    def catch_up(self, gate: ModelGate) -> None:
        for _ in range(200):
            position = gate.applier.position
            if position is None or position.epoch != self.registry.head().epoch:
                done = self.snapshot(gate)
            else:
                try:
                    batch = self.batch_after(position.revision, 3)
                except RegistryError:  # compacted
                    done = self.snapshot(gate)
                else:
                    sealed = gate.verifier.batch(self.sealer.batch(batch))
                    done = self.pulled(gate, self.outcome(gate.applier.apply(sealed)))
                    if batch.to_revision == batch.head:
                        return
            if not done:
                return
        raise AssertionError("a pull that does not end")

    def snapshot(self, gate: ModelGate) -> bool:
        file = self.snapshots.current()
        sealed = self.sealer.payload(file.manifest.encode(), MANIFEST_TYPE)
        manifest = gate.verifier.manifest(sealed)
        filings = read_filings(file.path, manifest)
        return self.pulled(gate, self.outcome(gate.applier.load(manifest, filings)))

    def pulled(self, gate: ModelGate, outcome: int | SyncError) -> bool:
        if isinstance(outcome, int):
            self.check_acknowledged(gate, outcome)
            return True
        assert outcome.cause is Cause.UNENFORCED, outcome
        return False

    def check_acknowledged(self, gate: ModelGate, revision: int) -> None:
        """Straight after an acknowledgement, every verdict is the registry's at that revision."""
        position = gate.applier.position
        assert position is not None
        assert position.revision == revision
        gate.acknowledged = revision
        said = self.said.get(revision)
        if said is None:
            return  # in the middle of an operation's batch, where nobody asked the registry
        for name in NAMES:
            assert gate.fleet.passes(name) == _passes(name, said), f"{name} at {revision}"

    def come_to_rest(self) -> None:
        for gate in self.gates:
            gate.fleet.broken = False
            self.catch_up(gate)
            head = self.registry.head()
            position = gate.applier.position
            assert position is not None
            assert (position.epoch, position.revision) == (head.epoch, head.revision)
            file = self.snapshots.current()
            assert gate.replica.digest() == file.manifest.sha256
            for name in NAMES:
                assert gate.fleet.passes(name) == _passes(name, self.said[head.revision])

    @invariant()
    def nothing_acknowledged_is_forgotten(self) -> None:
        for gate in getattr(self, "gates", ()):
            position = gate.applier.position
            assert position is not None
            assert position.revision >= gate.acknowledged


def _passes(name: str, said: dict[str, str]) -> bool:
    """The nearest filing or suspension at or above the name decides."""
    while "." in name:
        if said.get(name) in ("filed", "suspended"):
            return said[name] == "filed"
        name = name.partition(".")[2]
    return False


@pytest.mark.long
def test_whatever_happens_on_the_way_an_acknowledged_change_is_in_force() -> None:
    run_state_machine_as_test(
        Sync,
        settings=settings(
            max_examples=examples(40),
            stateful_step_count=50,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
