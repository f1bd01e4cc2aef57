"""Kernel pipes for `splice`, kept for reuse.

A pipe is held by a flow only while bytes are inside it, so a few serve thousands of tunnels.
"""

from __future__ import annotations

import contextlib
import fcntl
import os

PIPE_BYTES = 1 << 20
_KEEP = 64


class Pipe:
    """One kernel pipe: `reader` and `writer` descriptors, `inside` bytes on their way."""

    __slots__ = ("inside", "reader", "writer")

    def __init__(self) -> None:
        self.reader, self.writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self.inside = 0
        # Over the user's pipe quota the default size stays: it works, with more system calls.
        with contextlib.suppress(OSError):
            fcntl.fcntl(self.writer, fcntl.F_SETPIPE_SZ, PIPE_BYTES)

    def close(self) -> None:
        os.close(self.reader)
        os.close(self.writer)


class PipePool:
    """Empty pipes, most recently used first."""

    def __init__(self) -> None:
        self._free: list[Pipe] = []

    def take(self) -> Pipe:
        """Return an empty pipe. Raises OSError when the process is out of descriptors."""
        return self._free.pop() if self._free else Pipe()

    def give(self, pipe: Pipe) -> None:
        """Return a pipe; one that still holds bytes is closed, so that they reach nobody."""
        if pipe.inside or len(self._free) >= _KEEP:
            pipe.close()
        else:
            self._free.append(pipe)

    def close(self) -> None:
        for pipe in self._free:
            pipe.close()
        self._free.clear()
