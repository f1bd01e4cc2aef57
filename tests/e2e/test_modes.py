"""Rows of enforcement.md, Modes and Reasons: monitor blocks nothing; policies as configured."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.harness import hello
from tests.harness.certificates import Certificates
from tests.harness.client import get
from tests.harness.filings import TO_RAW
from tests.harness.recorder import Arrival
from tests.harness.stage import Stage, fresh_path
from tests.harness.waiting import wait_for


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


def test_http_1_0_without_host_passes_in_monitor_as_it_came(stage: Stage, path: str) -> None:
    before = stage.gate.decisions(reason="no_host")
    response = stage.ask(f"GET {path} HTTP/1.0\r\nA: b\r\n\r\n".encode(), listener="http-monitor")
    assert response.status == 200
    (seen,) = stage.origin.about(path)
    assert seen.head.startswith(f"GET {path} HTTP/1.0\r\n".encode())
    assert seen.value("host") is None
    assert seen.value("a") == "b"
    assert stage.gate.decisions(reason="no_host") == before + 1


@pytest.mark.parametrize(
    "host",
    [b"my_app.cn", b"a" * 64 + b".cn", b"a..b", b"-a.cn:8080", "例_子.中国".encode(), b"1.2.3.999"],
)
def test_a_host_that_is_no_name_passes_in_monitor_as_it_came(
    stage: Stage, path: str, host: bytes
) -> None:
    before = stage.gate.decisions(reason="malformed")
    asked = b"GET %b HTTP/1.1\r\nHost: %b\r\n\r\n" % (path.encode(), host)
    assert stage.ask(asked, listener="http-monitor").status == 200
    (seen,) = stage.origin.about(path)
    assert b"\r\nHost: " + host + b"\r\n" in seen.head
    assert stage.gate.decisions(reason="malformed") == before + 1


def test_a_request_whose_body_is_malformed_is_refused_in_monitor_too(
    stage: Stage, path: str
) -> None:
    """It is not framed well: two readers may see two requests in it."""
    request = (
        f"POST {path} HTTP/1.1\r\nHost: unfiled.com\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n"
    )
    assert stage.ask(request.encode(), listener="http-monitor").status == 400
    assert stage.origin.about(path) == []


@pytest.mark.parametrize("kind", ["http-monitor", "tls-monitor"])
def test_a_hello_that_cannot_be_judged_passes_in_monitor(stage: Stage, kind: str) -> None:
    sent = hello.hello(b"a..b", hello.padding(97))
    arrived = len(stage.tls_origin.arrivals)
    with stage.tls(kind) as client:
        client.send(sent)
        client.fill()
    assert any(sent in one.received for one in stage.tls_origin.arrivals[arrived:])


@pytest.mark.parametrize("kind", ["http-monitor", "tls-monitor"])
def test_tls_that_is_no_hello_reaches_an_origin_in_monitor(stage: Stage, kind: str) -> None:
    sent = bytes.fromhex("1603010005") + b"\x02\x00\x00\x01" + fresh_path("no-hello").encode()
    arrived = len(stage.tls_origin.arrivals)
    with stage.tls(kind) as client:
        client.send(sent)
        wait_for(lambda: len(stage.tls_origin.arrivals) > arrived, "the origin to be reached")
        client.reset()


@pytest.fixture(scope="module")
def lenient_stage(
    tmp_path_factory: pytest.TempPathFactory, certificates: Certificates
) -> Iterator[Stage]:
    stage = Stage(
        tmp_path_factory.mktemp("lenient"),
        certificates,
        workers=1,
        policy={"ip_hosts": "allow", "no_sni": "allow", "no_host": "allow", "ech": "block"},
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
    before = lenient_stage.gate.decisions(reason="ech")
    with lenient_stage.tls() as client:
        client.send(hello.hello(b"filed.com", hello.encrypted_client_hello()))
        client.expect_reset()
    assert lenient_stage.gate.decisions(reason="ech") == before + 1
    with lenient_stage.tls() as client:
        client.send(hello.hello(b"filed.com"))
        client.fill()


def test_a_blocked_ech_keeps_its_name_and_in_monitor_its_route(lenient_stage: Stage) -> None:
    sent = hello.hello(TO_RAW.encode(), hello.encrypted_client_hello(), hello.padding(61))
    with lenient_stage.tls("tls-monitor") as client:
        client.send(sent)
        client.fill()
    assert lenient_stage.raw.saw(sent)


def test_requests_without_a_host_may_be_allowed(lenient_stage: Stage, path: str) -> None:
    response = lenient_stage.ask(f"GET {path} HTTP/1.0\r\n\r\n".encode())
    assert response.status == 200
    assert len(lenient_stage.origin.about(path)) == 1


def test_http_0_9_passes_in_monitor_as_it_came(
    lenient_stage: Stage, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def answer(arrival: Arrival) -> None:
        assert arrival.read_until(b"\r\n") == f"GET {path}\r\n".encode()
        arrival.send(b"an answer without a head")

    monkeypatch.setattr(lenient_stage.origin, "handler", answer)
    before = lenient_stage.gate.decisions(listener="http-monitor", reason="no_host")
    with lenient_stage.http("http-monitor") as client:
        client.send(f"GET {path}\r\n".encode())
        assert client.read_to_end() == b"an answer without a head"
    after = lenient_stage.gate.decisions(listener="http-monitor", reason="no_host")
    assert after == before + 1


def test_http_0_9_is_not_forwarded_where_the_gate_enforces(lenient_stage: Stage, path: str) -> None:
    assert lenient_stage.ask(f"GET {path}\r\n".encode()).status == 505
    assert lenient_stage.origin.about(path) == []


def test_location_is_the_configured_page_alone(lenient_stage: Stage, path: str) -> None:
    response = lenient_stage.ask(get("unfiled.com", path))
    assert response.field("location") == "https://notice.invalid/page?a=b"
