"""A PROXY header whose destination is the upstream: a balancer in front, and hosts behind."""

from __future__ import annotations

import contextlib
import json

import pytest

from tests.harness import filings, hello
from tests.harness.client import Client, get
from tests.harness.inner_stage import FAMILIES, HEADED, InnerStage
from tests.harness.namespaces import CLIENT, GATE, HOST, OTHER_HOST, THIRD_HOST
from tests.harness.waiting import wait_for

both_families = pytest.mark.parametrize("family", FAMILIES, ids=("ipv4", "ipv6"))
SOURCE = {4: "198.51.100.7", 6: "2001:db8::7"}


def header(family: int, host: str, port: int) -> bytes:
    """A version 1 header: a client of the balancer's has asked for the host."""
    word = {4: "TCP4", 6: "TCP6"}[family]
    return f"PROXY {word} {SOURCE[family]} {host} 5555 {port}\r\n".encode()


@both_families
@pytest.mark.parametrize("host", [HOST, OTHER_HOST], ids=("host", "other host"))
def test_filed_http_goes_to_the_destination_of_the_header(
    inner: InnerStage, family: int, host: dict[int, str], path: str
) -> None:
    with inner.connect(GATE[family], HEADED.http) as client:
        sent = header(family, host[family], HEADED.http) + get(filings.FILED, path)
        assert client.ask(sent).status == 200
    request, arrival = inner.request_about(HEADED, family, path)
    assert arrival.at == (host[family], HEADED.http)
    assert request.value("x-forwarded-for") == SOURCE[family]


@both_families
def test_filed_tls_goes_to_the_destination_of_the_header(inner: InnerStage, family: int) -> None:
    context = inner.certificates.client_context()
    with inner.connect(GATE[family], HEADED.tls) as client:
        client.send(header(family, HOST[family], HEADED.tls))
        with context.wrap_socket(client.sock, server_hostname=filings.FILED) as tls:
            tls.sendall(b"GET /headed HTTP/1.1\r\nHost: x\r\n\r\n")
            assert b"200 OK" in tls.recv(4096)
    assert inner.tls["headed", family].arrivals[-1].at == (HOST[family], HEADED.tls)


@both_families
def test_unfiled_names_reach_no_host_and_their_line_names_it(
    inner: InnerStage, family: int
) -> None:
    name = f"headed{family}.{filings.UNFILED}"
    with inner.nobody_reached(), inner.connect(GATE[family], HEADED.tls) as client:
        client.send(header(family, HOST[family], 443) + hello.hello(name.encode()))
        with pytest.raises(ConnectionResetError):
            client.fill()

    def line() -> dict[str, str] | None:
        entries = map(json.loads, inner.gate.log.read_text().splitlines())
        return next((entry for entry in entries if entry.get("name") == name), None)

    found = wait_for(line, "the line")
    assert found is not None
    shown = f"[{HOST[family]}]:443" if family == 6 else f"{HOST[family]}:443"
    assert (found["destination"], found["client"]) == (shown, SOURCE[family])


@both_families
@pytest.mark.parametrize(
    "host",
    [
        {4: "10.99.0.1", 6: "fd99::1"},
        GATE,
        {4: "127.0.0.1", 6: "::1"},
        {4: "224.0.0.1", 6: "ff02::1"},
        {4: "169.254.0.1", 6: "fe80::1"},
    ],
    ids=("outside", "the gate", "loopback", "multicast", "link-local"),
)
def test_a_header_opens_no_relay_beyond_the_destinations(
    inner: InnerStage, family: int, host: dict[int, str]
) -> None:
    before = inner.gate.decisions(reason="not_intercepted")
    accepted = inner.gate.total("gate_connections_accepted_total")
    with inner.nobody_reached(), inner.connect(GATE[family], HEADED.http) as client:
        with contextlib.suppress(ConnectionResetError, BrokenPipeError):
            client.send(header(family, host[family], HEADED.http) + get(filings.FILED))
        with pytest.raises(ConnectionResetError):
            client.fill()
    assert inner.gate.decisions(reason="not_intercepted") == before + 1
    assert inner.gate.total("gate_connections_accepted_total") == accepted + 1


def test_a_header_from_elsewhere_names_no_upstream(inner: InnerStage) -> None:
    nets = inner.networks
    with (
        nets.inside(nets.gate),
        inner.nobody_reached(),
        Client(HEADED.http, host="127.0.0.1") as client,
    ):
        response = client.ask(header(4, HOST[4], HEADED.http) + get(filings.FILED))
    assert response.status == 400


def test_a_header_without_a_destination_leaves_it_to_the_pools(inner: InnerStage) -> None:
    """Such as a balancer's health check: the default pool is empty here."""
    with inner.nobody_reached(), inner.connect(GATE[4], HEADED.http) as client:
        response = client.ask(b"PROXY UNKNOWN\r\n" + get(filings.FILED))
    assert response.status == 502
    assert b"no http upstream" in response.body


@both_families
def test_a_networks_mode_counts_for_a_header_as_well(
    inner: InnerStage, family: int, path: str
) -> None:
    with inner.connect(GATE[family], HEADED.http) as client:
        sent = header(family, THIRD_HOST[family], HEADED.http) + get(filings.UNFILED, path)
        assert client.ask(sent).status == 200
    _, arrival = inner.request_about(HEADED, family, path)
    assert arrival.peer[0] != CLIENT[family]
