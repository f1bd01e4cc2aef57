"""Clients that take their time: heads, hellos, bodies, reads. Others do not notice."""

from __future__ import annotations

import socket
import time

import pytest

from tests.harness import filings, hello
from tests.harness.client import Client, get, request
from tests.harness.http_origin import Exchange
from tests.harness.swarm import Swarm
from tests.harness.waiting import patience, wait_for
from tests.hostile.conftest import Besiege
from tests.hostile.siege import MIB, all_ended, served, worker

CROWD = 300  # connections, from 30 addresses, so that the limit of each is kept
SOURCES = 30


@pytest.mark.parametrize(
    ("port", "first", "reason"),
    [
        ("http", b"GET / HTTP/1.1\r\nHost: filed.com\r\n", "timeout"),
        ("http", b"G", "timeout"),
        ("tls", hello.hello(b"filed.com")[:100], "timeout"),
        ("tls", b"\x16", "timeout"),
    ],
    ids=["slow-head", "first-byte-of-a-head", "slow-hello", "first-byte-of-a-hello"],
)
def test_slow_beginnings_are_ended_and_counted(
    besiege: Besiege, port: str, first: bytes, reason: str
) -> None:
    stage = besiege()
    swarm = Swarm(stage.gate.ports[port], CROWD, sources=SOURCES)
    for sock in swarm.sockets:
        sock.sendall(first)
    assert served(stage)
    all_ended(stage)
    assert stage.gate.decisions(reason=reason) == CROWD
    swarm.close()
    assert served(stage)
    assert stage.origin.about("/") == stage.origin.about("honest")


def test_connections_that_say_nothing_are_ended(besiege: Besiege) -> None:
    stage = besiege()
    swarms = [Swarm(stage.gate.ports[port], 100, sources=SOURCES) for port in ("http", "tls")]
    assert served(stage)
    for swarm in swarms:
        for sock in swarm.sockets:
            sock.settimeout(15)
            try:
                assert sock.recv(100)[:12] in (b"", b"HTTP/1.1 408")
            except ConnectionResetError:
                continue
        swarm.close()
    all_ended(stage)


def test_drip_feed_buys_no_time(besiege: Besiege) -> None:
    stage = besiege()
    swarm = Swarm(stage.gate.ports["http"], 50)
    for sock in swarm.sockets:
        sock.sendall(b"GET / HTTP/1.1\r\nHost: filed.com\r\n")
    deadline = time.monotonic() + patience(8)
    alive = list(swarm.sockets)
    while alive and time.monotonic() < deadline:
        for sock in list(alive):
            try:
                sock.sendall(b"X: y\r\n")
            except OSError:
                alive.remove(sock)
        time.sleep(0.1)
    swarm.close()
    assert not alive, f"{len(alive)} of 50 still send a head; the limit is 1 s"


def test_idle_kept_alive_hoard_is_ended(besiege: Besiege) -> None:
    stage = besiege()
    swarm = Swarm(stage.gate.ports["http"], CROWD, sources=SOURCES)
    answers = swarm.exchange(get("filed.com", "/hoard"), 15)
    assert all(answer.startswith(b"HTTP/1.1 200") for answer in answers)
    assert served(stage)
    all_ended(stage)
    swarm.close()


def test_stalled_request_bodies_are_ended(besiege: Besiege) -> None:
    stage = besiege()
    swarm = Swarm(stage.gate.ports["http"], CROWD, sources=SOURCES)
    for sock in swarm.sockets:
        sock.sendall(request("POST", "filed.com", "/stalled", "Content-Length: 9", body=b"abc"))
    assert served(stage)
    all_ended(stage)
    swarm.close()
    assert not any(seen.complete for seen in stage.origin.about("/stalled"))
    wait_for(
        lambda: all(stage.origin.arrivals[s.connection].ended.is_set()
                    for s in stage.origin.about("/stalled")),
        "the upstream connections to end",
    )  # fmt: skip


def test_100_continue_without_a_body_holds_nothing(besiege: Besiege) -> None:
    stage = besiege()
    swarm = Swarm(stage.gate.ports["http"], CROWD, sources=SOURCES)
    head = request("POST", "filed.com", "/continue", "Expect: 100-continue", "Content-Length: 9")
    answers = swarm.exchange(head, 12)
    assert all(answer.startswith(b"HTTP/1.1 100") for answer in answers)
    assert served(stage)
    all_ended(stage)
    swarm.close()
    refused = request("POST", "unfiled.com", "/", "Expect: 100-continue", "Content-Length: 9")
    swarm = Swarm(stage.gate.ports["http"], 50)
    assert all(a.startswith(b"HTTP/1.1 302") for a in swarm.exchange(refused, 12))
    swarm.close()


def test_slow_readers_cost_little_memory_and_are_ended(besiege: Besiege) -> None:
    stage = besiege()

    def pour(exchange: Exchange) -> None:
        exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")
        piece = bytes(MIB)
        while True:
            exchange.send(piece)

    stage.origin.on("/pour", pour)
    before = worker(stage).rss
    readers = [
        stage.http(source=f"127.0.1.{number % 20 + 1}", receive_buffer=4096) for number in range(60)
    ]
    for reader in readers:
        reader.send(get("filed.com", "/pour"))
    wait_for(lambda: len(stage.origin.about("/pour")) == 60, "the requests at the origin")
    assert served(stage)
    all_ended(stage)
    assert worker(stage).rss - before < 40 * MIB
    for reader in readers:
        reader.close()
    wait_for(
        lambda: all(stage.origin.arrivals[s.connection].ended.is_set()
                    for s in stage.origin.about("/pour")),
        "the upstream connections to end",
    )  # fmt: skip


def test_pipelining_without_reading_costs_little_memory(besiege: Besiege) -> None:
    stage = besiege()
    before = worker(stage).rss
    stage.origin.on("/pipelined", lambda exchange: exchange.answer("200 OK", bytes(100_000)))
    pushers = [Client(stage.gate.ports["http"], receive_buffer=4096) for _ in range(20)]
    batch = get("filed.com", "/pipelined") * 200
    for pusher in pushers:
        pusher.sock.setblocking(False)
    for _ in range(10):
        for pusher in pushers:
            try:
                pusher.sock.send(batch)
            except (BlockingIOError, ConnectionError):
                continue
    assert served(stage)
    assert worker(stage).rss - before < 40 * MIB
    all_ended(stage)
    for pusher in pushers:
        pusher.close()


def test_tunnels_that_stall_are_ended(besiege: Besiege) -> None:
    """Silent both ways, half-closed, or not read: none outlives the limit."""
    stage = besiege(upstreams={"connect_timeout": 1.0})
    sent = hello.hello(filings.TO_SILENT.encode())
    silent = [stage.tls() for _ in range(20)]
    half_closed = [stage.tls() for _ in range(20)]
    unread = [stage.tls(receive_buffer=4096) for _ in range(20)]
    for client in silent + half_closed:
        client.send(sent)
    for client in half_closed:
        client.finish()
    echoed = hello.hello(filings.TO_RAW.encode())
    for client in unread:
        client.send(echoed)
        client.sock.setblocking(False)
        try:
            for _ in range(100):
                client.sock.send(bytes(65536))
        except (BlockingIOError, ConnectionError):
            continue
    assert served(stage)
    all_ended(stage)
    for client in silent + half_closed + unread:
        client.close()


def test_half_open_connections_are_probed(besiege: Besiege) -> None:
    """A peer that vanishes without a FIN: the kernel's keep-alive or the idle limit finds it."""
    stage = besiege()
    with stage.http() as client:
        assert client.ask(get("filed.com", "/half-open")).status == 200
        # From here on the client's side acknowledges nothing that it would have to act on.
        client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
        all_ended(stage)
