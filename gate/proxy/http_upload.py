"""What is left of a request once its first part is on its way: relayed to the upstream.

Most requests are whole after their head and have no upload at all.
"""

from __future__ import annotations

from socket import MSG_DONTWAIT, MSG_PEEK, SocketType

from gate.proxy.chunk_flow import ChunkFlow
from gate.proxy.flow import Flow
from gate.proxy.pipes import PipePool
from gate.wire.http1 import ChunkedBody


class Upload:
    """The rest of one request's body, and of its first part if that was not taken at once.

    `whole` says that the client has sent all of the request, `ahead` that all of it was in the
    first part; `flow` relays, and is None before there is an upstream and after it takes no more.
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

    def close(self) -> None:
        """Relay no more."""
        if self.flow is not None:
            self.flow.close()
            self.flow = None


def has_left(client: SocketType) -> bool:
    """Whether the client is gone, where its error was reported by a read that failed already."""
    try:
        return not client.recv(1, MSG_PEEK | MSG_DONTWAIT)
    except BlockingIOError:
        return False
    except OSError:
        return True
