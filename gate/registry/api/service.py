"""What the API's handlers work with: the registry, its threads, its feed and its limits."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, Final, TypeVar

from sqlalchemy import Connection

from gate.registry.commands import Command, Outcome, Role
from gate.registry.distribution import Distribution, SignedLog
from gate.registry.errors import RegistryError
from gate.registry.feed import Feed
from gate.registry.jobs import Jobs
from gate.registry.places import Places
from gate.registry.registry import Registry, Request
from gate.registry.sealing import Sealer
from gate.registry.snapshots import Snapshots
from gate.registry.tokens import Actor, authenticate
from gate.settings import Registry as RegistrySettings
from gate.sync.errors import Cause
from gate.sync.expiry import Certificates

_log = logging.getLogger(__name__)

T = TypeVar("T")

READERS: Final = 4
LONG_READERS: Final = 2
"""Threads for exports and snapshots, so that they keep nobody from a short read."""

CONNECTIONS: Final = READERS + LONG_READERS + 1
"""Read connections that the service may use at once; the last is the feed's."""

GROUP: Final = 16
"""Operations of one transaction at most: the first of them waits for the last."""

TIDY_SECONDS: Final = 60

_ANYBODY: Final = Actor("anybody", Role.READER)


class Service:
    """The registry inside an event loop. Writes queue for one thread, reads have a few."""

    def __init__(self, registry: Registry, settings: RegistrySettings, places: Places) -> None:
        """Raises KeyStoreError or TlsError. Needs the running loop."""
        self.registry = registry
        self.settings = settings
        self.sealer = Sealer(places.keys_dir)
        self.writer = ThreadPoolExecutor(1, "registry-write")
        self.reader = ThreadPoolExecutor(READERS, "registry-read")
        self.long_reader = ThreadPoolExecutor(LONG_READERS, "registry-bulk")
        self.exports = asyncio.Semaphore(LONG_READERS)
        """Long answers at a time: each holds a connection for as long as its client takes."""
        self.feed = Feed(registry, self.reader)
        self.jobs = Jobs(registry, places.folder / "uploads", limit=settings.upload_bytes)
        self.snapshots = Snapshots(
            registry,
            places.folder / "snapshots",
            seconds=settings.snapshot_seconds,
            keep=settings.keep_changes,
        )
        self.distribution = Distribution(settings, SignedLog(self.feed, self.sealer))
        self.certificates = Certificates(
            {
                "registry.tls": settings.tls,
                "registry.push_tls": settings.push_tls,
                "registry.nats.tls": settings.nats.tls if settings.nats else None,
            }
        )
        self.turned_away: Counter[Cause] = Counter()
        """Connections that were closed before their first request."""
        self.evicted: Callable[[], int] = lambda: 0
        """Connections that had been silent for the longest time, and gave way to others."""
        self._beside: list[asyncio.Task[None]] = []
        self._asked: list[tuple[Request, asyncio.Future[tuple[Outcome, bool]]]] = []
        self._performer: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin to follow the log, tidy it now and then, and go on with imports."""
        await self.feed.start()
        self.distribution.start()
        self.jobs.resume()
        work = (self._tidy(), self.certificates.watch())
        self._beside = [asyncio.create_task(item) for item in work]

    async def close(self) -> None:
        """Let the work in hand finish, and close the database."""
        for task in self._beside:
            task.cancel()
        await asyncio.gather(*self._beside, return_exceptions=True)
        if self._performer is not None:
            await self._performer
        await self.jobs.close()
        await self.distribution.close()
        await self.feed.close()
        for executor in (self.long_reader, self.writer, self.reader):
            await asyncio.to_thread(executor.shutdown)
        self.registry.database.close()

    async def _tidy(self) -> None:
        while True:
            try:
                await self.write(lambda: self.registry.tidy(keep=self.settings.keep_changes))
            except RegistryError as error:
                _log.warning("the log could not be compacted: %s", error)
            await asyncio.sleep(TIDY_SECONDS)

    async def read(self, query: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        """Run `query(connection, ...)` in a read transaction of its own."""

        def run() -> T:
            with self.registry.database.read() as connection:
                return query(connection, *args, **kwargs)

        return await asyncio.get_running_loop().run_in_executor(self.reader, run)

    async def in_pieces(self, pieces: Generator[bytes]) -> AsyncGenerator[bytes]:
        """What a generator gives, run on a thread for long reads; it is closed at the end."""
        loop = asyncio.get_running_loop()
        step: asyncio.Future[bytes | None] | None = None
        try:
            while True:
                step = loop.run_in_executor(self.long_reader, next, pieces, None)
                piece = await asyncio.shield(step)
                if piece is None:
                    return
                yield piece
        finally:
            if step is not None and not step.done():  # cancelled in mid-step
                await asyncio.wait([step])
            await loop.run_in_executor(self.long_reader, pieces.close)

    async def write(self, work: Callable[[], T]) -> T:
        """Run work that writes, after the writes that came before."""
        return await asyncio.get_running_loop().run_in_executor(self.writer, work)

    async def perform(
        self, command: Command, actor: Actor, key: str | None
    ) -> tuple[Outcome, bool]:
        """Carry out an operation; see `Registry.perform`.

        Those that come while the writer is busy are done together, with one write to the disk.
        """
        done: asyncio.Future[tuple[Outcome, bool]] = asyncio.get_running_loop().create_future()
        self._asked.append((Request(command, actor, key), done))
        if self._performer is None or self._performer.done():
            self._performer = asyncio.create_task(self._perform_asked())
        return await done

    async def _perform_asked(self) -> None:
        while self._asked:
            group = self._asked[:GROUP]
            del self._asked[:GROUP]
            requests = [request for request, _ in group]
            found: list[tuple[Outcome, bool] | Exception]
            try:
                found = await self.write(partial(self.registry.perform_all, requests))
            except Exception as error:  # each of those who asked is told
                found = [error] * len(group)
            for (_, done), one in zip(group, found, strict=True):
                if done.done():  # who asked has gone
                    continue
                if isinstance(one, Exception):
                    done.set_exception(one)
                else:
                    done.set_result(one)

    async def authenticate(self, header: str | None, needed: Role | None) -> Actor:
        """Who sent this Authorization header.

        Raises RegistryError `token_missing`, `token_invalid` or `role_insufficient`.
        """
        if needed is None:
            return _ANYBODY
        if header is None:
            raise RegistryError("token_missing")
        scheme, _, text = header.partition(" ")
        if scheme.lower() != "bearer":
            raise RegistryError("token_missing")

        def check(connection: Connection) -> Actor:
            return authenticate(connection, text.strip(), now=self.registry.now())

        actor = await self.read(check)
        actor.needs(needed)
        return actor
