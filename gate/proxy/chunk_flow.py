"""One direction of a chunked body: read strictly, written anew, with back-pressure.

It has the interface of a `Flow`, and differs in that it looks at every byte.
"""

from __future__ import annotations

from socket import SocketType

from gate.proxy.flow import Progress
from gate.wire.http1 import ChunkedBody

_READ_BYTES = 1 << 16


class ChunkFlow:
    """The rest of a chunked body from `source` to `sink`.

    `rest` is what the source sent after the body. Raises BadMessage or OSError from `pump`.
    """

    __slots__ = ("_body", "_held", "complete", "moved", "rest", "sink", "source")

    def __init__(self, source: SocketType, sink: SocketType, body: ChunkedBody) -> None:
        self.source = source
        self.sink = sink
        self.rest = b""
        self.moved = 0
        self.complete = False
        self._body = body
        self._held: memoryview | None = None

    @property
    def blocked(self) -> bool:
        """Whether bytes wait for the sink; the source is not read meanwhile."""
        return self._held is not None

    def hold(self, data: memoryview) -> None:
        """Put bytes in front, to be sent before anything is read."""
        self._held = data

    def pump(self, buffer: memoryview) -> Progress:
        """Move what can be moved now; `buffer` is not used."""
        if self._held is None and not self.complete:
            try:
                data = self.source.recv(_READ_BYTES)
            except BlockingIOError:
                return Progress.STARVED
            if not data:
                return Progress.ENDED
            out, used, self.complete = self._body.feed(data)
            self.moved += len(data)
            if self.complete:
                self.rest = data[used:]
            self._held = memoryview(out) if out else None
        if self._held is not None:
            try:
                sent = self.sink.send(self._held)
            except BlockingIOError:
                return Progress.BLOCKED
            if sent < len(self._held):
                self._held = self._held[sent:]
                return Progress.BLOCKED
            self._held = None
        return Progress.ENDED if self.complete else Progress.STARVED

    def close(self) -> None:
        """Let go of what is held; the sockets belong to the connection."""
        self._held = None
