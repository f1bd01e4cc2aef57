"""What the API's handlers work with: the registry, its threads, its feed and its limits."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Generator, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, Final, TypeVar

from sqlalchemy import Connection

from gate.changes.errors import Cause
from gate.net.certificate_expiry import Certificates
from gate.registry.commands import Command, Outcome, Role
from gate.registry.distribution.feed import Feed
from gate.registry.distribution.positions import Positions, Told
from gate.registry.distribution.sealing import Sealer
from gate.registry.distribution.signed_log import SignedLog
from gate.registry.distribution.snapshots import Snapshots
from gate.registry.distribution.tasks import Distribution
from gate.registry.errors import RegistryError
from gate.registry.jobs import Jobs
from gate.registry.orders.states import OrderState
from gate.registry.places import Places
from gate.registry.registry import Registry, Request
from gate.registry.sightings.reminding import AccountSending
from gate.registry.sightings.views import Look
from gate.registry.tokens import Actor, authenticate
from gate.registry.workflow.channels import NotTaken, make_channels
from gate.registry.workflow.notices import Sending
from gate.settings import RegistrySettings

_log = logging.getLogger(__name__)

T = TypeVar("T")

READERS: Final = 4
LONG_READERS: Final = 2
"""Threads for exports and snapshots, so that they keep nobody from a short read."""

CONNECTIONS: Final = READERS + LONG_READERS + 1
"""Read connections that the service may use at once; the last is the feed's."""

GROUP: Final = 64
"""Operations of one transaction at most: the first of them waits for the last."""

TIDY_SECONDS: Final = 60
SET_SECONDS: Final = 1800

NOTICE_SECONDS: Final = 2
"""Between two looks at the outbox of notices without news."""

_ANYBODY: Final = Actor("anybody", Role.READER)


@contextlib.contextmanager
def _going_on(trouble: str) -> Iterator[None]:
    """Log what keeps one round of a standing task from its end: the next one comes."""
    try:
        yield
    except RegistryError as error:
        _log.warning("%s: %s", trouble, error)
    except Exception:
        _log.exception("%s, by a fault of this program", trouble)


class RegistryService:
    """The registry inside an event loop. Writes queue for one thread, reads have a few."""

    def __init__(self, registry: Registry, settings: RegistrySettings, places: Places) -> None:
        """Raises KeyStoreError or TlsError. Needs the running loop."""
        self.registry = registry
        self.settings = settings
        self.folder = places.folder
        self.keys_dir = places.keys_dir
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
            max_shrink=settings.max_shrink,
        )
        self.distribution = Distribution(settings, SignedLog(self.feed, self.sealer))
        self.positions = Positions(
            self._keep_positions,
            lambda: self.distribution.gates,
            lambda: self.feed.head.epoch,
        )
        self.certificates = Certificates(
            {
                "registry.tls": settings.tls,
                "registry.push_tls": settings.push_tls,
                "registry.nats.tls": settings.nats.tls if settings.nats else None,
            }
        )
        self.turned_away: Counter[Cause] = Counter()
        """Connections that were closed before their first request, or gave way to others."""
        self.look: Look | None = None
        """What the last look at what gates have seen came to; None before the first."""
        self._beside: list[asyncio.Task[None]] = []
        self._asked: list[tuple[Request, asyncio.Future[tuple[Outcome, bool]]]] = []
        self._performer: asyncio.Task[None] | None = None
        self._look = asyncio.Event()
        told = settings.orders.notices
        self._channels = make_channels(registry.policy.channels, told.webhook, told.smtp)
        self._news = {name: asyncio.Event() for name in self._channels}

    async def start(self) -> None:
        """Begin to follow the log, tidy it now and then, and go on with imports."""
        await self.feed.start()
        self.distribution.start()
        self.jobs.resume()
        work = (
            self._tidy(),
            self._watch_the_set(),
            self._sweep(),
            *map(self._tell_owners, self._channels),
            self._look_around(),
            self.positions.run(),
            self.certificates.watch(),
        )
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
            with _going_on("the log could not be compacted"):
                await self.write(lambda: self.registry.tidy(keep=self.settings.keep_changes))
            await asyncio.sleep(TIDY_SECONDS)

    async def _watch_the_set(self) -> None:
        """Look at the size of the set, also while nobody asks for a snapshot."""
        while True:
            # One that is held has said so; and the database may be away.
            with contextlib.suppress(RegistryError):
                await asyncio.get_running_loop().run_in_executor(
                    self.long_reader, self.snapshots.check
                )
            await asyncio.sleep(SET_SECONDS)

    async def _sweep(self) -> None:
        """Do what the clocks of orders have come to, now and every few seconds."""
        while True:
            failed: list[int] = []
            with _going_on("the orders' clocks could not be looked at"):
                while (await self.write(partial(self.registry.sweep_some, failed))).more:
                    pass
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._look.wait(), self.settings.orders.sweep_seconds)
            self._look.clear()

    async def _look_around(self) -> None:
        """Put what gates have seen beside the records, now and then."""
        loop = asyncio.get_running_loop()
        while True:
            with _going_on("what gates have seen could not be looked at"):
                self.look = await loop.run_in_executor(self.long_reader, self.registry.look_around)
                if self.look.notices:
                    self._tell_of_news()
            await asyncio.sleep(self.settings.orders.sightings.seconds)

    async def _keep_positions(self, told: Told, renamed: Mapping[str, str]) -> None:
        await self.write(partial(self.registry.take_positions, told, renamed))

    def _tell_of_news(self) -> None:
        """Have every channel look into the outbox now."""
        for news in self._news.values():
            news.set()

    async def _tell_owners(self, channel: str) -> None:
        """Send what is in the outbox for a channel, as it comes and as it is due again.

        Each channel goes its own pace: one that hangs keeps no other one waiting.
        """
        news, registry = self._news[channel], self.registry
        while True:
            with _going_on("the notices could not be looked at"):
                while found := await self.write(partial(registry.claim_notices, channel)):
                    await asyncio.gather(*map(self._send, found))
                while others := await self.write(partial(registry.claim_account_notices, channel)):
                    await asyncio.gather(*map(self._send, others))
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(news.wait(), NOTICE_SECONDS)
            news.clear()

    async def _send(self, sending: Sending | AccountSending) -> None:
        error: str | None = None
        try:
            await self._channels[sending.channel].send(sending.notice, self.registry.now())
        except NotTaken as failure:
            error = str(failure)
            _log.warning("notice %s is not taken yet: %s", sending.notice.id, error)
        except Exception as failure:  # a fault of a channel keeps no other one waiting
            error = repr(failure)
            _log.exception("notice %s met a fault of this program", sending.notice.id)
        await self.write(partial(self.registry.settle_notice, sending, error))

    async def read(self, query: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        """Run `query(connection, ...)` in a read transaction of its own."""

        def run() -> T:
            with self.registry.database.read() as connection:
                return query(connection, *args, **kwargs)

        return await asyncio.get_running_loop().run_in_executor(self.reader, run)

    async def in_pieces(self, pieces: Generator[bytes]) -> AsyncGenerator[bytes]:
        """Yield what a generator gives, run on a thread for long reads; it is closed at the end."""
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
        self, command: Command, actor: Actor, key: str | None, *, dry_run: bool = False
    ) -> tuple[Outcome, bool]:
        """Carry out an operation; see `Registry.perform`.

        Those that come while the writer is busy are done together, with one write to the disk.
        """
        done: asyncio.Future[tuple[Outcome, bool]] = asyncio.get_running_loop().create_future()
        self._asked.append((Request(command, actor, key, dry_run), done))
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
                    if one[0].state is not None:
                        self._tell_of_news()
                    if one[0].state == OrderState.SMS:
                        self._look.set()  # codes are to be sent

    async def authenticate(self, header: str | None, needed: Role | None) -> Actor:
        """Return who sent this Authorization header.

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
