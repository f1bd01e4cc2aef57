"""Faults, with real processes: each ends converged, with nothing lost, and says what happened."""

from __future__ import annotations

import contextlib
import http.client
import os
import random
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from gate.registry.bulk.files import FileFormat
from tests.harness.following import (
    control_process,
    figure,
    follow,
    make_gate,
    passes,
    push_section,
    wait_for_revision,
)
from tests.harness.gate_process import Gate, run_gate
from tests.harness.postgres import running_server
from tests.harness.registry_process import RegistryProcess
from tests.harness.rights import with_own_mounts
from tests.harness.tap import Tap
from tests.harness.waiting import wait_for

pytestmark = pytest.mark.programs


@contextlib.contextmanager
def running(gate: Gate) -> Iterator[Gate]:
    try:
        yield gate.start()
    finally:
        gate.stop()


def log_of(gate: Gate) -> str:
    return gate.log.read_text()


def is_ready(gate: Gate) -> bool:
    return gate.ask_admin("/readyz")[0] == 200


def test_a_gate_starts_from_its_replica_while_the_registry_is_down(
    registry: RegistryProcess, tmp_path: Path
) -> None:
    registry.file("a.cn")
    gate = make_gate(tmp_path / "gate", follow(registry, stale_seconds=2))
    with running(gate):
        assert passes(gate, "www.a.cn")
    registry.kill()
    with running(gate):  # `start` waits for readiness
        assert passes(gate, "www.a.cn")
        assert not passes(gate, "www.b.cn")
        wait_for(lambda: figure(gate, "gate_sync_stale") == 1, "the alarm")
        assert figure(gate, "gate_sync_staleness_seconds") > 2
        assert figure(gate, "gate_sync_connected", channel="pull") == 0
        assert figure(gate, "gate_sync_refused_total", channel="pull", cause="unreachable") > 0
        assert is_ready(gate), "stale filings are never a reason to block by default"
        wait_for(lambda: "stale: no word from the registry" in log_of(gate), "the log line")
        registry.start()
        revision = registry.file("b.cn")
        wait_for_revision(gate, revision)
        assert passes(gate, "www.b.cn")
        wait_for(lambda: figure(gate, "gate_sync_stale") == 0, "the end of the alarm")


def test_a_gate_that_never_synced_takes_no_traffic(
    registry: RegistryProcess, tmp_path: Path
) -> None:
    registry.file("a.cn")
    registry.kill()
    gate = make_gate(tmp_path / "gate", follow(registry))
    gate.start_unready()
    try:
        wait_for(lambda: "can't be reached" in gate.ask_admin("/readyz")[1], "the reason")
        assert "never been synced" in gate.ask_admin("/readyz")[1]
        with pytest.raises(OSError, match="refused"):
            http.client.HTTPConnection("127.0.0.1", gate.ports["http"]).connect()
        registry.start()
        wait_for(lambda: is_ready(gate), "readiness", 30)
        assert passes(gate, "a.cn")
    finally:
        gate.stop()


def test_a_gate_may_be_told_to_give_up_when_stale(
    registry: RegistryProcess, tmp_path: Path
) -> None:
    gate = make_gate(tmp_path / "gate", follow(registry, unready_seconds=2, poll_seconds=0.5))
    with running(gate):
        registry.kill()
        wait_for(lambda: gate.ask_admin("/readyz")[0] == 503, "the limit")
        assert "sync.unready_seconds" in gate.ask_admin("/readyz")[1]
        registry.start()
        wait_for(lambda: is_ready(gate), "readiness", 30)


def fill(registry: RegistryProcess, count: int, folder: Path) -> None:
    """Import so many filings, one subject each."""
    path = folder / "many.csv"
    with path.open("w") as file:
        file.write("domain,licence,subject\n")
        for number in range(count):
            file.write(f"site{number}.cn,京ICP备{10_000_000 + number}号-1,公司{number}\n")
    for state in registry.remote.import_file(path, FileFormat.CSV, pause=0.1):
        last = state
    assert (last.state, last.accepted) == ("done", count)


def test_the_registry_is_killed_in_the_middle_of_a_snapshot(
    registry: RegistryProcess, tmp_path: Path
) -> None:
    fill(registry, 20_000, tmp_path)
    tap = Tap(registry.port)
    tap.limit, tap.on_limit = 12_000, registry.kill
    sync = follow(registry) | {"registry": f"http://127.0.0.1:{tap.port}"}
    gate = make_gate(tmp_path / "gate", sync)
    gate.start_unready()
    try:
        wait_for(lambda: registry.process is None, "the cut", 30)
        # The gate sees a short file, or a reset connection where that overtakes the last bytes.
        wait_for(
            lambda: figure(gate, "gate_sync_refused_total", channel="pull") >= 1,
            "the snapshot that came to nothing",
        )
        assert figure(gate, "gate_replica_entries") == 0
        assert not is_ready(gate)
        assert not list((tmp_path / "gate").glob("snapshot*"))
        registry.start()
        wait_for(lambda: is_ready(gate), "readiness", 60)
        assert figure(gate, "gate_replica_entries") == 20_000
        assert passes(gate, "www.site19999.cn")
    finally:
        gate.stop()
        tap.close()


def push_to(registry: RegistryProcess, gate: Gate) -> None:
    """Have the registry push to the gate, from its next start on."""
    listen = gate.settings["sync"]["push"]["listen"]
    registry.registry["push"] = [{"name": "edge", "url": f"http://{listen}"}]
    registry.write()


def pushed_gate(registry: RegistryProcess, folder: Path) -> Gate:
    """A gate that only push brings changes to; the registry is started anew with it."""
    gate = make_gate(folder, follow(registry, pull=False, push=push_section()))
    push_to(registry, gate)
    registry.stop()
    registry.start()
    return gate


def test_the_registry_is_killed_while_it_pushes(registry: RegistryProcess, tmp_path: Path) -> None:
    gate = pushed_gate(registry, tmp_path / "gate")
    with running(gate):
        wait_for(lambda: registry.acknowledged("edge") >= 0, "the first acknowledgement")
        domains = [f"k{number}.cn" for number in range(24)]
        for number, domain in enumerate(domains):
            registry.insist(registry.file, domain)
            if number % 10 == 5:
                registry.kill()
                registry.start()
        for domain in domains:  # what the registry lost, or has done without saying so
            registry.insist(registry.file, domain)
        revision = registry.remote.head().revision
        assert revision == len(domains)
        wait_for(lambda: registry.acknowledged("edge") == revision, "the acknowledgement", 30)
        assert all(passes(gate, domain) for domain in domains)
        assert figure(gate, "gate_sync_batches_total", channel="push") > 0


def test_the_control_process_is_killed_between_apply_and_acknowledgement(
    registry: RegistryProcess, tmp_path: Path
) -> None:
    """Again and again at a random moment of a push, while the workers hold cached verdicts."""
    gate = pushed_gate(registry, tmp_path / "gate")
    seed = random.randrange(2**32)
    chance = random.Random(seed)
    with running(gate):
        for round_ in range(5):
            domain = f"r{round_}.cn"
            assert not passes(gate, domain), "and every worker caches that"
            killer = threading.Timer(
                chance.uniform(0.0, 0.06), os.kill, (control_process(gate), signal.SIGKILL)
            )
            killer.start()
            revision = registry.file(domain)
            wait_for(lambda r=revision: registry.acknowledged("edge") >= r, "the ack", 30)  # type: ignore[misc]
            assert passes(gate, domain), f"acknowledged and not in force; seed {seed}"
            killer.join()
            wait_for(lambda: is_ready(gate), "the control process", 30)
        assert gate.total("gate_process_restarts_total", process="control") == 5


def test_the_whole_gate_is_killed_while_changes_come(
    registry: RegistryProcess, tmp_path: Path
) -> None:
    gate = pushed_gate(registry, tmp_path / "gate")
    gate.start()
    stop = threading.Event()
    filed: list[str] = []

    def file_on() -> None:
        while not stop.is_set():
            domain = f"w{len(filed)}.cn"
            registry.file(domain)
            filed.append(domain)

    clerk = threading.Thread(target=file_on)
    clerk.start()
    try:
        for _ in range(2):
            time.sleep(0.4)
            acknowledged = registry.acknowledged("edge")
            assert gate.process is not None
            family = [*gate.children(), gate.process.pid]
            for pid in family:
                os.kill(pid, signal.SIGKILL)
            gate.process.wait(10)
            wait_for(lambda f=family[:-1]: not any(map(_is_alive, f)), "the end")  # type: ignore[misc]
            gate.start()
            assert figure(gate, "gate_replica_revision") >= acknowledged, "an ack was forgotten"
    finally:
        stop.set()
        clerk.join()
    revision = registry.remote.head().revision
    wait_for(lambda: registry.acknowledged("edge") == revision, "the acknowledgement", 30)
    assert figure(gate, "gate_replica_entries") == len(filed)
    assert all(passes(gate, domain) for domain in chosen(filed, 20))
    gate.stop()


def chosen(domains: list[str], count: int) -> list[str]:
    """Some of them, the last one among them."""
    return domains[-1 :: -max(1, len(domains) // count)]


def _is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_postgresql_is_restarted_under_the_registry(tmp_path: Path) -> None:
    with running_server() as server:
        registry = RegistryProcess(
            tmp_path / "registry", {"database": server.new_database()}
        ).start()
        gate = make_gate(tmp_path / "gate", follow(registry))
        try:
            with running(gate):
                wait_for_revision(gate, registry.file("before.cn"))
                server.stop("immediate")
                assert registry.insist(registry.file, "meanwhile.cn") is None
                assert passes(gate, "before.cn")
                server.start()
                wait_for(lambda: registry.insist(registry.file, "after.cn"), "the database", 30)
                wait_for_revision(gate, registry.remote.head().revision, 40)
                assert passes(gate, "after.cn")
                assert not passes(gate, "meanwhile.cn")
        finally:
            registry.kill()


def test_the_replicas_disk_is_full(registry: RegistryProcess, tmp_path: Path) -> None:
    """On a tmpfs of 12 MB: the change waits, the old filings stay in force, room brings it in."""
    registry.file("before.cn")
    folder = tmp_path / "gate"
    gate = make_gate(folder, follow(registry), replica_dir=str(folder / "small"))
    small = folder / "small"
    small.mkdir()
    mounting = f'mount -t tmpfs -o size=12m none {small} && exec "$@"'
    gate.through = (*with_own_mounts(), "sh", "-c", mounting, "sh")
    gate.launch()
    try:
        wait_for(lambda: is_ready(gate), f"readiness; the log is {gate.log}", 30)
        # The mount is the gate's alone; the way in is its process.
        assert gate.process is not None
        filler = Path(f"/proc/{gate.process.pid}/root{small}/filler")
        with filler.open("wb") as file, contextlib.suppress(OSError):
            while True:
                os.write(file.fileno(), b"\0" * 4096)
        fill(registry, 3000, tmp_path)
        wait_for(
            lambda: figure(gate, "gate_sync_refused_total", channel="pull", cause="storage") > 0,
            "the full disk",
            30,
        )
        assert "nothing was changed" in log_of(gate)
        assert passes(gate, "before.cn")
        assert not passes(gate, "site2999.cn")
        assert is_ready(gate)
        filler.unlink()
        wait_for_revision(gate, registry.remote.head().revision, 40)
        assert passes(gate, "site2999.cn")
        assert passes(gate, "before.cn")
    finally:
        gate.stop()


def test_a_damaged_replica_is_set_aside_and_rebuilt(
    registry: RegistryProcess, tmp_path: Path
) -> None:
    registry.file("a.cn")
    gate = make_gate(tmp_path / "gate", follow(registry))
    with running(gate):
        assert passes(gate, "a.cn")
    registry.kill()
    data = tmp_path / "gate" / "replica" / "data.mdb"
    damaged = b"\xde\xad" * (data.stat().st_size // 2)
    data.write_bytes(damaged)
    gate.start_unready()
    try:
        wait_for(lambda: "is damaged" in log_of(gate), "the message")
        (kept,) = (tmp_path / "gate").glob("replica.corrupt-*")
        assert (kept / "data.mdb").read_bytes() == damaged, "nothing is thrown away"
        assert kept.name in log_of(gate)
        assert not is_ready(gate), "it does not guess"
        registry.start()
        wait_for(lambda: is_ready(gate), "readiness", 30)
        assert passes(gate, "a.cn")
        assert not passes(gate, "b.cn")
    finally:
        gate.stop()


def test_an_imported_list_stays_and_no_registry_is_run(tmp_path: Path) -> None:
    gate = make_gate(tmp_path / "gate", {"registry": "embedded"})
    listed = tmp_path / "list.txt"
    listed.write_text("a.cn\n")
    run_gate("import", str(listed), "--config", str(gate.config))
    with running(gate):
        assert passes(gate, "a.cn")
        assert "the replica holds an imported list" in log_of(gate)
        assert len(gate.children()) == 3, "control and two workers"


def test_the_registry_inside_is_killed_and_comes_again(tmp_path: Path) -> None:
    registry = RegistryProcess(tmp_path / "unused")  # for its helpers only; never started
    port = registry.port
    gate = make_gate(
        tmp_path / "gate",
        {"registry": "embedded"},
        registry={"listen": f"127.0.0.1:{port}"},
    )
    with running(gate):
        state = tmp_path / "gate"
        registry.admin = (state / "registry" / "admin.token").read_text().strip()
        wait_for_revision(gate, registry.file("a.cn"))
        assert passes(gate, "a.cn")
        for pid in gate.children():
            if _has_the_database(pid):
                os.kill(pid, signal.SIGKILL)
        wait_for(lambda: registry.insist(registry.file, "b.cn"), "the registry", 30)
        wait_for_revision(gate, registry.remote.head().revision, 40)
        assert passes(gate, "b.cn")
        assert gate.total("gate_process_restarts_total", process="registry") == 1


def _has_the_database(pid: int) -> bool:
    """Is it the registry's process?"""
    for number in os.listdir(f"/proc/{pid}/fd"):
        with contextlib.suppress(OSError):
            if os.readlink(f"/proc/{pid}/fd/{number}").endswith("/registry.db"):
                return True
    return False
