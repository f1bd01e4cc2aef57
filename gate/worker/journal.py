"""Writes lines without ever waiting for their reader.

Standard error is shared with other processes and so cannot be made non-blocking. Instead the
descriptor is asked before each write whether it takes some: a pipe that says so takes PIPE_BUF
bytes at once (pipe(7)), and so many bytes are also never mixed with those of another process.
"""

from __future__ import annotations

import os
import select
from collections import deque
from typing import Final

_PIECE: Final = select.PIPE_BUF
_HELD_BYTES: Final = 256 * 1024


class Journal:
    """Whole lines for one descriptor."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._poll = select.poll()
        self._poll.register(descriptor, select.POLLOUT)
        self._lines: deque[bytes] = deque()
        self._bytes = 0
        self.written = 0
        self.dropped = 0
        """Lines that the reader was too slow for, or gone."""

    def add(self, line: bytes) -> None:
        """Take a line of at most PIPE_BUF bytes; it is dropped while too much is held."""
        if self._bytes + len(line) > _HELD_BYTES:
            self.dropped += 1
            return
        self._lines.append(line)
        self._bytes += len(line)

    def flush(self) -> None:
        """Write what the descriptor takes now; the rest is held."""
        lines = self._lines
        while lines and self._takes():
            piece = lines[0]
            count = 1
            while count < len(lines) and len(piece) + len(lines[count]) <= _PIECE:
                piece += lines[count]
                count += 1
            try:
                os.write(self._descriptor, piece)
                self.written += count
            except OSError:  # its reader has gone
                self.dropped += count
            for _ in range(count):
                self._bytes -= len(lines.popleft())

    def close(self) -> None:
        """Write what the descriptor takes now, and drop the rest: nobody waits for its reader."""
        self.flush()
        self.dropped += len(self._lines)
        self._lines.clear()
        self._bytes = 0

    def _takes(self) -> bool:
        return any(event & select.POLLOUT for _, event in self._poll.poll(0))
