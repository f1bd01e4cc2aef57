"""Inputs for the differential runs: plain ones, changed at random where it is likely to matter."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

from tests.fuzz.run import SEEDS
from tests.harness import hello as build
from tests.native import oracle
from tests.native.connections import DEAF, END, LARGE, NOTHING, SEPARATOR, same_connections

RECORDED = Path(__file__).parent.parent / "wire" / "data"


@dataclass(frozen=True, slots=True)
class Recipe:
    """What one parser's inputs are made of."""

    name: str
    check: Callable[[bytes], bool]
    seeds: Sequence[bytes]
    words: Sequence[bytes]
    """Put between lines, or anywhere where `line_end` is empty."""
    line_end: bytes = b"\r\n"
    bytes_of_interest: bytes = b"\x00\t\n\r #,:;@[\x7f\x80\xff09aAzZ"

    def make(self, random: Random) -> bytes:
        """A seed with a few changes, none with a probability of a sixth."""
        data = bytearray(random.choice(self.seeds))
        for _ in range(random.choice((0, 1, 1, 1, 2, 3))):
            self._change(random, data)
        return bytes(data)

    def _change(self, random: Random, data: bytearray) -> None:
        at = random.randrange(len(data) + 1)
        kind = random.random()
        if kind < 0.3 and at < len(data):
            data[at] = random.choice(self.bytes_of_interest)
        elif kind < 0.4 and at < len(data):
            data[at] = random.randrange(256)
        elif kind < 0.5:
            del data[at : at + random.randrange(1, 5)]
        elif kind < 0.6:
            data[at:at] = bytes(random.randrange(256) for _ in range(random.randrange(1, 4)))
        elif self.line_end:
            found = data.find(self.line_end, at)
            if found >= 0:
                at = found + len(self.line_end)
            data[at:at] = random.choice(self.words)
        else:
            data[at:at] = random.choice(self.words)


def _in_portions(data: bytes) -> bool:
    """The same chunks at once, byte by byte, and cut where they say."""
    cut = sum(data) % (len(data) + 1)
    taken = oracle.same_chunks([data])
    cut_taken = oracle.same_chunks([data[:cut], data[cut:]])
    return taken and cut_taken


def _chunked(data: bytes) -> bool:
    """That, and at times byte by byte."""
    taken = _in_portions(data)
    if len(data) % 8 == 0:
        oracle.same_chunks([data[at : at + 1] for at in range(len(data))])
    return taken


def _response(data: bytes) -> bool:
    """An answer to GET and to HEAD."""
    taken = oracle.same_response(data)
    return oracle.same_response(data, b"HEAD") or taken


_SMALL = build.handshake(build.server_name(b"a.cn") + build.COMMON)

HELLO = Recipe(
    "hello",
    oracle.same_hello,
    [
        build.record(build.handshake(build.padding(200) + build.server_name(b"www.example.cn"))),
        build.record(_SMALL),
        build.record(build.handshake(None)),
        build.record(build.handshake(build.COMMON)),
        build.record(build.handshake(build.server_name(b"a.cn") + build.encrypted_client_hello())),
        build.record(build.handshake(build.server_name(b"") + build.COMMON)),
        build.record(build.handshake(build.key_share(1216) + build.server_name(b"pq.cn"))),
        *(
            file.read_bytes()
            for file in sorted(RECORDED.glob("*.bin"))
            if oracle.same_hello(file.read_bytes())
        ),
    ],
    [
        build.server_name(b"b.cn"),
        build.server_name(b"b.cn", b"c.cn"),
        build.encrypted_client_hello(8),
        build.padding(3),
        *(b"\x00\x00", b"\x00\x00\x00\x00", b"\x00\x01", b"\xff\xff", b"\xfe\x0d\x00\x00"),
    ],
    line_end=b"",
    bytes_of_interest=b"\x00\x01\x02\x03\x04\x05\x14\x16\x20\x21\x40\x80\xfe\xff",
)

REQUEST = Recipe(
    "request_head",
    oracle.same_request,
    [
        b"GET / HTTP/1.1\r\nHost: www.example.cn\r\nConnection: keep-alive\r\nAccept: */*\r\n\r\n",
        b"GET /a?b=c HTTP/1.1\r\nUser-Agent: x\r\nHost: a.cn:8080\r\nConnection: close\r\n\r\n",
        b"POST /x HTTP/1.1\r\nHost: a.cn\r\nContent-Length: 12\r\nA: b\r\n\r\nhello, world",
        b"OPTIONS /?|{ HTTP/1.1\r\nX-A:\tb \r\nHost:  abc.de\r\nZ: \x80\xff\r\n\r\n",
        b"HEAD / HTTP/1.1\r\nhost:a.cn\r\nCookie: a=1\r\nAccept-Encoding: gzip\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a.cn\r\nX-Forwarded-For: 192.0.2.1\r\nVia: 1.1 cdn\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a.cn:81\r\nX-Real-IP: 192.0.2.1\r\nX-Forwarded-For: 192.0.2.1 "
        b"\r\nA: b\r\nForwarded: for=192.0.2.1\r\nX-Forwarded-Proto: https\r\nB: c\r\n"
        b"X-Forwarded-Host: b.cn\r\nX-Forwarded-Port: 443\r\n\r\n",
    ],
    [
        *(b"Host: b.cn\r\n", b"Host:\r\n", b"Content-Length: 3\r\n", b"content_length: 1\r\n"),
        *(b"Transfer-Encoding: chunked\r\n", b"Via: x\r\n", b" folded\r\n", b"Connection: x\r\n"),
        *(b"Connection: close\r\n", b"Connection: keep-alive, close\r\n", b"TE: trailers\r\n"),
        *(b"Expect: 100-continue\r\n", b"Upgrade: websocket\r\n", b"A : b\r\n", b"\r\n", b"\n"),
        *(b"Proxy-X: 1\r\n", b"Proxy-Connection: a\r\n", b"Forwarded: for=1\r\n", b"\r", b"A:\r\n"),
        *(b"X_Forwarded_For: 1\r\n", b"X-Forwarded-Proto: s\r\n", b"Keep-Alive: 3\r\n"),
        *(b"HTTP2-Settings: x\r\n", b"X-Real-IP: 1.2.3.4\r\n", b"Authorization: NTLM a\r\n"),
        *(b"Accept: text/html\r\n", b"ACCEPT:a/xHTML+xml\r\n", b"Accept: a/json\r\n"),
        *(b"Cookie: a=b; c=d\r\n", b"X-Forwarded: 1\r\n"),
        *(
            b"X-Forwarded-For: 192.0.2.2\r\n",
            b"x-forwarded-host:\t\r\n",
            b"X-Forwarded-Port: 1\r\n",
        ),
        *(b"X-Forwarded_Proto: https\r\n", b"X-Forwarded-Proto: HTTPS\r\n", b"Client_IP: 1\r\n"),
        *(
            b"True-Client-IP: 1\r\n",
            b"X-Forwarded-: 1\r\n",
            b"Forwarded: \r\n",
            b"X-Real_IP: 1\r\n",
        ),
    ],
)

RESPONSE = Recipe(
    "response_head",
    _response,
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nServer: nginx\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nA: b\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        b"HTTP/1.1 404 Not Found\r\nConnection: close\r\nDate: x\r\n\r\nbody",
        b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nKeep-Alive: 5\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 304 Not Modified\r\nETag: \x80\r\nContent-Length: 7\r\n\r\n",
        b"HTTP/1.1 204 No Content\r\nContent-Length: 7\r\n\r\n",
        b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
    ],
    [
        *(b"Content-Length: 3\r\n", b"Content-Length: 5, 5\r\n", b"Content-Length:\r\n"),
        *(b"Transfer-Encoding: chunked\r\n", b"Transfer-Encoding: identity\r\n", b"TE: a\r\n"),
        *(b"Connection: close\r\n", b"Connection: keep-alive\r\n", b"Connection: A, B\r\n"),
        *(b"Upgrade: h2c\r\n", b"Keep-Alive: 1\r\n", b"Proxy-Authenticate: B\r\n", b" folded\r\n"),
        *(b"A : b\r\n", b"A:\r\n", b"Via: 1.1 x\r\n", b"\r\n", b"\n", b"\r", b"Set-Cookie: a\r\n"),
        *(b"WWW-Authenticate: NTLM\r\n", b"Authorization: Negotiate\r\n"),
    ],
)

CHUNKED = Recipe(
    "chunked",
    _chunked,
    [
        b"5\r\nhello\r\n0\r\n\r\n",
        b"1\r\na\r\n2\r\nbc\r\nA\r\n0123456789\r\n0\r\n\r\nHTTP/1.1 200 OK\r\n",
        b"1f\r\n" + b"x" * 31 + b"\r\n1F\r\n" + b"y" * 31 + b"\r\n0\r\n\r\n",
        b"0\r\n\r\n",
    ],
    [
        *(b"5\nhello\n", b"0\n\n", b"\r\n1\n", b"0\nA: b\n\n", b"\r\r\n"),
        *(b"1\r\na\r\n", b"0\r\n", b"0\r\n\r\n", b"\r\n", b"\n", b"\r", b"5;a=b\r\nhello\r\n"),
        *(b"05\r\nhello\r\n", b"A: b\r\n", b"fffffffffffffff\r\n", b"10000000000000000\r\n", b" "),
        *(b"3 \r\nabc\r\n", b"g\r\n", b"-1\r\n", b"0x1\r\n"),
    ],
)

RECIPES = (HELLO, REQUEST, RESPONSE, CHUNKED)


def _connections(data: bytes) -> bool:
    """A script on both planes."""
    return bool(same_connections(data))


_SCRIPTS = SEEDS / "connections"

CONNECTIONS = Recipe(
    "connections",
    _connections,
    [file.read_bytes() for file in sorted(_SCRIPTS.iterdir())],
    [
        *(SEPARATOR, SEPARATOR * 2, SEPARATOR + NOTHING + SEPARATOR, END, END + SEPARATOR),
        *(LARGE, DEAF, DEAF + SEPARATOR, b"Content-Length: 1048576\r\n"),
        *(b"Host: example.cn\r\n", b"GET / HTTP/1.1\r\nHost: example.cn\r\n\r\n"),
        *(b"GET / HTTP/1.1\r\nHost: unfiled.cn\r\n\r\n", b"Connection: close\r\n\r\n"),
        b"HEAD / HTTP/1.1\r\nHost: example.cn\r\nConnection: close\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: example.cn\r\nContent-Length: 3\r\n\r\nabc",
        *(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", b"HTTP/1.1 100 Continue\r\n\r\n"),
        *(b"HTTP/1.1 200 OK\r\n\r\n", b"HTTP/1.1 204 No\r\n\r\n", b"HTTP/1.0 200 OK\r\n\r\n"),
        *(*REQUEST.words, *RESPONSE.words, *CHUNKED.words),
    ],
    bytes_of_interest=b"\x00\t\n\r #,:;@[\x7f\x80\xff09aAzZht\xfe",
)
ALL_RECIPES = (*RECIPES, CONNECTIONS)
"""With whole connections, of which a thousandth of the number is as much work."""
