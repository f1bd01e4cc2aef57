"""Rows of enforcement.md, Names: what is asked for on the wire, and who it is taken to be."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

import pytest

from tests.harness import hello
from tests.harness.client import Response
from tests.harness.stage import Stage

FILED_FORMS = {
    "plain": b"filed.com",
    "upper-case": b"FILED.COM",
    "mixed-case": b"FiLeD.cOm",
    "trailing-dot": b"filed.com.",
    "sub-domain": b"www.filed.com",
    "deep-sub-domain": b"a.b.c.d.e.filed.com",
    "below-multi-label-suffix": b"www.a.example.com.cn",
    "upper-case-below-multi-label-suffix": b"WWW.Example.COM.cn.",
    "a-label": b"xn--fsqu00a.com",
    "a-label-upper-case": b"XN--FSQU00A.COM",
    "below-a-label": b"www.xn--fsqu00a.com",
    "underscore-below-the-filing": b"_dmarc.under_score.filed.com",
    "label-of-63-octets": b"a" * 63 + b".filed.com",
    "name-of-253-octets": b".".join([b"a" * 60] * 3 + [b"b" * 60]) + b".filed.com",
    "digits-in-a-sub-label": b"1.2.3.filed.com",
    "bogus-a-label-below": b"xn--a.filed.com",
    "a-label-that-does-not-decode-below": b"xn--0.filed.com",
    "a-label-of-a-joiner-below": b"XN--1ug.filed.com",
    "a-label-of-plain-ascii-below": b"xn--filed-.www.filed.com",
    "bogus-a-label-below-a-multi-label-suffix": b"xn--99999999.example.com.cn.",
}
FILED_HOST_FORMS = FILED_FORMS | {
    "port": b"filed.com:8080",
    "trailing-dot-and-port": b"filed.com.:80",
    "u-label-in-utf-8": "例子.com".encode(),
    "below-u-label": "www.例子.com".encode(),
    "full-width-letters": "ｆｉｌｅｄ.com".encode(),
    "ideographic-full-stop": "例子。com".encode(),
    "full-width-full-stop": "www．filed．com".encode(),
}
UNFILED_FORMS = {
    "other-name": b"unfiled.com",
    "suffix-of-the-text-not-of-the-labels": b"notfiled.com",
    "filed-name-as-a-prefix": b"filed.com.evil.com",
    "filed-name-below-another-suffix": b"filed.com.cn",
    "filed-name-in-a-label": b"filed-com.com",
    "the-suffix-alone": b"com.cn",
    "the-tld-alone": b"com",
    "sibling-below-the-suffix": b"example2.com.cn",
    "look-alike-a-label": b"xn--fled-vpa.com",
    "bogus-a-label": b"xn--0.filed.net",
    "bogus-a-label-as-the-name": b"xn--filed.com",
}
MALFORMED_FORMS = {
    "label-of-64-octets": b"a" * 64 + b".filed.com",
    "name-of-254-octets": b".".join([b"a" * 60] * 3 + [b"b" * 61]) + b".filed.com",
    "empty-label": b"www..filed.com",
    "leading-dot": b".filed.com",
    "two-trailing-dots": b"filed.com..",
    "only-a-dot": b".",
    "underscore-in-the-filed-part": b"fil_ed.com",
    "percent-encoding": b"filed%2ecom",
    "asterisk": b"*.filed.com",
    "space-inside": b"filed .com",
    "a-label-that-is-plain-ascii": b"xn--filed-.com",
    "quote": b'"filed.com"',
    "slash": b"filed.com/x",
    "backslash": b"filed.com\\x",
    "semicolon": b"filed.com;x",
}
IP_FORMS = {
    "dotted": b"1.2.3.4",
    "dotted-with-trailing-dot": b"1.2.3.4.",
    "hexadecimal": b"0x1020304",
    "decimal": b"16909060",
    "octal": b"0177.0.0.1",
    "short": b"127.1",
    "mixed": b"0x7f.0.1",
}
IP_HOST_FORMS = IP_FORMS | {
    "dotted-with-port": b"1.2.3.4:80",
    "ipv6": b"[::1]",
    "ipv6-with-port": b"[::1]:80",
    "ipv6-mapped": b"[::ffff:1.2.3.4]",
}


def table(rows: dict[str, bytes]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("name", rows.values(), ids=rows.keys())


def ask(stage: Stage, host: bytes, path: str) -> Response:
    head = b"GET %b HTTP/1.1\r\nHost: %b\r\n\r\n" % (path.encode(), host)
    return stage.ask(head)


def reason(response: Response) -> str:
    location = response.field("location")
    assert location is not None
    return parse_qs(urlsplit(location).query)["reason"][0]


@table(FILED_HOST_FORMS)
def test_host_header_that_means_a_filed_name_passes(stage: Stage, path: str, name: bytes) -> None:
    response = ask(stage, name, path)
    assert response.status == 200
    (seen,) = stage.origin.about(path)
    host = seen.host.lower().partition(":")[0].removesuffix(".")
    assert host.endswith(("filed.com", "example.com.cn", "xn--fsqu00a.com"))


@table(UNFILED_FORMS)
def test_host_header_of_an_unfiled_name_is_redirected(stage: Stage, path: str, name: bytes) -> None:
    response = ask(stage, name, path)
    assert response.status == 302
    assert reason(response) == "unfiled"
    assert stage.origin.about(path) == []


def test_look_alike_in_utf_8_is_another_name(stage: Stage, path: str) -> None:
    response = ask(stage, "f\u0456led.com".encode(), path)  # Cyrillic i
    assert response.status == 302
    assert reason(response) == "unfiled"
    assert stage.origin.about(path) == []


@table(MALFORMED_FORMS)
def test_malformed_host_header_is_refused(stage: Stage, path: str, name: bytes) -> None:
    with stage.http() as client:
        response = client.ask(b"GET %b HTTP/1.1\r\nHost: %b\r\n\r\n" % (path.encode(), name))
        assert response.status == 400
        client.expect_closed()
    assert stage.origin.about(path) == []


@table(IP_HOST_FORMS)
def test_host_header_with_an_ip_address_is_blocked(stage: Stage, path: str, name: bytes) -> None:
    response = ask(stage, name, path)
    assert response.status == 302
    assert reason(response) == "ip_host"
    assert stage.origin.about(path) == []


@table(FILED_FORMS)
def test_server_name_that_means_a_filed_name_passes(stage: Stage, name: bytes) -> None:
    sent = hello.hello(name)
    with stage.tls() as client:
        before = len(stage.tls_origin.arrivals)
        client.send(sent)
        client.fill()  # the origin answers the hello
    assert any(arrival.received.startswith(sent) for arrival in stage.tls_origin.arrivals[before:])


@table(UNFILED_FORMS | MALFORMED_FORMS | IP_FORMS)
def test_server_name_of_anything_else_is_reset(stage: Stage, name: bytes) -> None:
    sent = hello.hello(name, hello.padding(17))
    with stage.tls() as client:
        client.send(sent)
        client.expect_reset()
    assert not stage.tls_origin.saw(sent)
