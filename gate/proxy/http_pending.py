"""The bytes that a client's connection holds unanswered, and the worker's budget for them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gate.proxy.http_state import CLOSED, HEAD
from gate.proxy.plane import OVER_BUDGET, READ_BYTES

if TYPE_CHECKING:
    from gate.proxy.http import HttpConnection


def settle(client: HttpConnection) -> bool:
    """Account for what the buffer holds; False if that was too much, and the end.

    These bytes are heads that are not complete, and requests that wait their turn. What came
    in one read with a request that is under way is taken even if there is no room.
    """
    if client.state is CLOSED:
        return False
    plane, size = client.plane, len(client.buffer)
    more = size - client.charged
    if more <= 0:
        plane.pending += more
    elif not plane.hold(more):
        if client.state is not HEAD and more <= READ_BYTES:
            plane.pending += more
            client.charged = size
            return True
        client.count_blocked(plane.decider.limit)
        client.end(OVER_BUDGET, cut=True)
        return False
    client.charged = size
    return True
