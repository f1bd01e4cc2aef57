"""Rows of enforcement.md, HTTP, malformed: refused, closed, counted, and nothing forwarded."""

from __future__ import annotations

import contextlib

import pytest

from tests.harness.client import Client, get
from tests.harness.stage import Stage

G = "GET {p} HTTP/1.1\r\n"
P = "POST {p} HTTP/1.1\r\nHost: filed.com\r\n"
H = "Host: filed.com\r\n"

MALFORMED = {
    # Host
    "no-host": G + "\r\n",
    "no-host-but-other-fields": G + "Accept: */*\r\n\r\n",
    "two-hosts": G + H + "Host: unfiled.com\r\n\r\n",
    "two-equal-hosts": G + H + H + "\r\n",
    "two-hosts-in-different-case": G + H + "hOST: filed.com\r\n\r\n",
    "empty-host": G + "Host:\r\n\r\n",
    "blank-host": G + "Host:   \r\n\r\n",
    "host-with-userinfo": G + "Host: unfiled.com@filed.com\r\n\r\n",
    "host-with-userinfo-and-port": G + "Host: filed.com:80@unfiled.com\r\n\r\n",
    "host-with-path": G + "Host: filed.com/unfiled.com\r\n\r\n",
    "host-with-query": G + "Host: filed.com?unfiled.com\r\n\r\n",
    "host-with-fragment": G + "Host: filed.com#unfiled.com\r\n\r\n",
    "host-with-inner-space": G + "Host: filed.com unfiled.com\r\n\r\n",
    "host-with-inner-tab": G + "Host: filed.com\tunfiled.com\r\n\r\n",
    "host-with-nul": G + "Host: filed.com\x00unfiled.com\r\n\r\n",
    "host-as-comma-list": G + "Host: filed.com, unfiled.com\r\n\r\n",
    "host-with-scheme": G + "Host: http://filed.com\r\n\r\n",
    "host-with-bad-port": G + "Host: filed.com:80x\r\n\r\n",
    "host-with-two-ports": G + "Host: filed.com:80:80\r\n\r\n",
    "host-with-port-too-large": G + "Host: filed.com:65536\r\n\r\n",
    "host-with-full-width-digits-as-port": G + "Host: filed.com:８０\r\n\r\n",
    "host-in-invalid-utf-8": G + "Host: \udcff\udcfe.filed.com\r\n\r\n",
    "unclosed-bracket": G + "Host: [::1\r\n\r\n",
    # Field syntax
    "space-before-colon": G + "Host : filed.com\r\n\r\n",
    "tab-before-colon": G + "Host\t: filed.com\r\n\r\n",
    "space-before-host": G + " Host: filed.com\r\n\r\n",
    "obs-fold": G + H + "X-A: a\r\n b\r\n\r\n",
    "obs-fold-with-tab": G + H + "X-A: a\r\n\tb\r\n\r\n",
    "obs-fold-of-host": G + "Host:\r\n filed.com\r\n\r\n",
    "fold-before-first-field": G + " \r\nHost: filed.com\r\n\r\n",
    "no-colon": G + H + "Nonsense\r\n\r\n",
    "empty-field-name": G + H + ": x\r\n\r\n",
    "nul-in-value": G + H + "X-A: a\x00b\r\n\r\n",
    "nul-in-name": G + H + "X\x00A: ab\r\n\r\n",
    "control-in-value": G + H + "X-A: a\x01b\r\n\r\n",
    "delete-in-value": G + H + "X-A: a\x7fb\r\n\r\n",
    "bare-cr-in-value": G + H + "X-A: a\rb\r\n\r\n",
    "separator-in-name": G + H + "X(A): ab\r\n\r\n",
    "non-ascii-name": G + H + "Hö: ab\r\n\r\n",
    "non-ascii-space-before-colon": G + H + "X-A\xa0: ab\r\n\r\n",
    # Line ends
    "bare-lf-after-request-line": "GET {p} HTTP/1.1\n" + H + "\r\n",
    "bare-lf-after-field": G + "Host: filed.com\n\r\n",
    "bare-lf-everywhere": "GET {p} HTTP/1.1\nHost: filed.com\n\n",
    "bare-lf-at-end": G + H + "\n",
    "bare-cr-after-request-line": "GET {p} HTTP/1.1\rHost: filed.com\r\n\r\n",
    "cr-cr-lf": G + "Host: filed.com\r\r\n\r\n",
    # Request line
    "two-spaces": "GET  {p} HTTP/1.1\r\n" + H + "\r\n",
    "tab-in-request-line": "GET\t{p}\tHTTP/1.1\r\n" + H + "\r\n",
    "leading-space": " GET {p} HTTP/1.1\r\n" + H + "\r\n",
    "space-in-target": "GET {p} x HTTP/1.1\r\n" + H + "\r\n",
    "control-in-target": "GET {p}\x01 HTTP/1.1\r\n" + H + "\r\n",
    "nul-in-target": "GET {p}\x00 HTTP/1.1\r\n" + H + "\r\n",
    "relative-target": "GET x{p} HTTP/1.1\r\n" + H + "\r\n",
    "authority-as-target-of-get": "GET filed.com:80 HTTP/1.1\r\n" + H + "\r\n",
    "asterisk-with-get": "GET * HTTP/1.1\r\n" + H + "X-P: {p}\r\n\r\n",
    "bad-method": "G@T {p} HTTP/1.1\r\n" + H + "\r\n",
    "version-with-letter": "GET {p} HTTP/1.x\r\n" + H + "\r\n",
    "version-in-lower-case": "GET {p} http/1.1\r\n" + H + "\r\n",
    "version-with-two-digits": "GET {p} HTTP/1.10\r\n" + H + "\r\n",
    "absolute-form-with-userinfo": "GET http://x@filed.com{p} HTTP/1.1\r\n" + H + "\r\n",
    "absolute-form-with-other-scheme": "GET ftp://filed.com{p} HTTP/1.1\r\n" + H + "\r\n",
    "absolute-form-without-host": "GET http://{p} HTTP/1.1\r\n" + H + "\r\n",
    "absolute-form-and-no-host-field": "GET http://filed.com{p} HTTP/1.1\r\n\r\n",
    # Framing
    "length-and-chunked": P + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunked-and-length": P + "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
    "two-lengths": P + "Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
    "two-lengths-in-a-list": P + "Content-Length: 5, 6\r\n\r\nhello!",
    "negative-length": P + "Content-Length: -5\r\n\r\nhello",
    "signed-length": P + "Content-Length: +5\r\n\r\nhello",
    "hexadecimal-length": P + "Content-Length: 0x5\r\n\r\nhello",
    "empty-length": P + "Content-Length:\r\n\r\nhello",
    "length-with-inner-space": P + "Content-Length: 1 0\r\n\r\nhellohello",
    "length-with-underscore": P + "Content-Length: 1_0\r\n\r\nhellohello",
    "length-with-full-width-digit": P + "Content-Length: ５\r\n\r\nhello",
    "length-too-large": P + "Content-Length: 99999999999999999999999\r\n\r\nhello",
    "chunked-not-last": P + "Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n",
    "chunked-twice": P + "Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
    "chunked-in-two-fields": P
    + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "identity-behind-chunked": P
    + "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n",
    "unknown-coding": P + "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "coding-with-parameter": P + "Transfer-Encoding: chunked;q=1\r\n\r\n0\r\n\r\n",
    "coding-with-vertical-tab": P + "Transfer-Encoding:\x0bchunked\r\n\r\n0\r\n\r\n",
    "coding-in-quotes": P + 'Transfer-Encoding: "chunked"\r\n\r\n0\r\n\r\n',
    "empty-coding": P + "Transfer-Encoding:\r\n\r\n0\r\n\r\n",
    "chunked-in-http-1.0": P.replace("1.1", "1.0") + "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
}
BAD_CHUNKS = {
    "not-a-number": "xyz\r\nhello\r\n0\r\n\r\n",
    "empty-size": "\r\nhello\r\n0\r\n\r\n",
    "signed-size": "+5\r\nhello\r\n0\r\n\r\n",
    "negative-size": "-5\r\nhello\r\n0\r\n\r\n",
    "prefixed-size": "0x5\r\nhello\r\n0\r\n\r\n",
    "size-with-leading-space": " 5\r\nhello\r\n0\r\n\r\n",
    "size-with-underscore": "0_5\r\nhello\r\n0\r\n\r\n",
    "size-too-large": "ffffffffffffffffff5\r\nhello\r\n0\r\n\r\n",
    "bare-lf-after-size": "5\nhello\r\n0\r\n\r\n",
    "bare-cr-after-size": "5\rhello\r\n0\r\n\r\n",
    "bare-lf-after-data": "5\r\nhello\n0\r\n\r\n",
    "data-longer-than-size": "5\r\nhello!\r\n0\r\n\r\n",
    "data-shorter-than-size": "5\r\nhell\r\n0\r\n\r\n",
    "bare-lf-in-extension": "5;a\nb\r\nhello\r\n0\r\n\r\n",
    "nul-in-extension": "5;a\x00b\r\nhello\r\n0\r\n\r\n",
    "bare-cr-in-extension": "5;a\rb\r\nhello\r\n0\r\n\r\n",
    "trailer-without-colon": "5\r\nhello\r\n0\r\nnonsense\r\n\r\n",
    "trailer-folded": "5\r\nhello\r\n0\r\nX: a\r\n b\r\n\r\n",
    "trailer-with-bare-lf": "5\r\nhello\r\n0\r\nX: a\n\r\n",
    "trailer-with-space-before-colon": "5\r\nhello\r\n0\r\nX : a\r\n\r\n",
}


def table(rows: dict[str, str]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("text", rows.values(), ids=rows.keys())


def encode(text: str, path: str) -> bytes:
    return text.replace("{p}", path).encode("utf-8", "surrogateescape")


def send_all(client: Client, data: bytes) -> None:
    # The gate may have closed before the last byte was written.
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        client.send(data)


@table(MALFORMED)
def test_malformed_request_is_refused_and_nothing_forwarded(
    stage: Stage, path: str, text: str
) -> None:
    before = stage.gate.decisions(reason="malformed")
    with stage.http() as client:
        send_all(client, encode(text, path))
        response = client.read_response()
        assert response.status == 400
        assert response.field("connection") == "close"
        client.expect_closed()
    assert stage.gate.decisions(reason="malformed") > before
    assert stage.origin.about(path) == []
    assert not stage.origin.saw(path.encode())


@table(MALFORMED)
def test_malformed_request_behind_a_good_one_is_refused(stage: Stage, path: str, text: str) -> None:
    with stage.http() as client:
        send_all(client, get("filed.com", path + "good") + encode(text, path + "bad"))
        assert client.read_response().status == 200
        assert client.read_response().status == 400
        client.expect_closed()
    assert len(stage.origin.about(path)) == 1
    assert not stage.origin.saw(f"{path}bad".encode())


@table(BAD_CHUNKS)
def test_bad_chunk_ends_the_request_before_it_is_complete(
    stage: Stage, path: str, text: str
) -> None:
    with stage.http() as client:
        head = encode(P + "Transfer-Encoding: chunked\r\n\r\n" + text, path)
        send_all(client, head + get("unfiled.com", path + "smuggled"))
        responses = client.read_all_responses()
    assert [response.status for response in responses] == [400]
    stage.settle()
    assert not stage.origin.saw(f"{path}smuggled".encode())
    assert not any(seen.complete for seen in stage.origin.about(path))


@pytest.mark.parametrize("coding", ["gzip, chunked", "x, y, chunked"])
def test_other_coding_below_chunked_is_not_implemented(
    stage: Stage, path: str, coding: str
) -> None:
    # RFC 9112 6.1: sound framing, and a coding that the gate does not take off.
    with stage.http() as client:
        client.send(encode(P + f"Transfer-Encoding: {coding}\r\n\r\n0\r\n\r\n", path))
        assert client.read_response().status == 501
        client.expect_closed()
    assert stage.origin.about(path) == []


@pytest.mark.parametrize("method", ["CONNECT", "TRACE", "TRACK"])
def test_tunnelling_and_tracing_methods_are_refused(stage: Stage, path: str, method: str) -> None:
    target = "filed.com:443" if method == "CONNECT" else path
    with stage.http() as client:
        expected = 405 if method != "TRACK" else 200
        assert client.ask(f"{method} {target} HTTP/1.1\r\n{H}\r\n".encode()).status == expected
    if method != "TRACK":
        assert stage.origin.about(path) == []


def test_http_2_preface_is_refused_with_a_clear_error(stage: Stage) -> None:
    with stage.http() as client:
        client.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\x00\x00\x00\x04\x00\x00\x00\x00\x00")
        response = client.read_response()
        assert response.status in (400, 505)
        client.expect_closed()
    assert not stage.origin.saw(b"PRI ")


@pytest.mark.parametrize("version", ["2.0", "3.0", "1.10", "0.9"])
def test_other_http_versions_are_refused(stage: Stage, path: str, version: str) -> None:
    with stage.http() as client:
        response = client.ask(get("filed.com", path, version=version))
        assert response.status in (400, 505)
        client.expect_closed()
    assert stage.origin.about(path) == []


@pytest.mark.parametrize("protocol", ["h2c", "h2c, websocket", "HTTP/2.0", "TLS/1.2", "foo"])
def test_other_upgrades_are_not_offered_upstream(stage: Stage, path: str, protocol: str) -> None:
    with stage.http() as client:
        response = client.ask(
            get(
                "filed.com",
                path,
                "Connection: Upgrade, HTTP2-Settings",
                f"Upgrade: {protocol}",
                "HTTP2-Settings: AAMAAABkAAQAAP__",
            )
        )
        assert response.status == 200
    (seen,) = stage.origin.about(path)
    assert (seen.value("upgrade") or "").lower() in ("", "websocket")
    assert "h2c" not in seen.head.decode("latin-1").lower()
    assert seen.value("http2-settings") is None


def test_head_larger_than_the_limit_is_431(stage: Stage, path: str) -> None:
    with stage.http() as client:
        send_all(client, get("filed.com", path, *[f"X-{n}: {'y' * 1000}" for n in range(70)]))
        assert client.read_response().status == 431
        client.expect_closed()
    assert stage.origin.about(path) == []


def test_request_line_larger_than_the_limit_is_refused(stage: Stage, path: str) -> None:
    with stage.http() as client:
        send_all(client, get("filed.com", path + "z" * 70_000))
        assert client.read_response().status in (414, 431)
        client.expect_closed()
    assert stage.origin.about(path) == []
