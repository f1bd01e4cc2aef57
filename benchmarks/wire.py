"""Cost of the HTTP/1 and ClientHello parsers in nanoseconds a call.

    python -m benchmarks.wire [--rounds N]

"cold" parses heads with a header block that was never seen before, "memo" the same head
again and again, "write" makes the head that goes on. The ClientHellos are those that real
clients sent (tests/wire/data). Each figure is the best of many
short rounds, so that a neighbour on the machine does not show. A plain function call is
printed for scale.
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path

from gate.wire.http1 import (
    ChunkedBody,
    ForwardingRules,
    RequestHead,
    RequestParser,
    ResponseHead,
    ResponseParser,
    serialise_request,
    serialise_response,
)
from gate.wire.tls import parse_client_hello

_BATCH = 400
_FORWARDED = ForwardingRules().client("203.0.113.9")

REQUESTS = {
    "wrk, 1 field": b"GET /index.html HTTP/1.1\r\nHost: www.example.com.cn\r\n\r\n",
    "curl, 3 fields": (
        b"GET /index.html HTTP/1.1\r\nHost: www.example.com.cn\r\n"
        b"User-Agent: curl/8.5.0\r\nAccept: */*\r\n\r\n"
    ),
    "browser, 12 fields": (
        b"GET /news/2026/list?page=2 HTTP/1.1\r\nHost: www.example.com.cn\r\n"
        b"Connection: keep-alive\r\nCache-Control: max-age=0\r\n"
        b"Upgrade-Insecure-Requests: 1\r\n"
        b"User-Agent: Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 "
        b"(KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36\r\n"
        b"Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,"
        b"image/webp,*/*;q=0.8\r\nReferer: http://www.example.com.cn/news/\r\n"
        b"Accept-Encoding: gzip, deflate\r\nAccept-Language: zh-CN,zh;q=0.9,en;q=0.8\r\n"
        b"Cookie: sid=0f8fad5bd9cb469fa165; theme=dark\r\nDNT: 1\r\n"
        b'If-None-Match: "5f3c-1a2b"\r\n\r\n'
    ),
    "POST, 6 fields": (
        b"POST /api/v1/orders HTTP/1.1\r\nHost: api.example.com.cn\r\n"
        b"User-Agent: okhttp/4.12.0\r\nContent-Type: application/json; charset=utf-8\r\n"
        b"Content-Length: 348\r\nAccept-Encoding: gzip\r\nConnection: Keep-Alive\r\n\r\n"
    ),
}
RESPONSES = {
    "nginx, 7 fields": (
        b"HTTP/1.1 200 OK\r\nServer: nginx/1.22.1\r\nDate: Mon, 03 Aug 2026 10:00:00 GMT\r\n"
        b"Content-Type: text/html\r\nContent-Length: 612\r\n"
        b"Last-Modified: Mon, 27 Jul 2026 08:11:02 GMT\r\nConnection: keep-alive\r\n"
        b'ETag: "65a0c1d2-264"\r\nAccept-Ranges: bytes\r\n\r\n'
    ),
    "nginx chunked, 5 fields": (
        b"HTTP/1.1 200 OK\r\nServer: nginx/1.22.1\r\nDate: Mon, 03 Aug 2026 10:00:00 GMT\r\n"
        b"Content-Type: text/html; charset=utf-8\r\nTransfer-Encoding: chunked\r\n"
        b"Connection: keep-alive\r\n\r\n"
    ),
}
HELLOS = Path(__file__).parent.parent / "tests" / "wire" / "data"
CHUNKED = {
    "36 B in 1 chunk": (36, 1),
    "64 kB in 8 kB chunks": (8192, 8),
    "64 kB in 16 B chunks": (16, 4096),
}

Call = Callable[[bytes], object]


def nanoseconds(call: Call, inputs: Callable[[], list[bytes]], rounds: int) -> float:
    """Best time of one call over `rounds` batches, some 10 ns for the loop in it."""
    best = float("inf")
    for _ in range(rounds):
        batch = inputs()
        start = time.perf_counter_ns()
        for item in batch:
            call(item)
        best = min(best, (time.perf_counter_ns() - start) / len(batch))
    return best


class NewHeads:
    """Makes copies of a head that differ in one field, from each other and from all before."""

    def __init__(self, head: bytes) -> None:
        self._head = head[:-2]
        self._made = 0

    def __call__(self) -> list[bytes]:
        self._made += _BATCH
        return [
            b"%bX-Serial: %08d\r\n\r\n" % (self._head, self._made - number)
            for number in range(_BATCH)
        ]


def _same(item: bytes, count: int = _BATCH) -> Callable[[], list[bytes]]:
    return lambda: [item] * count


def _write_request(head: RequestHead) -> Call:
    host = head.host or b""
    return lambda _: serialise_request(head, host=host, forwarded=_FORWARDED)


def _write_response(head: ResponseHead) -> Call:
    return lambda _: serialise_response(head, close=False)


def _print(what: str, size: int, figures: dict[str, float]) -> None:
    shown = "".join(f"{name:>8} {value:9,.0f} ns" for name, value in figures.items())
    print(f"{what:34}{size:6} bytes {shown}")


def main() -> None:
    """Prints a table."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--rounds", type=int, default=200)
    rounds = arguments.parse_args().rounds
    _print("function call", 0, {"call": nanoseconds(lambda _: None, _same(b""), rounds)})
    requests, responses = RequestParser(), ResponseParser()
    for what, raw in REQUESTS.items():
        request = requests.parse(raw)
        assert request is not None
        figures = {
            "cold": nanoseconds(requests.parse, NewHeads(raw), rounds),
            "memo": nanoseconds(requests.parse, _same(raw), rounds),
            "write": nanoseconds(_write_request(request), _same(b""), rounds),
        }
        _print("request " + what, len(raw), figures)
    for what, raw in RESPONSES.items():
        response = responses.parse(raw)
        assert response is not None
        figures = {
            "cold": nanoseconds(responses.parse, NewHeads(raw), rounds),
            "memo": nanoseconds(responses.parse, _same(raw), rounds),
            "write": nanoseconds(_write_response(response), _same(b""), rounds),
        }
        _print("response " + what, len(raw), figures)
    for what, (size, count) in CHUNKED.items():
        raw = (b"%x\r\n" % size + b"x" * size + b"\r\n") * count + b"0\r\n\r\n"
        few = _same(raw, 20)
        figures = {
            "chunks": nanoseconds(lambda data: ChunkedBody().feed(data), few, rounds // 4),
            "bare": nanoseconds(
                lambda data: ChunkedBody(rechunk=False).feed(data), few, rounds // 4
            ),
        }
        _print("body " + what, len(raw), figures)
    for path in sorted(HELLOS.glob("*.bin")):
        raw = path.read_bytes()
        figures = {"parse": nanoseconds(parse_client_hello, _same(raw), rounds)}
        _print("hello of " + path.stem, len(raw), figures)


if __name__ == "__main__":
    main()
