"""Rows of enforcement.md, TLS: raw pass-through of filed names, a TCP RST for the rest."""

from __future__ import annotations

import socket
import ssl

import pytest

from tests.harness import filings, hello
from tests.harness.stage import Stage
from tests.harness.waiting import wait_for

RAW = filings.TO_RAW.encode()


def exchange_over_tls(stage: Stage, name: str, listener: str = "tls") -> str:
    with stage.tls(listener) as client:
        return client.ask_over_tls(stage.certificates.client_context(), name)


@pytest.mark.parametrize("listener", ["tls", "tls6"])
@pytest.mark.parametrize("name", ["filed.com", "www.filed.com", "xn--fsqu00a.com", "exempt.com"])
def test_filed_name_reaches_the_origin_with_its_certificate(
    stage: Stage, name: str, listener: str
) -> None:
    assert exchange_over_tls(stage, name, listener) == f"tls origin: {name} /over-tls"


def test_hello_is_replayed_unchanged(stage: Stage) -> None:
    sent = hello.real_hello("filed.com", ["h2", "http/1.1"])
    before = len(stage.tls_origin.arrivals)
    with stage.tls() as client:
        client.send(sent)
        client.fill()
        arrived = stage.tls_origin.arrivals[before:]
    assert any(bytes(one.received) == sent for one in arrived)


@pytest.mark.parametrize("listener", ["tls", "tls6"])
@pytest.mark.parametrize(
    "name",
    [
        "unfiled.com",
        "www.unfiled.com",
        "elsewhere.com",
        "suspended.com",
        "revoked.com",
        "stopped.com",
        "ended.com",
        "notfiled.com",
    ],
)
def test_unfiled_name_is_reset_and_no_byte_is_sent(stage: Stage, name: str, listener: str) -> None:
    sent = hello.real_hello(name)
    with stage.no_tunnel(), stage.tls(listener) as client:
        client.send(sent)
        with pytest.raises(ConnectionResetError):
            client.sock.recv(1)
    assert not stage.tls_origin.saw(sent)


def test_python_ssl_sees_a_reset_for_an_unfiled_name(stage: Stage) -> None:
    context = stage.certificates.client_context()
    with (
        pytest.raises(ConnectionResetError),
        socket.create_connection(("127.0.0.1", stage.gate.ports["tls"])) as sock,
    ):
        context.wrap_socket(sock, server_hostname="unfiled.com")


def test_tunnel_carries_both_ways_and_honours_the_clients_half_close(stage: Stage) -> None:
    with stage.tls() as client:
        sent = hello.hello(RAW)
        client.send(sent)
        assert client.read_exact(len(sent)) == sent
        for size in (1, 1000, 70_000, 500_000):
            message = bytes([size % 251]) * size
            client.send(message)
            assert client.read_exact(size) == message
        client.finish()
        assert client.read_to_end() == b"<fin>"


def test_half_close_of_the_origin_is_honoured(stage: Stage) -> None:
    sent = hello.hello(RAW, hello.padding(33))
    with stage.tls() as client:
        client.send(sent)
        client.read_exact(len(sent))
        arrival = next(a for a in reversed(stage.raw.arrivals) if sent in a.received)
        client.send(b"<finish>")
        assert client.read_to_end() == b""
        client.send(b"still talking")
        wait_for(lambda: b"still talking" in arrival.received, "bytes behind the half-close")


def test_reset_of_the_origin_reaches_the_client(stage: Stage) -> None:
    sent = hello.hello(RAW, hello.padding(34))
    with stage.tls() as client:
        client.send(sent)
        client.read_exact(len(sent))
        client.send(b"<reset>")
        with pytest.raises(ConnectionResetError):
            client.fill()


def test_reset_of_the_client_reaches_the_origin(stage: Stage) -> None:
    sent = hello.hello(RAW, hello.padding(35))
    with stage.tls() as client:
        client.send(sent)
        client.read_exact(len(sent))
        arrival = next(a for a in reversed(stage.raw.arrivals) if sent in a.received)
        client.reset()
        assert arrival.ended.wait(10)


@pytest.mark.parametrize("name", [filings.TO_REFUSED, filings.TO_BLACKHOLE])
def test_origin_that_cannot_be_reached_is_a_reset(stage: Stage, name: str) -> None:
    with stage.tls() as client:
        client.send(hello.hello(name.encode()))
        client.expect_reset()


def test_pool_with_a_dead_address_serves(stage: Stage) -> None:
    with stage.tls() as client:
        sent = hello.hello(filings.TO_PAIR.encode())
        client.send(sent)
        assert client.read_exact(len(sent)) == sent


def test_early_data_behind_the_hello_arrives(stage: Stage) -> None:
    sent = hello.hello(RAW) + hello.record(b"early" * 1000, kind=23)
    with stage.tls() as client:
        client.send(sent)
        assert client.read_exact(len(sent)) == sent


def test_silent_tunnel_is_ended_at_its_limit(impatient_stage: Stage) -> None:
    sent = hello.hello(RAW)
    with impatient_stage.tls() as client:
        client.send(sent)
        client.read_exact(len(sent))
        client.expect_closed()


def test_resumed_session_is_judged_by_its_name(stage: Stage) -> None:
    context = stage.certificates.client_context()
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with (
        stage.tls() as client,
        context.wrap_socket(client.sock, server_hostname="filed.com") as tls,
    ):
        session = tls.session
    context.check_hostname = False
    for name, passes in (("filed.com", True), ("unfiled.com", False)):
        with stage.tls() as client:
            if not passes:
                with pytest.raises(ConnectionResetError):
                    context.wrap_socket(client.sock, server_hostname=name, session=session)
                continue
            with context.wrap_socket(client.sock, server_hostname=name, session=session) as tls:
                assert tls.session_reused
