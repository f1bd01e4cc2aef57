"""The fleet through NATS JetStream, with a real server: away, wiped, and never a change missed."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import nats
import pytest

from gate.changes.stream import EPOCH_HEADER, REVISION_HEADER
from tests.harness.following import figure, follow, make_gate, passes, wait_for_revision
from tests.harness.gate_process import Gate
from tests.harness.nats_server import NatsServer, nats_server
from tests.harness.registry_process import RegistryProcess
from tests.harness.waiting import wait_for

pytestmark = pytest.mark.programs


@pytest.fixture
def server(tmp_path: Path) -> Iterator[NatsServer]:
    with nats_server(tmp_path / "nats") as server:
        yield server


@pytest.fixture
def publishing(tmp_path: Path, server: NatsServer) -> Iterator[RegistryProcess]:
    """A registry that publishes to the server."""
    registry = RegistryProcess(tmp_path / "registry", {"nats": {"servers": [server.url]}})
    registry.start()
    yield registry
    registry.kill()


def following(registry: RegistryProcess, server: NatsServer, folder: Path) -> Gate:
    """A gate that has its changes from NATS alone, as long as NATS works."""
    sync = follow(registry, pull=False, nats={"servers": [server.url]}, stale_seconds=600)
    return make_gate(folder, sync, workers=1)


@contextlib.contextmanager
def running(*gates: Gate) -> Iterator[None]:
    try:
        for gate in gates:
            gate.start()
        yield
    finally:
        for gate in gates:
            gate.stop()


def is_connected(gate: Gate) -> bool:
    return figure(gate, "gate_sync_connected", channel="nats") == 1


def batches(gate: Gate, channel: str) -> float:
    return figure(gate, "gate_sync_batches_total", channel=channel)


def test_every_gate_has_every_change_newcomers_too(
    publishing: RegistryProcess, server: NatsServer, tmp_path: Path
) -> None:
    publishing.file("first.cn")
    one, two = (following(publishing, server, tmp_path / name) for name in ("one", "two"))
    with running(one):
        wait_for(lambda: is_connected(one), "NATS")
        # The long poll that was under way before NATS worked may still bring one.
        wait_for_revision(one, publishing.file("zeroth.cn"))
        wait_for(lambda: batches(one, "nats") >= 1, "the same through NATS")
        pulled, brought = batches(one, "pull"), batches(one, "nats")
        revision = publishing.file("second.cn")
        wait_for_revision(one, revision)
        assert passes(one, "second.cn")
        with running(two):  # a newcomer: a snapshot first, and then it follows
            wait_for_revision(two, revision)
            assert figure(two, "gate_sync_snapshots_total") == 1
            assert passes(two, "first.cn")
            assert passes(two, "second.cn")
            wait_for(lambda: is_connected(two), "NATS")
            revision = publishing.cancel("first.cn")
            for gate in (one, two):
                wait_for_revision(gate, revision)
                assert not passes(gate, "first.cn")
        for number in range(6):
            wait_for_revision(one, publishing.file(f"more{number}.cn"))
        # A word of the registry may overtake a message, and have one batch pulled.
        assert batches(one, "pull") - pulled <= 1
        assert batches(one, "nats") - brought >= 7


def test_a_gate_that_was_away_goes_on_from_its_own_revision(
    publishing: RegistryProcess, server: NatsServer, tmp_path: Path
) -> None:
    gate = following(publishing, server, tmp_path / "gate")
    with running(gate):
        wait_for_revision(gate, publishing.file("a.cn"))
    for number in range(12):
        revision = publishing.file(f"b{number}.cn")
    wait_for(lambda: publishing.published() == revision, "the stream to have it")
    publishing.stop()  # so that nothing can be pulled
    with running(gate):
        wait_for_revision(gate, revision)
        assert batches(gate, "nats") == 12
        assert figure(gate, "gate_sync_snapshots_total") == 0
        assert passes(gate, "b11.cn")


def test_while_the_broker_is_away_gates_pull_and_go_back_to_it_later(
    publishing: RegistryProcess, server: NatsServer, tmp_path: Path
) -> None:
    gate = following(publishing, server, tmp_path / "gate")
    with running(gate):
        wait_for(lambda: is_connected(gate), "NATS")
        server.stop(number=signal.SIGKILL)
        wait_for(lambda: not is_connected(gate), "the loss")
        revision = publishing.file("meanwhile.cn")
        wait_for_revision(gate, revision)
        assert passes(gate, "meanwhile.cn")
        assert "NATS" in gate.log.read_text()
        server.start()
        wait_for(lambda: is_connected(gate), "NATS", 40)
        before = batches(gate, "nats")
        wait_for_revision(gate, publishing.file("after.cn"), 40)
        wait_for(lambda: batches(gate, "nats") > before, "a batch through NATS", 40)


def test_a_wiped_broker_is_noticed_and_the_gates_converge(
    publishing: RegistryProcess, server: NatsServer, tmp_path: Path
) -> None:
    gate = following(publishing, server, tmp_path / "gate")
    with running(gate):
        wait_for(lambda: is_connected(gate), "NATS")
        wait_for_revision(gate, publishing.file("before.cn"))
        server.stop()
        shutil.rmtree(server.folder)
        revision = publishing.cancel("before.cn")
        server.start()
        wait_for_revision(gate, revision, 40)
        assert not passes(gate, "before.cn")
        wait_for(lambda: is_connected(gate), "NATS", 60)
        before = batches(gate, "nats")
        wait_for_revision(gate, publishing.file("after.cn"), 40)
        assert passes(gate, "after.cn")
        wait_for(lambda: batches(gate, "nats") > before, "a batch through NATS", 40)


def test_a_stream_that_is_deleted_under_everybody_comes_again(
    publishing: RegistryProcess, server: NatsServer, tmp_path: Path
) -> None:
    async def delete() -> None:
        client = await nats.connect(server.url)
        await client.jetstream().delete_stream("GATE_FILINGS")
        await client.close()

    gate = following(publishing, server, tmp_path / "gate")
    with running(gate):
        wait_for(lambda: is_connected(gate), "NATS")
        wait_for_revision(gate, publishing.file("before.cn"))
        asyncio.run(delete())
        wait_for_revision(gate, publishing.file("after.cn"), 60)
        assert passes(gate, "after.cn")


def test_what_others_publish_is_refused_and_does_no_harm(
    publishing: RegistryProcess, server: NatsServer, tmp_path: Path
) -> None:
    """Whoever can write to the stream can't file anything, nor stop what the registry sends."""

    async def forge() -> None:
        client = await nats.connect(server.url)
        stream = client.jetstream()
        last = await stream.get_last_msg("GATE_FILINGS", "gate.filings")
        assert last.data is not None
        assert last.headers is not None
        envelope = json.loads(last.data)
        payload = base64.b64decode(envelope["payload"]).replace(b"good.cn", b"evil.cn")
        envelope["payload"] = base64.b64encode(payload).decode()
        await stream.publish("gate.filings", json.dumps(envelope).encode())
        await stream.publish("gate.filings", b"junk")
        await stream.publish("gate.filings", last.data)
        headers = {EPOCH_HEADER: "9-future", REVISION_HEADER: "999999"}
        await stream.publish("gate.filings", b"junk", headers=headers)
        await client.close()

    gate = following(publishing, server, tmp_path / "gate")
    with running(gate):
        wait_for(lambda: is_connected(gate), "NATS")
        wait_for_revision(gate, publishing.file("good.cn"))
        asyncio.run(forge())

        def refused(cause: str) -> float:
            return figure(gate, "gate_sync_refused_total", channel="nats", cause=cause)

        wait_for(lambda: refused("bad_signature") == 1, "the forged batch")
        wait_for(lambda: refused("malformed") == 2, "the junk")
        assert not passes(gate, "evil.cn")
        assert passes(gate, "good.cn")
        wait_for_revision(gate, publishing.file("next.cn"), 40)
        assert passes(gate, "next.cn")
    publishing.stop()
    publishing.start()  # it finds its place although the last message is not its own
    with running(gate):
        wait_for_revision(gate, publishing.file("last.cn"), 60)


def test_the_stream_holds_each_revision_once(
    publishing: RegistryProcess, server: NatsServer
) -> None:
    async def look() -> list[int]:
        client = await nats.connect(server.url)
        stream = client.jetstream()
        info = await stream.stream_info("GATE_FILINGS")
        found = []
        for number in range(info.state.first_seq, info.state.last_seq + 1):
            message = await stream.get_msg("GATE_FILINGS", seq=number)
            assert message.headers is not None
            found.append(int(message.headers[REVISION_HEADER]))
        await client.close()
        return found

    for round_ in range(3):
        for number in range(3):
            revision = publishing.file(f"r{round_}n{number}.cn")
        publishing.kill()
        publishing.start()
    wait_for(lambda: revision in asyncio.run(look()), "the last revision", 30)
    found = asyncio.run(look())
    assert found == sorted(set(found))


def test_no_broker_at_the_start_is_no_obstacle(tmp_path: Path) -> None:
    absent = NatsServer(tmp_path / "nats")
    registry = RegistryProcess(tmp_path / "registry", {"nats": {"servers": [absent.url]}}).start()
    gate = following(registry, absent, tmp_path / "gate")
    try:
        with running(gate):
            wait_for_revision(gate, registry.file("a.cn"))
            assert passes(gate, "a.cn")
    finally:
        registry.kill()
