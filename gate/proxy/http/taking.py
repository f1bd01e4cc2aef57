"""A client's first request: most that are to be turned away are answered on the spot."""

from __future__ import annotations

from typing import Final

from gate.proxy.connection import Connection
from gate.proxy.counters import HTTP
from gate.proxy.http.connection import HttpConnection
from gate.proxy.http.plane import HttpPlane
from gate.wire.http1 import BadMessage, Framing

_NO_BODY: Final = Framing.NONE  # a global: see parts.py


def take(http: HttpPlane, connection: Connection, data: bytes) -> None:
    """Take a connection that opens with `data`, and is not watched.

    One that brings a single request, which is to be turned away, is answered and closed on the
    spot: it never counts as open. The verdict that was made to see this is the request's only one.
    """
    verdict = None
    requests = http.requests_of(connection.peer[0], connection.listener.client_source)
    try:
        head = requests.parse(data)
    except BadMessage:
        head = None  # the connection meets it again, and answers
    if head is not None:
        plane = connection.plane
        verdict = http.judge(head, connection.peer[0])
        if (
            not verdict.allowed
            and connection.enforcing
            and verdict is not plane.decider.malformed
            and head.host is not None
            and head.framing is _NO_BODY
            and head.consumed == len(data)
            and not connection.admitted
        ):
            plane.counters.request()
            connection.blocks(HTTP, verdict)
            status, response = http.answers.blocked(verdict, head)
            plane.counters.response(status)
            connection.answer(response)
            return
    if connection.admit():
        HttpConnection(http, connection, requests).start(data, head, verdict)
