"""Rows of enforcement.md: TLS on an http port, HTTP on a tls port."""

from __future__ import annotations

import pytest

from tests.harness import filings, hello
from tests.harness.client import get
from tests.harness.stage import Stage


def test_filed_tls_on_an_http_port_is_passed_through(stage: Stage) -> None:
    sent = hello.hello(filings.TO_RAW.encode())
    with stage.http() as client:
        client.send(sent)
        assert client.read_exact(len(sent)) == sent


def test_whole_tls_session_on_an_http_port(stage: Stage) -> None:
    context = stage.certificates.client_context()
    with (
        stage.http() as client,
        context.wrap_socket(client.sock, server_hostname="filed.com") as tls,
    ):
        tls.sendall(b"GET /x HTTP/1.1\r\n\r\n")
        assert tls.recv(100).startswith(b"HTTP/1.1 200")


def test_unfiled_tls_on_an_http_port_is_reset(stage: Stage) -> None:
    with stage.no_tunnel(), stage.http() as client:
        client.send(hello.hello(b"unfiled.com"))
        client.expect_reset()
    assert not stage.origin.saw(b"unfiled.com")


def test_tls_on_an_http_port_one_byte_at_a_time(stage: Stage) -> None:
    sent = hello.hello(filings.TO_RAW.encode())
    with stage.http() as client:
        for octet in sent:
            client.send(bytes([octet]))
        assert client.read_exact(len(sent)) == sent


def test_filed_http_on_a_tls_port_is_forwarded(stage: Stage, path: str) -> None:
    response = stage.ask(get("filed.com", path), listener="tls")
    assert response.status == 200
    assert len(stage.origin.about(path)) == 1


def test_unfiled_http_on_a_tls_port_is_redirected(stage: Stage, path: str) -> None:
    response = stage.ask(get("unfiled.com", path), listener="tls")
    assert response.status == 302
    assert (response.field("location") or "").startswith(stage.gate.notice_url)
    assert stage.origin.about(path) == []


def test_second_unfiled_request_on_a_tls_port_is_redirected(stage: Stage, path: str) -> None:
    with stage.tls() as client:
        assert client.ask(get("filed.com", path)).status == 200
        assert client.ask(get("unfiled.com", path + "hidden")).status == 302
    assert not stage.origin.saw(f"{path}hidden".encode())


@pytest.mark.parametrize("listener", ["http", "tls"])
@pytest.mark.parametrize("size", [1, 2, 6])
def test_protocol_is_told_from_what_comes_and_not_from_its_first_segment(
    stage: Stage, path: str, listener: str, size: int
) -> None:
    unfiled = hello.hello(b"unfiled.com")
    with stage.no_tunnel(), stage.http(listener) as client:
        client.send(unfiled[:size])
        client.send(unfiled[size:])
        client.expect_reset()
    request = get("unfiled.com", path)
    with stage.http(listener) as client:
        client.send(request[:size])
        assert client.ask(request[size:]).status == 302
    assert stage.origin.about(path) == []


@pytest.mark.parametrize("listener", ["http", "tls"])
def test_neither_protocol_is_refused(stage: Stage, listener: str) -> None:
    sslv2 = b"\x80\x2e\x01\x00\x02\x00\x15\x00\x00\x00\x10" + bytes(37)
    with stage.no_tunnel(), stage.http(listener) as client:
        client.send(sslv2)
        client.expect_reset()
