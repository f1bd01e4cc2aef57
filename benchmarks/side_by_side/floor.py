"""The floor: the smallest server with the gate's system calls (bare.pyx), compiled when needed.

    python -m benchmarks.side_by_side.floor LISTEN HTTP_PORT TLS_PORT HOST HTTP TLS redirect|forward

It is no peer, since it judges nothing: what the gate costs above it is what the gate does. It takes
part in the rows of small units alone (`Workload.floored`), and in no study.
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
from .http_load import request
from .origin import SMALL_BODY
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
    if setup.front is not Front.DIALLED or setup.variant is Variant.SINK or setup.workers != 1:
        raise NotOffered("it has one process, and no set-up but the plain one")
    compiled()
    place = setup.place
    does = "redirect" if setup.variant is Variant.CLOSE else "forward"
    child = spawn(
        [
            sys.executable, "-m", "benchmarks.side_by_side.floor",
            place.listen, str(setup.http_port), str(setup.tls_port),
            place.host, str(setup.http_upstream), str(setup.tls_upstream), does,
        ],
        cores=set(setup.cores),
        log=setup.folder / "floor.log",
    )  # fmt: skip
    took = wait_until(lambda: accepts(setup.tls_port), seconds=60, what=FLOOR, child=child)
    return Running(FLOOR, setup, child, took)


def _listening(host: str, port: int, kind: str) -> socket.socket:
    """A listening socket with the gate's options."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind((host, port))
    prepare(sock, kind)
    sock.listen(_BACKLOG)
    return sock


def main(
    listen: str, http_port: int, tls_port: int, host: str, http: int, tls: int, does: str
) -> None:
    """Serve until killed."""
    from .bare import Bare

    most = min(_DESCRIPTORS, resource.getrlimit(resource.RLIMIT_NOFILE)[1])
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    asked = request(_HOST).decode().replace("Connection: keep-alive\r\n", _FORWARDED)
    server = Bare(
        ((socket.AF_INET, (host, tls)), (socket.AF_INET, (host, http))),
        asked.encode(),
        _ANSWER.encode(),
        _REDIRECT.encode(),
        does == "redirect",
        Answer.REFUSED,
        Process().coalesce_us / 1e6,
    )
    sockets = _listening(listen, tls_port, "tls"), _listening(listen, http_port, "http")
    server.serve(*(sock.fileno() for sock in sockets))


if __name__ == "__main__":
    os.umask(0o077)
    name_, http_port_, tls_port_, host_, http_, tls_, does_ = sys.argv[1:]
    main(name_, int(http_port_), int(tls_port_), host_, int(http_), int(tls_), does_)
