"""The compiled parsers beside the Python ones: what is taken is read alike, or declined."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("gate.native.hello", reason="no compiler was there: Python plane only")

from gate.native import body, hello, request_head, response_head
from gate.wire.hello_retry import asks_again
from gate.wire.http1 import (
    RESPONSE_CHUNKS,
    BadMessage,
    ChunkedBody,
    Forwarding,
    Framing,
    RequestParser,
)
from tests.fuzz.run import SEEDS
from tests.harness import hello as build
from tests.native import oracle
from tests.native.inputs import RECIPES, Recipe

HOST = b"Host: a.cn\r\n"


def get(fields: bytes = b"", *, line: bytes = b"GET / HTTP/1.1") -> bytes:
    return line + b"\r\n" + HOST + fields + b"\r\n"


def answer(fields: bytes = b"", *, line: bytes = b"HTTP/1.1 200 OK") -> bytes:
    return line + b"\r\n" + fields + b"\r\n"


TAKEN_REQUESTS = {
    "nothing but a host": get(),
    "a port": b"GET / HTTP/1.1\r\nHost: a.cn:8080\r\n\r\n",
    "a high port": b"GET / HTTP/1.1\r\nHost: a.cn:59999\r\n\r\n",
    "a query with raw bytes": get(line=b"GET /?q=\xe4\xb8\xad|{} HTTP/1.1"),
    "any method": get(line=b"PROPFIND /x HTTP/1.1"),
    "close": get(b"Connection: close\r\n"),
    "keep-alive in any case": get(b"CONNECTION:\t Keep-ALIVE\r\n"),
    "a length": get(b"Content-Length: 0012\r\n", line=b"POST / HTTP/1.1"),
    "fields around the host": b"GET / HTTP/1.1\r\nA: 1\r\nHost: a.cn\r\nB:2\r\n\r\n",
    "bytes after the head": get() + b"GET",
    "a proxy's name": get(b"Via: 1.1 cdn\r\n"),
    "an address of the client": get(b"X-Forwarded-For: 192.0.2.1, 192.0.2.2 \r\n"),
    "no address of the client": get(b"X-Forwarded-For: \r\n"),
    "an address in another spelling": get(b"X_Forwarded_For: 192.0.2.1\r\n"),
    "another word from in front": get(b"X-Forwarded-Anything: 1\r\n"),
    "https in front": get(b"A: 1\r\nX-Forwarded-Proto: https\r\nB: 2\r\n"),
    "another host in front": get(b"x-forwarded-host: b.cn\r\nForwarded: for=192.0.2.1\r\n"),
    "a port in front": get(b"x-forwarded-port: 443\r\nForwarded:\r\n"),
}

DECLINED_REQUESTS = {
    "no host": b"GET / HTTP/1.1\r\nA: 1\r\n\r\n",
    "two hosts": get(HOST),
    "a host in brackets": b"GET / HTTP/1.1\r\nHost: [::1]\r\n\r\n",
    "a host with a space after it": b"GET / HTTP/1.1\r\nHost: a.cn \r\n\r\n",
    "a host of raw bytes": b"GET / HTTP/1.1\r\nHost: \xe4\xb8\xad.cn\r\n\r\n",
    "a port of six digits": b"GET / HTTP/1.1\r\nHost: a.cn:123456\r\n\r\n",
    "a port that may be too high": b"GET / HTTP/1.1\r\nHost: a.cn:65536\r\n\r\n",
    "HTTP/1.0": get(line=b"GET / HTTP/1.0"),
    "absolute form": get(line=b"GET http://a.cn/ HTTP/1.1"),
    "an asterisk": get(line=b"OPTIONS * HTTP/1.1"),
    "CONNECT": get(line=b"CONNECT /x HTTP/1.1"),
    "TRACE": get(line=b"TRACE / HTTP/1.1"),
    "a fragment": get(line=b"GET /#a HTTP/1.1"),
    "two spaces": get(line=b"GET  / HTTP/1.1"),
    "an empty line first": b"\r\n" + get(),
    "a bare line feed": b"GET / HTTP/1.1\nHost: a.cn\r\n\r\n",
    "a folded line": get(b"A: 1\r\n b\r\n"),
    "a space before the colon": get(b"A : 1\r\n"),
    "a control byte in a value": get(b"A: \x00\r\n"),
    "no name": get(b": 1\r\n"),
    "two lengths": get(b"Content-Length: 1\r\nContent-Length: 1\r\n"),
    "a length of 19 digits": get(b"Content-Length: 1000000000000000000\r\n"),
    "a length with a sign": get(b"Content-Length: +1\r\n"),
    "an empty length": get(b"Content-Length:\r\n"),
    "connection options": get(b"Connection: close, A\r\n"),
    "two addresses of the client": get(b"X-Forwarded-For: 192.0.2.1\r\n" * 2),
    "two connections": get(b"Connection: close\r\nConnection: close\r\n"),
    **{
        f"the field {name}": get(name.encode() + b": 1\r\n")
        for name in (
            *("Transfer-Encoding", "Transfer_Encoding", "Content_Length", "TE", "Upgrade"),
            *("Expect", "Keep-Alive", "Proxy-Connection", "HTTP2-Settings"),
        )
    },
    "a line that is too long": get(line=b"GET /" + b"a" * 8200 + b" HTTP/1.1"),
    "a head that is too large": get(b"A: " + b"a" * 16384 + b"\r\n"),
    "too many fields": get(b"A: 1\r\n" * 128),
}

TAKEN_RESPONSES = {
    "a length": answer(b"Content-Length: 5\r\n"),
    "chunks": answer(b"Transfer-Encoding: chunked\r\n"),
    "neither": answer(b"A: 1\r\n"),
    "no reason": answer(line=b"HTTP/1.1 200 "),
    "HTTP/1.0": answer(b"Content-Length: 5\r\n", line=b"HTTP/1.0 200 OK"),
    "HTTP/1.0 kept": answer(b"Content-Length: 5\r\nConnection: keep-alive\r\n"),
    "no content": answer(b"Content-Length: 5\r\n", line=b"HTTP/1.1 204 No"),
    "not modified": answer(b"Content-Length: 5\r\n", line=b"HTTP/1.1 304 No"),
    "an interim response": answer(line=b"HTTP/1.1 103 Early Hints"),
    "close": answer(b"Connection: close\r\nContent-Length: 0\r\n"),
    "keep-alive": answer(b"Keep-Alive: timeout=5\r\nContent-Length: 0\r\n"),
    "a status above 599": answer(b"Content-Length: 0\r\n", line=b"HTTP/1.1 999 ?"),
}

DECLINED_RESPONSES = {
    "a switch of protocols": answer(b"Upgrade: websocket\r\n", line=b"HTTP/1.1 101 S"),
    "an upgrade that is offered": answer(b"Upgrade: h2\r\n"),
    "a length with chunks": answer(b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"),
    "chunks in HTTP/1.0": answer(b"Transfer-Encoding: chunked\r\n", line=b"HTTP/1.0 200 OK"),
    "another coding": answer(b"Transfer-Encoding: gzip\r\n"),
    "two codings": answer(b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"),
    "two lengths": answer(b"Content-Length: 5\r\nContent-Length: 5\r\n"),
    "no space before the reason": answer(line=b"HTTP/1.1 200"),
    "a status of two digits": answer(line=b"HTTP/1.1 20 OK"),
    "a status below 100": answer(line=b"HTTP/1.1 099 OK"),
    "HTTP/2": answer(line=b"HTTP/2.0 200 OK"),
    "line feeds": answer().replace(b"\r\n", b"\n"),
    "a folded line": answer(b"A: 1\r\n b\r\n"),
    "a space before the colon": answer(b"A : 1\r\n"),
    "connection options": answer(b"Connection: close, A\r\n"),
    "a proxy's field": answer(b"Proxy-Authenticate: Basic\r\n"),
    "too many fields": answer(b"A: 1\r\n" * 257),
}

CHUNKS = {
    "one chunk": [b"5\r\nhello\r\n0\r\n\r\n"],
    "any case of digits": [b"fF\r\n" + b"a" * 255 + b"\r\n0\r\n\r\n"],
    "no chunk": [b"0\r\n\r\n"],
    "byte by byte": [bytes([byte]) for byte in b"a\r\nhellohello\r\n1\r\na\r\n0\r\n\r\n"],
    "the end of it in sight": [b"5\r\nhello\r\n0\r\n"],
    "bytes after the body": [b"1\r\na\r\n0\r\n\r\nHTTP/1.1"],
}

ODD_CHUNKS = {
    "an extension": [b"5;a=b\r\nhello\r\n0\r\n\r\n"],
    "a leading zero": [b"05\r\nhello\r\n0\r\n\r\n"],
    "trailers": [b"5\r\nhello\r\n0\r\nA: 1\r\n\r\n"],
    "a padded size": [b"5 \r\nhello\r\n0\r\n\r\n"],
    "sixteen digits": [b"1000000000000000\r\n"],
    "no size": [b"\r\n"],
    "a bare line feed": [b"5\nhello"],
    "a bare line feed after data": [b"5\r\nhello\n0\n\n"],
    "a bare line feed in a later portion": [b"5\r\nhel", b"lo\n", b"0\n", b"\n"],
    "trailers that end with line feeds": [b"5\r\nhello\r\n0\nA: 1\n\n"],
    "data longer than its size": [b"5\r\nhello!\r\n"],
    "data that does not end with its line": [b"5\r\nhello\r!"],
}


@pytest.mark.parametrize("data", TAKEN_REQUESTS.values(), ids=TAKEN_REQUESTS)
def test_a_plain_request_is_taken_and_read_as_python_reads_it(data: bytes) -> None:
    assert oracle.same_request(data)


@pytest.mark.parametrize("data", DECLINED_REQUESTS.values(), ids=DECLINED_REQUESTS)
def test_any_other_request_is_declined(data: bytes) -> None:
    assert request_head.read(data) is None


FROM_IN_FRONT = ("X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-X", "Forwarded")
SPELT_OTHERWISE = ("x_forwarded_host", "X-Real-IP", "Client_IP", "True-Client-IP", "X_real_ip")


@pytest.mark.parametrize("forwarding", Forwarding)
@pytest.mark.parametrize("name", [*FROM_IN_FRONT, *SPELT_OTHERWISE])
def test_what_is_said_of_the_client_goes_on_only_if_it_is_not_replaced(
    forwarding: Forwarding, name: str
) -> None:
    taken = request_head.read(
        get(name.encode() + b": 1\r\n"), forwarding=list(Forwarding).index(forwarding)
    )
    assert taken is not None
    goes_on = b"1" in taken[3] + b"".join(taken[4])
    imitates = forwarding is Forwarding.APPEND and name == "x_forwarded_host"
    assert goes_on is (forwarding is not Forwarding.REPLACE and not imitates)


def test_a_gate_that_adds_itself_to_via_leaves_a_request_with_one_to_python() -> None:
    assert request_head.read(get(b"Via: 1.1 cdn\r\n"), via=True) is None


@pytest.mark.parametrize("data", TAKEN_RESPONSES.values(), ids=TAKEN_RESPONSES)
@pytest.mark.parametrize("method", [b"GET", b"HEAD"])
def test_a_plain_response_is_taken_and_read_as_python_reads_it(data: bytes, method: bytes) -> None:
    assert oracle.same_response(data, method)


@pytest.mark.parametrize("data", DECLINED_RESPONSES.values(), ids=DECLINED_RESPONSES)
def test_any_other_response_is_declined(data: bytes) -> None:
    assert response_head.read(data) is None


@pytest.mark.parametrize("portions", CHUNKS.values(), ids=CHUNKS)
def test_plain_chunks_pass_as_they_came(portions: list[bytes]) -> None:
    assert oracle.same_chunks(portions)


@pytest.mark.parametrize("portions", ODD_CHUNKS.values(), ids=ODD_CHUNKS)
def test_an_odd_chunk_is_left_to_python(portions: list[bytes]) -> None:
    assert body.walk(Framing.CHUNKED, 0, portions) is None
    oracle.same_chunks(portions)


@pytest.mark.parametrize(
    ("framing", "length", "portions", "expected"),
    [
        (Framing.LENGTH, 5, [b"hello"], (b"hello", True)),
        (Framing.LENGTH, 5, [b"he", b"llo and more"], (b"hello", True)),
        (Framing.LENGTH, 5, [b"hell"], (b"hell", False)),
        (Framing.CLOSE, 0, [b"any", b"thing"], (b"anything", False)),
        (Framing.NONE, 0, [b"anything"], (b"", True)),
    ],
)
def test_other_bodies_end_where_their_framing_says(
    framing: Framing, length: int, portions: list[bytes], expected: tuple[bytes, bool]
) -> None:
    assert body.walk(framing, length, portions) == expected


@pytest.mark.parametrize("cut", range(1, 14))
def test_what_is_left_of_a_line_ends_up_in_python_when_it_turns_out_odd(cut: int) -> None:
    """The reader that takes over knows of the chunks before only what its first line tells it."""
    data = b"3\r\nabc\r\n1;x\r\n"
    assert body.walk(Framing.CHUNKED, 0, [data[:cut], data[cut:]]) is None


RETRY = bytes.fromhex("cf21ad74e59a6111be1d8c021e65b891c2a211167abb8c5e079e09e2c8a8339c")
ANSWERS = [
    b"\x16\x03\x03\x00\x58\x02\x00\x00\x54\x03\x03" + RETRY,
    b"\x16\x03\x03\x00\x58\x02\x00\x00\x54\x03\x03" + RETRY[:-1] + b"\0",
    *(b"\x15\x03\x03\x00\x02\x01\x00", b"\x15\x03", b"HTTP/1.1 200 OK", b""),
]


@given(st.lists(st.sampled_from(ANSWERS) | st.binary(max_size=3), max_size=3).map(b"".join))
def test_a_request_for_a_second_hello_is_told_as_python_tells_it(answer: bytes) -> None:
    assert hello.asks(answer) == asks_again(answer)


def test_a_hello_is_taken_whole_or_not_at_all() -> None:
    data = build.record(build.handshake(build.server_name(b"www.example.cn") + build.COMMON))
    assert hello.read(data) == (b"www.example.cn", False)
    assert hello.read(data + b"early data") == (b"www.example.cn", False)
    assert [hello.read(data[:size]) for size in range(len(data))] == [None] * len(data)


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.name)
def test_every_seed_and_every_cut_of_it_agrees(recipe: Recipe) -> None:
    for seed in recipe.seeds:
        assert recipe.check(seed), "a seed that is not even taken"
        for size in range(min(len(seed), 600)):
            recipe.check(seed[:size])


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.name)
@given(st.randoms(use_true_random=False))
def test_changed_seeds_agree(recipe: Recipe, randoms: object) -> None:
    for _ in range(20):
        recipe.check(recipe.make(randoms))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "folder", ["client_hello", "http_request", "http_response", "chunked", "http_stream"]
)
def test_the_corpora_of_the_python_parsers_agree(folder: str) -> None:
    for file in (SEEDS / folder).iterdir():
        data = file.read_bytes()
        oracle.same_hello(data)
        oracle.same_request(data)
        oracle.same_response(data)
        oracle.same_response(data, b"HEAD")
        oracle.same_chunks([data])


def test_the_oracle_notices_a_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuses(data: bytes) -> None:
        raise BadMessage(400, "no")

    monkeypatch.setattr(RequestParser, "parse", lambda self, data: refuses(data))
    with pytest.raises(AssertionError, match="refused by Python"):
        oracle.same_request(get())


def test_python_goes_on_from_any_place_where_native_stops() -> None:
    """What the engine does at an odd line: a reader for the place is given the rest."""
    reader = ChunkedBody(RESPONSE_CHUNKS)
    assert bytes(reader.feed(b"3\r\nabc")[0]) == b"3\r\nabc"
    assert bytes(reader.feed(b"\r\n2;x\r\nde\r\n0\r\n\r\n")[0]) == b"\r\n2\r\nde\r\n0\r\n\r\n"
