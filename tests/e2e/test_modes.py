"""Rows of enforcement.md, Modes and Reasons: monitor blocks nothing; policies as configured."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.harness import hello
from tests.harness.certificates import Certificates
from tests.harness.client import get
from tests.harness.stage import Stage


@pytest.mark.parametrize(
    ("host", "reason"),
    [
        ("unfiled.com", "unfiled"),
        ("elsewhere.com", "filed_elsewhere"),
        ("suspended.com", "suspended"),
        ("revoked.com", "revoked"),
        ("1.2.3.4", "ip_host"),
    ],
)
def test_monitor_passes_http_and_counts_the_reason(
    stage: Stage, path: str, host: str, reason: str
) -> None:
    before = stage.gate.decisions(reason=reason)
    response = stage.ask(get(host, path), listener="http-monitor")
    assert response.status == 200
    assert len(stage.origin.about(path)) == 1
    assert stage.gate.decisions(reason=reason) == before + 1


@pytest.mark.parametrize("name", [b"unfiled.com", b"revoked.com", None])
def test_monitor_passes_tls_and_counts_it(stage: Stage, name: bytes | None) -> None:
    before = stage.gate.decisions(listener="tls-monitor")
    sent = hello.hello(name, hello.padding(91))
    arrived = len(stage.tls_origin.arrivals)
    with stage.tls("tls-monitor") as client:
        client.send(sent)
        client.fill()
    assert any(sent in one.received for one in stage.tls_origin.arrivals[arrived:])
    assert stage.gate.decisions(listener="tls-monitor") == before + 1


def test_monitor_keeps_a_connection_alive_over_unfiled_requests(stage: Stage, path: str) -> None:
    with stage.http("http-monitor") as client:
        for host in ("unfiled.com", "filed.com", "unfiled.com"):
            assert client.ask(get(host, path)).status == 200
    assert len(stage.origin.about(path)) == 3


def test_monitor_still_refuses_what_cannot_be_understood(stage: Stage, path: str) -> None:
    with stage.http("http-monitor") as client:
        bad = f"GET {path} HTTP/1.1\r\nHost: filed.com\r\nX : y\r\n\r\n"
        assert client.ask(bad.encode()).status == 400


def test_http_1_0_without_host_passes_in_monitor(stage: Stage, path: str) -> None:
    before = stage.gate.decisions(reason="no_host")
    response = stage.ask(f"GET {path} HTTP/1.0\r\n\r\n".encode(), listener="http-monitor")
    assert response.status in (200, 302)
    assert stage.gate.decisions(reason="no_host") == before + 1


@pytest.fixture(scope="module")
def lenient_stage(
    tmp_path_factory: pytest.TempPathFactory, certificates: Certificates
) -> Iterator[Stage]:
    stage = Stage(
        tmp_path_factory.mktemp("lenient"),
        certificates,
        workers=1,
        policy={"ip_hosts": "allow", "no_sni": "allow", "ech": "block"},
        notice={"url": "https://notice.invalid/page?a=b", "with_query": False},
    )
    try:
        yield stage
    finally:
        stage.close()


@pytest.mark.parametrize("host", ["1.2.3.4", "[::1]:80", "0x7f.1"])
def test_ip_hosts_may_be_allowed(lenient_stage: Stage, path: str, host: str) -> None:
    assert lenient_stage.ask(get(host, path)).status == 200
    assert len(lenient_stage.origin.about(path)) == 1


def test_nameless_tls_may_be_allowed(lenient_stage: Stage) -> None:
    sent = hello.hello(None)
    with lenient_stage.tls() as client:
        client.send(sent)
        client.fill()
    assert lenient_stage.tls_origin.saw(sent)


def test_ech_may_be_blocked(lenient_stage: Stage) -> None:
    with lenient_stage.tls() as client:
        client.send(hello.hello(b"filed.com", hello.encrypted_client_hello()))
        client.expect_reset()
    with lenient_stage.tls() as client:
        client.send(hello.hello(b"filed.com"))
        client.fill()


def test_location_is_the_configured_page_alone(lenient_stage: Stage, path: str) -> None:
    response = lenient_stage.ask(get("unfiled.com", path))
    assert response.field("location") == "https://notice.invalid/page?a=b"
