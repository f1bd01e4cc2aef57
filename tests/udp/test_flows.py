"""Flows by their table of states (gate/proxy/udp/flow.py), with a clock that a test moves."""

from __future__ import annotations

import secrets
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from gate.proxy.udp.states import FlowState
from tests.harness.initial import Initials, client_hello, crypto, long_header
from tests.udp.running import NAME, RunningQuic

CID = b"serverid"


@contextmanager
def udp(port: int = 0) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        if port:
            sock.connect(("127.0.0.1", port))
        else:
            sock.bind(("127.0.0.1", 0))
        sock.settimeout(5)
        yield sock


@pytest.fixture
def upstream() -> Iterator[socket.socket]:
    with udp() as sock:
        yield sock


Start = Callable[..., RunningQuic]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts a plane before upstreams."""
    with ExitStack() as stack:

        def run(*upstreams: tuple[str, int], **options: Any) -> RunningQuic:
            running = RunningQuic(tmp_path, *upstreams, **options)
            stack.callback(running.close)
            return running

        yield run


class Life:
    """A client, its flow, and the server that answers it."""

    def __init__(
        self, running: RunningQuic, upstream: socket.socket, client: socket.socket
    ) -> None:
        self.running, self.upstream, self.client = running, upstream, client
        self.sending = Initials()
        self.gate: Any = None

    def hello(self) -> None:
        self.client.send(self.sending.hello(NAME))
        self.running.until(lambda: self.running.flows)
        _, self.gate = self.upstream.recvfrom(65536)

    def server(self) -> None:
        head = long_header("handshake", self.sending.scid, CID, size=90)
        self.upstream.sendto(head + secrets.token_bytes(86), self.gate)
        (flow,) = self.running.flows
        self.running.until(lambda: flow.cids == [CID])
        self.client.recv(65536)

    def proof(self) -> None:
        self.client.send(b"\x43" + CID + secrets.token_bytes(40))
        (flow,) = self.running.flows
        self.running.until(lambda: flow.state is FlowState.PROVEN)
        self.upstream.recvfrom(65536)


def test_the_states_in_their_order(start: Start, upstream: socket.socket) -> None:
    running = start(upstream.getsockname())
    with udp(running.port) as client:
        hello = client_hello(NAME)
        life = Life(running, upstream, client)
        client.send(life.sending.datagram(crypto(0, hello[:30])))
        running.until(lambda: running.flows)
        (flow,) = running.flows
        assert [each.state for each in running.flows] == [FlowState.HELD]
        client.send(life.sending.datagram(crypto(30, hello[30:])))
        running.until(lambda: flow.state is FlowState.OPEN)
        for _ in range(2):
            _, life.gate = upstream.recvfrom(65536)
        life.server()
        assert flow.state is FlowState.OPEN, "the server alone proves nothing"
        life.proof()
        running.age(119)
        assert running.flows == [flow]
        running.age(2)
        assert running.flows == []
        assert str(flow.state) == "FlowState.ENDED"
        assert running.figure("ended", "idle") == 1


def test_what_a_forger_can_send_proves_nothing(start: Start, upstream: socket.socket) -> None:
    """Its first packets again, packets to another ID, and packets before the server has spoken."""
    running = start(upstream.getsockname())
    with udp(running.port) as client:
        life = Life(running, upstream, client)
        life.hello()
        (flow,) = running.flows
        forged = [
            life.sending.hello(NAME),
            b"\x43" + secrets.token_bytes(60),
            long_header("handshake", life.sending.dcid, life.sending.scid, size=90) + bytes(86),
        ]
        for _ in range(2):
            for datagram in forged:
                client.send(datagram)
                upstream_has(running, upstream)
            if not flow.cids:
                life.server()
        assert flow.state is FlowState.OPEN
        running.age(11)
        assert running.figure("ended", "unproven") == 1


def upstream_has(running: RunningQuic, upstream: socket.socket) -> bytes:
    upstream.setblocking(False)
    found: list[bytes] = []

    def look() -> bool:
        try:
            found.append(upstream.recv(65536))
        except BlockingIOError:
            return False
        return True

    running.until(look)
    upstream.settimeout(5)
    return found[0]


def test_a_server_that_is_silent_is_not_given_up_for_others(
    start: Start, upstream: socket.socket
) -> None:
    running = start(upstream.getsockname())
    with udp(running.port) as client:
        Life(running, upstream, client).hello()
        running.age(11)
        assert running.figure("ended", "upstream_timeout") == 1
        resting = running.plane.stats()["upstream_resting"]
        assert set(resting.values()) == {0}, "an endpoint rests because of a client's nonsense"


def test_another_endpoint_is_tried_when_a_client_repeats_itself(
    start: Start, upstream: socket.socket
) -> None:
    """Both datagrams of the first flight go to it, and what goes on from there."""
    with udp() as other:
        running = start(upstream.getsockname(), other.getsockname())
        with udp(running.port) as client:
            sending, hello = Initials(), client_hello(NAME)
            flight = [
                sending.datagram(crypto(0, hello[:50])),
                sending.datagram(crypto(50, hello[50:])),
            ]
            for datagram in flight:
                client.send(datagram)
            running.until(lambda: running.flows and running.flows[0].sock is not None)
            assert [upstream.recv(65536) for _ in flight] == flight
            client.send(again := sending.hello(NAME))
            assert upstream_has(running, upstream) == again, "too early for another one"
            running.flows[0]._way._since -= 2  # type: ignore[union-attr]
            client.send(late := sending.hello(NAME))
            assert [upstream_has(running, other) for _ in range(3)] == [*flight, late]


def test_flows_that_are_over_by_all_appearance_make_room(
    start: Start, upstream: socket.socket
) -> None:
    """A close is encrypted: behind it a flow would keep others out for two minutes."""
    running = start(upstream.getsockname(), quic_flows_per_address=3)
    clients = []
    with ExitStack() as stack:
        for _ in range(3):
            client = stack.enter_context(udp(running.port))
            client.send(Initials().hello(NAME))
            clients.append(client)
        running.until(lambda: len(running.flows) == 3)
        first = running.flows[0]
        client = stack.enter_context(udp(running.port))
        refused = Initials()
        client.send(refused.hello(NAME))
        running.until(lambda: running.figure("answers", "close") == 1)
        assert len(running.flows) == 3
        for flow in running.flows:
            flow.touched -= 31
        running.plane._quic[0]._table._looked.clear()  # it looked in vain a moment ago
        client.send(Initials().hello(NAME))
        running.until(lambda: running.figure("ended", "gave_way") == 1)
        running.until(lambda: len(running.flows) == 3)
        assert first.state is FlowState.ENDED


@pytest.mark.parametrize("host", ["127.0.0.1", "::"])
def test_a_mapped_client_is_an_ipv4_client(
    start: Start, upstream: socket.socket, host: str
) -> None:
    """On a socket for IPv6 the kernel writes an IPv4 client as ::ffff:a.b.c.d (RFC 4291 2.5.5.2):
    limits, log lines and figures have the IPv4 address, and answers find their way."""
    seen: list[str] = []
    running = start(upstream.getsockname(), host=host, quic_flows_per_address=1)
    listener = running.plane._listeners["quic"]
    listener._observe = lambda *what: seen.append(what[2])
    listener._observing = True
    with udp(running.port) as client:
        life = Life(running, upstream, client)
        life.hello()
        life.server()
        life.proof()
        (flow,) = running.flows
        assert (flow.host, flow.path.host) == ("127.0.0.1", "127.0.0.1")
        (plane,) = running.plane._quic
        assert plane._table._by_address == {"127.0.0.1": 1}
        # The same client from another port, known by its ID: over what an address may have.
        with udp(running.port) as elsewhere:
            elsewhere.send(b"\x43" + CID + secrets.token_bytes(40))
            running.until(lambda: running.figure("dropped", "limit"))
    with udp(running.port) as refused:
        sending = Initials()
        refused.send(sending.hello("unfiled.cn"))
        running.until(lambda: len(seen) > 1)
        assert refused.recv(65536)
    assert set(seen) == {"127.0.0.1"}
