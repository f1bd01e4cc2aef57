"""One direction of relayed bytes: from a source socket to a sink socket.

Small amounts go through one buffer that all flows of the worker share; a flow that keeps filling
it is bulk, and bulk goes through a kernel pipe with `splice`, so that no byte of it is copied
into the process. TCP's urgent byte is left out, as by whoever reads without MSG_OOB. Either way
at most one buffer or pipe is on its way, and what the sink does not take stops the source: that
is the back-pressure.
"""

from __future__ import annotations

import os
from enum import Enum, auto
from socket import SHUT_WR, SocketType
from typing import Final

from gate.proxy.pipes import PIPE_BYTES, Pipe, PipePool

BUFFER_BYTES = 1 << 16
_SPLICE = os.SPLICE_F_NONBLOCK | os.SPLICE_F_MOVE
# Below this a splice moves too little to pay for its second system call.
_SMALL_SPLICE = 1 << 14


class Progress(Enum):
    """How a pump of a flow ended."""

    MORE = auto()  # something was moved, and there may be more to read at once
    STARVED = auto()  # the source has nothing more for now
    BLOCKED = auto()  # the sink takes no more for now
    ENDED = auto()  # the source has ended, or the limit is reached, and the sink has it all


# Reading a member from its class costs more than a function call; a global is free.
_MORE: Final = Progress.MORE
_STARVED: Final = Progress.STARVED
_BLOCKED: Final = Progress.BLOCKED
_ENDED: Final = Progress.ENDED


class Flow:
    """Bytes from `source` to `sink`; with a `limit`, that many and no more.

    Raises OSError from `pump` when either socket breaks.
    """

    __slots__ = (
        "_dry_at",
        "_held",
        "_pipe",
        "_pipes",
        "blocked",
        "bulk",
        "ended",
        "limit",
        "moved",
        "sink",
        "source",
    )

    def __init__(
        self, source: SocketType, sink: SocketType, pipes: PipePool, limit: int = -1
    ) -> None:
        self.source = source
        self.sink = sink
        self.limit = limit  # bytes still to be read from the source; -1: until it ends
        self.ended = False
        self.bulk = False
        self.moved = 0
        self.blocked = False  # bytes wait for the sink; the source is not read meanwhile
        self._dry_at = -1  # how much was moved when a splice last found nothing
        self._held: memoryview | None = None
        self._pipe: Pipe | None = None
        self._pipes = pipes

    @property
    def complete(self) -> bool:
        """Whether the source has given all that was expected of it."""
        return self.limit <= 0

    @property
    def rest(self) -> bytes:
        """What was read beyond the limit: nothing, ever."""
        return b""

    @property
    def held(self) -> memoryview:
        """What was read, or put in front, and waits for the sink outside of any pipe."""
        return self._held if self._held is not None else memoryview(b"")

    def hold(self, data: bytes | memoryview) -> None:
        """Put bytes in front, to be sent before anything is read."""
        self._held = memoryview(data)
        self.blocked = True

    def pump(self, buffer: memoryview) -> Progress:
        """Move what can be moved now, through `buffer` (shared, BUFFER_BYTES long)."""
        if self._held is not None:
            self._held = self._send(self._held)
            if self._held is not None:
                return _BLOCKED
            self.blocked = False
        if self.bulk:
            return self._splice()
        limit = self.limit
        if limit == 0:
            self.ended = True
            return _ENDED
        try:
            count = self.source.recv_into(buffer, limit if 0 < limit < BUFFER_BYTES else 0)
        except BlockingIOError:
            return _STARVED
        if count == 0:
            self.ended = True
            return _ENDED
        self.moved += count
        if limit > 0:
            self.limit = limit - count
        try:
            sent = self.sink.send(buffer[:count])
        except BlockingIOError:
            sent = 0
        if sent < count:
            self.hold(bytes(buffer[sent:count]))
            return _BLOCKED
        if limit == count:
            self.ended = True
            return _ENDED
        if count < BUFFER_BYTES:
            return _STARVED  # a short read has emptied the socket
        self.bulk = True
        return _MORE

    def flush(self) -> bool:
        """Send what was put in front, and read nothing; return whether the sink has it all."""
        if self._held is not None:
            self._held = self._send(self._held)
            if self._held is not None:
                return False
            self.blocked = False
        return True

    def end_sink(self) -> None:
        """Tell the sink that nothing more comes (half-close)."""
        self.sink.shutdown(SHUT_WR)

    def close(self) -> None:
        """Let go of what is held; the sockets belong to the connection."""
        self._held = None
        if self._pipe is not None:
            self._pipes.give(self._pipe)
            self._pipe = None

    def _send(self, held: memoryview) -> memoryview | None:
        """Send what waits; return what still does."""
        try:
            sent = self.sink.send(held)
        except BlockingIOError:
            return held
        return held[sent:] if sent < len(held) else None

    def _splice(self) -> Progress:
        pipe = self._pipe
        if pipe is None:
            try:
                pipe = self._pipe = self._pipes.take()
            except OSError:  # out of descriptors: the shared buffer needs none
                self.bulk = False
                return _MORE
        count = 0
        if pipe.inside == 0:
            if self.limit == 0:
                return self._end_splice(_ENDED)
            wanted = PIPE_BYTES if self.limit < 0 else min(PIPE_BYTES, self.limit)
            try:
                count = os.splice(self.source.fileno(), pipe.writer, wanted, flags=_SPLICE)
            except BlockingIOError:
                # A splice never gets past TCP's urgent data, and finds nothing, or the end, before
                # it; a read leaves the urgent byte out and goes on behind it.
                self.bulk = self.moved != self._dry_at
                self._dry_at = self.moved
                return self._end_splice(_STARVED)
            if count == 0:
                self.bulk = False
                return self._end_splice(_MORE)
            self.moved += count
            if self.limit > 0:
                self.limit -= count
            pipe.inside = count
        self.blocked = True
        try:
            pipe.inside -= os.splice(pipe.reader, self.sink.fileno(), pipe.inside, flags=_SPLICE)
        except BlockingIOError:
            return _BLOCKED
        if pipe.inside:
            return _BLOCKED
        self.blocked = False
        if self.limit == 0:
            return self._end_splice(_ENDED)
        if 0 < count < _SMALL_SPLICE:
            self.bulk = False
            return self._end_splice(_MORE)
        return _MORE

    def _end_splice(self, progress: Progress) -> Progress:
        """Return the empty pipe."""
        if progress is _ENDED:
            self.ended = True
        if self._pipe is not None:
            self._pipes.give(self._pipe)
            self._pipe = None
        return progress
