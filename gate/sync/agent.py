"""The sync agent: keeps the replica of this gate equal to the registry.

Whatever the channels, the rules are the same: a batch is verified, applied in order, enforced in
every worker, and only then acknowledged (`applier.py`). Pull is the channel that can do
everything; push and NATS are faster or reach further, and whatever they can't do (a gap, a new
epoch, a whole set) is fetched by pull.

The registry being away is no reason to stop or to block: the gate goes on with what it has.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final

from gate.changes.errors import Cause, SyncError
from gate.changes.position import ENFORCED_HEADER, NAME_HEADER, GatePosition, enforced_header
from gate.changes.snapshot import Manifest, read_filings
from gate.changes.verifier import Verifier
from gate.filings import Position
from gate.net.accepting import Acceptor
from gate.net.backoff import Backoff
from gate.net.bind import listen
from gate.net.errors import NetError
from gate.net.serving import running
from gate.net.tls import ServerContext
from gate.replica import LOCAL_EPOCH, Replica
from gate.settings import Nats, Push, Sync
from gate.sync.applier import Applier, Enforcer
from gate.sync.receiver import push_app
from gate.sync.shrinking import HeldSnapshot, ShrinkGuard
from gate.sync.source import Source
from gate.sync.status import Channel, SyncCounts, SyncStatus

if TYPE_CHECKING:
    from gate.sync.follower import Follower

_log = logging.getLogger(__name__)

_SNAPSHOT_CAUSES: Final = {Cause.COMPACTED, Cause.NEW_EPOCH}
_MISSING_CAUSES: Final = {Cause.GAP, Cause.NEW_EPOCH}
_TICK_SECONDS: Final = 1.0
_TELL_SECONDS: Final = 0.5
_PUSH_BACKLOG: Final = 128


class SyncAgent:
    """The sync of one gate; `settings.registry` is a URL here."""

    def __init__(
        self,
        settings: Sync,
        folder: Path,
        replica: Replica,
        enforcer: Enforcer,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`folder` is the gate's state folder: the trusted keys are there unless the settings
        say otherwise, and a snapshot while it is fetched."""
        self._settings = settings
        self._spool = folder / "snapshot.part"
        self._clock = clock
        self._replica = replica
        self._applier = Applier(replica, enforcer, clock=clock)
        self._guard = ShrinkGuard(settings.max_shrink, clock=clock)
        self._verifier = Verifier(settings.keys or folder / "keys" / "public.json")
        self._follower = None if settings.nats is None else self._new_follower(settings.nats)
        self._wanted = asyncio.Event()
        self._corrupt: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._pulling = False
        self._name = settings.gate or socket.gethostname()[:64]
        self._told: tuple[str, int] | None = None
        self._last_error = ""
        self._last_error_at = 0.0
        self.counts = SyncCounts()

    def _new_follower(self, settings: Nats) -> Follower:
        from gate.sync.follower import Follower  # with NATS's client, which few gates need

        return Follower(
            settings,
            self._take_from_nats,
            lambda: self._followed,
            trouble=self._nats_trouble,
        )

    async def run(self) -> None:
        """Follow the registry until cancelled.

        Raises SyncError(corrupt) when the replica is found damaged: it must be set aside.
        """
        tasks = [asyncio.create_task(self._pull())]
        if self._settings.push is not None:
            tasks.append(asyncio.create_task(self._listen(self._settings.push)))
        if self._follower is not None:
            tasks.append(asyncio.create_task(self._follower.run()))
            tasks.append(asyncio.create_task(self._tell()))
        tasks.append(asyncio.create_task(self._watch()))
        tasks.append(asyncio.create_task(self._applier.end_in_time()))
        try:
            done, _ = await asyncio.wait(
                [self._corrupt, *tasks], return_when=asyncio.FIRST_COMPLETED
            )
            for task in done:
                task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self._spool.unlink(missing_ok=True)

    def status(self) -> SyncStatus:
        """Return where the sync stands."""
        applier = self._applier
        position, enforced = self._followed, applier.enforced
        connected = {Channel.PULL: self._pulling}
        if self._follower is not None:
            connected[Channel.NATS] = self._follower.connected
        staleness = applier.staleness()
        return SyncStatus(
            registry=self._settings.registry,
            epoch=position.epoch if position else "",
            revision=position.revision if position else 0,
            enforced=enforced.revision if enforced else 0,
            head=applier.head,
            staleness=staleness,
            stale=staleness is not None and staleness > self._settings.stale_seconds,
            changes=applier.applied,
            snapshots=applier.loaded,
            connected=connected,
            last_error=self._last_error,
            last_error_at=self._last_error_at,
            held=self._guard.held,
        )

    def accept(self, epoch: str) -> HeldSnapshot:
        """Load the held snapshot of `epoch` on a person's word, soon. Raises NothingHeld."""
        return self._guard.accept(epoch)

    def obstacles(self) -> list[str]:
        """Return why the gate should take no traffic, a sentence each; empty if it should."""
        if self._followed is None and self._replica.position() is None:
            why = f" ({self._last_error})" if self._last_error else ""
            return [f"the replica has never been synced from {self._settings.registry}{why}"]
        limit, staleness = self._settings.unready_seconds, self._applier.staleness()
        if limit is not None and (staleness is None or staleness > limit):
            return [
                f"no word from the registry for {staleness or 0:.0f} s, and sync.unready_seconds "
                f"is {limit:g}"
            ]
        return []

    def doubts(self) -> list[str]:
        """Return what an operator should look at though the gate takes traffic, a sentence each."""
        held = self._guard.held
        if held is None:
            return []
        return [
            f"a snapshot waits for your word: it would close {held.closing} of {held.filed} filed "
            "domains; look at the registry, then `gate sync accept`"
        ]

    @property
    def _followed(self) -> Position | None:
        position = self._replica.position()
        return None if position is None or position.epoch == LOCAL_EPOCH else position

    # Pull

    async def _pull(self) -> None:
        backoff = Backoff()
        troubled = False
        while True:
            try:
                source = Source(
                    self._settings.registry,
                    self._verifier,
                    token_file=self._settings.token_file,
                    tls=self._settings.tls,
                    told=self._told_headers,
                )
                async with source:
                    while True:
                        await self._step(source)
                        backoff.reset()
                        if troubled or not self._pulling:
                            troubled, self._pulling = False, True
                            _log.info("following %s at revision %d", source.url, self._applier.head)
            except SyncError as error:
                self._refused(Channel.PULL, error, quiet=troubled)
                troubled, self._pulling = True, False
                if error.cause is Cause.SHRINKS:
                    await self._guard.wait()
                else:
                    await asyncio.sleep(backoff.wait())

    async def _step(self, source: Source) -> None:
        """Take what is next from the registry; wait for it, or for a reason to fetch something."""
        await self._applier.settle()
        position = self._followed
        if position is None:
            position = await self._take_snapshot(source)
        follow = self._follows_by_pull()
        if not follow:
            self._wanted.clear()
        try:
            # The first answer comes at once, and says whether anything was missed.
            wait = self._settings.poll_seconds if follow and self._pulling else 0.0
            batch = await source.changes(position, wait=wait)
            await self._applier.apply(batch)
        except SyncError as error:
            if error.cause not in _SNAPSHOT_CAUSES:
                raise
            _log.info("a snapshot is due: %s", error)
            await self._take_snapshot(source)
            return
        self.counts.batches[Channel.PULL] += 1
        if not follow and batch.to_revision >= batch.head:
            # All is here; the other channels go on from it, and say if they can't.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._settings.stale_seconds / 2):
                    await self._wanted.wait()

    def _told_headers(self) -> dict[str, str]:
        """Return what a pull tells the registry beside what it asks for: what is enforced here."""
        enforced = self._applier.enforced
        if enforced is None or enforced.epoch == LOCAL_EPOCH:
            return {}
        self._told = (enforced.epoch, enforced.revision)
        return {
            NAME_HEADER: self._name,
            ENFORCED_HEADER: enforced_header(enforced.epoch, enforced.revision),
        }

    async def _tell(self) -> None:
        """Tell the registry what is enforced here, as far as no pull has: it came by NATS."""
        backoff = Backoff()
        while True:
            await asyncio.sleep(_TELL_SECONDS)
            enforced = self._applier.enforced
            if enforced is None or (enforced.epoch, enforced.revision) == self._told:
                continue
            try:
                source = Source(
                    self._settings.registry,
                    self._verifier,
                    token_file=self._settings.token_file,
                    tls=self._settings.tls,
                )
                async with source:
                    await source.tell_position(
                        self._name,
                        GatePosition(
                            epoch=enforced.epoch,
                            revision=enforced.revision,
                            channel=Channel.NATS.value,
                        ),
                    )
                self._told = (enforced.epoch, enforced.revision)
                backoff.reset()
            except SyncError as error:
                _log.debug("the registry has not heard what is enforced here: %s", error)
                await asyncio.sleep(backoff.wait())

    def _follows_by_pull(self) -> bool:
        if self._settings.pull:
            return True
        return self._settings.push is None and not (self._follower and self._follower.connected)

    async def _take_snapshot(self, source: Source) -> Position:
        began = time.monotonic()
        before = self._replica.position()
        try:
            manifest = await source.snapshot(self._spool, self._look)
            count = self._replica.count()
            filings = read_filings(self._spool, manifest)
            await self._applier.load(manifest, filings, check=self._guard.check(manifest))
            self._guard.loaded()
            if before is not None and before.epoch == LOCAL_EPOCH:
                _log.warning(
                    "the imported list of %d domains has given way to the registry's %d filings",
                    count,
                    manifest.count,
                )
        finally:
            self._spool.unlink(missing_ok=True)
        _log.info(
            "took a snapshot of %d domains at revision %d in %.1f s",
            manifest.count,
            manifest.revision,
            time.monotonic() - began,
        )
        return Position(manifest.epoch, manifest.revision, self._clock())

    def _look(self, manifest: Manifest) -> None:
        """Raise SyncError for a snapshot that need not be fetched."""
        self._applier.check(manifest)
        self._guard.look(manifest)

    # Push and NATS

    async def _listen(self, push: Push) -> None:
        """Serve the push port; when it can't be opened, try again."""
        backoff = Backoff()
        while True:
            try:
                await self._serve_push(push)
            except (NetError, OSError) as error:
                self._note(f"the push port {push.listen} can't be served: {error}")
                await asyncio.sleep(backoff.wait())

    async def _serve_push(self, push: Push) -> None:
        tls = None
        if push.tls is not None:
            tls = ServerContext(push.tls.certificate, push.tls.key, push.tls.client_ca).listening
        app = push_app(
            lambda arriving: self._take(Channel.PUSH, arriving),
            lambda: position.revision if (position := self._followed) else None,
            name=self._name,
        )
        with listen(push.listen, "sync.push.listen", backlog=_PUSH_BACKLOG) as listener:
            async with running(app, stop_seconds=1.0) as server:
                acceptor = Acceptor(
                    server, most=push.connections, tls=tls, refused=self._turned_away
                )
                _log.info("taking pushed changes on %s", push.listen)
                await acceptor.serve(listener)

    def _turned_away(self, cause: Cause) -> None:
        """A connection to the push port came to nothing. Anybody can cause that: no log line."""
        self.counts.refused[Channel.PUSH, cause] += 1

    async def _take_from_nats(self, sealed: bytes) -> int:
        async def arrived() -> bytes:
            return sealed

        return await self._take(Channel.NATS, arrived())

    def _nats_trouble(self, error: SyncError) -> None:
        self._refused(Channel.NATS, error, quiet=True)
        self._wanted.set()  # what can't come through NATS now comes by pull

    async def _take(self, channel: Channel, arriving: Awaitable[bytes]) -> int:
        """Verify, apply, enforce; gives the revision in force. Raises SyncError."""
        try:
            revision = await self._applier.apply(self._verifier.batch(await arriving))
        except SyncError as error:
            self._refused(channel, error)
            if channel is Channel.NATS or error.cause in _MISSING_CAUSES:
                self._wanted.set()
            raise
        self.counts.batches[channel] += 1
        return revision

    # What went wrong

    def _refused(self, channel: Channel, error: SyncError, *, quiet: bool = False) -> None:
        self.counts.refused[channel, error.cause] += 1
        self._note(f"{channel}: {error.cause}: {error}", quiet=quiet)
        if error.cause is Cause.CORRUPT and not self._corrupt.done():
            self._corrupt.set_exception(error)

    def _note(self, text: str, *, quiet: bool = False) -> None:
        """Log an error, but not the same again and again."""
        if not quiet or text != self._last_error:
            _log.warning("%s", text)
        self._last_error, self._last_error_at = text, self._clock()

    async def _watch(self) -> None:
        """Say when the filings become stale, and when they are no longer."""
        was = False
        while True:
            await asyncio.sleep(_TICK_SECONDS)
            staleness = self._applier.staleness()
            stale = staleness is not None and staleness > self._settings.stale_seconds
            if stale and not was:
                _log.error(
                    "stale: no word from the registry for %.0f s; serving the filings of "
                    "revision %d",
                    staleness,
                    self._applier.head,
                )
            elif was and not stale:
                _log.info("no longer stale: at revision %d", self._applier.head)
            was = stale
