"""Imports that run inside the service: uploaded to a spool folder, done on a thread, and gone on
with after a restart.

A file stays in the spool until its import is done, under its digest and format, so that nothing
but the folder and the database has to be remembered.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import os
import re
import tempfile
from collections.abc import AsyncIterator
from http import HTTPStatus
from pathlib import Path
from typing import TypeGuard

from gate.registry.bulk.files import FileFormat
from gate.registry.bulk.importing import import_file
from gate.registry.errors import RegistryError
from gate.registry.queries import import_progress
from gate.registry.registry import LOCAL, Registry
from gate.registry.tokens import Actor
from gate.registry.views import ImportView

_log = logging.getLogger(__name__)

_SPOOLED = re.compile(r"(?P<digest>[0-9a-f]{64})\.(?P<format>csv|ndjson)").fullmatch


class Jobs:
    """The running imports of one service."""

    def __init__(self, registry: Registry, spool: Path, *, limit: int) -> None:
        self._registry = registry
        self.spool = spool
        self._limit = limit
        self._stop = asyncio.Event()
        self._running: dict[str, asyncio.Task[None]] = {}

    def resume(self) -> None:
        """Go on with what was in the spool when the service stopped; drop broken uploads."""
        self.spool.mkdir(parents=True, exist_ok=True)
        for path in sorted(self.spool.iterdir()):
            match = _SPOOLED(path.name)
            if match is None:
                path.unlink()
                continue
            form = FileFormat(match["format"])
            self._running[match["digest"]] = asyncio.create_task(
                self._run(path, form, name=path.name, actor=LOCAL)
            )

    async def close(self) -> None:
        """Stop after the chunks in hand; `resume` goes on with the files."""
        self._stop.set()
        await asyncio.gather(*self._running.values(), return_exceptions=True)

    async def finished(self, digest: str) -> None:
        """Wait until no import of this file is running here."""
        task = self._running.get(digest)
        if task is not None:
            await asyncio.wait([task])

    async def receive(
        self, pieces: AsyncIterator[bytes], *, name: str, form: FileFormat, actor: Actor
    ) -> ImportView:
        """Take an upload into the spool and begin its import; gives back the first progress.

        Raises RegistryError `body_too_large`, `header_invalid` or `import_elsewhere`.
        """
        digest = hashlib.sha256()
        size = 0
        descriptor, part = tempfile.mkstemp(dir=self.spool, suffix=".part")
        try:
            with os.fdopen(descriptor, "wb") as file:
                async for piece in pieces:
                    size += len(piece)
                    if size > self._limit:
                        raise RegistryError("body_too_large", limit=self._limit)
                    digest.update(piece)
                    file.write(piece)
                file.flush()
                await asyncio.to_thread(os.fsync, file.fileno())
            key = digest.hexdigest()
            if key in self._running:
                raise RegistryError("import_elsewhere")
            path = self.spool / f"{key}.{form}"
            os.replace(part, path)
        except BaseException:
            _drop(Path(part))
            raise
        started: asyncio.Future[ImportView] = asyncio.get_running_loop().create_future()
        self._running[key] = asyncio.create_task(
            self._run(path, form, name=name, actor=actor, started=started)
        )
        return await started

    async def _run(
        self,
        path: Path,
        form: FileFormat,
        *,
        name: str,
        actor: Actor,
        started: asyncio.Future[ImportView] | None = None,
    ) -> None:
        """Import one spooled file; while the database is away, wait and go on."""
        try:
            wait = 1.0
            while not self._stop.is_set():
                try:
                    await self._chunks(path, form, name=name, actor=actor, started=started)
                    return
                except RegistryError as error:
                    if error.status != HTTPStatus.SERVICE_UNAVAILABLE or _waiting(started):
                        raise
                    _log.warning("import of %s goes on in %.0f s: %s", path.name, wait, error)
                await self._pause(wait)
                wait = min(wait * 2, 30.0)
        except (RegistryError, OSError) as error:
            _log.error("import of %s stopped: %s", path.name, error)
            if isinstance(error, RegistryError):
                _drop(path)
            if _waiting(started):
                started.set_exception(error)
        except Exception:
            # The file stays, and is tried again at the next start.
            _log.exception("import of %s stopped by a fault of this program", path.name)
        finally:
            if _waiting(started):
                started.set_exception(RegistryError("busy"))  # the service is stopping
            self._running.pop(_digest(path), None)

    async def _chunks(
        self,
        path: Path,
        form: FileFormat,
        *,
        name: str,
        actor: Actor,
        started: asyncio.Future[ImportView] | None,
    ) -> None:
        if not _waiting(started) and await asyncio.to_thread(self._is_done, path):
            _drop(path)  # done again, it would put back what was cancelled since
            return
        progress = import_file(self._registry, path, actor=actor, form=form, name=name)
        try:
            while not self._stop.is_set():
                state = await asyncio.to_thread(next, progress)
                if _waiting(started):
                    started.set_result(state)
                if state.state == "done":
                    _drop(path)
                    return
        finally:
            progress.close()

    def _is_done(self, path: Path) -> bool:
        """Whether a file was imported to its end by a service that then had no time to drop it."""
        try:
            with self._registry.database.read() as connection:
                return import_progress(connection, _digest(path)).state == "done"
        except RegistryError as error:
            if error.code != "import_unknown":
                raise
            return False

    async def _pause(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stop.wait(), seconds)


def _waiting(started: asyncio.Future[ImportView] | None) -> TypeGuard[asyncio.Future[ImportView]]:
    return started is not None and not started.done()


def _digest(path: Path) -> str:
    """The digest that a spooled file is called by."""
    return path.name.partition(".")[0]


def _drop(path: Path) -> None:
    path.unlink(missing_ok=True)
