"""Differential test: the server name that real TLS servers find in the hellos that pass.

Structured and byte-level mutations of hellos go through the gate to OpenSSL (in Python) and to
Go's crypto/tls. Neither may ever find a name that is not filed, nor find none.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gate.filings import Change, Status
from gate.replica import Replica
from tests.bypass.test_tls_evasion import DISGUISES
from tests.harness import hello
from tests.harness.certificates import Certificates
from tests.harness.client import Client
from tests.harness.gate_process import Gate, listener
from tests.harness.ports import free_port
from tests.harness.tls_origin import TlsOrigin
from tests.harness.tools import require
from tests.harness.waiting import wait_for

HELLOS = 1200
OPENSSL, GO = "of-ssl.com", "of-go1.com"  # as long as the placeholder, so that lengths hold
PLACEHOLDER = b"to-raw.com"

_GO = """
package main

import (
	"crypto/tls"
	"encoding/json"
	"net"
	"os"
)

func main() {
	out, _ := os.OpenFile(os.Getenv("SEEN"), os.O_APPEND|os.O_WRONLY, 0o600)
	pair, err := tls.LoadX509KeyPair(os.Getenv("CHAIN"), os.Getenv("KEY"))
	if err != nil {
		panic(err)
	}
	config := &tls.Config{Certificates: []tls.Certificate{pair}}
	config.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		line, _ := json.Marshal(hello.ServerName)
		out.Write(append(line, '\\n'))
		return nil, nil
	}
	listener, err := net.Listen("tcp", "127.0.0.1:"+os.Getenv("PORT"))
	if err != nil {
		panic(err)
	}
	for {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		go func() {
			defer conn.Close()
			tls.Server(conn, config).Handshake()
		}()
	}
}
"""


class Field:
    """The gate before an OpenSSL server and a Go server."""

    def __init__(self, folder: Path, certificates: Certificates) -> None:
        self.openssl = TlsOrigin(certificates)
        self.go_log = folder / "seen.log"
        self.go_log.touch()
        (folder / "origin.go").write_text(_GO)
        subprocess.run(
            [require("go"), "build", "-o", "origin", "origin.go"],
            cwd=folder,
            check=True,
            timeout=120,
            env={**os.environ, "GO111MODULE": "off", "CGO_ENABLED": "0"},
        )
        port = free_port()
        self.go = subprocess.Popen(
            [str(folder / "origin")],
            env={
                **os.environ,
                "PORT": str(port),
                "SEEN": str(self.go_log),
                "CHAIN": str(certificates.chain),
                "KEY": str(certificates.key),
            },
        )
        (folder / "gate").mkdir()
        with Replica.open(folder / "gate" / "replica", writable=True) as replica:
            replica.load((), epoch="differential", revision=1)
            changes = [Change(name, Status.FILED, "", 1) for name in sorted((OPENSSL, GO))]
            replica.apply(changes, epoch="differential", from_revision=1, to_revision=2)
        addresses = {OPENSSL: self.openssl.address, GO: f"127.0.0.1:{port}"}
        routes = [
            {"match": match, "upstream": {"tls": [address]}}
            for name, address in addresses.items()
            for match in (name, "." + name)
        ]
        self.gate = Gate(
            folder / "gate",
            {
                "workers": 1,
                "process": {"drain_seconds": 0},
                "listeners": [listener("tls", "tls")],
                "limits": {"hello_seconds": 2, "tunnel_idle_seconds": 2},
                "upstreams": {"routes": routes},
            },
        ).start()

    def names(self) -> dict[str, list[str | None]]:
        """Every server name that each server has found."""
        return {
            OPENSSL: list(self.openssl.server_names),
            GO: [json.loads(line) for line in self.go_log.read_text().splitlines()],
        }

    def try_hello(self, data: bytes) -> None:
        """Send one hello and wait for the end of its connection."""
        with Client(self.gate.ports["tls"]) as client:
            try:
                client.send(data)
                client.finish()
                client.read_to_end()
            except OSError:
                pass  # reset

    def close(self) -> None:
        self.gate.stop()
        self.go.terminate()
        self.go.wait(10)
        self.openssl.close()


@pytest.fixture(scope="module")
def field(tmp_path_factory: pytest.TempPathFactory, certificates: Certificates) -> Iterator[Field]:
    made = Field(tmp_path_factory.mktemp("differential-tls"), certificates)
    try:
        yield made
    finally:
        made.close()


def check_names(field: Field, before: dict[str, list[str | None]], least: int) -> None:
    """Each server has seen at least `least` hellos since `before`, and filed names only."""
    for filed, found in field.names().items():
        new = len(found) - len(before.get(filed, ()))
        assert new >= least, f"{filed}'s server saw {new} hellos only"
        for name in found:
            canonical = (name or "").lower().removesuffix(".")
            assert canonical == filed or canonical.endswith("." + filed), (filed, name)


def shuffled(rng: random.Random, name: bytes) -> bytes:
    """A hello whose extensions are a random selection in a random order."""
    names = [name, b"www." + name, name.upper(), name + b".", b"unfiled.com", b"", b"." + name]
    parts = [
        hello.extension(43, hello.vector(b"\x03\x04\x03\x03", 1)),
        hello.extension(10, hello.vector(b"\x00\x1d\x00\x17", 2)),
        hello.extension(13, hello.vector(b"\x04\x03\x08\x04\x04\x01", 2)),
        hello.key_share(),
        hello.padding(rng.choice((0, 1, 200, 17_000))),
        hello.encrypted_client_hello(),
        hello.extension(0x2A2A, b"\x00"),
        hello.extension(hello.Extension.ALPN, hello.vector(hello.vector(b"http/1.1", 1), 2)),
    ]
    chosen = parts[:4] + rng.sample(parts[4:], rng.randint(0, 4))
    for _ in range(rng.choice((0, 1, 1, 1, 1, 2))):
        several = [rng.choice(names) for _ in range(rng.choice((1, 1, 1, 1, 2)))]
        chosen.append(hello.server_name(*several, name_type=rng.choice((0, 0, 0, 0, 0, 1))))
    rng.shuffle(chosen)
    message = hello.handshake(b"".join(chosen), session=rng.choice((b"", b"s" * 32)))
    return hello.records(message, rng.choice((16384, 16384, 100, 31, 1)))


def flipped(rng: random.Random, name: bytes) -> bytes:
    """A real hello with a few bytes changed, put in or taken out, most near the name."""
    data = bytearray(rng.choice((hello.hello(name), hello.real_hello(name.decode()))))
    centre = data.index(name)
    for _ in range(rng.randint(1, 3)):
        near = rng.random() < 0.7
        at = centre + rng.randint(-14, len(name) + 6) if near else rng.randrange(len(data))
        kind = rng.randrange(4)
        if kind <= 1:
            data[at] = rng.choice((0, 1, 2, 0x2E, 0x2F, 0x40, 0xFF, data[at] ^ 1, data[at] ^ 0x20))
        elif kind == 2:
            data[at] = rng.randrange(256)
        else:
            data[at : at + 1] = rng.choice((b"", b"\x00\x00", b".."))
    return bytes(data)


def test_disguises_of_the_table(field: Field) -> None:
    for name in (OPENSSL, GO):
        field.try_hello(hello.real_hello(name))
        for data in DISGUISES.values():
            field.try_hello(data.replace(PLACEHOLDER, name.encode()))
    check_names(field, {}, 1)


@pytest.mark.parametrize("make", [shuffled, flipped])
def test_mutated_hellos(field: Field, make: Callable[[random.Random, bytes], bytes]) -> None:
    rng = random.Random(20240602)
    before = field.names()
    for _ in range(HELLOS // 2):
        for name in (OPENSSL, GO):
            field.try_hello(make(rng, name.encode()))
    wait_for(lambda: field.gate.total("gate_connections_open") == 0, "all tunnels to end")
    check_names(field, before, HELLOS // 80)  # most are no longer hellos, and are reset
