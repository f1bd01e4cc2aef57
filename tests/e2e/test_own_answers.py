"""What the gate itself answers: to HEAD without content, 405 with Allow, its notice page's host."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.harness.certificates import Certificates
from tests.harness.client import get
from tests.harness.filings import FILED, TO_BLACKHOLE, TO_REFUSED, UNFILED
from tests.harness.stage import Stage

HEADS = {
    "a bad host": ("HEAD / HTTP/1.1\r\nHost: a..b\r\n\r\n", 400),
    "a bad field": (f"HEAD / HTTP/1.1\r\nHost: {FILED}\r\nX : y\r\n\r\n", 400),
    "an empty line first": (f"\r\nHEAD / HTTP/1.1\r\nHost: {FILED}\r\nX : y\r\n\r\n", 400),
    "a long line": (f"HEAD /{'x' * 9000} HTTP/1.1\r\nHost: {FILED}\r\n\r\n", 414),
    "many fields": (f"HEAD / HTTP/1.1\r\nHost: {FILED}\r\n" + "A: b\r\n" * 200 + "\r\n", 431),
    "an origin that refuses": (f"HEAD / HTTP/1.1\r\nHost: {TO_REFUSED}\r\n\r\n", 502),
    "an origin out of reach": (f"HEAD / HTTP/1.1\r\nHost: {TO_BLACKHOLE}\r\n\r\n", 504),
    "another version": (f"HEAD / HTTP/3.1\r\nHost: {FILED}\r\n\r\n", 505),
    "no filing": (f"HEAD / HTTP/1.1\r\nHost: {UNFILED}\r\n\r\n", 302),
}


@pytest.mark.parametrize(("request_", "status"), HEADS.values(), ids=HEADS.keys())
@pytest.mark.parametrize("behind", [False, True], ids=["first", "behind-another"])
def test_an_answer_to_head_has_no_content(
    stage: Stage, path: str, request_: str, status: int, behind: bool
) -> None:
    with stage.http() as client:
        if behind:
            assert client.ask(get(FILED, path)).status == 200
        client.send(request_.encode())
        got = client.read_to_end()
    head, end, content = got.partition(b"\r\n\r\n")
    assert head.split()[1] == b"%d" % status
    assert end
    assert content == b""


def test_a_head_that_does_not_come_in_time_has_no_content(slow_stage: Stage) -> None:
    with slow_stage.http() as client:
        client.send(b"HEAD / HTTP/1.1\r\nHost: filed.com\r\n")
        got = client.read_to_end()
    assert got.startswith(b"HTTP/1.1 408 ")
    assert got.endswith(b"\r\n\r\n")


@pytest.mark.parametrize("method", ["CONNECT", "TRACE"])
def test_405_names_what_is_allowed(stage: Stage, method: str) -> None:
    target = "filed.com:443" if method == "CONNECT" else "/"
    response = stage.ask(f"{method} {target} HTTP/1.1\r\nHost: filed.com\r\n\r\n".encode())
    assert response.status == 405
    allowed = (response.field("allow") or "").split(", ")
    assert {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"} == set(allowed)


def test_only_405_has_allow(stage: Stage) -> None:
    assert stage.ask(b"GET / HTTP/1.1\r\nHost: a..b\r\n\r\n").field("allow") is None


@pytest.fixture(scope="module")
def slow_stage(
    tmp_path_factory: pytest.TempPathFactory, certificates: Certificates
) -> Iterator[Stage]:
    """A gate whose notice page is on a host that nobody has filed."""
    stage = Stage(
        tmp_path_factory.mktemp("own"),
        certificates,
        workers=1,
        limits={"head_seconds": 0.5},
        notice={"url": "http://Notice.Unfiled.com/page"},
    )
    try:
        yield stage
    finally:
        stage.close()


@pytest.mark.parametrize(
    "host", ["notice.unfiled.com", "NOTICE.unfiled.com.", "notice.unfiled.com:80"]
)
@pytest.mark.parametrize("target", ["/page?domain=a.com&reason=unfiled", "/"])
def test_the_notice_pages_own_host_is_no_loop(slow_stage: Stage, host: str, target: str) -> None:
    before = slow_stage.gate.decisions(reason="unfiled")
    response = slow_stage.ask(f"GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
    assert response.status == 403
    assert response.field("location") is None
    assert b"notice page" in response.body
    assert slow_stage.gate.decisions(reason="unfiled") == before + 1


def test_it_is_none_with_a_body_or_behind_another_request_either(
    slow_stage: Stage, path: str
) -> None:
    with slow_stage.http() as client:
        assert client.ask(get(FILED, path)).status == 200
        body = b"POST / HTTP/1.1\r\nHost: notice.unfiled.com\r\nContent-Length: 2\r\n\r\nhi"
        assert client.ask(body).status == 403


@pytest.mark.parametrize("host", ["notice.unfiled.com:8080", "www.notice.unfiled.com", UNFILED])
def test_other_hosts_and_ports_are_sent_to_the_page(slow_stage: Stage, host: str) -> None:
    response = slow_stage.ask(get(host, "/"))
    assert response.status == 302
    assert (response.field("location") or "").startswith("http://Notice.Unfiled.com/page?domain=")
