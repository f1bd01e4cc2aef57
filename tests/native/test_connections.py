"""Whole connections come to the same on both data planes, and to what the script says."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fuzz.run import SEEDS
from tests.harness import hello as build
from tests.harness.planes import NATIVE, PLANES
from tests.native.connections import (
    DEAF,
    END,
    LARGE,
    LARGE_BYTES,
    NOTHING,
    Outcome,
    same_connections,
    script,
)

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
PART = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nab"
CHUNKS = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab"
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
SWITCH = b"HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n"
UPGRADE = b"Connection: upgrade\r\nUpgrade: websocket\r\n"
CLOSE = b"Connection: close\r\n"


def get(fields: bytes = b"", host: bytes = b"example.cn", method: bytes = b"GET") -> bytes:
    return method + b" /a HTTP/1.1\r\nHost: " + host + b"\r\n" + fields + b"\r\n"


def visit(target: bytes, accept: bytes = b"Accept: text/html,*/*;q=0.8\r\n") -> bytes:
    """A browser's request for a name that is not filed."""
    return b"GET %b HTTP/1.1\r\nHost: unfiled.cn\r\n%b\r\n" % (target, accept)


def answer(fields: bytes, body: bytes = b"") -> bytes:
    return b"HTTP/1.1 200 OK\r\n" + fields + b"\r\n" + body


def hello(host: bytes) -> bytes:
    return build.record(build.handshake(build.server_name(host) + build.COMMON))


POST = get(b"Content-Length: 2\r\n", method=b"POST")
HELLO = hello(b"www.example.cn")
SIZE = b"Content-Length: %d\r\n" % LARGE_BYTES
CHUNK = b"%x\r\n" % LARGE_BYTES + LARGE + b"\r\n"

SCRIPTS = {
    "one request": script(get(), OK),
    "several requests": script(get(), OK, get(), OK, get(), b"HTTP/1.1 204 No\r\n\r\n"),
    "a request that is the last one": script(get(CLOSE), OK),
    "a response in two parts": script(get(), PART, NOTHING, b"cdefghi", get(), OK),
    "a response in two parts to the last request": script(get(CLOSE), PART, NOTHING, b"cdefghi"),
    "a response that ends early": script(get(), PART, NOTHING, b""),
    "a response that ends early after more was sent": script(get(), PART, get(), b""),
    "the same for the last request": script(get(CLOSE), PART, get(), b""),
    "more is sent than the last request": script(get(CLOSE), PART, b"\r\n", b"cdefghi"),
    "a body to the end": script(get(), b"HTTP/1.1 200 OK\r\n\r\nabc", NOTHING, b"d" + END),
    "a body to the end after more was sent": script(get(CLOSE), answer(b""), b"x", b"d" + END),
    "chunks": script(get(), CHUNKS, NOTHING, b"llo\r\n0\r\n\r\n", get(), OK),
    "odd chunks": script(
        get(), CHUNKS, NOTHING, b"llo\r\n3;a=b\r\nxyz\r\n0\r\nA: b\r\n\r\n", get(), OK
    ),
    "bad chunks": script(get(), CHUNKS, NOTHING, b"zzzzzz\r\n"),
    "a bad response": script(get(), b"HTTP/1.1 200 OK\r\nA b\r\n\r\n"),
    "a bad response, and the client says more and ends": script(
        get(), b"HTTP/1.1 200 OK\r\nA b\r\n\r\n", get() + END
    ),
    "no response": script(get(), b""),
    "a response to HEAD": script(get(method=b"HEAD"), answer(b"Content-Length: 2\r\n"), get(), OK),
    "an interim response": script(get(), CONTINUE, NOTHING, OK),
    "more than the response": script(get(), OK + b"more", get(), OK),
    "a name that is not filed": script(get(host=b"unfiled.cn")),
    "a name that is not filed, later": script(get(), OK, get(host=b"unfiled.cn")),
    "a name that is not filed, later and last": script(get(), OK, get(host=b"unfiled.cn") + END),
    "requests ahead": script(get() + get(), OK, get(), OK),
    "requests ahead, one not filed": script(get() + get(host=b"unfiled.cn"), OK),
    "a body": script(POST + b"hi", OK),
    "a body in parts": script(POST + b"h", NOTHING, b"i", OK),
    "a body in parts, and the next request behind it": script(
        POST + b"h", NOTHING, b"i" + get(), OK, NOTHING, OK
    ),
    "a body in parts, and the last request": script(
        get(CLOSE + b"Content-Length: 2\r\n", method=b"POST") + b"h", NOTHING, b"i", OK
    ),
    "a body in parts and more than that": script(
        get(CLOSE + b"Content-Length: 2\r\n", method=b"POST") + b"h", NOTHING, b"i!", OK
    ),
    "a body in parts on a kept connection": script(get(), OK, POST + b"h", NOTHING, b"i", OK),
    "a body in parts whose kept connection ends": script(
        get(), OK, get(b"Content-Length: 2\r\n", method=b"PUT") + b"h", b"", b"i"
    ),
    "a body that does not come to its end": script(POST + b"h", NOTHING, b""),
    "a body whose client ends at once": script(POST + b"h" + END),
    "a body whose client ends behind it": script(POST + b"h", NOTHING, b"i" + END, OK),
    "an answer before the body": script(POST + b"h", OK, b"i", NOTHING, get(), OK),
    "an answer before the body, in two parts": script(
        POST + b"h", PART, b"i", b"cdefghi", get(), OK
    ),
    "an answer before the body, chunked": script(POST, CHUNKS, b"hi", b"cde\r\n0\r\n\r\n"),
    "an answer before the body, and the end": script(POST, OK + END, b"hi"),
    "an answer before the body, to the end": script(POST, answer(b"", b"all") + END, b"h"),
    "an answer that has to be mended before the body": script(
        POST, b"HTTP/1.1 200 OK\nContent-Length: 2\n\nok", b"hi"
    ),
    "a bad response before the body": script(POST, b"no\r\n\r\n", b"hi"),
    "an origin that ends before the body": script(POST, b"", b"hi"),
    "a large body that the origin does not want": script(
        get(SIZE, method=b"POST") + b"x", b"", LARGE[:1], NOTHING, LARGE[:1]
    ),
    "a large body that comes behind its answer": script(
        get(SIZE, method=b"POST") + b"x", OK, LARGE, NOTHING, get()
    ),
    "interim responses to a body": script(POST, CONTINUE, b"h", CONTINUE + CONTINUE, b"i", OK),
    "a form without a body": script(get(b"Content-Length: 0\r\n", host=b"unfiled.cn")),
    "a form without a body, later": script(
        get(), OK, get(b"Content-Length: 0\r\n", host=b"unfiled.cn")
    ),
    "a form to a name that is not filed, later": script(
        get(), OK, get(b"Content-Length: 2\r\n", host=b"unfiled.cn") + b"h", NOTHING, b"i"
    ),
    "half a head": script(get()[:9], b""),
    "a head in parts": script(get()[:9], NOTHING, get()[9:], OK),
    "no host": script(b"GET / HTTP/1.1\r\n\r\n"),
    "nothing": script(),
    "a client that ends with its request": script(get() + END, OK),
    "a client that ends before its response": script(get(), PART, b"", b"cdefghi"),
    "an origin that ends with its response": script(get(), OK + END, get(), OK),
    "what a proxy in front says": script(
        get(b"X-Forwarded-For: 192.0.2.1\r\nForwarded: for=a\r\nX-Forwarded-Proto: https\r\n"), OK
    ),
    "a client that authenticates": script(get(b"Authorization: NTLM a\r\n"), OK, get(), OK),
    "an origin that asks for it": script(
        get(), answer(b"WWW-Authenticate: NTLM\r\nContent-Length: 0\r\n"), get(), OK
    ),
    "an origin that asks for it with more than its response": script(
        get(), answer(b"WWW-Authenticate: NTLM\r\nContent-Length: 0\r\n", b"more"), get(), OK
    ),
    "an interim response that authenticates": script(
        get(), b"HTTP/1.1 103 Early\r\nWWW-Authenticate: Negotiate\r\n\r\n", NOTHING, OK
    ),
    "an odd field that authenticates": script(
        get(), answer(b"Authorization: NTLM a\r\n" + OK[17:])
    ),
    "an upgrade": script(get(UPGRADE), SWITCH, b"abc", b"def"),
    "a tunnel": script(HELLO, b"\x16\x03\x03\x00\x01\x02", b"abc", b"def", b"", b"ghi", tls=True),
    "a tunnel that its origin ends": script(HELLO, b"abc" + END, b"x", b"", tls=True),
    "a hello in parts": script(HELLO[:30], NOTHING, HELLO[30:], b"xyz", tls=True),
    "a client that ends with its hello": script(HELLO + END, b"xyz", tls=True),
    "a hello for a name that is not filed": script(hello(b"unfiled.cn"), tls=True),
    "much for a client that does not read": script(
        get() + DEAF, answer(SIZE, LARGE), NOTHING, NOTHING, get(), OK
    ),
    "much for the last request of such a client": script(
        get(CLOSE) + DEAF, answer(SIZE, LARGE), NOTHING, NOTHING
    ),
    "much that ends early": script(get() + DEAF, answer(SIZE, LARGE[:1] + b"x") + END, NOTHING),
    "many bytes to the end": script(get() + DEAF, answer(b"", LARGE + LARGE) + END, NOTHING),
    "large chunks": script(
        get() + DEAF,
        answer(b"Transfer-Encoding: chunked\r\n", CHUNK + CHUNK),
        NOTHING,
        b"0\r\n\r\n",
        get(),
        OK,
    ),
    "large odd chunks": script(
        get() + DEAF,
        answer(b"Transfer-Encoding: chunked\r\n", b"1;a\r\nb\r\n" + CHUNK),
        NOTHING,
        b"0\r\n\r\n",
        get(),
        OK,
    ),
    "a large body": script(get(SIZE, method=b"POST") + LARGE, OK, get(), OK),
    "a large body that is answered early": script(
        get(SIZE, method=b"POST") + b"x", OK, LARGE[:1], b"", b""
    ),
    "much both ways in a tunnel": script(HELLO + DEAF, LARGE, LARGE, LARGE, b"", b"", tls=True),
    "a tunnel whose client does not read and goes": script(HELLO + DEAF, LARGE, b"", tls=True),
    "no hello": script(b"zzz\x00", tls=True),
    "TLS on the http port": script(HELLO, b"abc"),
    "HTTP on the tls port": script(get(), OK, tls=True),
}


VISITED = {
    "a path": b"/shop/A-z_0.9~/",
    "no path": b"/",
    "no path, but a query": b"/?a=b",
    "a path with a query": b"/shop?token=%20/?",
    "two slashes": b"//",
    "a path that is encoded": b"/a%20b",
    "a path that has to be encoded": b"/a+b;c=d&e",
    "a path with bytes beyond ASCII": "/路".encode(),
    "a path with quotes": b"/a'\"b",
    "a path as long as may be": b"/" + b"a" * 1023,
    "the same with a query": b"/" + b"a" * 1023 + b"?" + b"b" * 100,
    "a path that is too long": b"/" + b"a" * 1024,
    "a challenge": b"/.well-known/acme-challenge/" + b"a" * 43,
}
SCRIPTS |= {f"a visitor of {what}": script(visit(target)) for what, target in VISITED.items()}
SCRIPTS |= {
    "a visitor of a path, later": script(get(), OK, visit(b"/shop")),
    "a visitor of a path to encode, later": script(get(), OK, visit(b"/a+b")),
    "a visitor in capitals": script(visit(b"/shop", b"ACCEPT:TEXT/HTML\r\n")),
    "a visitor with two Accepts": script(visit(b"/shop", b"Accept: a/b\r\nAccept: text/html\r\n")),
    "a visitor for XHTML alone": script(visit(b"/shop", b"Accept: application/xhtml+xml\r\n")),
    "a visitor for HTML or JSON": script(visit(b"/a", b"Accept: text/html, a/json\r\n")),
    "a program for JSON": script(visit(b"/a", b"Accept: application/json\r\n")),
    "a visitor who sends a form": script(visit(b"/a").replace(b"GET", b"POST", 1)),
    "a visitor who asks for the head": script(visit(b"/a").replace(b"GET", b"HEAD", 1)),
}


@pytest.mark.skipif(NATIVE not in PLANES, reason="no compiler was there: Python plane only")
@pytest.mark.parametrize("data", SCRIPTS.values(), ids=SCRIPTS)
def test_a_connection_comes_to_the_same_on_both_planes(data: bytes) -> None:
    same_connections(data)


def outcome(name: str) -> Outcome:
    return same_connections(SCRIPTS[name])[-1]


@pytest.mark.parametrize(
    ("name", "received", "end"),
    [
        ("a response in two parts to the last request", b"abcdefghi", "fin"),
        ("more is sent than the last request", b"abcdefghi", "fin"),
        ("a response that ends early after more was sent", b"ab", "fin"),
        ("the same for the last request", b"ab", "fin"),
        ("a client that ends before its response", b"abcdefghi", "fin"),
        ("a client that ends with its request", b"ok", "fin"),
        (
            "odd chunks",
            b"3\r\nxyz\r\n0\r\nA: b\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
            "fin",
        ),
    ],
)
def test_the_client_gets_all_that_there_is(name: str, received: bytes, end: str) -> None:
    client = outcome(name).client
    assert client.data.endswith(received)
    assert client.end == end


@pytest.mark.parametrize(
    ("name", "cause"),
    [
        ("a client that ends with its request", "closed"),
        ("a bad response, and the client says more and ends", "closed"),
        ("a response that ends early", "broken_response"),
    ],
)
def test_the_cause_of_the_end_is_counted(name: str, cause: str) -> None:
    assert outcome(name).counted[f"connections_ended.{cause}"] == 1


@pytest.mark.parametrize(
    ("visited", "told"),
    [
        ("a path", b"&path=/shop/A-z_0.9~/\r\n"),
        ("a path with a query", b"&path=/shop\r\n"),
        ("a path that is encoded", b"&path=/a%2520b\r\n"),
        ("a path as long as may be", b"&path=/" + b"a" * 1023 + b"\r\n"),
        ("a path that is too long", b"&reason=unfiled\r\n"),
        ("no path, but a query", b"&reason=unfiled\r\n"),
    ],
)
def test_the_notice_page_is_told_the_path(visited: str, told: bytes) -> None:
    assert told in outcome(f"a visitor of {visited}").client.data


def test_the_fuzzer_begins_with_these_scripts() -> None:
    kept = {path.read_bytes() for path in Path(SEEDS / "connections").iterdir()}
    assert kept >= set(SCRIPTS.values())
