"""Floods on the push port: traffic is served, the registry's changes come in, memory is bounded.

The port is under mutual TLS, as it must be beyond loopback; the registry pushes to it meanwhile.
"""

from __future__ import annotations

import contextlib
import datetime
import http.client
import json
import socket
import ssl
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from securesystemslib.signer import CryptoSigner

from gate.changes.batch import MAX_ENVELOPE, PAYLOAD_TYPE, Batch
from gate.changes.envelope import seal
from gate.changes.keys import KeyStore
from gate.cli import certs
from gate.filings import Change, Status
from tests.harness.following import (
    control_process,
    figure,
    follow,
    make_gate,
    passes,
    push_section,
    wait_for_revision,
)
from tests.harness.gate_process import Gate, usage
from tests.harness.registry_process import RegistryProcess
from tests.harness.waiting import wait_for
from tests.hostile.siege import MIB

CONNECTIONS = 30  # sync.push.connections


@dataclass
class Target:
    """A gate that a registry pushes to, and what it takes to knock at its push port."""

    gate: Gate
    registry: RegistryProcess
    certs: Path
    epoch: str
    signer: CryptoSigner
    port: int
    filed: int = 0

    def context(self, name: str | None) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=str(self.certs / "ca.pem"))
        if name is not None:
            context.load_cert_chain(self.certs / f"{name}.pem", self.certs / f"{name}.key")
        return context

    def connect(self) -> http.client.HTTPSConnection:
        """A connection with the registry's own certificate."""
        return http.client.HTTPSConnection(
            "127.0.0.1", self.port, context=self.context("registry-client"), timeout=20
        )

    def post(self, connection: http.client.HTTPSConnection, body: bytes) -> int:
        connection.request("POST", "/v1/push", body)
        response = connection.getresponse()
        response.read()
        return response.status

    def memory(self) -> int:
        return usage(control_process(self.gate)).rss

    def refused(self, cause: str) -> float:
        return max(figure(self.gate, "gate_sync_refused_total", channel="push", cause=cause), 0)

    def check_service(self) -> None:
        """Filed traffic passes, unfiled is blocked, and a new filing is enforced."""
        assert passes(self.gate, "first.cn")
        assert not passes(self.gate, "never.cn")
        self.filed += 1
        wait_for_revision(self.gate, self.registry.file(f"new-{self.filed}.cn"))
        assert passes(self.gate, f"new-{self.filed}.cn")
        assert self.gate.ask_admin("/readyz")[0] == 200


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    folder = tmp_path_factory.mktemp("push-floods")
    files = folder / "certs"
    certs.init(files, ["127.0.0.1"], now=datetime.datetime.now(datetime.UTC))
    push = push_section() | {
        "connections": CONNECTIONS,
        "tls": {
            "certificate": str(files / "gate.pem"),
            "key": str(files / "gate.key"),
            "client_ca": str(files / "ca.pem"),
        },
    }
    registry = RegistryProcess(
        folder / "registry",
        {
            "push": [{"name": "edge", "url": f"https://{push['listen']}"}],
            "push_tls": {
                "ca": str(files / "ca.pem"),
                "certificate": str(files / "registry-client.pem"),
                "key": str(files / "registry-client.key"),
            },
        },
    ).start()
    gate = make_gate(
        folder / "gate", follow(registry, pull=False, push=push), process={"open_files": 512}
    )
    gate.descriptors = 512
    try:
        revision = registry.file("first.cn")
        gate.start()
        wait_for_revision(gate, revision)
        epoch = registry.remote.head().epoch
        signer = KeyStore(registry.folder / "keys").signers()[0]
        port = int(push["listen"].rpartition(":")[2])
        yield Target(gate, registry, files, epoch, signer, port)
        assert "Traceback" not in gate.log.read_text()
    finally:
        gate.stop()
        registry.kill()


def test_connections_without_a_word_are_bounded_and_end(target: Target) -> None:
    """Three times the descriptors of the process, none of which ever begins its TLS."""
    before, limit = target.memory(), target.refused("limit")
    hoard = []
    for _ in range(1500):
        sock = socket.socket()
        sock.settimeout(5)
        with contextlib.suppress(OSError):
            sock.connect(("127.0.0.1", target.port))
        hoard.append(sock)
    wait_for(lambda: target.refused("limit") >= limit + 1000, "what is over the limit to be closed")
    target.check_service()
    assert usage(control_process(target.gate)).descriptors < 200
    wait_for(lambda: target.refused("handshake") > 0, "silent ones to be ended", 20)
    for sock in hoard:
        sock.close()
    target.check_service()
    assert target.memory() - before < 16 * MIB


@pytest.mark.parametrize(
    "garbage",
    [b"\x00" * 4096, b"POST /v1/push HTTP/1.1\r\nHost: x\r\n\r\n", b"\x16\x03\x01\x40\x00" * 3000],
    ids=["zeros", "plain-http", "half-a-hello"],
)
def test_garbage_is_closed_and_counted(target: Target, garbage: bytes) -> None:
    before, counted = target.memory(), target.refused("handshake")
    for _ in range(300):
        sock = socket.create_connection(("127.0.0.1", target.port), 10)
        with sock, contextlib.suppress(OSError):
            sock.sendall(garbage)
            sock.shutdown(socket.SHUT_WR)
            while sock.recv(4096):
                pass
    wait_for(lambda: target.refused("handshake") >= counted + 200, "the count")
    target.check_service()
    assert target.memory() - before < 16 * MIB


@pytest.mark.parametrize("certificate", [None, "gate"], ids=["none", "a-servers"])
def test_the_wrong_certificate_gets_no_word_in(target: Target, certificate: str | None) -> None:
    before, counted = target.memory(), target.refused("handshake")
    context = target.context(certificate)
    for _ in range(60):
        with (
            contextlib.suppress(OSError),
            socket.create_connection(("127.0.0.1", target.port), 10) as sock,
            context.wrap_socket(sock, server_hostname="127.0.0.1") as tls,
        ):
            tls.sendall(b"POST /v1/push HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}")
            assert tls.recv(100) == b""
    wait_for(lambda: target.refused("handshake") >= counted + 60, "the count")
    target.check_service()
    assert target.memory() - before < 16 * MIB


def test_wrong_signatures_with_a_right_certificate_change_nothing(target: Target) -> None:
    counted = target.refused("unknown_key")
    change = Change("evil.cn", Status.FILED, "", int(time.time()))
    batch = Batch(target.epoch, 1, 2, (change,), 2, int(time.time()))
    forged = seal(batch.encode(), PAYLOAD_TYPE, [CryptoSigner.generate_ed25519()])
    connection = target.connect()
    assert {target.post(connection, forged) for _ in range(300)} == {403}
    connection.close()
    assert target.refused("unknown_key") == counted + 300
    target.check_service()
    assert not passes(target.gate, "evil.cn")


def test_oversize_bodies_are_refused_before_they_are_held(target: Target) -> None:
    before, counted = target.memory(), target.refused("oversize")
    for _ in range(20):
        connection = target.connect()
        with contextlib.suppress(OSError):
            assert target.post(connection, b"x" * (MAX_ENVELOPE + 1)) == 413
        connection.close()
        connection = target.connect()
        with contextlib.suppress(OSError):
            connection.request(
                "POST", "/v1/push", iter([b"y" * 65_536] * 64), encode_chunked=True,
                headers={"Transfer-Encoding": "chunked"},
            )  # fmt: skip
            assert connection.getresponse().status == 413
        connection.close()
    assert target.refused("oversize") > counted
    target.check_service()
    assert target.memory() - before < 24 * MIB


def test_old_batches_again_and_again_bring_nothing_back(target: Target) -> None:
    """A recorded batch of the registry's, valid in every way but its time."""
    change = Change("evil.cn", Status.FILED, "", 1)
    old = Batch(target.epoch, 0, 1, (change,), 1, int(time.time()))
    sealed = seal(old.encode(), PAYLOAD_TYPE, [target.signer])
    before, position = target.memory(), figure(target.gate, "gate_replica_revision")
    connection = target.connect()
    assert {target.post(connection, sealed) for _ in range(500)} == {200}
    connection.close()
    assert figure(target.gate, "gate_replica_revision") == position
    assert not passes(target.gate, "evil.cn")
    target.check_service()
    assert target.memory() - before < 16 * MIB


def test_bodies_that_never_end_hold_only_their_own_connections(target: Target) -> None:
    before = target.memory()
    slow = []
    for _ in range(CONNECTIONS - 5):  # the registry keeps one of its own
        connection = target.connect()
        connection.putrequest("POST", "/v1/push")
        connection.putheader("Content-Length", str(MAX_ENVELOPE))
        connection.endheaders()
        connection.send(json.dumps({"payload": "x" * 60_000}).encode())
        slow.append(connection)
    target.check_service()
    assert target.memory() - before < 16 * MIB
    for connection in slow:
        connection.close()
    target.check_service()
