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
import re
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import Final, TypeGuard

from gate.files import Draft, draft
from gate.registry.bulk.clerks import TakenList, plain_form, write_list
from gate.registry.bulk.files import FileFormat
from gate.registry.bulk.importing import import_file
from gate.registry.bulk.previewing import Preview, preview_file
from gate.registry.errors import RegistryError
from gate.registry.import_modes import ImportMode
from gate.registry.queries import import_progress
from gate.registry.registry import LOCAL, Registry
from gate.registry.tokens import Actor
from gate.registry.views import ImportView, PreviewView

LIST_BYTES: Final = 128 << 20
"""Of a clerk's list that is uploaded: it is read in memory, several times its size."""
_END: Final = object()
_log = logging.getLogger(__name__)

_SPOOLED = re.compile(r"(?P<digest>[0-9a-f]{64})\.(?P<format>csv|ndjson|list)").fullmatch


class Jobs:
    """The running imports of one service."""

    def __init__(self, registry: Registry, spool: Path, *, limit: int) -> None:
        self._registry = registry
        self.spool = spool
        self._limit = limit
        self._stop = asyncio.Event()
        self._running: dict[str, asyncio.Task[None]] = {}
        self._troubles: dict[str, str] = {}

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

    def trouble(self, digest: str) -> str:
        """Why an import waits at present; "" if it does not."""
        return self._troubles.get(digest, "")

    async def receive(
        self,
        pieces: AsyncIterator[bytes],
        *,
        name: str,
        said: FileFormat | None = None,
        registrable: bool = False,
        actor: Actor,
        mode: ImportMode = ImportMode.ADD,
        max_shrink: float = 0.0,
    ) -> ImportView:
        """Take an upload into the spool and begin its import; gives back the first progress.

        `said` is the format that its sender gave it; `registrable` takes example.cn where a list
        has www.example.cn. Raises RegistryError `body_too_large`, `header_invalid`,
        `list_unreadable`, `import_unread`, `import_shrinks`, `import_elsewhere` or `no_room`.
        """
        with draft(self.spool, "upload-") as upload, draft(self.spool, "list-") as made:
            key = await self._write(pieces, upload)
            with self._room():
                taken = await asyncio.to_thread(_take, upload, made, said, registrable)
                if taken.form is FileFormat.LIST:
                    key = await asyncio.to_thread(_digest_of, made)
            if key in self._running:
                raise RegistryError("import_elsewhere")
            path = self.spool / f"{key}.{taken.form}"
            with self._room():
                (made if taken.form is FileFormat.LIST else upload).put(path)
        started: asyncio.Future[ImportView] = asyncio.get_running_loop().create_future()
        self._running[key] = asyncio.create_task(
            self._run(
                path,
                taken.form,
                name=name,
                actor=actor,
                mode=mode,
                max_shrink=max_shrink,
                started=started,
            )
        )
        told = {"read_as": taken.read_as, "remarks": taken.remarks}
        return (await started).model_copy(update=told)

    async def preview(
        self,
        pieces: AsyncIterator[bytes],
        *,
        said: FileFormat | None = None,
        registrable: bool = False,
        actor: Actor,
        mode: ImportMode,
        limit: int,
    ) -> PreviewView:
        """Return what an import of an upload would do; `limit` bounds the lines that are told.

        Raises RegistryError `body_too_large`, `header_invalid`, `list_unreadable` or `no_room`.
        """
        preview = Preview(limit)
        with draft(self.spool, "preview-") as upload, draft(self.spool, "list-") as made:
            await self._write(pieces, upload)
            with self._room():
                taken = await asyncio.to_thread(_take, upload, made, said, registrable)
            path = made.name if taken.form is FileFormat.LIST else upload.name
            looking = preview_file(
                self._registry, path, actor=actor, form=taken.form, mode=mode, preview=preview
            )
            while await asyncio.to_thread(next, looking, _END) is not _END:
                pass  # others may write between two chunks
        told = {"read_as": taken.read_as, "remarks": taken.remarks}
        return preview.view().model_copy(update=told)

    async def _write(self, pieces: AsyncIterator[bytes], upload: Draft) -> str:
        """Write an upload to the disk; its digest."""
        digest = hashlib.sha256()
        size = 0
        async for piece in pieces:
            size += len(piece)
            if size > self._limit:
                raise RegistryError("body_too_large", limit=self._limit)
            digest.update(piece)
            with self._room():
                upload.file.write(piece)
        with self._room():
            await asyncio.to_thread(upload.sync)
        return digest.hexdigest()

    @contextlib.contextmanager
    def _room(self) -> Iterator[None]:
        """Raise RegistryError `no_room` if this block can't write to the spool."""
        try:
            yield
        except OSError as error:
            detail = error.strerror or str(error)
            raise RegistryError("no_room", detail=detail, where=self.spool) from error

    async def _run(
        self,
        path: Path,
        form: FileFormat,
        *,
        name: str,
        actor: Actor,
        mode: ImportMode = ImportMode.ADD,
        max_shrink: float = 0.0,
        started: asyncio.Future[ImportView] | None = None,
    ) -> None:
        """Import one spooled file; while the database is away, wait and go on."""
        progress = partial(
            import_file,
            self._registry,
            path,
            actor=actor,
            form=form,
            name=name,
            mode=mode,
            max_shrink=max_shrink,
        )
        try:
            wait = 1.0
            while not self._stop.is_set():
                try:
                    await self._chunks(path, progress, started)
                    return
                except RegistryError as error:
                    if error.status != HTTPStatus.SERVICE_UNAVAILABLE or _waiting(started):
                        raise
                    _log.warning("import of %s goes on in %.0f s: %s", path.name, wait, error)
                    self._troubles[_digest(path)] = error.en
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
            self._troubles.pop(_digest(path), None)

    async def _chunks(
        self,
        path: Path,
        begin: Callable[[], Generator[ImportView]],
        started: asyncio.Future[ImportView] | None,
    ) -> None:
        if not _waiting(started) and await asyncio.to_thread(self._is_done, path):
            _drop(path)  # done again, it would put back what was cancelled since
            return
        progress = begin()
        try:
            while not self._stop.is_set():
                state = await asyncio.to_thread(next, progress)
                self._troubles.pop(_digest(path), None)
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


def _take(upload: Draft, made: Draft, said: FileFormat | None, registrable: bool) -> TakenList:
    """Return how an upload is imported; a clerk's list is written anew to `made`."""
    form = plain_form(upload.name, said, most=LIST_BYTES)
    if form is not None:
        return TakenList(form)
    taken = write_list(upload.name, made.file, registrable=registrable)
    made.sync()
    return taken


def _digest_of(made: Draft) -> str:
    with made.name.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _waiting(started: asyncio.Future[ImportView] | None) -> TypeGuard[asyncio.Future[ImportView]]:
    return started is not None and not started.done()


def _digest(path: Path) -> str:
    """Return the digest that a spooled file is called by."""
    return path.name.partition(".")[0]


def _drop(path: Path) -> None:
    path.unlink(missing_ok=True)
