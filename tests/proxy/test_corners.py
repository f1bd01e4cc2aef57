"""Corners of one exchange: what either side may do in a state in which nobody expects it."""

from __future__ import annotations

import socket

import pytest

from tests.proxy.running import GET, OK, Reader, Running, accepted, heads


def asked(running: Running, origin: socket.socket, count: int = 1) -> Reader:
    got = Reader(origin)
    assert running.until(lambda: heads(got, count))
    return got


@pytest.mark.parametrize("status", [600, 999])
def test_a_status_above_599_is_passed_on_and_counts_as_5xx(
    running: Running, upstream: socket.socket, status: int
) -> None:
    with running.client() as sock:
        sock.send(GET % 1)
        origin = accepted(running, upstream)
        asked(running, origin)
        origin.send(OK.replace(b"200 OK", b"%d Odd" % status))
        got = Reader(sock)
        assert running.until(lambda: got().data.endswith(b"ok"))
        assert got.data.startswith(b"HTTP/1.1 %d Odd\r\n" % status)
        origin.close()
    assert running.plane.stats()["responses"]["5xx"] == 1
