"""A worker's end of the control socket."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import time
from collections.abc import Callable
from pathlib import Path

from gate.ipc import messages as lines

_log = logging.getLogger(__name__)

_RETRY_SECONDS = 0.1
_FAREWELL_SECONDS = 1.0

Handler = Callable[[str, lines.Message], lines.Message]
"""Takes the type and the whole request, returns the fields of the reply."""


class WorkerLink:
    """Keeps the worker connected, and answers the control process's requests.

    The first request on each connection is `welcome`: the handler then drops all that it
    knows, because what changed while there was no connection was not told.
    """

    def __init__(self, path: Path, worker: int, handle: Handler) -> None:
        self._path = path
        self._worker = worker
        self._handle = handle
        self._born = time.monotonic_ns()
        self._writer: asyncio.StreamWriter | None = None
        self.welcomed = asyncio.Event()
        """Set once the control process has counted this worker in."""

    async def run(self) -> None:
        """Connects, and connects again, until cancelled."""
        while True:
            try:
                reader, writer = await asyncio.open_unix_connection(
                    str(self._path), limit=lines.LINE_BYTES
                )
            except OSError:
                await asyncio.sleep(_RETRY_SECONDS)
                continue
            try:
                await self._talk(reader, writer)
            except lines.MessageError as error:
                _log.warning("worker %d: control link: %s", self._worker, error)
            except OSError as error:  # the control process has ended; another one will come
                _log.debug("worker %d: control link: %s", self._worker, error)
            finally:
                writer.close()
            await asyncio.sleep(_RETRY_SECONDS)

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        hello = {"type": "hello", "worker": self._worker, "pid": os.getpid(), "born": self._born}
        writer.write(lines.encode(hello))
        self._writer = writer
        try:
            while (request := await lines.read(reader)) is not None:
                reply = self._answer(request)
                writer.write(lines.encode({"type": "reply", "id": request.get("id"), **reply}))
                await writer.drain()
                if request["type"] == "welcome":
                    self.welcomed.set()
        finally:
            self._writer = None

    async def farewell(self, words: lines.Message) -> None:
        """Leaves a last message with the control process, if there is a connection."""
        if self._writer is not None:
            with contextlib.suppress(OSError, TimeoutError):
                async with asyncio.timeout(_FAREWELL_SECONDS):
                    # `drain` is to return when all is sent: this process is about to end.
                    self._writer.transport.set_write_buffer_limits(0)
                    self._writer.write(lines.encode({"type": "farewell", **words}))
                    await self._writer.drain()

    def _answer(self, request: lines.Message) -> lines.Message:
        try:
            return self._handle(request["type"], request)
        except Exception as error:
            # Not in force: the control process must not take silence or an "ok" for it.
            _log.exception("worker %d: %s failed", self._worker, request["type"])
            return {"error": f"{type(error).__name__}: {error}"}
