"""Rows of edge.md, transparent listeners: who is reached, who is not, and what the host sees."""

from __future__ import annotations

import contextlib
import json

import pytest

from tests.harness import filings, hello
from tests.harness.client import Client, get
from tests.harness.inner_stage import FAMILIES, REDIRECT, SAME, SEEN, TPROXY, WAYS, InnerStage, Way
from tests.harness.namespaces import CLIENT, GATE, HOST, NO_HOST, OTHER_HOST, THIRD_HOST
from tests.harness.waiting import wait_for

both_families = pytest.mark.parametrize("family", FAMILIES, ids=("ipv4", "ipv6"))
every_way = pytest.mark.parametrize("way", WAYS, ids=str)


def over_tls(inner: InnerStage, host: str, port: int, name: str) -> str:
    with inner.connect(host, port) as client:
        return client.ask_over_tls(inner.certificates.client_context(), name)


@every_way
@both_families
@pytest.mark.parametrize("host", [HOST, OTHER_HOST], ids=("host", "other host"))
def test_filed_http_goes_to_the_host_that_it_was_addressed_to(
    inner: InnerStage, way: Way, family: int, host: dict[int, str], path: str
) -> None:
    with inner.connect(host[family], way.http) as client:
        response = client.ask(get(filings.FILED, path))
    assert (response.status, response.body.decode()) == (200, f"origin: GET {filings.FILED} {path}")
    _, arrival = inner.request_about(way, family, path)
    assert arrival.at == (host[family], way.http)


@every_way
@both_families
def test_filed_tls_goes_to_the_host_that_it_was_addressed_to(
    inner: InnerStage, way: Way, family: int
) -> None:
    answer = over_tls(inner, HOST[family], way.tls, filings.FILED)
    assert answer == f"tls origin: {filings.FILED} /over-tls"
    assert inner.tls[way.name, family].arrivals[-1].at == (HOST[family], way.tls)


@every_way
@both_families
def test_unfiled_http_gets_the_notice_and_reaches_no_host(
    inner: InnerStage, way: Way, family: int
) -> None:
    with inner.nobody_reached(), inner.connect(HOST[family], way.http) as client:
        response = client.ask(get(filings.UNFILED))
        client.expect_end()
    assert response.status == 302
    assert response.field("location") == (
        f"{inner.gate.notice_url}?domain={filings.UNFILED}&reason=unfiled"
    )


@every_way
@both_families
def test_unfiled_tls_is_reset_and_reaches_no_host(inner: InnerStage, way: Way, family: int) -> None:
    with inner.nobody_reached(), inner.connect(HOST[family], way.tls) as client:
        client.send(hello.hello(filings.UNFILED.encode()))
        with pytest.raises(ConnectionResetError):
            client.fill()


@both_families
@pytest.mark.parametrize(
    ("way", "address", "port"),
    [
        (TPROXY, False, False),
        (REDIRECT, False, False),
        (SEEN, True, False),
        (SAME, True, True),
    ],
    ids=str,
)
def test_the_host_sees_whom_client_source_says(
    inner: InnerStage, way: Way, family: int, address: bool, port: bool, path: str
) -> None:
    with inner.connect(HOST[family], way.http) as client:
        mine = client.sock.getsockname()[:2]
        client.ask(get(filings.FILED, path))
    request, arrival = inner.request_about(way, family, path)
    assert arrival.peer[0] == (CLIENT[family] if address else GATE[family])
    assert (arrival.peer == mine) is port
    # Nothing is added where the host sees the client's address anyway.
    assert request.value("x-forwarded-for") == (None if address else CLIENT[family])


# Modes of networks.


@both_families
@pytest.mark.parametrize(
    ("host", "verdict"), [(THIRD_HOST, "monitor"), (OTHER_HOST, "pass")], ids=("monitor", "pass")
)
def test_a_network_has_a_mode_of_its_own(
    inner: InnerStage, family: int, host: dict[int, str], verdict: str, path: str
) -> None:
    listener = f"http-tproxy{family}"
    before = inner.gate.decisions(listener=listener, verdict=verdict, reason="unfiled")
    with inner.connect(host[family], TPROXY.http) as client:
        assert client.ask(get(filings.UNFILED, path)).status == 200
    answer = over_tls(inner, host[family], TPROXY.tls, filings.UNFILED)
    assert answer == f"tls origin: {filings.UNFILED} /over-tls"
    after = inner.gate.decisions(listener=listener, verdict=verdict, reason="unfiled")
    assert after == before + 1


# Destinations that are none.


def is_reset(client: Client) -> None:
    """The gate resets, whatever is sent."""
    with contextlib.suppress(ConnectionResetError, BrokenPipeError):
        client.send(get(filings.FILED))
    with pytest.raises(ConnectionResetError):
        client.fill()


def refused(inner: InnerStage, host: str, port: int) -> None:
    """A connection is reset before anything of it was looked at, and counted."""
    before = inner.gate.decisions(reason="not_intercepted")
    with inner.nobody_reached(), inner.connect(host, port) as client:
        is_reset(client)
    assert inner.gate.decisions(reason="not_intercepted") == before + 1


@every_way
@both_families
def test_a_client_that_dials_the_listener_itself_is_reset_and_there_is_no_loop(
    inner: InnerStage, way: Way, family: int
) -> None:
    """mitmproxy#2740, Xray-core#5114: a proxy that dials itself until it has no descriptor left."""
    before = sum(inner.gate.by_label("gate_connections_accepted_total", "listener").values())
    # The address is within `destinations`, and yet the gate's own.
    refused(inner, GATE[family], way.http)
    after = sum(inner.gate.by_label("gate_connections_accepted_total", "listener").values())
    assert after == before + 1


@both_families
@pytest.mark.parametrize("way", [TPROXY, REDIRECT], ids=str)
def test_a_destination_outside_the_networks_is_reset(
    inner: InnerStage, way: Way, family: int
) -> None:
    """The rules of the kernel hand over more than the settings say: that is no open relay."""
    outside = {4: "10.99.0.1", 6: "fd99::1"}[family]
    ip = {4: "ip", 6: "ip6"}[family]
    table = f"table inet wider{family}{way.name}"
    if way is TPROXY:
        rules = (
            "type filter hook prerouting priority mangle - 1; "
            f"{ip} daddr {outside} tproxy {ip} to :80 meta mark set 0x1 accept"
        )
        rules = rules.replace(f"{ip} daddr {outside} t", f"{ip} daddr {outside} tcp dport 80 t")
    else:
        rules = (
            "type nat hook prerouting priority dstnat - 1; "
            f"{ip} daddr {outside} tcp dport 8080 redirect to :8080"
        )
    nets = inner.networks
    nets.run(nets.gate, "nft", "-f", "-", given=f"{table} {{ chain c {{ {rules}; }}; }}\n")
    try:
        refused(inner, outside, way.http)
    finally:
        nets.run(nets.gate, "nft", "delete", *table.split())


@both_families
def test_a_connection_whose_destination_the_kernel_has_not_kept_is_reset(
    inner: InnerStage, family: int
) -> None:
    """A redirect listener that is dialled as it is: from the gate's own machine."""
    before = inner.gate.decisions(reason="not_intercepted")
    nets = inner.networks
    with nets.inside(nets.gate), inner.nobody_reached():
        client = Client(REDIRECT.http, host={4: "127.0.0.1", 6: "::1"}[family])
    with client:
        is_reset(client)
    assert inner.gate.decisions(reason="not_intercepted") == before + 1


# A host that is down.


@pytest.mark.parametrize("way", [TPROXY, SEEN], ids=str)
@both_families
def test_a_host_that_is_down_is_answered_for_at_once_and_never_rests(
    inner: InnerStage, way: Way, family: int, path: str
) -> None:
    before = inner.gate.total("gate_upstream_failures_total", address="destinations")
    for _ in range(2):
        with inner.nobody_reached(), inner.connect(NO_HOST[family], way.http, seconds=20) as client:
            response = client.ask(get(filings.FILED, path))
        assert response.status in (502, 504)
    assert inner.gate.total("gate_upstream_failures_total", address="destinations") == before + 2
    with inner.nobody_reached(), inner.connect(NO_HOST[family], way.tls, seconds=20) as client:
        client.send(hello.hello(filings.FILED.encode()))
        with pytest.raises(ConnectionResetError):
            client.fill()


# Kept connections.


@both_families
def test_a_kept_connection_serves_its_own_host_alone(
    inner: InnerStage, family: int, path: str
) -> None:
    """haproxy#3192, envoy#16130: a request that goes to the host of the one before."""
    for host in (HOST, OTHER_HOST, HOST, OTHER_HOST):
        with inner.connect(host[family], TPROXY.http) as client:
            client.ask(get(filings.FILED, path))
    origin = inner.http["tproxy", family]
    at = [origin.arrivals[request.connection].at[0] for request in origin.about(path)]
    assert at == [HOST[family], OTHER_HOST[family]] * 2


@both_families
def test_a_kept_connection_is_shared_by_no_two_clients_where_the_host_sees_them(
    inner: InnerStage, family: int, path: str
) -> None:
    origin = inner.http["seen", family]
    other = {4: "10.77.1.3", 6: "fd77:1::3"}[family]
    nets = inner.networks
    bits = {4: 24, 6: 64}[family]
    more = ["nodad"] if family == 6 else []
    nets.run(nets.client, "ip", "address", "add", f"{other}/{bits}", "dev", "c0", *more)
    try:
        for source in (CLIENT[family], other, CLIENT[family]):
            with inner.connect(HOST[family], SEEN.http, source=source) as client:
                client.ask(get(filings.FILED, path))
        seen = [origin.arrivals[request.connection].peer[0] for request in origin.about(path)]
        assert seen == [CLIENT[family], other, CLIENT[family]]
    finally:
        nets.run(nets.client, "ip", "address", "del", f"{other}/{bits}", "dev", "c0")


@both_families
def test_a_client_with_the_same_port_again_is_served(
    inner: InnerStage, family: int, path: str
) -> None:
    """The pair of ports of its last connection may not be free yet."""
    for _ in range(2):
        with inner.connect(HOST[family], SAME.http) as client:
            client.sock.setsockopt(1, 13, b"\x01\0\0\0\0\0\0\0")  # SO_LINGER: no TIME_WAIT here
            port = client.sock.getsockname()[1]
            assert client.ask(get(filings.FILED, path)).status == 200
            assert client.ask(get(filings.FILED, path)).status == 200
    assert port


@both_families
def test_a_client_with_many_connections_does_not_run_out_of_ports(
    inner: InnerStage, family: int, path: str
) -> None:
    """envoy#38288: a port is taken towards one host, and free towards the others."""
    nets, key = inner.networks, "net.ipv4.ip_local_port_range"
    before = nets.run(nets.gate, "sysctl", "-n", key).strip()
    nets.run(nets.gate, "sysctl", "-qw", f"{key}=40000 40015")
    clients = []
    try:
        for host in (HOST, OTHER_HOST, THIRD_HOST):
            for _ in range(10):  # 30 at a time, over 16 ports
                clients.append(inner.connect(host[family], SEEN.http))
                assert clients[-1].ask(get(filings.FILED, path)).status == 200
    finally:
        nets.run(nets.gate, "sysctl", "-qw", f"{key}={before}")
        for client in clients:
            client.close()
    origin = inner.http["seen", family]
    arrivals = {request.connection for request in origin.about(path)}
    assert {origin.arrivals[number].peer[0] for number in arrivals} == {CLIENT[family]}


# What is told of a destination.


def lines(inner: InnerStage, **wanted: str) -> list[dict[str, object]]:
    text = inner.gate.log.read_text().splitlines()
    entries = [json.loads(line) for line in text if line.startswith("{")]
    return [
        entry for entry in entries if all(entry.get(key) == value for key, value in wanted.items())
    ]


@both_families
def test_an_access_line_says_where_a_connection_was_addressed_to(
    inner: InnerStage, family: int
) -> None:
    host = HOST[family]
    shown = f"[{host}]:80" if family == 6 else f"{host}:80"
    name = f"told{family}.{filings.UNFILED}"
    with inner.connect(host, TPROXY.http) as client:
        client.ask(get(name))
    (line,) = wait_for(lambda: lines(inner, name=name), "the line")
    assert (line["destination"], line["client"], line["verdict"]) == (
        shown, CLIENT[family], "block",
    )  # fmt: skip


def test_a_table_of_blocked_names_says_who_hosts_them(inner: InnerStage) -> None:
    name = f"hosted.{filings.UNFILED}"
    for host in (HOST[4], THIRD_HOST[4]):
        with inner.connect(host, TPROXY.http) as client:
            client.ask(get(name))

    def destinations() -> list[str]:
        found = json.loads(inner.command("unfiled", "--json", "--domain", name))
        return [row["destination"] for row in found["items"]]

    wait_for(lambda: destinations() == [f"{THIRD_HOST[4]}:80"], "the row")
    assert f"{name}  at {THIRD_HOST[4]}:80" in inner.command("unfiled", "--domain", name)
    assert f"{THIRD_HOST[4]}:80" in inner.command("top")


def test_metrics_have_one_series_for_all_hosts(inner: InnerStage) -> None:
    found = inner.gate.by_label("gate_upstream_connects_total", "address")
    assert list(found) == ["destinations"]


@both_families
@pytest.mark.parametrize("way", [TPROXY, SEEN], ids=str)
def test_what_only_monitoring_let_through_ends_when_a_listener_enforces(
    inner: InnerStage, way: Way, family: int
) -> None:
    listener = f"tls-{way.name}{family}"
    inner.command("mode", "monitor", "--listener", listener)
    try:
        with inner.connect(HOST[family], way.tls) as unfiled:
            unfiled.send(hello.hello(filings.UNFILED.encode()))
            assert unfiled.read_some()
            with inner.connect(HOST[family], way.tls) as filed:
                filed.send(hello.hello(filings.FILED.encode()))
                assert filed.read_some()
                inner.command("mode", "enforce", "--listener", listener)
                unfiled.expect_cut()
                filed.expect_silence(0.1)
    finally:
        inner.command("mode", "enforce", "--listener", listener)
