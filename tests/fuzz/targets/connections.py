"""Whole connections, through the compiled data plane and through the Python one.

The bytes of an input are what client and origin say in turn: see tests/native/connections.py.
"""

from __future__ import annotations

from tests.fuzz.targets import client_hello, http_request, http_response
from tests.native import connections

TOKENS = (
    *(connections.SEPARATOR, connections.END, connections.NOTHING, b"example.cn"),
    *(b"Content-Length: 2\r\n\r\nok", b"Connection: close\r\n", b"HTTP/1.1 200 OK\r\n"),
    *(*http_request.TOKENS, *http_response.TOKENS, *client_hello.TOKENS),
)

BASE_SECONDS = 2.0
"""A script of few bytes may have megabytes sent (`connections.LARGE`), on two planes."""


def check(data: bytes) -> None:
    """The same bytes at both ends, the same ends, the same figures."""
    connections.same_connections(data)


def parse(data: bytes) -> object:
    """A script once, on the Python plane."""
    return connections.play_on_python(data)
