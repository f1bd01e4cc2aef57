"""Rows of enforcement.md, HTTP, filed: what is forwarded, and how it comes back."""

from __future__ import annotations

import pytest

from tests.harness.client import get, request
from tests.harness.http_origin import Exchange
from tests.harness.stage import Stage
from tests.harness.waiting import wait_for

HOP_BY_HOP = {"keep-alive", "proxy-connection", "upgrade", "proxy-authorization", "x-secret"}


def test_filed_request_carries_forwarding_fields(stage: Stage, path: str) -> None:
    response = stage.ask(get("www.filed.com", path))
    assert response.status == 200
    (seen,) = stage.origin.about(path)
    assert seen.value("x-forwarded-for") == "127.0.0.1"
    assert seen.value("x-forwarded-proto") == "http"
    assert seen.value("x-forwarded-host") == "www.filed.com"
    assert seen.value("x-forwarded-port") == "80"


def test_ipv6_client_is_named_in_forwarding_fields(stage: Stage, path: str) -> None:
    assert stage.ask(get("filed.com", path), listener="http6").status == 200
    (seen,) = stage.origin.about(path)
    assert seen.value("x-forwarded-for") == "::1"


def test_hop_by_hop_fields_are_removed(stage: Stage, path: str) -> None:
    stage.ask(
        get(
            "filed.com",
            path,
            "Connection: keep-alive, X-Secret, Te",
            "Keep-Alive: timeout=5",
            "Proxy-Connection: keep-alive",
            "Proxy-Authorization: Basic eA==",
            "TE: trailers",
            "X-Secret: 1",
            "X-Plain: 2",
        )
    )
    (seen,) = stage.origin.about(path)
    names = {name for name, _ in seen.fields}
    assert names.isdisjoint(HOP_BY_HOP)
    # The gate itself takes trailers and says so on its own hop (RFC 9110 10.1.4).
    assert (seen.value("connection"), seen.value("te")) in ((None, None), ("TE", "trailers"))
    assert seen.value("x-plain") == "2"


@pytest.mark.parametrize("listed", ["Host", "host, close", "X-Forwarded-For", "Content-Length"])
def test_connection_cannot_list_away_what_the_gate_relies_on(
    stage: Stage, path: str, listed: str
) -> None:
    response = stage.ask(
        request(
            "POST", "filed.com", path, f"Connection: {listed}", "Content-Length: 3", body=b"abc"
        )
    )
    if response.status == 400:
        assert stage.origin.about(path) == []
        return
    (seen,) = stage.origin.about(path)
    assert seen.host == "filed.com"
    assert seen.value("x-forwarded-for") == "127.0.0.1"
    assert bytes(seen.body) == b"abc"


def test_end_to_end_fields_arrive_unchanged_and_in_order(stage: Stage, path: str) -> None:
    stage.ask(
        get(
            "filed.com",
            path,
            "Cookie: a=b; c=d",
            "X-Twice: one",
            "X-Twice: two",
            "Accept:   spaced  out  ",
            "X-Latin: caf\xe9",
            "X-Empty:",
        )
    )
    (seen,) = stage.origin.about(path)
    assert ("cookie", "a=b; c=d") in seen.fields
    assert [value for name, value in seen.fields if name == "x-twice"] == ["one", "two"]
    assert seen.value("accept") == "spaced  out"
    assert seen.value("x-latin") == "caf\xe9"
    assert seen.value("x-empty") == ""


@pytest.mark.parametrize(
    "target",
    ["?a=b&c=%20d", "//double//slash", "/../dots", "/%00%2e", "/;a=b", "/\xe9\xff", "?", "/a?b?c"],
)
def test_target_arrives_unchanged(stage: Stage, path: str, target: str) -> None:
    assert stage.ask(get("filed.com", path + target)).status == 200
    (seen,) = stage.origin.about(path)
    assert seen.target == path + target


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "REPORT", "QUERY"])
def test_methods_and_bodies_arrive(stage: Stage, path: str, method: str) -> None:
    response = stage.ask(
        request(method, "filed.com", path, "Content-Length: 5", body=b"hello"), method
    )
    assert response.status == 200
    (seen,) = stage.origin.about(path)
    assert (seen.method, bytes(seen.body)) == (method, b"hello")


def test_options_asterisk_is_forwarded(stage: Stage) -> None:
    before = len(stage.origin.about("*"))
    assert stage.ask(request("OPTIONS", "filed.com", "*"), "OPTIONS").status == 200
    assert len(stage.origin.about("*")) == before + 1


def test_chunked_request_body_and_trailers_arrive(stage: Stage, path: str) -> None:
    body = b"5;ext=1\r\nhello\r\n6\r\n world\r\n0\r\nX-Sum: 42\r\n\r\n"
    response = stage.ask(
        request(
            "POST", "filed.com", path, "Transfer-Encoding: chunked", "Trailer: X-Sum", body=body
        )
    )
    assert response.status == 200
    (seen,) = stage.origin.about(path)
    assert bytes(seen.body) == b"hello world"
    assert seen.trailers.lower() == b"x-sum: 42\r\n"


def test_chunked_response_body_and_trailers_come_back(stage: Stage, path: str) -> None:
    def answer(exchange: Exchange) -> None:
        exchange.send(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n"
            b"5\r\nhello\r\n1;a=b\r\n!\r\n0\r\nX-Sum: 7\r\n\r\n"
        )

    stage.origin.on(path, answer)
    response = stage.ask(get("filed.com", path, "TE: trailers"))
    assert response.body == b"hello!"
    assert response.trailers.lower() == b"x-sum: 7\r\n"


def test_close_delimited_response_comes_back_whole(stage: Stage, path: str) -> None:
    def answer(exchange: Exchange) -> None:
        exchange.send(b"HTTP/1.1 200 OK\r\nX-Kind: close\r\n\r\n" + b"x" * 100_000)
        exchange.hang_up()

    stage.origin.on(path, answer)
    response = stage.ask(get("filed.com", path))
    assert response.body == b"x" * 100_000


def test_http_1_0_origin_is_understood(stage: Stage, path: str) -> None:
    def answer(exchange: Exchange) -> None:
        exchange.send(b"HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\nold")
        exchange.hang_up()

    stage.origin.on(path, answer)
    assert stage.ask(get("filed.com", path)).body == b"old"


def test_hop_by_hop_fields_of_the_response_are_removed(stage: Stage, path: str) -> None:
    def answer(exchange: Exchange) -> None:
        exchange.answer(
            "200 OK",
            b"x",
            "Connection: X-Inner, keep-alive",
            "X-Inner: 1",
            "Keep-Alive: timeout=1",
            "Proxy-Authenticate: Basic",
            "Set-Cookie: a=1",
            "Set-Cookie: b=2",
            "X-Outer: 2",
        )

    stage.origin.on(path, answer)
    response = stage.ask(get("filed.com", path))
    names = {name for name, _ in response.fields}
    assert names.isdisjoint({"x-inner", "keep-alive"})
    assert response.all("set-cookie") == ["a=1", "b=2"]
    assert response.field("x-outer") == "2"


@pytest.mark.parametrize("status", ["204 No Content", "304 Not Modified"])
def test_bodiless_status_keeps_the_connection_in_step(stage: Stage, path: str, status: str) -> None:
    def answer(exchange: Exchange) -> None:
        exchange.send(f'HTTP/1.1 {status}\r\nETag: "x"\r\n\r\n'.encode())

    stage.origin.on(path, answer)
    with stage.http() as client:
        first = client.ask(get("filed.com", path))
        assert f"{first.status}" == status[:3]
        assert first.field("etag") == '"x"'
        assert client.ask(get("filed.com", path + "after")).status == 200


def test_304_with_content_length_has_no_body(stage: Stage, path: str) -> None:
    def answer(exchange: Exchange) -> None:
        exchange.send(b"HTTP/1.1 304 Not Modified\r\nContent-Length: 1000\r\n\r\n")

    stage.origin.on(path, answer)
    with stage.http() as client:
        assert client.ask(get("filed.com", path)).status == 304
        assert client.ask(get("filed.com", path + "after")).status == 200


def test_head_response_has_a_length_and_no_body(stage: Stage, path: str) -> None:
    def answer(exchange: Exchange) -> None:
        exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: 12345\r\n\r\n")

    stage.origin.on(path, answer)
    with stage.http() as client:
        response = client.ask(request("HEAD", "filed.com", path), "HEAD")
        assert (response.status, response.field("content-length")) == (200, "12345")
        assert client.ask(get("filed.com", path + "after")).status == 200


def test_interim_responses_are_passed_on(stage: Stage, path: str) -> None:
    def answer(exchange: Exchange) -> None:
        exchange.send(b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n")
        exchange.answer("200 OK", b"late")

    stage.origin.on(path, answer)
    with stage.http() as client:
        client.send(get("filed.com", path))
        assert client.read_response().status == 103
        assert client.read_response().body == b"late"


def test_keep_alive_is_kept_on_both_sides(stage: Stage) -> None:
    with stage.http() as client:
        paths = [f"/keep-alive-{number}" for number in range(20)]
        for one in paths:
            assert client.ask(get("filed.com", one)).status == 200
    used = {seen.connection for one in paths for seen in stage.origin.about(one)}
    assert len(used) < len(paths)


def test_http_1_0_client_is_served_and_closed(stage: Stage, path: str) -> None:
    with stage.http() as client:
        response = client.ask(get("filed.com", path, version="1.0"))
        assert response.status == 200
        client.expect_closed()


def test_http_1_0_client_gets_no_chunks(stage: Stage, path: str) -> None:
    def answer(exchange: Exchange) -> None:
        exchange.send(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbare\r\n0\r\n\r\n"
        )

    stage.origin.on(path, answer)
    response = stage.ask(get("filed.com", path, version="1.0"))
    assert response.field("transfer-encoding") is None
    assert response.body == b"bare"


def test_http_1_0_client_may_keep_alive(stage: Stage, path: str) -> None:
    with stage.http() as client:
        head = get("filed.com", path, "Connection: keep-alive", version="1.0")
        response = client.ask(head)
        assert response.status == 200
        if "keep-alive" in (response.field("connection") or "").lower():
            assert client.ask(head).status == 200
        else:
            client.expect_closed()


def test_client_that_asks_for_close_is_closed(stage: Stage, path: str) -> None:
    with stage.http() as client:
        response = client.ask(get("filed.com", path, "Connection: close"))
        assert response.field("connection") == "close"
        client.expect_closed()


def test_pipelined_requests_are_answered_in_order(stage: Stage, path: str) -> None:
    with stage.http() as client:
        client.send(b"".join(get("filed.com", f"{path}{number}") for number in range(30)))
        for number in range(30):
            assert client.read_response().body.decode().endswith(f"{path}{number}")


def test_pipelined_requests_with_bodies_are_answered_in_order(stage: Stage, path: str) -> None:
    with stage.http() as client:
        pipelined = b""
        for number in range(10):
            pipelined += request(
                "POST", "filed.com", f"{path}{number}", "Content-Length: 4", body=b"%04d" % number
            )
            pipelined += request(
                "POST",
                "filed.com",
                f"{path}c{number}",
                "Transfer-Encoding: chunked",
                body=b"4\r\n%04d\r\n0\r\n\r\n" % number,
            )
        client.send(pipelined)
        for _ in range(20):
            assert client.read_response().status == 200
    bodies = [bytes(seen.body) for seen in stage.origin.about(path)]
    assert bodies == [b"%04d" % (number // 2) for number in range(20)]


def test_request_one_byte_at_a_time(stage: Stage, path: str) -> None:
    whole = request(
        "POST", "filed.com", path, "Transfer-Encoding: chunked", body=b"3\r\nabc\r\n0\r\n\r\n"
    )
    with stage.http() as client:
        for at in range(len(whole)):
            client.send(whole[at : at + 1])
        assert client.read_response().status == 200
    (seen,) = stage.origin.about(path)
    assert bytes(seen.body) == b"abc"


@pytest.mark.parametrize("count", [1, 2, 7, 1000])
def test_empty_lines_before_a_request_are_ignored(stage: Stage, path: str, count: int) -> None:
    # RFC 9112 2.2: a server SHOULD ignore at least one empty line before the request line.
    with stage.http() as client:
        for number in range(3):
            head = get("filed.com", f"{path}{number}")
            assert client.ask(b"\r\n" * count + head).status == 200
        client.send(b"\r\n" * count)  # and in segments of their own
        assert client.ask(get("filed.com", f"{path}last")).status == 200
    assert len(stage.origin.about(path)) == 4


def test_empty_lines_without_end_are_refused_at_the_head_limit(stage: Stage, path: str) -> None:
    with stage.http() as client:
        response = client.ask(b"\r\n" * 17_000)
        assert response.status == 431
        client.expect_closed()


@pytest.mark.parametrize("version", ["1.2", "1.9"])
def test_a_higher_minor_version_is_http_1_1(stage: Stage, path: str, version: str) -> None:
    with stage.http() as client:
        assert client.ask(get("filed.com", path, version=version)).status == 200
        assert client.ask(get("unfiled.com", path, version=version)).status == 302
    (seen,) = stage.origin.about(path)
    assert seen.head.startswith(f"GET {path} HTTP/1.1\r\n".encode())


def test_absolute_form_is_judged_by_its_authority_and_sent_in_origin_form(
    stage: Stage, path: str
) -> None:
    response = stage.ask(get("www.filed.com", f"http://www.filed.com{path}?q"))
    assert response.status == 200
    (seen,) = stage.origin.about(path)
    assert seen.target == f"{path}?q"
    assert seen.host == "www.filed.com"


def test_absolute_form_without_a_path(stage: Stage) -> None:
    assert stage.ask(get("filed.com", "http://filed.com")).status == 200


def test_early_response_to_a_long_upload_reaches_the_client(stage: Stage, path: str) -> None:
    def refuse(exchange: Exchange) -> None:
        exchange.send(b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno")
        exchange.hang_up()

    stage.origin.on(path, refuse)
    with stage.http() as client:
        client.send(request("POST", "filed.com", path, "Content-Length: 50000000"))
        client.send(b"x" * 1000)
        assert client.read_response().status == 413


def test_each_route_reaches_its_own_upstream(stage: Stage, path: str) -> None:
    assert stage.ask(get("www.to-subtree.com", path)).status == 200
    assert len(stage.second.about(path)) == 1
    assert stage.ask(get("To-Subtree.com.", path)).status == 200
    assert len(stage.second.about(path)) == 2
    assert stage.ask(get("xn--a.to-subtree.com", path)).status == 200
    assert len(stage.second.about(path)) == 3
    assert stage.origin.about(path) == []


def test_a_route_for_what_is_below_a_domain_leaves_the_domain_alone(
    stage: Stage, path: str
) -> None:
    assert stage.ask(get("www.to-below.com", path)).status == 200
    assert len(stage.second.about(path)) == 1
    assert stage.ask(get("to-below.com", path)).status == 200
    assert len(stage.origin.about(path)) == 1


@pytest.mark.parametrize("name", ["路由.com", "xn--snyt14c.com"])
def test_a_route_in_u_labels_is_for_the_name_in_any_form(
    stage: Stage, path: str, name: str
) -> None:
    head = f"GET {path} HTTP/1.1\r\nHost: {name}\r\n\r\n".encode()
    assert stage.ask(head).status == 200
    assert len(stage.second.about(path)) == 1


def test_a_dead_address_of_a_pool_rests_and_the_other_serves(stage: Stage, path: str) -> None:
    statuses = [stage.ask(get("to-pair.com", f"{path}{number}")).status for number in range(12)]
    assert statuses.count(200) >= 10
    assert set(statuses) <= {200, 502}
    assert len(stage.second.about(path)) == statuses.count(200)


def test_stale_upstream_connection_is_not_the_clients_problem(stage: Stage, path: str) -> None:
    def answer_and_close(exchange: Exchange) -> None:
        exchange.answer("200 OK", b"once")
        exchange.hang_up()

    stage.origin.on(path, answer_and_close)
    for _ in range(10):
        response = stage.ask(get("filed.com", path))
        assert response.status == 200
    wait_for(lambda: len(stage.origin.about(path)) == 10, "ten requests at the origin")
