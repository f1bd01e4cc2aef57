"""Floods of Initials with forged addresses: filed traffic goes on, and memory stays flat."""

from __future__ import annotations

import secrets
import socket
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.harness import filings
from tests.harness.certificates import Certificates
from tests.harness.gate_process import usage
from tests.harness.initial import Initials, client_hello, crypto
from tests.harness.quic_client import fetch
from tests.harness.quic_stage import QuicStage
from tests.harness.quic_talk import talking
from tests.harness.waiting import wait_for

pytestmark = pytest.mark.programs

MIB = 1 << 20
DIFFERENT = 200
ADDRESSES = 60


@pytest.fixture(scope="module")
def stage(
    tmp_path_factory: pytest.TempPathFactory, certificates: Certificates
) -> Iterator[QuicStage]:
    stage = QuicStage(
        tmp_path_factory.mktemp("quic-flood"),
        certificates,
        workers=1,
        limits={"quic_unproven_flows": 256},
    )
    try:
        yield stage
    finally:
        stage.close()


class Forger:
    """Sends datagrams from any address of the loopback network, each time another one."""

    def __init__(self, port: int) -> None:
        self._sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._there = ("127.0.0.1", port)
        self._count = 0

    def send(self, datagram: bytes) -> None:
        self._count += 1
        source = socket.inet_aton(
            f"127.9.{self._count % ADDRESSES}.{self._count // ADDRESSES % 250}"
        )
        control = (socket.IPPROTO_IP, 8, struct.pack("@i4s4s", 0, source, source))  # IP_PKTINFO
        self._sock.sendmsg([datagram], [control], 0, self._there)

    def close(self) -> None:
        self._sock.close()


def filed() -> bytes:
    return Initials().hello(filings.TO_RAW)


def unfiled() -> bytes:
    return Initials().hello(filings.UNFILED)


def halves() -> bytes:
    return Initials().datagram(crypto(0, client_hello(filings.TO_RAW)[:60]))


def garbage() -> bytes:
    return b"\xc3\0\0\0\x01\x08" + secrets.token_bytes(1194)


def homeless() -> bytes:
    return b"\x43" + secrets.token_bytes(60)


@pytest.mark.parametrize("make", [filed, unfiled, halves, garbage, homeless])
def test_a_flood_leaves_filed_traffic_alone_and_memory_flat(
    stage: QuicStage, certificates: Certificates, make: Callable[[], bytes]
) -> None:
    datagrams = [make() for _ in range(DIFFERENT)]
    (worker,) = stage.gate.workers()
    forger = Forger(stage.gate.ports["quic"])
    try:
        with talking(stage, source="127.0.0.70") as talk:
            talk.answer()
            talk.from_client(talk.short())
            for _ in range(3):  # what a flood of this kind takes, it takes at once
                flood(stage, forger, datagrams)
                talk.from_client(talk.short())
            before = usage(worker)
            for _ in range(20):
                flood(stage, forger, datagrams)
                talk.from_client(talk.short())  # it comes through, and at once
                talk.from_server(b"\x41" + secrets.token_bytes(60))
            assert fetch(stage.gate.ports["quic"], filings.FILED, certificates)[0] == 200
            after = usage(worker)
            assert after.rss - before.rss < 8 * MIB
            assert after.descriptors <= 256 + 100
            assert stage.flows("open") + stage.flows("held") <= 256
    finally:
        forger.close()


def flood(stage: QuicStage, forger: Forger, datagrams: list[bytes]) -> None:
    """All of them, each from another address; returns when the worker has seen the last."""
    for datagram in datagrams:
        forger.send(datagram)
    stage.gate.decisions()  # the worker answers between two turns: none is much longer than this


def test_what_the_flood_took_is_given_back(stage: QuicStage) -> None:
    wait_for(lambda: stage.flows("open") + stage.flows("held") == 0, "the flood's flows to end", 30)
    assert stage.gate.total("gate_pending_bytes") == 0


def test_an_attack_from_one_address_takes_that_addresss_share(
    tmp_path: Path, certificates: Certificates
) -> None:
    """quilkin#1396: sessions without bound."""
    stage = QuicStage(tmp_path, certificates, workers=1, limits={"quic_flows_per_address": 20})
    try:
        arrived = len(stage.raw.arrivals)
        with stage.client(source="127.0.0.66") as attacker:
            attacker.send(*(filed() for _ in range(200)))
            stage.settle()
            assert stage.flows() <= 20 + 4
            assert len(stage.raw.arrivals) - arrived <= 20 + 4
        with stage.client(source="127.0.0.67") as other:
            hello = filed()
            other.send(hello)
            stage.raw.sender_of(hello)
    finally:
        stage.close()
