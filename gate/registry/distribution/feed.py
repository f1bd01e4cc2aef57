"""The change log for those who follow it: batches after a revision, and waiting for the next.

The database is read on threads; whoever waits is woken by the commit itself, or, when another
process wrote (the command line, a second registry on PostgreSQL), by a look at the log twice a
second.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import replace
from typing import Final, TypeVar

from gate.changes.batch import MAX_CHANGES, Batch, split
from gate.filings import Change
from gate.registry import log
from gate.registry.errors import RegistryError
from gate.registry.log import Head
from gate.registry.registry import Registry

_log = logging.getLogger(__name__)

T = TypeVar("T")

LOOK_SECONDS: Final = 0.5
RECENT: Final = 2_000
"""Newest changes that are kept in memory."""


class Feed:
    """The registry's log as an asynchronous source. Belongs to one event loop."""

    def __init__(self, registry: Registry, executor: Executor) -> None:
        self._registry = registry
        self._executor = executor
        self._loop = asyncio.get_running_loop()
        self._head: Head | None = None
        self._moved = asyncio.Event()
        self._recent: list[Change] = []
        self._recent_epoch = ""
        self._recent_from = 0
        self._recent_to = 0
        self._stopped = False
        self._watcher: asyncio.Task[None] | None = None
        registry.listen(self._announce)

    @property
    def head(self) -> Head:
        """The last head that was seen; a batch may be newer."""
        assert self._head is not None, "the feed is not started"  # noqa: S101
        return self._head

    async def start(self) -> None:
        """Read the head, and begin to watch for other processes' changes."""
        self._see(await self._run(self._registry.head))
        self._watcher = self._loop.create_task(self._watch())

    def stop(self) -> None:
        """Let everybody who waits go; nobody waits any more."""
        self._stopped = True
        self._moved.set()

    async def close(self) -> None:
        """Stop watching."""
        self.stop()
        self._registry.listen_no_more(self._announce)
        if self._watcher is not None:
            self._watcher.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._watcher

    async def batch_after(self, revision: int, *, limit: int = MAX_CHANGES) -> Batch:
        """The next batch after `revision`, of about `limit` changes; without any at the head.

        Raises RegistryError `compacted` or `ahead`.
        """
        limit = min(limit, MAX_CHANGES)
        head = self.head
        recent = (self._recent_epoch, self._recent_to) == (head.epoch, head.revision)
        if recent and max(self._recent_from, head.oldest) <= revision < head.revision:
            first = revision - self._recent_from
            changes = self._recent[first : first + limit]
            return next(_batches(head, revision, changes, self._registry.now()))
        return await self._run(self._read, revision, limit)

    async def wait_beyond(self, revision: int, seconds: float, *, epoch: str | None = None) -> Head:
        """Wait until the log is beyond `revision`, or `seconds` are over.

        `epoch` is the one that `revision` is of, the present one if not given; another one ends
        the wait, too.
        """
        epoch = epoch or self.head.epoch
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while self.head.revision <= revision and self.head.epoch == epoch:
                    if self._stopped:
                        break
                    await self._moved.wait()
        return self.head

    def _read(self, revision: int, limit: int) -> Batch:
        with self._registry.database.read() as connection:
            changes = log.read_after(connection, revision, limit=limit)
            head = log.head(connection)
        return next(_batches(head, revision, changes, self._registry.now()))

    def _announce(self, head: Head, changes: Sequence[Change]) -> None:
        """Called on the thread that committed."""
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            self._loop.call_soon_threadsafe(self._grow, head, changes)

    def _grow(self, head: Head, changes: Sequence[Change]) -> None:
        """Keep the newest changes in memory: nearly all followers are only those behind."""
        if (head.epoch, head.revision - len(changes)) != (self._recent_epoch, self._recent_to):
            self._recent.clear()
            self._recent_epoch = head.epoch
            self._recent_from = head.revision - len(changes)
        self._recent += changes
        if len(self._recent) > 2 * RECENT:
            gone = len(self._recent) - RECENT
            del self._recent[:gone]
            self._recent_from += gone
        self._recent_to = head.revision
        self._see(head)

    def _see(self, head: Head) -> None:
        known = self._head
        if known is None or (head.epoch, head.revision) > (known.epoch, known.revision):
            self._head = head
            moved, self._moved = self._moved, asyncio.Event()
            moved.set()
        elif head == replace(known, oldest=head.oldest):
            self._head = head  # compacted

    async def _watch(self) -> None:
        troubled = False
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            try:
                self._see(await self._run(self._registry.head))
            except RegistryError as error:
                if not troubled:
                    _log.warning("the change log can't be read; still trying: %s", error)
                troubled = True
            else:
                if troubled:
                    _log.info("the change log can be read again")
                troubled = False

    async def _run(self, work: Callable[..., T], *args: object) -> T:
        return await self._loop.run_in_executor(self._executor, work, *args)


def _batches(head: Head, since: int, changes: Sequence[Change], now: int) -> Iterator[Batch]:
    if not changes:
        yield Batch(head.epoch, since, since, (), head.revision, now)
    yield from split(head.epoch, since, changes, head=head.revision, issued_at=now)
