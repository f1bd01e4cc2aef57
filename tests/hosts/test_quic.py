"""Rows of edge.md for UDP: QUIC that is addressed to the hosts, and what the hosts see of it."""

from __future__ import annotations

import pytest

from tests.harness import filings
from tests.harness.initial import Initials
from tests.harness.inner_stage import FAMILIES, SAME, SEEN, TPROXY, InnerStage, Way
from tests.harness.namespaces import CLIENT, GATE, HOST, OTHER_HOST, THIRD_HOST
from tests.harness.waiting import wait_for

both_families = pytest.mark.parametrize("family", FAMILIES, ids=("ipv4", "ipv6"))
every_way = pytest.mark.parametrize("way", [TPROXY, SEEN, SAME], ids=str)


@every_way
@both_families
@pytest.mark.parametrize("host", [HOST, OTHER_HOST], ids=("host", "other host"))
def test_a_filed_hello_goes_to_the_host_and_the_answer_comes_from_it(
    inner: InnerStage, way: Way, family: int, host: dict[int, str]
) -> None:
    """haproxy#3503, quilkin#936: answers from another address than the client has asked.

    sing-box#3045: so it was on [::], whose sockets lacked the options of IPv6.
    """
    hello = Initials().hello(filings.FILED)
    recorder = inner.datagrams[way.name, family, host[family]]
    with inner.send_to(host[family], way.quic) as client:
        client.send(hello)
        mine = client.sock.getsockname()[:2]
        sender = recorder.sender_of(hello)[:2]
        # The socket is connected: it hears the host alone. The host sends back what came.
        assert client.receive() == hello
    assert sender[0] == (GATE[family] if way is TPROXY else CLIENT[family])
    assert (sender == mine) is (way is SAME)


@every_way
@both_families
def test_an_unfiled_hello_is_closed_and_reaches_no_host(
    inner: InnerStage, way: Way, family: int
) -> None:
    recorder = inner.datagrams[way.name, family, HOST[family]]
    before = len(recorder.arrivals)
    with inner.send_to(HOST[family], way.quic) as client:
        client.send(Initials().hello(filings.UNFILED))
        assert client.receive()  # a close, from the host's address
        passing = Initials().hello(filings.FILED)
        client.send(passing)
        recorder.sender_of(passing)
    assert [datagram for _, datagram in recorder.arrivals[before:]] == [passing]


@both_families
@pytest.mark.parametrize(
    ("host", "verdict"), [(THIRD_HOST, "monitor"), (OTHER_HOST, "pass")], ids=("monitor", "pass")
)
def test_a_network_has_a_mode_of_its_own(
    inner: InnerStage, family: int, host: dict[int, str], verdict: str
) -> None:
    labels = {"listener": f"quic-tproxy{family}", "verdict": verdict, "reason": "unfiled"}
    before = inner.gate.decisions(**labels)
    hello = Initials().hello(filings.UNFILED)
    with inner.send_to(host[family], TPROXY.quic) as client:
        client.send(hello)
        inner.datagrams["tproxy", family, host[family]].sender_of(hello)
    assert inner.gate.decisions(**labels) == before + 1


@both_families
def test_a_datagram_to_the_gate_itself_is_dropped_and_there_is_no_loop(
    inner: InnerStage, family: int
) -> None:
    before = inner.gate.decisions(reason="not_intercepted", scheme="quic")
    flows = inner.gate.total("gate_quic_flows")
    with inner.send_to(GATE[family], TPROXY.quic) as client:
        client.send(Initials().hello(filings.FILED))
        wait_for(
            lambda: inner.gate.decisions(reason="not_intercepted", scheme="quic") == before + 1,
            "the datagram to be dropped",
        )
    assert inner.gate.total("gate_quic_flows") == flows


@both_families
def test_a_connection_stays_with_its_host(inner: InnerStage, family: int) -> None:
    """A known connection ID opens no way to another host of the same listener."""
    sending = Initials()
    hello = sending.hello(filings.FILED)
    other = inner.datagrams["tproxy", family, THIRD_HOST[family]]
    before = len(other.arrivals)
    with inner.send_to(HOST[family], TPROXY.quic) as client:
        client.send(hello)
        inner.datagrams["tproxy", family, HOST[family]].sender_of(hello)
        assert client.receive() == hello
        with inner.send_to(THIRD_HOST[family], TPROXY.quic) as elsewhere:
            for _ in range(2):
                elsewhere.send(b"\x43" + sending.scid + bytes(80))
            passing = Initials().hello(filings.FILED)
            elsewhere.send(passing)
            other.sender_of(passing)
    assert [datagram for _, datagram in other.arrivals[before:]] == [passing]
