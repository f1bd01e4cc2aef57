"""Load: thousands of connections at a time and bodies of 1 GiB, in flat memory."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness import hello
from tests.harness.client import Client, get, request
from tests.harness.gate_process import Gate, listener, usage
from tests.harness.recorder import Arrival, Recorder
from tests.harness.stage import prepare_replica
from tests.harness.stream import ByteStream
from tests.harness.swarm import Fanout, Sparse, Swarm, discard
from tests.harness.waiting import wait_for

pytestmark = pytest.mark.usefixtures("executed")  # its memory is measured

CONNECTIONS = 2000
GIB = 1 << 30
MIB = 1 << 20

RESPONSE = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Loaded:
    """A gate between a swarm and upstreams that keep up."""

    def __init__(self, directory: Path) -> None:
        self.http = Fanout(lambda data: RESPONSE * data.count(b"\r\n\r\n"))
        self.echo = Fanout(bytes)
        prepare_replica(directory / "replica")
        self.gate = Gate(
            directory,
            {
                "workers": 2,
                "process": {"drain_seconds": 0},
                "listeners": [listener("http", "http"), listener("tls", "tls")],
                "upstreams": {"default": {"http": [self.http.address], "tls": [self.echo.address]}},
            },
        ).start()

    def memory(self) -> int:
        """Resident bytes of all workers together."""
        return sum(usage(pid).rss for pid in self.gate.workers())

    def close(self) -> None:
        self.gate.stop()
        self.http.close()
        self.echo.close()


@pytest.fixture
def loaded(tmp_path: Path) -> Iterator[Loaded]:
    stage = Loaded(tmp_path)
    try:
        yield stage
    finally:
        stage.close()


def test_2000_kept_alive_connections_lose_no_request_and_no_memory(loaded: Loaded) -> None:
    with Client(loaded.gate.ports["http"]) as client:
        size = len(client.ask(get("filed.com", "/0")).head) + 2
    levels = []
    for _ in range(3):
        swarm = Swarm(loaded.gate.ports["http"], CONNECTIONS)
        for number in range(4):
            answers = swarm.exchange(get("filed.com", f"/{number}"), size)
            assert [a for a in answers if not a.startswith(b"HTTP/1.1 200")] == []
        levels.append(loaded.memory())
        assert loaded.gate.total("gate_connections_open") >= CONNECTIONS
        swarm.close()
        wait_for(lambda: loaded.gate.total("gate_connections_open") == 0, "all to be closed")
    assert loaded.gate.total("gate_http_requests_total") >= 3 * 4 * CONNECTIONS
    assert levels[-1] - levels[0] < 8 * MIB, levels


def test_2000_tunnels_lose_no_byte_and_no_memory(loaded: Loaded) -> None:
    levels = []
    first = hello.hello(b"filed.com")
    for _ in range(3):
        swarm = Swarm(loaded.gate.ports["tls"], CONNECTIONS)
        assert set(swarm.exchange(first, len(first))) == {first}
        wait_for(lambda: loaded.echo.open >= CONNECTIONS, "all tunnels at the origin at a time")
        for number in range(3):
            message = bytes([number]) * 700
            assert set(swarm.exchange(message, len(message))) == {message}
        levels.append(loaded.memory())
        swarm.close()
        wait_for(lambda: loaded.gate.total("gate_connections_open") == 0, "all to be closed")
    assert levels[-1] - levels[0] < 8 * MIB, levels


def test_resets_by_the_thousand_leave_nothing_behind(loaded: Loaded) -> None:
    port, sent = loaded.gate.ports["tls"], hello.hello(b"unfiled.com")
    descriptors = [usage(pid).descriptors for pid in loaded.gate.workers()]
    levels = []
    for _ in range(3):
        for _ in range(2000):
            with Client(port) as client:
                client.send(sent)
                client.expect_reset()
        levels.append(loaded.memory())
    assert levels[-1] - levels[0] < 4 * MIB, levels
    assert [usage(pid).descriptors for pid in loaded.gate.workers()] == descriptors
    assert loaded.gate.decisions(reason="unfiled") == 6000


class Bulk:
    """A gate of one worker before an origin that takes or gives 1 GiB."""

    def __init__(self, directory: Path) -> None:
        self.sparse = Sparse(directory, GIB)
        self.taken: list[int] = []
        self.origin = Recorder(self.serve)
        prepare_replica(directory / "replica")
        self.gate = Gate(
            directory,
            {
                "workers": 1,
                "process": {"drain_seconds": 0},
                "listeners": [listener("http", "http"), listener("tls", "tls")],
                "upstreams": {
                    "default": {"http": [self.origin.address], "tls": [self.origin.address]}
                },
            },
        ).start()

    def serve(self, arrival: Arrival) -> None:
        """HTTP: GET gives, PUT takes, both by length or chunked. A hello: gives and takes."""
        first = arrival.read_exact(1)
        if first == b"\x16":
            rest = arrival.read_exact(4)
            arrival.read_exact(int.from_bytes(rest[2:], "big"))
            giving = threading.Thread(target=self.sparse.send, args=(arrival.sock,))
            giving.start()
            self.taken.append(take(arrival, GIB))
            giving.join()
            return
        head = first + arrival.read_until(b"\r\n\r\n")
        if head.startswith(b"PUT"):
            chunked = b"transfer-encoding: chunked" in head.lower()
            self.taken.append(take_chunked(arrival) if chunked else take(arrival, GIB))
            arrival.send(RESPONSE)
        elif b"/small" in head:
            arrival.send(RESPONSE)
        elif b"/chunked" in head:
            arrival.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n" % GIB)
            self.sparse.send(arrival.sock)
            arrival.send(b"\r\n0\r\n\r\n")
        else:
            arrival.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % GIB)
            self.sparse.send(arrival.sock)

    def close(self) -> None:
        self.gate.stop()
        self.origin.close()
        self.sparse.close()


def take(stream: ByteStream, size: int) -> int:
    """Take `size` bytes off a stream; return how many came."""
    early = len(stream.read_some(size)) if stream.pending else 0
    return early + discard(stream.sock, size - early)


def take_chunked(stream: ByteStream) -> int:
    """Take a whole chunked body off a stream; return the size of its payload."""
    total = 0
    while size := int(stream.read_until(b"\r\n"), 16):
        total += take(stream, size)
        assert stream.read_exact(2) == b"\r\n"
    assert stream.read_exact(2) == b"\r\n"
    return total


@pytest.fixture
def bulk(tmp_path: Path) -> Iterator[Bulk]:
    stage = Bulk(tmp_path)
    try:
        yield stage
        (worker,) = stage.gate.workers()
        peak = usage(worker).peak
    finally:
        stage.close()
    assert peak < 100 * MIB, f"the worker took {peak / MIB:.0f} MiB"


def test_1_gib_response_with_a_length(bulk: Bulk) -> None:
    with Client(bulk.gate.ports["http"]) as client:
        client.send(get("filed.com", "/length"))
        client.read_head()
        assert take(client, GIB) == GIB


def test_1_gib_response_in_chunks(bulk: Bulk) -> None:
    with Client(bulk.gate.ports["http"]) as client:
        client.send(get("filed.com", "/chunked"))
        client.read_head()
        assert take_chunked(client) == GIB


def test_1_gib_request_with_a_length(bulk: Bulk) -> None:
    with Client(bulk.gate.ports["http"], seconds=60) as client:
        client.send(request("PUT", "filed.com", "/", f"Content-Length: {GIB}"))
        bulk.sparse.send(client.sock)
        assert client.read_response("PUT").body == b"ok"
    assert bulk.taken == [GIB]


def test_1_gib_request_in_chunks(bulk: Bulk) -> None:
    with Client(bulk.gate.ports["http"], seconds=60) as client:
        client.send(request("PUT", "filed.com", "/", "Transfer-Encoding: chunked"))
        client.send(b"%x\r\n" % GIB)
        bulk.sparse.send(client.sock)
        client.sock.settimeout(60)
        client.send(b"\r\n0\r\n\r\n")
        assert client.read_response("PUT").body == b"ok"
    assert bulk.taken == [GIB]


def test_1_gib_both_ways_through_a_tunnel(bulk: Bulk) -> None:
    with Client(bulk.gate.ports["tls"]) as client:
        client.send(hello.hello(b"filed.com"))
        giving = threading.Thread(target=bulk.sparse.send, args=(client.sock,))
        giving.start()
        assert take(client, GIB) == GIB
        giving.join()
        wait_for(lambda: bulk.taken == [GIB], "the origin to have taken 1 GiB", 60)


def test_small_requests_are_served_beside_a_firehose(bulk: Bulk) -> None:
    """1 GiB each way goes through the one worker; nobody else waits for its end."""
    with Client(bulk.gate.ports["tls"]) as firehose:
        firehose.send(hello.hello(b"filed.com"))
        giving = threading.Thread(target=bulk.sparse.send, args=(firehose.sock,))
        taking = threading.Thread(target=take, args=(firehose, GIB))
        giving.start()
        taking.start()
        served = 0
        while giving.is_alive() and served < 200:
            with Client(bulk.gate.ports["http"]) as client:
                assert client.ask(get("filed.com", "/small")).status == 200
            served += 1
        assert served >= 20
        taking.join()
        giving.join()
