"""PROXY headers from those who are not to send them, or with more in them than addresses."""

from __future__ import annotations

import contextlib
import socket

import pytest

from tests.bypass.cases import check_hosts
from tests.harness import hello
from tests.harness.client import get
from tests.harness.stage import Stage

AUTHORITY = b"\x02\x00\x09filed.com"  # PP2_TYPE_AUTHORITY


def v1(address: str) -> bytes:
    return f"PROXY TCP4 {address} 192.0.2.1 5555 80\r\n".encode()


def v2(address: str, values: bytes = b"") -> bytes:
    length = (12 + len(values)).to_bytes(2, "big")
    ends = socket.inet_aton(address) + bytes([192, 0, 2, 1, 1, 1, 0, 80])
    return b"\r\n\r\n\x00\r\nQUIT\n\x21\x11" + length + ends + values


def headers(address: str) -> list[bytes]:
    return [v1(address), v2(address), v2(address, AUTHORITY)]


KINDS = ["v1", "v2", "v2-authority"]
V1 = v1("203.0.113.7")


@pytest.mark.parametrize("header", headers("203.0.113.9"), ids=KINDS)
@pytest.mark.parametrize("listener", ["http", "tls", "http-proxied", "tls-proxied"])
def test_header_from_an_untrusted_source_opens_nothing(
    bypass_stage: Stage, path: str, header: bytes, listener: str
) -> None:
    for data in (get("unfiled.com", path), get("filed.com", path), hello.hello(b"unfiled.com")):
        with bypass_stage.http(listener, source="127.0.0.5") as client:
            client.send(header + data)
            with contextlib.suppress(ConnectionResetError):
                client.read_to_end()
            assert b" 200 " not in client.received
    assert bypass_stage.origin.about(path) == []
    assert not bypass_stage.origin.saw(b"203.0.113.9")  # others trust 203.0.113.7


@pytest.mark.parametrize("header", headers("203.0.113.7"), ids=KINDS)
def test_trusted_header_changes_the_address_and_not_the_verdict(
    bypass_stage: Stage, path: str, header: bytes
) -> None:
    with bypass_stage.http("http-proxied", source="127.0.0.2") as client:
        assert client.ask(header + get("unfiled.com", path)).status == 302
    with bypass_stage.tls("tls-proxied", source="127.0.0.2") as client:
        client.send(header + hello.hello(b"unfiled.com"))
        client.expect_reset()
    assert bypass_stage.origin.about(path) == []
    check_hosts(bypass_stage)


def test_second_header_inside_a_connection_is_no_header(bypass_stage: Stage, path: str) -> None:
    with bypass_stage.http("http-proxied", source="127.0.0.2") as client:
        assert client.ask(V1 + get("filed.com", path)).status == 200
        client.send(V1.replace(b"203.0.113.7", b"203.0.113.8") + get("filed.com", path))
        answers = client.read_all_responses()
    assert [answer.status for answer in answers] == [400]
    assert len(bypass_stage.origin.about(path)) == 1


def test_client_cannot_write_a_header_for_the_upstream(bypass_stage: Stage, path: str) -> None:
    """What goes to an upstream that takes PROXY headers begins with the gate's own."""
    with bypass_stage.http(source="127.0.0.6") as client:
        client.send(b"\r\n" + V1 + get("to-proxy-v1.com", path))
        with contextlib.suppress(ConnectionResetError):
            client.read_to_end()
    assert not any(b"203.0.113.7" in header for header in bypass_stage.proxied.headers)
