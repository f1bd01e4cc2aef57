"""What a process needs runs out: memory, room on the disk, room in socket buffers."""

from __future__ import annotations

import contextlib
import os
import resource
import socket
from collections.abc import Iterator

import pytest

from tests.faults.watching import FILED, watched
from tests.harness.client import Client, request
from tests.harness.gate_process import Gate, run_gate
from tests.harness.hello import real_hello
from tests.harness.running import log_of, pid_of, restarts
from tests.harness.waiting import wait_for

MIB = 1 << 20


def address_space(pid: int) -> int:
    """Bytes that a process has mapped."""
    with open(f"/proc/{pid}/statm", encoding="ascii") as file:
        return int(file.read().split()[0]) * resource.getpagesize()


@contextlib.contextmanager
def limited(pids: list[int], kind: int, amount: int) -> Iterator[None]:
    """Have running processes under a limit for a while; the parent's first, for what it forks."""
    before = {pid: resource.prlimit(pid, kind) for pid in pids}
    for pid, (_, hard) in before.items():
        resource.prlimit(pid, kind, (amount, hard))
    try:
        yield
    finally:
        for pid, limits in before.items():
            with contextlib.suppress(ProcessLookupError):
                resource.prlimit(pid, kind, limits)


def test_a_worker_without_memory_sheds_load_or_is_replaced_and_judges_nothing_wrong(
    gate: Gate,
) -> None:
    with watched(gate) as watch:
        for name in ("worker-0", "worker-1"):
            pid = pid_of(gate, name)
            resource.prlimit(pid, resource.RLIMIT_AS, (address_space(pid) + 2 * MIB,) * 2)
        hoard = []
        for _ in range(300):  # 60 KiB of a hello each: 18 MiB in all
            with contextlib.suppress(OSError):
                client = Client(gate.ports["tls"])
                hoard.append(client)
                client.send(b"\x16\x03\x01\x40\x00\x01\x00\xff\x00" + b"\0" * 16380)
                client.send((b"\x16\x03\x01\x40\x00" + b"\0" * 16384) * 2)
        watch.goes_on("service beside the hoard", 60)
        for client in hoard:
            client.sock.close()
        watch.goes_on("service after the hoard")
    assert "MemoryError" in log_of(gate) or restarts(gate, "worker-0") + restarts(
        gate, "worker-1"
    ), "the limit was felt"


def test_no_room_on_the_disk_changes_nothing_and_stops_nothing(gate: Gate) -> None:
    """RLIMIT_FSIZE of nothing: neither log, state nor replica can be written."""
    assert gate.process is not None
    everybody = [gate.process.pid, *gate.children()]
    with watched(gate) as watch:
        with limited(everybody, resource.RLIMIT_FSIZE, 0):
            refused = run_gate(
                "suspend", FILED, "--reason", "test", "--config", str(gate.config), check=False
            )
            assert refused.returncode != 0
            assert "cannot be written" in refused.stderr, refused.stderr
            watch.goes_on("service without a disk")
            assert gate.ask_admin("/readyz")[0] == 200
            assert sorted(everybody[1:]) == sorted(gate.children()), "nobody died of it"
        watch.goes_on("service with a disk")
        run_gate("suspend", "example.net", "--reason", "test", "--config", str(gate.config))


@pytest.mark.parametrize("receive_buffer", [1, 4096])
def test_bodies_and_tunnels_pass_whole_through_tiny_socket_buffers(
    gate: Gate, receive_buffer: int
) -> None:
    body = os.urandom(MIB // 2)
    with Client(gate.ports["http"], receive_buffer=receive_buffer) as client:
        tiny(client)
        response = client.ask(
            request("POST", FILED, "/echo", f"Content-Length: {len(body)}", body=body), "POST"
        )
        assert response.status == 200
    hello = real_hello(FILED)
    with Client(gate.ports["tls"], receive_buffer=receive_buffer) as client:
        tiny(client)
        client.send(hello)
        assert client.read_exact(len(hello)) == hello
        for start in range(0, len(body), 16384):
            piece = body[start : start + 16384]
            client.send(piece)
            assert client.read_exact(len(piece)) == piece
    wait_for(lambda: gate.total("gate_connections_open") == 0, "both to end")


def tiny(client: Client) -> None:
    client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)
