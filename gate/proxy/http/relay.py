"""What passes between the two sides of an exchange beside heads: bodies.

Back-pressure is in what is watched: a side is read only while the other one takes what comes.
What comes of it is returned; to act on it is the exchange's business.
"""

from __future__ import annotations

from enum import Enum, auto
from socket import MSG_DONTWAIT, MSG_PEEK, SocketType
from typing import Final

from gate.proxy.chunk_flow import ChunkFlow
from gate.proxy.flow import Flow, Progress
from gate.proxy.http.client import ClientSide
from gate.proxy.http.upstream import UpstreamConnection
from gate.proxy.pipes import PipePool
from gate.proxy.plane import Plane
from gate.proxy.reactor import IN, OUT
from gate.wire.http1 import ChunkedBody

_ENDED: Final = Progress.ENDED  # globals: see parts.py
_BLOCKED: Final = Progress.BLOCKED

# What a client may send ahead of the response to its request before it is made to wait.
_AHEAD_BYTES = 1 << 16


class Upload:
    """What is left of a request once its first part is on its way to the upstream.

    That is the rest of its body, and of the first part if it was not taken at once; most requests
    are whole after their head and have no upload at all. `whole` says that the client has sent
    all of the request, `ahead` that all of it was in the first part; `flow` relays, and is None
    before there is an upstream and after it takes no more.
    """

    __slots__ = ("_chunks", "_left", "ahead", "flow", "whole")

    def __init__(self, left: int, chunks: ChunkedBody | None) -> None:
        """`left` body bytes, or `chunks`, are still to come from the client; or neither."""
        self._left = left
        self._chunks = chunks
        self.whole = self.ahead = left == 0 and chunks is None
        self.flow: Flow | ChunkFlow | None = None

    @property
    def starved(self) -> bool:
        """Whether it is the client that more is to come from now."""
        return not self.whole and self.flow is not None and not self.flow.blocked

    def start(
        self, client: SocketType, upstream: SocketType, pipes: PipePool, unsent: memoryview
    ) -> None:
        """Relay `unsent`, then what the client sends."""
        if self._chunks is not None:
            self.flow = ChunkFlow(client, upstream, self._chunks)
        else:
            self.flow = Flow(client, upstream, pipes, self._left)
        if unsent:
            self.flow.hold(unsent)

    def finish(self) -> None:
        """The client has sent all of it."""
        self.whole = True

    def close(self) -> None:
        """Relay no more."""
        if self.flow is not None:
            self.flow.close()
            self.flow = None


class Up(Enum):
    """What came of moving a part of the request."""

    MORE = auto()  # there is more to come, or to be taken
    WHOLE = auto()  # the upstream has all of it
    TRUNCATED = auto()  # the client ended before its request did
    LEFT = auto()  # the client is gone
    NOT_TAKEN = auto()  # the upstream takes no more; it may have answered already


class Down(Enum):
    """What came of moving a part of the response."""

    MORE = auto()  # as before
    TURNED = auto()  # the client takes no more for now, or takes more again
    WHOLE = auto()  # the client has all of it
    CUT = auto()  # the upstream ended before its response did
    BROKEN = auto()  # a side broke


def watch(
    client: ClientSide,
    upstream: UpstreamConnection | None,
    upload: Upload | None,
    down: Flow | ChunkFlow | None,
) -> None:
    """Watch both sockets for what can be used now."""
    if upstream is None:
        if len(client.buffer) >= _AHEAD_BYTES:
            client.want_no(IN)  # until there is an upstream
        return
    up = None if upload is None else upload.flow
    wanted = 0
    if not client.ended:
        room = len(client.buffer) < _AHEAD_BYTES if up is None else not up.blocked
        wanted = IN if room else 0
    if client.held is not None or (down is not None and down.blocked):
        client.want(wanted | OUT)
        wanted = 0
    else:
        client.want(wanted)
        wanted = IN
    upstream.want(wanted | (OUT if up is not None and up.blocked else 0))


def pump_up(plane: Plane, client: SocketType, upload: Upload, flow: Flow | ChunkFlow) -> Up:
    """Move what can be moved of the request to the upstream.

    Raises BadMessage for a malformed body.
    """
    before = flow.moved
    try:
        progress = flow.pump(plane.buffer)
    except OSError:
        return Up.LEFT if _has_left(client) else Up.NOT_TAKEN
    plane.counters.up(flow.moved - before)
    if progress is not _ENDED:
        return Up.MORE
    upload.close()
    if not flow.complete:
        return Up.TRUNCATED
    upload.finish()
    return Up.WHOLE


def pump_down(plane: Plane, flow: Flow | ChunkFlow) -> Down:
    """Move what can be moved of the response to the client.

    Raises BadResponse for a malformed body.
    """
    before = flow.moved
    was_blocked = flow.blocked
    try:
        progress = flow.pump(plane.buffer)
    except OSError:
        return Down.BROKEN
    plane.counters.down(flow.moved - before)
    if progress is _ENDED:
        flow.close()
        return Down.WHOLE if flow.complete else Down.CUT
    return Down.TURNED if progress is _BLOCKED or was_blocked else Down.MORE


def _has_left(client: SocketType) -> bool:
    """Return whether the client is gone, where a read has failed and reported its error."""
    try:
        return not client.recv(1, MSG_PEEK | MSG_DONTWAIT)
    except BlockingIOError:
        return False
    except OSError:
        return True
