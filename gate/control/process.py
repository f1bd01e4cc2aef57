"""The control process: the link to all workers, then the admin port, the notice page, the sync.

The workers that come to a running gate take no traffic before they have their link, so that comes
first. This module loads all that a control process needs, but for the sync: `preload` does both.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import socket
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from gate.changes.errors import SyncError
from gate.control.api.access import Guard
from gate.control.api.service import AdminService
from gate.control.blocked.names import BlockedNames
from gate.control.blocked.outbox import Outbox
from gate.control.blocked.reporter import Reporter
from gate.control.blocked.table import BlockedTable
from gate.control.errors import CannotServe
from gate.control.following import Following
from gate.control.health import Health
from gate.control.in_force import settings_in_force
from gate.control.metrics import catalogue as metrics
from gate.control.metrics.catalogue import Metric, Sample
from gate.control.metrics.exposition import Exposition, Source
from gate.control.metrics.figures import Figures
from gate.control.metrics.pulse import Pulse
from gate.control.operators.audit import AuditError, AuditLog
from gate.control.operators.explaining import Explainer
from gate.control.operators.overrides import Overrides
from gate.control.operators.routes import Routes
from gate.control.operators.runtime import Runtime
from gate.control.server import serve_admin, serve_notice
from gate.control.traffic import Traffic, TrafficReporter
from gate.control.workers import Link, Workers
from gate.ipc.messages import Message
from gate.ipc.scoreboard import Board, ProcessRow
from gate.net.certificate_expiry import Certificates
from gate.replica import Replica, ReplicaError, open_or_replace, put_aside
from gate.settings import NONE, AdminTls, ClientTls, ServerTls, Settings, Sync

_log = logging.getLogger(__name__)

_TICK_SECONDS = 1.0
_LEAST_BEAT_SECONDS = 0.9  # no tick is to the millisecond
_READY_TICK_SECONDS = 0.02  # until the gate is ready for the first time
_START_SECONDS = 10.0  # a gate that is not ready by then waits for something else than its start


@dataclass(slots=True, frozen=True)
class ControlSockets:
    """The listening sockets of the control process."""

    control: socket.socket
    admin: socket.socket
    notice: socket.socket | None


def run_control(
    settings: Settings,
    sockets: ControlSockets,
    board: Board,
    workers: int,
    others: Sequence[socket.socket],
    row: ProcessRow,
) -> int:
    """Run the control process until it is told to end; `others` are not its sockets."""
    for sock in others:
        sock.close()
    try:
        return asyncio.run(_run(settings, sockets, board, workers, row))
    except (ReplicaError, CannotServe) as error:
        _log.error("the control process cannot go on: %s", error)
        return 1


def preload(settings: Settings, *, follows: bool) -> None:
    """Load what a control process needs beyond this module, before it is forked.

    `follows` says that the gate is to follow a registry.
    """
    import concurrent.futures.thread  # noqa: F401 - loaded, and taken by those who use it

    if any(_files_of_tls(settings).values()):
        import cryptography.x509  # noqa: F401 - as above
    if follows:
        _load_sync(settings.sync)


def _load_sync(settings: Sync) -> None:
    import gate.sync.agent
    import gate.sync.source

    if settings.nats is not None:
        import gate.sync.follower  # noqa: F401 - as above


async def _run(
    settings: Settings, sockets: ControlSockets, board: Board, workers: int, row: ProcessRow
) -> int:
    leave = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, leave.set)
    async with contextlib.AsyncExitStack() as stack:
        replica = stack.enter_context(contextlib.closing(open_or_replace(settings.replica_path)))
        control = _Control(settings, board, workers, replica)
        return await control.run(stack, sockets, row, leave)


class _Control:
    """The parts of the control process."""

    def __init__(self, settings: Settings, board: Board, workers: int, replica: Replica) -> None:
        state_dir, sync = settings.state_dir, settings.sync
        self._settings = settings
        self._board = board
        self._replica = replica
        self._serves = False  # the admin port is there
        self._told: list[str] = []  # warnings that are in the log
        self._figures = Figures(state_dir / "counters.json", board.born)
        self._outbox = (
            Outbox(settings.unfiled.names)
            if settings.unfiled.report.enabled and sync.registry != NONE
            else None
        )
        self._traffic = (
            Traffic(state_dir / "traffic.json", most=settings.traffic_report.names)
            if settings.traffic_report.enabled and sync.registry != NONE
            else None
        )
        self._traffic_reporter = (
            None
            if self._traffic is None
            else TrafficReporter(settings.traffic_report, sync, state_dir, self._traffic)
        )
        self._blocked = BlockedNames(
            BlockedTable(
                names=settings.unfiled.names, keep_seconds=settings.unfiled.keep_days * 86400
            ),
            state_dir / "unfiled.json",
            self._outbox,
            self._traffic,
        )
        self._runtime = Runtime(board, state_dir / "runtime.json")
        self._runtime.restore(settings.log.level)
        self._generation = board.generation
        self._settings_told = settings_in_force(settings)
        self._workers = Workers(
            workers,
            replaced=lambda: board.replaced.pids,
            on_lost=self._figures.forget,
            on_farewell=self._farewell,
            greeting=self._greeting,
        )
        self._following = Following(settings, replica, self._workers)
        self._reporter = (
            None
            if self._outbox is None
            else Reporter(
                settings.unfiled.report, sync, state_dir, self._outbox, keep=self._blocked.save
            )
        )
        self._health = Health(
            board,
            self._workers,
            replica,
            self._runtime,
            self._following,
            allow_empty=sync.allow_empty,
        )
        self._audit = AuditLog(state_dir / "audit.jsonl")
        self._note_exception()
        self._overrides = Overrides(replica, self._workers, self._audit)
        self._certificates = Certificates(_files_of_tls(settings))
        self._pulse = Pulse()
        self._turned_away = Counter(
            {"admin": 0} | ({"notice": 0} if settings.notice.listen else {})
        )

    async def run(
        self,
        stack: contextlib.AsyncExitStack,
        sockets: ControlSockets,
        row: ProcessRow,
        leave: asyncio.Event,
    ) -> int:
        """Do the work of the control process until `leave` is set; return its exit status."""
        stack.push_async_callback(self._blocked.save)  # after the last worker's words
        if self._traffic is not None:
            stack.callback(self._traffic.save)
        await self._workers.start(sockets.control)
        stack.push_async_callback(self._workers.close)
        ticking = asyncio.create_task(self._tick_until(leave))
        ticking.add_done_callback(lambda task: leave.set())
        beside = [
            # Not with the ticks: those wait for workers that may be stuck.
            row.beat_on(serving=lambda: self._serves),
            self._overrides.end_in_time(),
            self._blocked.save_in_time(),
        ]
        tasks = [asyncio.create_task(work) for work in beside]
        for task in tasks:
            task.add_done_callback(lambda task: leave.set())
            stack.callback(task.cancel)
        telling = asyncio.create_task(self._tell_settings())
        stack.callback(telling.cancel)
        await self._open_ports(stack, sockets)
        self._serves = True
        row.beat(serving=True)  # a reload waits for that
        following = await self._begin_to_follow(stack, leave)
        await ticking
        self._board.ready = False
        for task in tasks:
            if task.done():
                task.result()  # why it is over
        return 0 if following is None else await _end(following, self._settings.replica_path)

    async def _tick_until(self, leave: asyncio.Event) -> None:
        """What is to be done once a second."""
        tick, began, next_beat = _READY_TICK_SECONDS, time.monotonic(), 0.0
        while not leave.is_set():
            self._health.check()
            self._tell_of_warnings()
            await self._figures.collect_from(self._workers)
            await self._blocked.collect_from(self._workers)
            if (now := time.monotonic()) >= next_beat:  # however often it looks, as at a start
                self._pulse.beat(self._figures.totals())
                next_beat = now + _LEAST_BEAT_SECONDS
            if self._board.ready or time.monotonic() > began + _START_SECONDS:
                tick = _TICK_SECONDS
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(tick):
                    await leave.wait()

    async def _open_ports(self, stack: contextlib.AsyncExitStack, sockets: ControlSockets) -> None:
        """Serve the admin port and the notice page until the stack ends."""
        settings = self._settings
        guard = Guard(settings.admin, settings.admin_token_path)
        guard.prepare()
        service = AdminService(
            settings=settings,
            board=self._board,
            replica=self._replica,
            workers=self._workers,
            health=self._health,
            figures=self._figures,
            pulse=self._pulse,
            unfiled=self._blocked.table,
            overrides=self._overrides,
            routes=Routes(settings.upstreams.routes_file, self._workers),
            explainer=Explainer(self._replica, settings.policy),
            runtime=self._runtime,
            audit=self._audit,
            guard=guard,
            following=self._following,
        )
        sources: list[Source] = [
            self._overrides.samples,
            partial(self._runtime.samples, settings),
            self._blocked.samples,
            self._certificate_samples,
            self._following.samples,
            *([] if self._reporter is None else [self._reporter.samples]),
            *([] if self._traffic_reporter is None else [self._traffic_reporter.samples]),
        ]
        exposition = Exposition(
            self._figures, self._board, self._replica, self._turned_away, sources
        )
        count = self._turned_away.update
        await serve_admin(stack, service, exposition, sockets.admin, partial(count, ["admin"]))
        if sockets.notice is not None:
            await serve_notice(
                stack,
                settings.notice,
                service.explainer,
                sockets.notice,
                partial(count, ["notice"]),
            )

    async def _begin_to_follow(
        self, stack: contextlib.AsyncExitStack, leave: asyncio.Event
    ) -> asyncio.Task[None] | None:
        """Begin what needs a registry, and what looks after certificates."""
        watching = asyncio.create_task(self._certificates.watch())
        stack.callback(watching.cancel)
        if not self._following.is_wanted:
            return None
        _load_sync(self._settings.sync)
        following = asyncio.create_task(self._following.run())
        following.add_done_callback(lambda task: leave.set())
        if self._reporter is not None:
            reporting = asyncio.create_task(self._reporter.run())
            stack.callback(reporting.cancel)
        if self._traffic_reporter is not None:
            telling = asyncio.create_task(self._traffic_reporter.run())
            stack.callback(telling.cancel)
        return following

    def _note_exception(self) -> None:
        """Write down that sites without a filing may answer for certificates from now on."""
        if self._settings.policy.acme_http == "block":
            return
        try:
            self._audit.record(
                actor="settings", peer="", by="", action="allow", target="policy.acme_http"
            )
        except AuditError as error:
            _log.error("%s", error)

    def _greeting(self) -> Message:
        """Return what a worker needs to know that has just come, as fields of `welcome`."""
        told = {"in_force": self._settings_told} if self._are_in_force() else {}
        return self._runtime.greeting() | told

    def _are_in_force(self) -> bool:
        """Return whether this process's settings are there to stay: no reload can fail any more."""
        return self._board.in_force == self._generation

    async def _tell_settings(self) -> None:
        """Tell replaced workers what they need to know of the settings, as soon as they stay."""
        while not self._are_in_force():  # noqa: ASYNC110 - another process says so
            await asyncio.sleep(_READY_TICK_SECONDS)
        # As a kind of request that older programs' workers know: they take the modes alone.
        told = {"modes": self._runtime.modes, "in_force": self._settings_told}
        await self._workers.ask("modes", fields=lambda link: told)

    def _farewell(self, link: Link, words: Message) -> None:
        self._figures.farewell(link, words)
        self._blocked.farewell(link, words)

    def _tell_of_warnings(self) -> None:
        """Log each warning once, for as long as it lasts."""
        found = self._health.warnings()
        for text in found:
            if text not in self._told:
                _log.warning("%s", text)
        self._told = found

    def _certificate_samples(self) -> Iterator[tuple[Metric, list[Sample]]]:
        yield metrics.CERTIFICATES, [((name,), end) for name, end in self._certificates.ends()]


def _files_of_tls(settings: Settings) -> dict[str, ClientTls | ServerTls | AdminTls | None]:
    """Return the files of each section on TLS, None for one that is not there."""
    sync = settings.sync
    return {
        "admin.tls": settings.admin.tls,
        "sync.tls": sync.tls,
        "sync.push.tls": sync.push.tls if sync.push else None,
        "sync.nats.tls": sync.nats.tls if sync.nats else None,
    }


async def _end(following: asyncio.Task[None], path: Path) -> int:
    """End the sync; return 1 when it ended by itself, so that this process starts again."""
    following.cancel()
    try:
        await following
    except asyncio.CancelledError:
        return 0
    except SyncError as error:
        # The workers notice on their new links that their replica is another one.
        put_aside(path, error)
    return 1
