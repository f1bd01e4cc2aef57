"""The worker's budget for bytes that cannot be judged yet: over it, whoever wants more is reset."""

from __future__ import annotations

import contextlib
import socket
import threading
import time

import pytest

from tests.harness import filings, hello, planes
from tests.harness.client import get
from tests.harness.gate_process import listener
from tests.harness.http_origin import Exchange
from tests.harness.planes import Plane
from tests.harness.stage import Stage
from tests.harness.swarm import Swarm
from tests.harness.waiting import wait_for
from tests.hostile.conftest import Besiege
from tests.hostile.siege import MIB, all_ended, served, worker

PATIENT = {
    "head_seconds": 20.0,
    "hello_seconds": 20.0,
    "idle_seconds": 20.0,
    "pending_bytes": MIB,
}
CROWD = 300
SOURCES = 30

LARGE_HELLO = hello.hello(filings.TO_RAW.encode(), hello.padding(60_000))[:60_000]
LARGE_HEAD = b"GET / HTTP/1.1\r\nHost: filed.com\r\nX: " + b"y" * 30_000
HALF_A_RECORD = b"\x16\x03\x01\x40\x00" + b"\x01\x00\x3f\xfc" + bytes(16_000)


def hoard(stage: Stage, port: str, message: bytes) -> Swarm:
    """Send `message` on every connection of a crowd, as far as the gate lets it."""
    swarm = Swarm(stage.gate.ports[port], CROWD, sources=SOURCES)
    for sock in swarm.sockets:
        with contextlib.suppress(OSError):
            sock.sendall(message)
    return swarm


def cut_for_the_budget(stage: Stage) -> float:
    return stage.gate.total("gate_connections_ended_total", cause="pending_bytes")


@pytest.mark.parametrize(
    ("port", "message", "each"),
    [
        ("tls", LARGE_HELLO, 60_000),
        ("tls", HALF_A_RECORD, 16_000),
        ("http", LARGE_HELLO, 60_000),
        ("http", LARGE_HEAD, 30_000),
        ("tls", LARGE_HEAD, 30_000),
    ],
    ids=["hellos", "half-a-record", "hellos-on-http", "heads", "heads-on-tls"],
)
def test_hoard_is_held_within_the_budget_and_others_are_served(
    besiege: Besiege, port: str, message: bytes, each: int
) -> None:
    stage = besiege(limits=PATIENT)
    assert served(stage)
    before = worker(stage).rss
    swarm = hoard(stage, port, message)
    fitting = MIB // each
    wait_for(
        lambda: stage.gate.total("gate_connections_open") <= 2 * fitting + 40,
        "what is over the budget to be cut",
    )
    held = stage.gate.total("gate_pending_bytes")
    assert MIB // 2 < held <= stage.gate.total("gate_pending_bytes_limit") == MIB
    assert cut_for_the_budget(stage) >= CROWD - 2 * fitting - 40
    assert stage.gate.decisions(reason="limit") == cut_for_the_budget(stage)
    assert worker(stage).rss - before < 8 * MIB  # of 5 to 18 MB that were sent
    # What comes whole in one read is judged whether there is room or not.
    assert served(stage)
    whole = hello.hello(filings.TO_RAW.encode())
    with stage.tls(source="127.0.0.77") as client:
        time.sleep(0.05)  # not even deferred: the gate reads nothing at first
        client.send(whole)
        assert client.read_exact(len(whole)) == whole
    swarm.close()
    all_ended(stage)
    assert stage.gate.total("gate_pending_bytes") == 0


def test_monitoring_lifts_no_limit(besiege: Besiege) -> None:
    """A listener that only watches lets malformed hellos through, not those over the budget."""
    stage = besiege(
        limits=PATIENT,
        listeners=[listener("http", "http"), listener("tls", "tls", mode="monitor")],
    )
    with stage.no_tunnel():
        swarm = hoard(stage, "tls", LARGE_HELLO)
        wait_for(lambda: cut_for_the_budget(stage) > CROWD // 2, "connections to be cut")
        assert stage.gate.total("gate_pending_bytes") <= MIB
        assert served(stage)
    swarm.close()
    all_ended(stage)


def test_hellos_that_wait_for_an_upstream_go_on_counting(besiege: Besiege) -> None:
    """They are judged, but their bytes are still the worker's."""
    stage = besiege(limits=PATIENT, upstreams={"connect_timeout": 5.0})
    whole = hello.hello(filings.TO_BLACKHOLE.encode(), hello.padding(60_000))
    before = worker(stage).rss
    swarm = hoard(stage, "tls", whole)
    wait_for(lambda: cut_for_the_budget(stage) > CROWD // 2, "what is over the budget to be cut")
    assert MIB // 2 < stage.gate.total("gate_pending_bytes") <= MIB + 2 * len(whole)
    assert worker(stage).rss - before < 8 * MIB
    assert served(stage)
    swarm.close()
    all_ended(stage)
    assert stage.gate.total("gate_pending_bytes") == 0


@pytest.mark.parametrize("opening", [b"", b"\r\n"], ids=["plain", "odd"])
def test_requests_sent_ahead_wait_in_the_kernel_when_there_is_no_room(
    besiege: Besiege, plane: Plane, opening: bytes
) -> None:
    """A busy connection is not reset for what it pipelines: it is not read for a while.

    The compiled data plane reads nothing ahead on the connections that it keeps, the plain ones.
    """
    stage = besiege(limits=PATIENT)
    release = threading.Event()

    def slowly(exchange: Exchange) -> None:
        release.wait(60)
        exchange.answer("200 OK", b"")

    stage.origin.on("/slow", slowly)
    first = opening + get("filed.com", "/slow")
    ahead = get("filed.com", "/ahead", "X: " + "y" * 4_000) * 3
    clients = [stage.http(source=f"127.0.2.{number + 1}") for number in range(120)]
    for client in clients:
        client.send(first)
    wait_for(lambda: len(stage.origin.about("/slow")) == 120, "the requests at the origin")
    for client in clients:
        client.send(ahead)
    if plane is planes.PYTHON or opening:
        wait_for(
            lambda: stage.gate.total("gate_pending_bytes") > MIB - 2 * 16384,
            "the budget to be used up",
        )
    assert served(stage)
    release.set()
    for client in clients:
        client.sock.settimeout(20)
        assert [client.read_response("GET").status for _ in range(4)] == [200] * 4
        client.close()
    assert cut_for_the_budget(stage) == 0
    all_ended(stage)
    assert stage.gate.total("gate_pending_bytes") == 0


def test_each_way_to_end_gives_the_bytes_back(besiege: Besiege) -> None:
    """Completed, malformed, given up, reset, timed out, redirected: nothing stays counted."""
    stage = besiege(limits=PATIENT | {"head_seconds": 1.0, "hello_seconds": 1.0})
    big = hello.hello(filings.TO_RAW.encode(), hello.padding(40_000))
    unfiled = hello.hello(b"unfiled.com", hello.padding(40_000))
    head = get("filed.com", "/whole", "X: " + "y" * 20_000)
    beginnings = {
        "tls": (big, unfiled, big[:20_000] + b"\x15" * 30_000, big[:30_000]),
        "http": (
            head,
            get("unfiled.com", "/", "X: " + "y" * 20_000),
            head[:20_000],
            head[:20_000] + b"\x00" + head[20_000:],
            head + head[:20_000],
            b"POST / HTTP/1.1\r\nHost: filed.com\r\nTransfer-Encoding: chunked\r\n\r\n"
            b"5\r\nhello\r\n0\r\n\r\n" + head,
        ),
    }
    for port, messages in beginnings.items():
        for message in messages:
            for manner in ("finish", "reset", "stay"):
                with stage.http(port) as client, contextlib.suppress(OSError):
                    for at in range(0, len(message), 9_000):
                        client.send(message[at : at + 9_000])
                        time.sleep(0.002)
                    if manner == "finish":
                        client.finish()
                        client.read_to_end()
                    elif manner == "stay":
                        client.sock.settimeout(1.5)
                        with contextlib.suppress(socket.timeout):
                            while client.sock.recv(65536):
                                pass
    all_ended(stage)
    assert stage.gate.total("gate_pending_bytes") == 0
    assert served(stage)
