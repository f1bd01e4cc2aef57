"""The QUIC benchmark: what it sends and counts, and a small run of it."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.quic.traffic import Clients, drained, initials, queue
from benchmarks.side_by_side.process import BenchError
from gate.wire.quic import ClientFlight, pull_packets
from tests.harness.datagrams import DatagramRecorder

ROOT = Path(__file__).parent.parent.parent


def test_initials_are_as_many_as_asked_for_and_all_differ() -> None:
    datagrams = initials(["a.example", "b.example"], 5)
    names = []
    for datagram in datagrams:
        packets = pull_packets(datagram)
        names += ClientFlight(packets[0].dcid).take(datagram, packets).hellos
    assert [hello.sni for hello in names] == [b"a.example", b"b.example"] * 2 + [b"a.example"]
    assert len(set(datagrams)) == 5


def test_every_client_has_an_address_of_its_own() -> None:
    server = DatagramRecorder()
    clients = Clients(server.port)
    try:
        assert clients.send([b"x" * 1200] * 500) == 500
        server.wait_for(500)
        assert len({host for (host, _), _ in server.arrivals}) == 500
    finally:
        clients.close()
        server.close()


def test_a_server_that_reads_nothing_is_told() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as deaf:
        deaf.bind(("127.0.0.1", 0))
        port = deaf.getsockname()[1]
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.sendto(b"hello", ("127.0.0.1", port))
        assert queue(port)[0] > 0
        with pytest.raises(BenchError, match="does not read"):
            drained(port, seconds=0.05)


def test_a_round_of_each_kind_measures_the_gate() -> None:
    rows = ["quic-refused", "quic-opened", "quic-up", "quic-down-16"]
    options = ["--rounds", "1", "--units", "200", "--size", "500", "--peers", "gate"]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.quic", *rows, *options],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
        cwd=ROOT,
    )
    table = [line.split("|") for line in done.stdout.splitlines()[2:]]
    assert [line[1].strip() for line in table] == rows
    assert all(0 < float(line[4]) < 10_000 for line in table)
