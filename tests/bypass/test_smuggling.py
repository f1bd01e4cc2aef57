"""Request smuggling: a request for an unfiled host, hidden where the gate might not look."""

from __future__ import annotations

import pytest

from tests.bypass.cases import Case, check, table
from tests.harness.stage import Stage

POST = "POST {p} HTTP/1.1\r\nHost: filed.com\r\n"
GET = "GET {p} HTTP/1.1\r\nHost: filed.com\r\n"
HIDDEN = "GET {p}hidden HTTP/1.1\r\nHost: unfiled.com\r\n\r\n"
CHUNKED = "Transfer-Encoding: chunked\r\n"
END = "0\r\n\r\n"


def length_and_chunked(*lines: str) -> Case:
    return Case(POST + "".join(lines) + "\r\n" + END + HIDDEN, (), (400,))


BOTH_FRAMINGS = {
    "cl-te": length_and_chunked("Content-Length: 5\r\n", CHUNKED),
    "te-cl": length_and_chunked(CHUNKED, "Content-Length: 5\r\n"),
    "cl-te-with-length-of-all": length_and_chunked("Content-Length: 500\r\n", CHUNKED),
    "cl-0-and-te": length_and_chunked("Content-Length: 0\r\n", CHUNKED),
    "te-identity-and-cl": length_and_chunked(
        "Transfer-Encoding: identity\r\n", "Content-Length: 5\r\n"
    ),
    "te-empty-and-cl": length_and_chunked("Transfer-Encoding:\r\n", "Content-Length: 5\r\n"),
    "te-te": length_and_chunked(CHUNKED, "Transfer-Encoding: x\r\n"),
    "te-te-reversed": Case(f"{POST}Transfer-Encoding: x\r\n{CHUNKED}\r\n{END}{HIDDEN}", (), (501,)),
    "te-te-identity": length_and_chunked(CHUNKED, "Transfer-Encoding: identity\r\n"),
    "te-list-chunked-first": length_and_chunked("Transfer-Encoding: chunked, identity\r\n"),
    "te-chunked-twice": length_and_chunked("Transfer-Encoding: chunked, chunked\r\n"),
    "te-x-chunked": length_and_chunked("Transfer-Encoding: xchunked\r\n", "Content-Length: 5\r\n"),
    "te-space-before-colon": length_and_chunked(
        "Transfer-Encoding : chunked\r\n", "Content-Length: 5\r\n"
    ),
    "te-tab-before-colon": length_and_chunked(
        "Transfer-Encoding\t: chunked\r\n", "Content-Length: 5\r\n"
    ),
    "te-vertical-tab": length_and_chunked(
        "Transfer-Encoding:\x0bchunked\r\n", "Content-Length: 5\r\n"
    ),
    "te-no-break-space": length_and_chunked(
        "Transfer-Encoding:\xa0chunked\r\n", "Content-Length: 5\r\n"
    ),
    "te-nul": length_and_chunked("Transfer-Encoding: chunked\x00\r\n", "Content-Length: 5\r\n"),
    "te-folded": length_and_chunked("Transfer-Encoding:\r\n chunked\r\n", "Content-Length: 5\r\n"),
    "te-behind-bare-lf": length_and_chunked(
        "X: y\nTransfer-Encoding: chunked\r\n", "Content-Length: 5\r\n"
    ),
    "te-indented": length_and_chunked(
        "X: y\r\n Transfer-Encoding: chunked\r\n", "Content-Length: 5\r\n"
    ),
    "te-in-quotes": length_and_chunked('Transfer-Encoding: "chunked"\r\n', "Content-Length: 5\r\n"),
    "te-with-parameter": length_and_chunked(
        "Transfer-Encoding: chunked;x=y\r\n", "Content-Length: 5\r\n"
    ),
    "te-comma-only": length_and_chunked("Transfer-Encoding: ,\r\n", "Content-Length: 5\r\n"),
    "te-leading-comma": length_and_chunked(
        "Transfer-Encoding: , chunked\r\n", "Content-Length: 5\r\n"
    ),
    "te-lower-case-and-cl": length_and_chunked(
        "transfer-encoding: CHUNKED\r\n", "content-length: 5\r\n"
    ),
    "te-in-http-1.0": Case(
        f"POST {{p}} HTTP/1.0\r\nHost: filed.com\r\n{CHUNKED}\r\n{END}{HIDDEN}", (), (400,)
    ),
}

LENGTHS = {
    "two-lengths": Case(
        f"{POST}Content-Length: 0\r\nContent-Length: 44\r\n\r\n{HIDDEN}", (), (400,)
    ),
    "two-lengths-in-a-list": Case(f"{POST}Content-Length: 0, 44\r\n\r\n{HIDDEN}", (), (400,)),
    "length-with-plus": Case(f"{POST}Content-Length: +0\r\n\r\n{HIDDEN}", (), (400,)),
    "length-with-minus": Case(f"{POST}Content-Length: -1\r\n\r\n{HIDDEN}", (), (400,)),
    "length-in-hexadecimal": Case(f"{POST}Content-Length: 0x2c\r\n\r\n{HIDDEN}", (), (400,)),
    "length-with-decimals": Case(f"{POST}Content-Length: 0.0\r\n\r\n{HIDDEN}", (), (400,)),
    "length-with-exponent": Case(f"{POST}Content-Length: 1e1\r\n\r\n{HIDDEN}", (), (400,)),
    "length-behind-fold": Case(f"{POST}Content-Length:\r\n 44\r\n\r\n{HIDDEN}", (), (400,)),
    "length-with-nul": Case(f"{POST}Content-Length: 0\x0044\r\n\r\n{HIDDEN}", (), (400,)),
    "length-wraps-at-64-bits": Case(
        f"{POST}Content-Length: 18446744073709551616\r\n\r\n{HIDDEN}", (), (400,)
    ),
    "length-wraps-at-32-bits-is-a-length": Case(
        f"{POST}Content-Length: 4294967296\r\n\r\n{HIDDEN}", (), None
    ),
    "underscored-length": Case(f"{POST}Content_Length: 44\r\n\r\n{HIDDEN}", (), (400,)),
    "space-before-colon": Case(f"{POST}Content-Length : 44\r\n\r\n{HIDDEN}", (), (400,)),
    "0-cl": Case(f"{POST}Content-Length: 0\r\n\r\n{HIDDEN}", ("POST  filed.com",), (200, 302)),
    "leading-zeros": Case(
        f"{POST}Content-Length: 003\r\n\r\nabc{HIDDEN}", ("POST  filed.com abc",), (200, 302)
    ),
    "get-with-no-length-and-a-body": Case(f"{GET}\r\n{HIDDEN}", ("GET  filed.com",), (200, 302)),
}

CHUNKS = {
    "pipelined-behind-chunks": Case(
        f"{POST}{CHUNKED}\r\n3\r\nabc\r\n{END}{HIDDEN}", ("POST  filed.com abc",), (200, 302)
    ),
    "pipelined-behind-trailers": Case(
        f"{POST}{CHUNKED}\r\n3\r\nabc\r\n0\r\nX: y\r\n\r\n{HIDDEN}",
        ("POST  filed.com abc",),
        (200, 302),
    ),
    "host-as-trailer": Case(
        f"{POST}{CHUNKED}\r\n3\r\nabc\r\n0\r\nHost: unfiled.com\r\n\r\n", ("POST  filed.com abc",)
    ),
    "size-with-extension": Case(
        f"{POST}{CHUNKED}\r\n3;x=y\r\nabc\r\n{END}{HIDDEN}", ("POST  filed.com abc",), (200, 302)
    ),
    "size-with-zeros": Case(
        f"{POST}{CHUNKED}\r\n0003\r\nabc\r\n{END}{HIDDEN}", ("POST  filed.com abc",), (200, 302)
    ),
    "last-chunk-with-zeros": Case(
        f"{POST}{CHUNKED}\r\n3\r\nabc\r\n000\r\n\r\n{HIDDEN}",
        ("POST  filed.com abc",),
        (200, 302),
    ),
    "extension-with-bare-lf": Case(
        f"{POST}{CHUNKED}\r\n3;a\nxx\r\nabc\r\n{END}{HIDDEN}", (), (400,)
    ),
    "extension-with-bare-cr": Case(
        f"{POST}{CHUNKED}\r\n3;a\rxx\r\nabc\r\n{END}{HIDDEN}", (), (400,)
    ),
    "size-ended-by-lf": Case(f"{POST}{CHUNKED}\r\n3\nabc\r\n{END}{HIDDEN}", (), (400,)),
    "data-ended-by-lf": Case(f"{POST}{CHUNKED}\r\n3\r\nabc\n{END}{HIDDEN}", (), (400,)),
    "data-ended-by-other-bytes": Case(f"{POST}{CHUNKED}\r\n3\r\nabcXX{END}{HIDDEN}", (), (400,)),
    "size-with-plus": Case(f"{POST}{CHUNKED}\r\n+3\r\nabc\r\n{END}{HIDDEN}", (), (400,)),
    "size-with-prefix": Case(f"{POST}{CHUNKED}\r\n0x3\r\nabc\r\n{END}{HIDDEN}", (), (400,)),
    "size-with-underscore": Case(f"{POST}{CHUNKED}\r\n0_3\r\nabc\r\n{END}{HIDDEN}", (), (400,)),
    "size-with-space-behind": Case(f"{POST}{CHUNKED}\r\n3 \r\nabc\r\n{END}{HIDDEN}", (), (400,)),
    "size-wraps-at-64-bits": Case(
        f"{POST}{CHUNKED}\r\n10000000000000003\r\nabc\r\n{END}{HIDDEN}", (), (400,)
    ),
    "size-wraps-at-32-bits": Case(
        f"{POST}{CHUNKED}\r\n100000003\r\nabc\r\n{END}{HIDDEN}", (), None
    ),
    "negative-size": Case(f"{POST}{CHUNKED}\r\n-1\r\nabc\r\n{END}{HIDDEN}", (), (400,)),
    "end-of-body-by-lf": Case(f"{POST}{CHUNKED}\r\n3\r\nabc\r\n0\r\n\n{HIDDEN}", (), (400,)),
    "trailer-by-lf": Case(f"{POST}{CHUNKED}\r\n3\r\nabc\r\n0\r\nX: y\n\r\n{HIDDEN}", (), (400,)),
    "trailer-that-is-a-request": Case(f"{POST}{CHUNKED}\r\n3\r\nabc\r\n0\r\n{HIDDEN}", (), (400,)),
    "chunked-get": Case(
        f"{GET}{CHUNKED}\r\n3\r\nabc\r\n{END}{HIDDEN}", ("GET  filed.com abc",), (200, 302)
    ),
}

TURNS = {
    "second-request": Case(f"{GET}\r\n{HIDDEN}", ("GET  filed.com",), (200, 302)),
    "third-request-behind-an-unfiled-one": Case(
        f"{GET}\r\n{HIDDEN}{GET}\r\n", ("GET  filed.com",), (200, 302)
    ),
    "behind-a-body": Case(
        f"{POST}Content-Length: 3\r\n\r\nabc{HIDDEN}", ("POST  filed.com abc",), (200, 302)
    ),
    "behind-head": Case(
        f"HEAD {{p}} HTTP/1.1\r\nHost: filed.com\r\n\r\n{HIDDEN}", ("HEAD  filed.com",), None
    ),
    "behind-connection-close": Case(
        f"{GET}Connection: close\r\n\r\n{HIDDEN}", ("GET  filed.com",), (200,)
    ),
    "behind-an-empty-line": Case(f"{GET}\r\n\r\n{HIDDEN}", ("GET  filed.com",), (200, 302)),
    "behind-junk": Case(f"{GET}\r\nX{HIDDEN}", ("GET  filed.com",), (200, 302)),
    "behind-a-refused-request": Case(f"{GET}X : y\r\n\r\n{HIDDEN}", (), (400,)),
    "behind-100-continue": Case(
        f"{POST}Expect: 100-continue\r\nContent-Length: 3\r\n\r\nabc{HIDDEN}",
        ("POST  filed.com abc",),
        None,
    ),
    "behind-100-continue-without-a-body": Case(
        f"{GET}Expect: 100-continue\r\n\r\n{HIDDEN}", ("GET  filed.com",), None
    ),
    "expectation-in-odd-form": Case(
        f"{POST}Expect: 100-continue, x\r\nContent-Length: 3\r\n\r\nabc{HIDDEN}",
        ("POST  filed.com abc",),
        None,
    ),
    "expectation-of-another-kind": Case(
        f"{POST}Expect: x\r\nContent-Length: 3\r\n\r\nabc{HIDDEN}",
        ("POST  filed.com abc",),
        (200, 302),
    ),
    "behind-many-empty-lines": Case(
        f"{GET}\r\n" + "\r\n" * 50 + HIDDEN, ("GET  filed.com",), (200, 302)
    ),
    "behind-empty-lines-with-lf": Case(f"{GET}\r\n\r\n\n{HIDDEN}", ("GET  filed.com",), (200, 400)),
    "of-http-1-9": Case(
        f"POST {{p}} HTTP/1.9\r\nHost: filed.com\r\n{CHUNKED}\r\n3\r\nabc\r\n{END}{HIDDEN}",
        ("POST  filed.com abc",),
        (200, 302),
    ),
    "connection-lists-content-length": Case(
        f"{POST}Connection: Content-Length\r\nContent-Length: 3\r\n\r\nabc{HIDDEN}", (), (400,)
    ),
    "connection-lists-transfer-encoding": Case(
        f"{POST}Connection: Transfer-Encoding\r\n{CHUNKED}\r\n3\r\nabc\r\n{END}{HIDDEN}",
        ("POST  filed.com abc",),
        None,
    ),
}


@table(BOTH_FRAMINGS)
def test_two_framings(bypass_stage: Stage, path: str, case: Case) -> None:
    check(bypass_stage, case, path)


@table(LENGTHS)
def test_lengths(bypass_stage: Stage, path: str, case: Case) -> None:
    check(bypass_stage, case, path)


@table(CHUNKS)
def test_chunks(bypass_stage: Stage, path: str, case: Case) -> None:
    check(bypass_stage, case, path)


@table(TURNS)
def test_turns(bypass_stage: Stage, path: str, case: Case) -> None:
    check(bypass_stage, case, path)


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE", "OPTIONS"])
def test_request_inside_a_body_stays_a_body(bypass_stage: Stage, path: str, method: str) -> None:
    """CL.0: it arrives framed as the body of a filed request, and as nothing else."""
    size = len(HIDDEN.replace("{p}", path))
    head = f"{method} {{p}} HTTP/1.1\r\nHost: filed.com\r\nContent-Length: {size}\r\n\r\n"
    check(bypass_stage, Case(head + HIDDEN, (f"{method}  filed.com {HIDDEN}",), (200,)), path)
