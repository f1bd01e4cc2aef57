"""QUIC connections when their worker is replaced: a reload, an upgrade, a death."""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gate.proxy.udp.flow import UNPROVEN_SECONDS
from tests.harness import filings
from tests.harness.certificates import Certificates
from tests.harness.gate_process import Gate, run_gate
from tests.harness.initial import Initials, client_hello, crypto
from tests.harness.operating import change
from tests.harness.quic_client import fetch, h3_connection
from tests.harness.quic_stage import QuicStage
from tests.harness.quic_talk import talking
from tests.harness.waiting import wait_for

pytestmark = pytest.mark.programs

RAW = filings.TO_RAW


@pytest.fixture(scope="module")
def own_stage(
    tmp_path_factory: pytest.TempPathFactory, certificates: Certificates
) -> Iterator[QuicStage]:
    """A gate that these tests reload, upgrade and wound."""
    folder = tmp_path_factory.mktemp("quic-reload")
    stage = QuicStage(folder, certificates, limits={"hello_seconds": 60.0})
    try:
        yield stage
    finally:
        stage.close()


@pytest.fixture
def stage(own_stage: QuicStage) -> QuicStage:
    return own_stage


def reload(gate: Gate) -> None:
    """Reload, and return when the old processes have ended."""
    before = set(gate.children())
    assert gate.process is not None
    gate.process.send_signal(signal.SIGHUP)
    wait_for(lambda: not before & set(gate.children()), "the old processes to end", 30)
    wait_for(lambda: gate.readiness() == 200, "the gate to be ready")


def upgrade(gate: Gate) -> None:
    """Put another program in the place of this one, likewise."""
    before = set(gate.children())
    run_gate("upgrade", "--config", str(gate.config))
    wait_for(lambda: not before & set(gate.children()), "the old processes to end", 30)
    wait_for(lambda: gate.readiness() == 200, "the gate to be ready")


CHANGES = {"reload": reload, "upgrade": upgrade}


@pytest.fixture(params=CHANGES)
def replace(request: pytest.FixtureRequest) -> Callable[[Gate], None]:
    return CHANGES[request.param]


def test_connections_go_on_where_they_were(
    stage: QuicStage, replace: Callable[[Gate], None]
) -> None:
    with (
        talking(stage) as proven,
        talking(stage, listener="quic-any", host="127.0.0.5") as other,
        talking(stage, client=proven.client) as beside,
    ):
        for talk in (proven, other, beside):
            talk.answer()
            talk.from_client(talk.short())
        taken = stage.gate.total("gate_quic_flows_handed_over_total")
        decisions = stage.gate.decisions(scheme="quic")
        replace(stage.gate)
        for talk in (proven, other, beside):
            talk.from_client(talk.short())  # from the same address as ever, or it would not wait
            talk.from_server(b"\x41" + secrets.token_bytes(60))
        assert stage.gate.total("gate_quic_flows_handed_over_total") >= taken + 3
        assert stage.gate.decisions(scheme="quic") == decisions


def test_a_connection_that_no_origin_has_answered_yet_goes_on(
    stage: QuicStage, replace: Callable[[Gate], None]
) -> None:
    for _ in range(3):  # the gate may forget it where the replacement itself takes too long
        began = time.monotonic()
        with talking(stage) as talk:
            taken = stage.gate.total("gate_quic_flows_handed_over_total")
            decisions = stage.gate.decisions(scheme="quic")
            replace(stage.gate)
            if time.monotonic() - began > UNPROVEN_SECONDS - 2:
                continue
            talk.from_client(talk.sending.hello(RAW))
            talk.answer()
            talk.from_client(talk.short())
            assert stage.gate.total("gate_quic_flows_handed_over_total") >= taken + 1
            assert stage.gate.decisions(scheme="quic") == decisions
            return
    pytest.fail(f"no replacement took less than {UNPROVEN_SECONDS - 2} seconds")


def test_half_a_hello_is_not_forgotten(stage: QuicStage, replace: Callable[[Gate], None]) -> None:
    hello, sending = client_hello(RAW), Initials()
    first, second = (
        sending.datagram(crypto(0, hello[:50])),
        sending.datagram(crypto(50, hello[50:])),
    )
    before = len(stage.raw.arrivals)
    with stage.client() as client:
        client.send(first)
        wait_for(lambda: stage.flows("held") == 1, "half a hello")
        replace(stage.gate)
        client.send(second)
        gate = stage.raw.sender_of(second)
        assert stage.raw.of(gate, since=before) == [first, second]


def test_half_a_second_hello_is_not_forgotten(stage: QuicStage) -> None:
    with talking(stage) as talk:
        talk.from_server(talk.handshake())
        start, second = len(client_hello(RAW)), client_hello(RAW)
        one = talk.sending.datagram(crypto(start, second[:60]))
        two = talk.sending.datagram(crypto(start + 60, second[60:]))
        before = len(stage.raw.of(talk.gate))
        talk.client.send(one)
        stage.settle()
        reload(stage.gate)
        talk.client.send(two)
        wait_for(lambda: len(stage.raw.of(talk.gate)) == before + 2, "both halves")
        assert stage.raw.of(talk.gate)[before:] == [one, two]


def test_a_first_hello_is_remembered_for_what_comes_over_it(stage: QuicStage) -> None:
    with talking(stage) as talk:
        reload(stage.gate)
        before = len(stage.raw.of(talk.gate))
        other = client_hello("u" + RAW[1:])
        talk.client.send(talk.sending.datagram(crypto(0, other)))
        blocked = stage.gate.decisions(scheme="quic", verdict="block", reason="malformed")
        wait_for(
            lambda: stage.gate.decisions(scheme="quic", reason="malformed") > blocked - 1,
            "the decision",
        )
        stage.settle()
        assert len(stage.raw.of(talk.gate)) == before


def test_nothing_stalls(stage: QuicStage, replace: Callable[[Gate], None]) -> None:
    """nginx#425: after a reload datagrams went to the old worker, and connections stalled.

    Every packet of either side arrives, in its order, however many there are meanwhile.
    """
    with talking(stage) as talk:
        talk.answer()
        talk.from_client(talk.short())
        over = threading.Event()
        sent: list[bytes] = []

        def chatter() -> None:
            while not over.is_set():
                packet = talk.short(200)
                sent.append(packet)
                talk.client.send(packet)
                stage.raw.sock.sendto(b"\x41" + packet[1:], talk.gate)
                time.sleep(0.002)

        before = len(stage.raw.of(talk.gate))
        talker = threading.Thread(target=chatter)
        talker.start()
        try:
            replace(stage.gate)
        finally:
            over.set()
            talker.join()
        wait_for(lambda: len(stage.raw.of(talk.gate)) >= before + len(sent), "all packets")
        assert stage.raw.of(talk.gate)[before:] == sent
        assert talk.client.drain(0.3) == [b"\x41" + packet[1:] for packet in sent]


def test_a_download_goes_on(stage: QuicStage, certificates: Certificates) -> None:
    """A real client and a real server, which notice nothing."""

    async def run() -> int:
        port = stage.gate.ports["quic"]
        async with h3_connection(port, filings.FILED, certificates) as connection:
            download = asyncio.create_task(connection.get(filings.FILED, "/size=4000000"))
            await asyncio.sleep(0)
            await asyncio.to_thread(reload, stage.gate)
            reply = await asyncio.wait_for(download, 60)
            again = await connection.get(filings.FILED, "/")
            assert again.status == 200
            return len(reply.body)

    assert asyncio.run(run()) == 4_000_000


def test_what_is_revoked_meanwhile_ends(stage: QuicStage) -> None:
    """A flow that comes over is judged again: a revocation in between must not miss it."""
    with talking(stage) as talk:
        talk.answer()
        talk.from_client(talk.short())
        reload(stage.gate)
        override = f"/v1/overrides/{RAW}"
        change(stage.gate, "PUT", override, {"kind": "suspended", "reason": "test"})
        try:
            homeless = stage.dropped("no_flow")
            talk.client.send(talk.short())
            stage.wait_until_dropped("no_flow", homeless)
        finally:
            change(stage.gate, "DELETE", override, {"kind": "suspended", "reason": "test"})


def test_a_worker_that_dies_takes_its_connections_with_it_and_no_more(
    stage: QuicStage, certificates: Certificates
) -> None:
    with talking(stage) as talk:
        talk.answer()
        talk.from_client(talk.short())
        before = set(stage.gate.children())
        for pid in stage.gate.workers():
            os.kill(pid, signal.SIGKILL)
        wait_for(lambda: len(set(stage.gate.children()) - before) == 2, "new workers")
        wait_for(lambda: stage.gate.readiness() == 200, "the gate to be ready")
        homeless = stage.dropped("no_flow")
        talk.client.send(talk.short())
        stage.wait_until_dropped("no_flow", homeless)
        assert fetch(stage.gate.ports["quic"], filings.FILED, certificates)[0] == 200


def test_a_reload_right_behind_another_loses_nothing(stage: QuicStage) -> None:
    assert stage.gate.process is not None
    with talking(stage) as talk:
        talk.answer()
        talk.from_client(talk.short())
        before = set(stage.gate.children())
        for _ in range(3):
            stage.gate.process.send_signal(signal.SIGHUP)
            time.sleep(0.3)
        wait_for(lambda: not before & set(stage.gate.children()), "the old processes to end", 40)
        wait_for(lambda: len(stage.gate.children()) == 3, "one control process and two workers", 40)
        talk.from_client(talk.short())
        talk.from_server(b"\x41" + secrets.token_bytes(60))


def test_a_drain_lets_connections_go_on_and_takes_no_new_one(
    tmp_path: Path, certificates: Certificates
) -> None:
    stage = QuicStage(tmp_path, certificates, workers=1, process={"drain_seconds": 30})
    try:
        with talking(stage) as talk, stage.client() as late:
            talk.answer()
            talk.from_client(talk.short())
            assert stage.gate.process is not None
            stage.gate.process.send_signal(signal.SIGTERM)
            wait_for(lambda: stage.gate.readiness() == 503, "the drain")
            sending = Initials()
            late.send(sending.hello(RAW))
            ((_, frames),) = sending.answers(late.receive())
            assert frames.startswith(b"\x1c\x02")
            talk.from_client(talk.short())
            talk.from_server(b"\x41" + secrets.token_bytes(60))
            stage.gate.process.send_signal(signal.SIGTERM)  # at once, the second time
            stage.gate.process.wait(20)
            stage.gate.process = None
    finally:
        for server in (stage.origin, stage.retrying, stage.raw, stage.second):
            server.close()
