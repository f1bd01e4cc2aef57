"""The table of hosts when it is full: whatever a connection was, its host is free when it ends."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.harness import filings, hello
from tests.harness.certificates import Certificates
from tests.harness.client import Client, get, request
from tests.harness.inner_stage import SEEN, TPROXY, InnerStage, Way
from tests.harness.namespaces import HOST, QUIC_HOST, InnerNetworks
from tests.harness.retry import GROUP, first_hello, second_hello
from tests.harness.waiting import wait_for

ASKING = Way("asking", 84, 447, {"transparent": "tproxy"}, group=GROUP)
"""As TPROXY, and its TLS servers ask for a second hello."""


@pytest.fixture(scope="module")
def full(certificates: Certificates) -> Iterator[InnerStage]:
    """A gate that remembers one host."""
    with tempfile.TemporaryDirectory() as folder, InnerNetworks() as networks:
        stage = InnerStage(
            networks,
            Path(folder),
            certificates,
            ways=(TPROXY, SEEN, ASKING),
            limits={"destinations": 1},
        )
        try:
            stage.intercept()
            yield stage
        finally:
            stage.close()


def kept_open(client: Client) -> None:
    for number in range(3):
        assert client.ask(get(filings.FILED, f"/{number}")).status == 200


def closed_by_the_client(client: Client) -> None:
    assert client.ask(get(filings.FILED, "/", "Connection: close")).status == 200
    client.expect_end()


def turned_away(client: Client) -> None:
    assert client.ask(get(filings.UNFILED)).status == 302
    client.expect_end()


def turned_away_later(client: Client) -> None:
    assert client.ask(get(filings.FILED)).status == 200
    assert client.ask(get(filings.UNFILED)).status == 302


def with_a_body_that_comes_later(client: Client) -> None:
    client.send(request("POST", filings.FILED, "/", "Content-Length: 3"))
    client.send(b"abc")
    assert client.read_response().status == 200


def in_pieces_after_a_whole_one(client: Client) -> None:
    assert client.ask(get(filings.FILED)).status == 200
    whole = get(filings.FILED, "/pieces")
    client.send(whole[:20])
    client.send(whole[20:])
    assert client.read_response().status == 200


def malformed(client: Client) -> None:
    client.send(b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n")
    assert client.read_response().status == 400


def given_up(client: Client) -> None:
    client.send(get(filings.FILED)[:10])


def refused(client: Client) -> None:
    client.send(hello.hello(filings.UNFILED.encode()))
    client.expect_reset()


def tunnelled(client: Client) -> None:
    client.send(hello.hello(filings.FILED.encode()))
    assert client.read_some()


def in_two_pieces(client: Client) -> None:
    sent = hello.hello(filings.FILED.encode())
    client.send(sent[:50])
    client.send(sent[50:])
    assert client.read_some()


def asked_again(client: Client) -> None:
    client.send(first_hello(filings.FILED.encode()))
    assert client.read_some()
    client.send(hello.records(second_hello(filings.FILED.encode())))
    assert client.read_some()


HTTP: list[Callable[[Client], None]] = [
    kept_open,
    closed_by_the_client,
    turned_away,
    turned_away_later,
    with_a_body_that_comes_later,
    in_pieces_after_a_whole_one,
    malformed,
    given_up,
]
TLS: list[Callable[[Client], None]] = [refused, tunnelled, in_two_pieces, given_up]


@pytest.mark.parametrize(
    ("port", "visit"),
    [
        *((way.http, visit) for way in (TPROXY, SEEN) for visit in HTTP),
        *((way.tls, visit) for way in (TPROXY, SEEN) for visit in TLS),
        (ASKING.tls, asked_again),
    ],
    ids=lambda value: value.__name__ if callable(value) else str(value),
)
def test_a_host_is_free_for_another_when_its_connection_has_ended(
    full: InnerStage, port: int, visit: Callable[[Client], None]
) -> None:
    """Another host than the one before has no room for as long as that one is counted."""
    limited = full.gate.decisions(reason="limit")
    for host in (HOST, QUIC_HOST, HOST):
        with full.connect(host[4], port) as client:
            visit(client)
        wait_for(lambda: full.gate.total("gate_connections_open") == 0, "the gate's side to end")
    assert full.gate.decisions(reason="limit") == limited


def test_there_is_no_room_for_another_host_while_the_first_has_connections(
    full: InnerStage,
) -> None:
    with full.connect(HOST[4], TPROXY.http) as client:
        assert client.ask(get(filings.FILED)).status == 200
        with full.connect(QUIC_HOST[4], TPROXY.http) as other:
            other.send(get(filings.FILED))
            other.expect_reset()
        with full.connect(HOST[4], TPROXY.http) as same:
            assert same.ask(get(filings.FILED)).status == 200
