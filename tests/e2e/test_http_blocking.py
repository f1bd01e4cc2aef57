"""Rows of enforcement.md, HTTP, unfiled: the redirect, and what never reaches an upstream."""

from __future__ import annotations

import json
import time
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.harness import filings
from tests.harness.client import Response, get, request
from tests.harness.http_origin import Exchange
from tests.harness.stage import Stage


def check_redirect(stage: Stage, response: Response, domain: str, reason: str) -> None:
    assert response.status == 302
    location = response.field("location")
    assert location is not None
    assert location.startswith(stage.gate.notice_url)
    assert parse_qs(urlsplit(location).query) == {"domain": [domain], "reason": [reason]}
    assert response.field("cache-control") == "no-store"
    assert response.field("connection") == "close"


@pytest.mark.parametrize(
    ("host", "reason"),
    [
        (filings.UNFILED, "unfiled"),
        (filings.ELSEWHERE, "filed_elsewhere"),
        ("www." + filings.ELSEWHERE, "filed_elsewhere"),
        (filings.SUSPENDED, "suspended"),
        (filings.REVOKED, "revoked"),
        ("www." + filings.REVOKED, "revoked"),
        (filings.STOPPED, "suspended"),
        ("www." + filings.STOPPED, "suspended"),
        (filings.ENDED, "unfiled"),
    ],
)
def test_blocked_host_is_redirected_with_its_reason(
    stage: Stage, path: str, host: str, reason: str
) -> None:
    with stage.http() as client:
        check_redirect(stage, client.ask(get(host, path)), host, reason)
        client.expect_closed()
    assert stage.origin.about(path) == []
    assert not stage.origin.saw(path.encode())


@pytest.mark.parametrize("host", [filings.EXEMPT, "www." + filings.EXEMPT])
def test_exempt_host_passes_and_is_counted_as_such(stage: Stage, path: str, host: str) -> None:
    before = stage.gate.decisions(reason="exempt")
    assert stage.ask(get(host, path)).status == 200
    assert len(stage.origin.about(path)) == 1
    assert stage.gate.decisions(reason="exempt") == before + 1


def test_redirect_names_the_domain_in_canonical_form(stage: Stage, path: str) -> None:
    check_redirect(
        stage, stage.ask(get("WWW.UnFiled.COM.:8080", path)), "www.unfiled.com", "unfiled"
    )


PAGE = "Accept: text/html,application/xhtml+xml,*/*;q=0.8"
PROGRAM = "ACCEPT: Application/JSON, text/plain"


@pytest.mark.parametrize(
    ("target", "accept", "told"),
    [
        ("/shop/中?id=secret", PAGE, "/shop/%E4%B8%AD"),
        ("/a%2Fb&reason=filed;x=+", PAGE, "/a%2Fb&reason=filed;x=+"),
        ('/"><script>alert(1)</script>', PAGE, '/"><script>alert(1)</script>'),
        ("//evil.example/", PAGE, "//evil.example/"),
        ("/a", "aCCept:TEXT/HTML", "/a"),
        ("/" + "a" * 1023, PAGE, "/" + "a" * 1023),
        ("/" + "a" * 1024, PAGE, None),
        ("/", PAGE, None),
        ("/?id=secret", PAGE, None),
        ("/api", "Accept: */*", None),
        ("/api", PROGRAM, None),
        ("/api", "X-Accept: text/html", None),
        ("http://unfiled.com/shop?a", PAGE, "/shop"),
    ],
)
@pytest.mark.parametrize("behind", [False, True], ids=["first", "behind-another"])
def test_the_page_is_told_the_path_that_a_browser_wanted(
    stage: Stage, path: str, target: str, accept: str, told: str | None, behind: bool
) -> None:
    raw = target.encode()
    with stage.http() as client:
        if behind:
            assert client.ask(get("filed.com", path)).status == 200
        response = client.ask(
            b"GET %b HTTP/1.1\r\nHost: unfiled.com\r\n%b\r\n\r\n" % (raw, accept.encode())
        )
        client.expect_closed()
    location = response.field("location") or ""
    assert response.status == 302
    assert not set(location) & set('"<>\\{}|^` \t')
    query = {"domain": ["unfiled.com"], "reason": ["unfiled"]}
    if told is not None:
        query["path"] = [told.replace("%E4%B8%AD", "中")]
    assert parse_qs(urlsplit(location).query) == query


@pytest.mark.parametrize(
    ("method", "accept", "body"),
    [
        ("GET", PROGRAM, b""),
        ("GET", "Accept: application/problem+json", b""),
        ("POST", "Accept: */*", b"name=value"),
        ("DELETE", "Accept: text/plain", b""),
        ("OPTIONS", "Origin: https://a.example", b""),
        ("BREW", PAGE, b""),
    ],
)
@pytest.mark.parametrize("behind", [False, True], ids=["first", "behind-another"])
def test_programs_are_told_why_in_the_redirect_itself(
    stage: Stage, path: str, method: str, accept: str, body: bytes, behind: bool
) -> None:
    length = [f"Content-Length: {len(body)}"] if body else []
    with stage.http() as client:
        if behind:
            assert client.ask(get("filed.com", path)).status == 200
        response = client.ask(
            request(method, "Shop.Unfiled.com", path, accept, *length, body=body), method
        )
        client.expect_closed()
    assert response.status == 302
    assert response.field("content-type") == "application/problem+json"
    assert json.loads(response.body) == {
        "type": "about:blank",
        "title": "This website is not available at present",
        "status": 302,
        "detail": "no ICP filing was found for this domain: a first filing is due",
        "reason": "unfiled",
        "domain": "shop.unfiled.com",
        "notice": response.field("location"),
    }
    stage.settle()
    assert stage.origin.about(path + "hidden") == []


@pytest.mark.parametrize("accept", ["Accept: */*", PAGE, "Accept: text/html, application/json"])
def test_a_visitor_gets_a_redirect_without_content(stage: Stage, accept: str) -> None:
    response = stage.ask(get("unfiled.com", "/", accept))
    assert response.status == 302
    assert response.body == b""
    assert response.field("content-type") is None


def test_a_head_has_the_fields_of_a_get_and_no_content(stage: Stage) -> None:
    whole = stage.ask(get("unfiled.com", "/x", PROGRAM))
    with stage.http() as client:
        head = client.ask(request("HEAD", "unfiled.com", "/x", PROGRAM), "HEAD")
        client.expect_closed()
    assert {**dict(head.fields), "date": ""} == {**dict(whole.fields), "date": ""}


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "DELETE", "BREW"])
def test_every_method_is_redirected(stage: Stage, path: str, method: str) -> None:
    with stage.http() as client:
        response = client.ask(request(method, "unfiled.com", path), method)
        check_redirect(stage, response, "unfiled.com", "unfiled")
        client.expect_closed()
    assert stage.origin.about(path) == []


@pytest.mark.parametrize("framing", ["Content-Length: 11", "Transfer-Encoding: chunked"])
def test_request_with_a_body_is_redirected_and_its_body_goes_nowhere(
    stage: Stage, path: str, framing: str
) -> None:
    body = b"6\r\n" + path.encode()[:6] + b"\r\n0\r\n\r\n"
    with stage.http() as client:
        response = client.ask(request("POST", "unfiled.com", path, framing, body=body), "POST")
        check_redirect(stage, response, "unfiled.com", "unfiled")
        client.expect_closed()
    stage.settle()
    assert not stage.origin.saw(path.encode())


def test_redirect_is_received_although_the_client_still_uploads(stage: Stage, path: str) -> None:
    with stage.http() as client:
        client.send(request("POST", "unfiled.com", path, "Content-Length: 1000000"))
        try:
            for _ in range(50):
                client.send(b"x" * 2000)
        except (BrokenPipeError, ConnectionResetError):
            pass
        check_redirect(stage, client.read_response("POST"), "unfiled.com", "unfiled")


def test_second_request_for_an_unfiled_host_is_blocked(stage: Stage, path: str) -> None:
    with stage.http() as client:
        assert client.ask(get("filed.com", path)).status == 200
        second = client.ask(get("unfiled.com", path + "hidden"))
        check_redirect(stage, second, "unfiled.com", "unfiled")
        client.expect_closed()
    stage.settle()
    assert not stage.origin.saw(f"{path}hidden".encode())
    assert not stage.origin.saw(b"unfiled.com")


def test_pipelined_request_for_an_unfiled_host_is_answered_in_its_turn(
    stage: Stage, path: str
) -> None:
    def slow(exchange: Exchange) -> None:
        exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nslo")
        time.sleep(0.3)
        exchange.send(b"wly")

    stage.origin.on(path, slow)
    with stage.http() as client:
        client.send(
            get("filed.com", path)
            + get("unfiled.com", path + "hidden")
            + get("filed.com", path + "behind")
        )
        assert client.read_response().body == b"slowly"
        check_redirect(stage, client.read_response(), "unfiled.com", "unfiled")
        client.expect_closed()
    stage.settle()
    assert not stage.origin.saw(f"{path}hidden".encode())
    assert not stage.origin.saw(f"{path}behind".encode())


def test_pipelined_behind_a_body(stage: Stage, path: str) -> None:
    with stage.http() as client:
        client.send(
            request("POST", "filed.com", path, "Content-Length: 5", body=b"hello")
            + get("unfiled.com", path + "hidden")
        )
        assert client.read_response().status == 200
        check_redirect(stage, client.read_response(), "unfiled.com", "unfiled")
    stage.settle()
    assert not stage.origin.saw(f"{path}hidden".encode())


def test_two_filed_hosts_on_one_connection_both_pass(stage: Stage, path: str) -> None:
    with stage.http() as client:
        assert client.ask(get("filed.com", path)).status == 200
        assert client.ask(get("www.example.com.cn", path)).status == 200
    assert [seen.host for seen in stage.origin.about(path)] == ["filed.com", "www.example.com.cn"]


def test_absolute_form_for_an_unfiled_host_is_redirected(stage: Stage, path: str) -> None:
    response = stage.ask(get("unfiled.com", f"http://unfiled.com{path}"))
    check_redirect(stage, response, "unfiled.com", "unfiled")
    assert stage.origin.about(path) == []


@pytest.mark.parametrize("authority", ["unfiled.com", "www.filed.com", "filed.com.evil.com"])
def test_absolute_form_that_disagrees_with_host_is_refused(
    stage: Stage, path: str, authority: str
) -> None:
    for host, target in (("filed.com", authority), (authority, "filed.com")):
        with stage.http() as client:
            assert client.ask(get(host, f"http://{target}{path}")).status == 400
            client.expect_closed()
    assert stage.origin.about(path) == []


def test_http_1_0_without_host_is_redirected_as_no_host(stage: Stage, path: str) -> None:
    with stage.http() as client:
        response = client.ask(f"GET {path} HTTP/1.0\r\n\r\n".encode())
        assert response.status == 302
        assert parse_qs(urlsplit(response.field("location") or "").query)["reason"] == ["no_host"]
        client.expect_closed()
    assert stage.origin.about(path) == []


def test_http_1_0_with_an_unfiled_host_is_redirected(stage: Stage, path: str) -> None:
    response = stage.ask(get("unfiled.com", path, version="1.0"))
    check_redirect(stage, response, "unfiled.com", "unfiled")


@pytest.mark.parametrize(
    "line", ["GET {path}\r\n", "GET {path}\n", "GET http://filed.com{path}\r\n"]
)
def test_http_0_9_is_blocked(stage: Stage, path: str, line: str) -> None:
    with stage.http() as client:
        client.send(line.format(path=path).encode())
        client.finish()
        assert b"origin:" not in client.read_to_end()
    stage.settle()
    assert not stage.origin.saw(path.encode())


def test_query_is_percent_encoded_in_the_location(stage: Stage, path: str) -> None:
    response = stage.ask(b"GET %b HTTP/1.1\r\nHost: [::1]\r\n\r\n" % path.encode())
    location = response.field("location") or ""
    assert response.status == 302
    assert "[" not in location
    assert "reason=ip_host" in location


def test_blocked_requests_are_counted_by_reason(stage: Stage, path: str) -> None:
    before = stage.gate.decisions(reason="unfiled")
    for _ in range(5):
        stage.ask(get("counted.unfiled.com", path))
    assert stage.gate.decisions(reason="unfiled") >= before + 5
