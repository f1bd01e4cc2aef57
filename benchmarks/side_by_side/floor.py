"""The floor: the smallest server with the gate's system calls (bare.pyx), compiled when needed.

    python -m benchmarks.side_by_side.floor LISTEN HTTP_PORT TLS_PORT HOST HTTP TLS DOES WORKERS

DOES is "redirect", "forward", or "sink" where the upstream takes posted bodies only.

It is no peer, since it judges nothing: what the gate costs above it is what the gate does. It takes
part in every row but the one that the gate does not offer, and in the latency.
"""

from __future__ import annotations

import functools
import os
import resource
import socket
import sys
from pathlib import Path

from gate.proxy.accept import prepare
from gate.proxy.native import MISSING
from gate.settings.model import Process

from .hello import Answer
from .http_load import POST_SIZE, REFUSED_PATH, answer_to, request
from .origin import CHUNKED, LARGE, SMALL_BODY
from .process import NotOffered, accepts, spawn, wait_until
from .servers import FLOOR, NOTICE, Front, Running, Setup, Variant

SOURCE = Path(__file__).with_name("bare.pyx")
_BACKLOG = 4096
_DESCRIPTORS = 65536  # as many as its table has room for
_CLIENT = "127.0.0.1"
_HOST = "www.example.com.cn"

_FORWARDED = f"Via: 1.1 gate\r\nX-Forwarded-For: {_CLIENT}\r\nX-Forwarded-Proto: http\r\n"
_ANSWER = f"""HTTP/1.1 200 OK\r
Server: nginx/1.22.1\r
Date: Sun, 29 Nov 2026 00:00:00 GMT\r
Content-Type: text/plain\r
Content-Length: {len(SMALL_BODY)}\r
Via: 1.1 gate\r
Connection: close\r
\r
{SMALL_BODY}"""
_REDIRECT = f"""HTTP/1.1 302 Found\r
Date: Sun, 29 Nov 2026 00:00:00 GMT\r
Location: {NOTICE}?domain={_HOST}&reason=unfiled\r
Cache-Control: no-store\r
Content-Length: 0\r
Connection: close\r
\r
"""


@functools.cache
def compiled() -> None:
    """Compile the server. Raises NotOffered where there is no compiler."""
    from hatch_build import compile_in_place

    if MISSING:
        raise NotOffered(MISSING)
    try:
        compile_in_place([SOURCE])
    except Exception as error:
        raise NotOffered(f"it could not be compiled: {error}") from error


def start(setup: Setup) -> Running:
    """Run it. Raises BenchError when it does not come up."""
    if setup.front is not Front.DIALLED:
        raise NotOffered("it has no set-up but the plain one")
    compiled()
    place = setup.place
    does = {Variant.CLOSE: "redirect", Variant.SINK: "sink"}.get(setup.variant, "forward")
    child = spawn(
        [
            sys.executable, "-m", "benchmarks.side_by_side.floor",
            place.listen, str(setup.http_port), str(setup.tls_port),
            place.host, str(setup.http_upstream), str(setup.tls_upstream), does,
            str(setup.workers),
        ],
        cores=set(setup.cores),
        log=setup.folder / "floor.log",
    )  # fmt: skip
    took = wait_until(lambda: accepts(setup.tls_port), seconds=60, what=FLOOR, child=child)
    return Running(FLOOR, setup, child, took)


def _listening(host: str, port: int, kind: str) -> socket.socket:
    """A listening socket with the gate's options; each worker has its own."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    sock.bind((host, port))
    prepare(sock, kind)
    sock.listen(_BACKLOG)
    return sock


def _asked(upstream: tuple[str, int], does: str) -> list[tuple[bytes, bytes, int]]:
    """What is sent upstream for each path (see Bare), with the size that its answer has there."""

    def prepared(path: str) -> bytes:
        asked = request(_HOST, path).decode()
        return asked.replace("Connection: keep-alive\r\n", _FORWARDED).encode()

    paths = [(b"/", prepared("/index.html?v=20240601"), 0)]
    if does != "forward":
        return paths
    for path in (LARGE, CHUNKED):
        _, _, size = answer_to(upstream, prepared(path))
        paths.append((path[1:2].encode(), prepared(path), size))
    return paths


def main(
    listen: str,
    http_port: int,
    tls_port: int,
    host: str,
    http: int,
    tls: int,
    does: str,
    workers: int,
) -> None:
    """Serve until killed."""
    from .bare import Bare

    most = min(_DESCRIPTORS, resource.getrlimit(resource.RLIMIT_NOFILE)[1])
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    paths = _asked((host, http), does)
    for _ in range(1, workers):
        if os.fork() == 0:
            break
    server = Bare(
        ((socket.AF_INET, (host, tls)), (socket.AF_INET, (host, http))),
        paths,
        _ANSWER.encode(),
        _REDIRECT.encode(),
        does == "redirect",
        Answer.REFUSED,
        REFUSED_PATH[1:].encode(),
        POST_SIZE,
        Process().coalesce_us / 1e6,
    )
    sockets = _listening(listen, tls_port, "tls"), _listening(listen, http_port, "http")
    server.serve(*(sock.fileno() for sock in sockets))


if __name__ == "__main__":
    os.umask(0o077)
    name_, http_port_, tls_port_, host_, http_, tls_, does_, workers_ = sys.argv[1:]
    main(name_, int(http_port_), int(tls_port_), host_, int(http_), int(tls_), does_, int(workers_))
