"""A service manager holds the listening sockets and passes them on, as systemd does."""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from gate.settings import Address, Listener, Settings
from gate.supervisor.activation import ActivationError, Passed, assign, passed
from tests.harness.gate_process import GATE, Gate, listener
from tests.harness.http_origin import HttpOrigin
from tests.harness.ports import free_port
from tests.harness.running import fill, log_of, new_gate, status_of
from tests.harness.tools import require
from tests.harness.waiting import wait_for

pytestmark = pytest.mark.usefixtures("executed")  # systemd executes it

SETTINGS = Settings(
    listeners=(
        Listener(name="http", kind="http", address=Address(host="127.0.0.1", port=8080)),
        Listener(name="tls", kind="tls", address=Address(host="127.0.0.1", port=8443)),
    )
)


@pytest.fixture
def held() -> Iterator[socket.socket]:
    """A listening socket that somebody else holds."""
    with closing(socket.create_server(("127.0.0.1", 0))) as sock:
        yield sock


def start(gate: Gate, given: dict[str, socket.socket]) -> None:
    """Start the program as systemd does: its sockets are the descriptors from 3 on."""
    numbers = [sock.fileno() for sock in given.values()]
    moves = " ".join(f"{first}<&{number}-" for first, number in enumerate(numbers, 3))
    names = f"LISTEN_FDS={len(numbers)} LISTEN_FDNAMES={':'.join(given)}"
    gate.through = ("/bin/bash", "-c", f'exec env LISTEN_PID=$$ {names} "$@" {moves}', "bash")
    gate.launch(pass_fds=numbers)


def ready(gate: Gate) -> None:
    wait_for(lambda: gate.ask_admin("/readyz")[0] == 200, "the gate to be ready", 20)


def test_systemd_starts_a_gate_with_the_first_connection(
    tmp_path: Path, origin: HttpOrigin
) -> None:
    gate = new_gate(
        tmp_path, origin.address, listeners=[listener("http", "http"), listener("tls", "tls")]
    )
    fill(gate)
    gate.ports["http"] = port = free_port()  # not the one in the settings
    held = [f"--listen=127.0.0.1:{port}", f"--listen=127.0.0.1:{gate.ports['tls']}"]
    passed = [f"--setenv={name}" for name in gate.plane.environment]
    program = require("systemd-socket-activate")
    gate.through = (program, *held, *passed, "--fdname=http:any.socket")
    gate.launch()
    try:
        wait_for(lambda: "Listening on" in log_of(gate), "systemd to listen")
        assert status_of(gate, "example.com") == 200
        assert status_of(gate, "example.org") == 302
        ready(gate)
        assert "passed by the service manager: the sockets of http, tls" in log_of(gate)
        assert len(gate.workers()) == 2
        assert gate.total("gate_connections_accepted_total", listener="http") == 2
        wait_for(lambda: f"ready: http 127.0.0.1:{port}" in log_of(gate), "the address")
    finally:
        assert gate.stop() == 0


def test_connections_wait_while_the_gate_is_restarted(
    tmp_path: Path, origin: HttpOrigin, held: socket.socket
) -> None:
    gate = new_gate(tmp_path, origin.address)
    gate.ports["http"] = held.getsockname()[1]
    fill(gate)
    start(gate, {"http": held})
    ready(gate)
    assert status_of(gate, "example.com") == 200
    assert gate.stop() == 0
    with socket.create_connection(held.getsockname(), timeout=20) as waiting:
        waiting.sendall(b"GET / HTTP/1.1\r\nHost: example.com\r\nConnection: close\r\n\r\n")
        start(gate, {"http": held})
        try:
            with waiting.makefile("rb") as answer:
                assert answer.readline().split()[1] == b"200"
        finally:
            ready(gate)
            assert gate.stop() == 0


def test_the_sockets_stay_through_an_upgrade(
    tmp_path: Path, origin: HttpOrigin, held: socket.socket
) -> None:
    gate = new_gate(tmp_path, origin.address)
    gate.ports["http"] = held.getsockname()[1]
    fill(gate)
    start(gate, {"http": held})
    try:
        ready(gate)
        before = set(gate.workers())
        subprocess.run([GATE, "upgrade", "--config", str(gate.config)], check=True)
        wait_for(lambda: len(set(gate.workers()) - before) == 2, "new workers", 30)
        wait_for(lambda: not before & set(gate.workers()), "the old ones to end", 30)
        assert status_of(gate, "example.com") == 200
    finally:
        assert gate.stop() == 0


def test_a_socket_for_nothing_stops_the_start(tmp_path: Path, held: socket.socket) -> None:
    gate = new_gate(tmp_path)
    start(gate, {"web": held})
    assert gate.process is not None
    assert gate.process.wait(30) == 2
    host, port = held.getsockname()
    assert log_of(gate) == (
        f"gate: socket activation: the socket 'web' at {host}:{port} is for nothing in the "
        "settings; set FileDescriptorName= to one of admin, http, notice\n"
    )


def test_what_is_meant_for_another_process_is_left_alone() -> None:
    environ = {"LISTEN_PID": "1", "LISTEN_FDS": "2", "LISTEN_FDNAMES": "http:tls", "HOME": "/"}
    assert passed(environ, os.getpid()) == []
    assert environ == {"HOME": "/"}


def test_a_socket_is_known_by_its_name_or_else_by_its_address(held: socket.socket) -> None:
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as other:
        host, port = other.getsockname()[:2]
        admin = SETTINGS.admin.model_copy(update={"listen": Address(host=host, port=port)})
        settings = SETTINGS.model_copy(update={"admin": admin})
        sockets = [Passed("tls", held), Passed("gate.socket", other)]
        found = {name: list(given) for name, given in assign(sockets, settings, 1).items()}
        assert found == {"tls": [held], "admin": [other]}


def test_a_socket_that_takes_both_address_families_is_refused(tmp_path: Path) -> None:
    gate = new_gate(tmp_path)
    with socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True) as both:
        start(gate, {"http": both})
        assert gate.process is not None
        assert gate.process.wait(30) == 2
    assert "'http' takes IPv4 as well; set BindIPv6Only=ipv6-only" in log_of(gate)


def test_workers_share_the_sockets_that_there_are(held: socket.socket) -> None:
    (shared,) = assign([Passed("http", held)], SETTINGS, 3).values()
    with closing(shared[1]), closing(shared[2]):
        assert len({sock.fileno() for sock in shared}) == 3
        assert {sock.getsockname() for sock in shared} == {held.getsockname()}


def test_more_sockets_than_workers_are_refused(held: socket.socket) -> None:
    two = [Passed("http", held), Passed("http", held)]
    with pytest.raises(ActivationError, match="2 sockets for 'http', and it can serve 1"):
        assign(two, SETTINGS, 1)


QUIC = SETTINGS.model_copy(
    update={
        "listeners": (
            *SETTINGS.listeners,
            Listener(name="quic", kind="quic", address=Address(host="127.0.0.1", port=8443)),
        )
    }
)


@pytest.fixture
def held_udp() -> Iterator[socket.socket]:
    """A UDP socket that somebody else holds."""
    with closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        sock.bind(("127.0.0.1", 0))
        yield sock


def test_a_udp_socket_is_a_quic_listeners(held: socket.socket, held_udp: socket.socket) -> None:
    """Also where both have the same address, as HTTP/3 has it."""
    address = Address(host="127.0.0.1", port=held_udp.getsockname()[1])
    quic = QUIC.listeners[2].model_copy(update={"address": address})
    tls = QUIC.listeners[1].model_copy(update={"address": address})
    settings = QUIC.model_copy(update={"listeners": (tls, quic)})
    found = assign([Passed("gate.socket", held_udp), Passed("tls", held)], settings, 1)
    assert {name: list(given) for name, given in found.items()} == {
        "quic": [held_udp],
        "tls": [held],
    }


def test_quic_takes_a_socket_for_each_worker_or_none(held_udp: socket.socket) -> None:
    with pytest.raises(ActivationError, match="QUIC needs one for each of the 2 workers"):
        assign([Passed("quic", held_udp)], QUIC, 2)


@pytest.mark.parametrize("name", ["tls", "admin"])
def test_a_udp_socket_is_nothing_for_tcp(held_udp: socket.socket, name: str) -> None:
    with pytest.raises(ActivationError, match=r"the UDP socket .* is for nothing .* of quic"):
        assign([Passed(name, held_udp)], QUIC, 1)


def test_a_tcp_socket_is_nothing_for_quic(held: socket.socket) -> None:
    with pytest.raises(ActivationError, match=r"the socket .* is for nothing"):
        assign([Passed("quic", held)], QUIC, 1)
