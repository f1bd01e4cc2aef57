"""The control process: the link to all workers, then the admin port, the notice page, the sync.

The workers take no traffic before they have their link, so that comes first. What the rest needs
takes longer to load than everything else, and is loaded beside it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import socket
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gate.control import metrics
from gate.control.audit import AuditLog
from gate.control.damage import open_replica, put_aside
from gate.control.figures import Figures, Sample
from gate.control.fleet import Fleet, Link
from gate.control.health import Health
from gate.control.lines import Message
from gate.control.metrics import Metric
from gate.control.outbox import Outbox
from gate.control.overrides import Overrides
from gate.control.pulse import Pulse
from gate.control.runtime import Runtime
from gate.control.unfiled import UnfiledNames, UnfiledTable
from gate.door import CannotServe
from gate.replica import Replica, ReplicaError
from gate.scoreboard import Board
from gate.settings import NONE, Settings

if TYPE_CHECKING:
    from gate.reporting import Reporter
    from gate.sync.agent import SyncAgent
    from gate.sync.expiry import Certificates

log = logging.getLogger("gate.control")

_TICK_SECONDS = 1.0
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
) -> int:
    """Runs the control process until it is told to end; `others` are not its sockets."""
    for sock in others:
        sock.close()
    try:
        return asyncio.run(_run(settings, sockets, board, workers))
    except (ReplicaError, CannotServe) as error:
        log.error("the control process cannot go on: %s", error)
        return 1


def preload(settings: Settings) -> None:
    """Load all that a control process needs, for those that are forked from this one later."""
    import concurrent.futures.thread  # noqa: F401 - asyncio itself loads it as late as it can

    _load_doors()
    if settings.sync.registry != NONE:
        _load_sync()


def _load_doors() -> None:
    import gate.administration
    import gate.control.api.operator
    import gate.sync.expiry  # noqa: F401 - loaded, and taken by those who use it


def _load_sync() -> None:
    import gate.reporting
    import gate.syncing  # noqa: F401 - as above


async def _run(settings: Settings, sockets: ControlSockets, board: Board, workers: int) -> int:
    leave = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, leave.set)
    async with contextlib.AsyncExitStack() as stack:
        replica = stack.enter_context(contextlib.closing(open_replica(settings.replica_path)))
        control = _Control(settings, board, workers, replica)
        stack.push_async_callback(control.unfiled.save)  # after the last worker's words
        await control.fleet.start(sockets.control)
        stack.push_async_callback(control.fleet.close)
        ticking = asyncio.create_task(control.tick_until(leave))
        ticking.add_done_callback(lambda task: leave.set())
        beside = [
            asyncio.create_task(control.overrides.end_in_time()),
            asyncio.create_task(control.unfiled.save_in_time()),
        ]
        for task in beside:
            task.add_done_callback(lambda task: leave.set())
            stack.callback(task.cancel)
        await asyncio.to_thread(_load_doors)
        await control.open_doors(stack, sockets)
        control.watch_certificates(stack)
        follow = None
        if settings.sync.registry != NONE:
            await asyncio.to_thread(_load_sync)
            follow = asyncio.create_task(control.follow())
            follow.add_done_callback(lambda task: leave.set())
            control.begin_reports(stack)
        await ticking
        board.ready = False
        for task in beside:
            if task.done():
                task.result()  # why it is over
        if follow is not None:
            return await _end(follow, settings.replica_path)
    return 0


class _Control:
    """The parts of the control process."""

    def __init__(self, settings: Settings, board: Board, workers: int, replica: Replica) -> None:
        state_dir = settings.state_dir
        self.settings = settings
        self.board = board
        self.replica = replica
        self.agent: SyncAgent | None = None
        """From when the sync is loaded on."""
        self.certificates: Certificates | None = None
        self.reporter: Reporter | None = None
        self.figures = Figures(board, replica, state_dir / "counters.json")
        self.figures.more = self._more_samples
        self.unfiled = _unfiled(settings)
        self.outbox: Outbox | None = None
        if settings.unfiled.report.enabled and settings.sync.registry != NONE:
            self.outbox = Outbox(settings.unfiled.names)
            self.outbox.restore(self.unfiled.kept)
            self.unfiled.reports = self.outbox.pieces
            self.unfiled.on_row = self.outbox.add
        self.runtime = Runtime(board, state_dir / "runtime.json")
        self.runtime.restore(settings.log.level)
        self.fleet = Fleet(
            workers,
            elders=lambda: board.elders.pids,
            on_lost=self.figures.forget,
            on_farewell=self._farewell,
            greeting=self.runtime.greeting,
        )
        self.health = Health(board, self.fleet, replica)
        self.health.is_withdrawn = lambda: self.runtime.withdrawn
        self.health.obstacles = self._obstacles
        self.audit = AuditLog(state_dir / "audit.jsonl")
        self.overrides = Overrides(replica, self.fleet, self.audit)
        self.pulse = Pulse()

    async def tick_until(self, leave: asyncio.Event) -> None:
        """What is to be done once a second."""
        row = self.board.row("control")
        tick, began = _READY_TICK_SECONDS, time.monotonic()
        while not leave.is_set():
            row.beat(serving=True)
            self.health.check()
            await self.figures.collect_from(self.fleet)
            await self.unfiled.collect_from(self.fleet)
            self.pulse.beat(self.figures.totals())
            if self.board.ready or time.monotonic() > began + _START_SECONDS:
                tick = _TICK_SECONDS
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(tick):
                    await leave.wait()

    async def open_doors(self, stack: contextlib.AsyncExitStack, sockets: ControlSockets) -> None:
        """Serve the admin port and the notice page until the stack ends."""
        from gate.administration import serve_admin, serve_notice
        from gate.control.api.access import Guard
        from gate.control.api.operator import Operator
        from gate.control.explaining import Explainer

        settings = self.settings
        guard = Guard(settings.admin, settings.admin_token_path)
        guard.prepare()
        operator = Operator(
            settings=settings,
            board=self.board,
            replica=self.replica,
            fleet=self.fleet,
            health=self.health,
            figures=self.figures,
            pulse=self.pulse,
            unfiled=self.unfiled.table,
            overrides=self.overrides,
            explainer=Explainer(self.replica, settings.policy),
            runtime=self.runtime,
            audit=self.audit,
            guard=guard,
            sync=self._sync_fields,
        )
        self.figures.doors["admin"] = await serve_admin(stack, operator, sockets.admin)
        if sockets.notice is not None:
            self.figures.doors["notice"] = await serve_notice(
                stack, sockets.notice, most=settings.notice.connections
            )

    async def follow(self) -> None:
        """Keep the replica equal to the registry until cancelled. Raises SyncError(corrupt)."""
        from gate.sync.agent import SyncAgent
        from gate.syncing import Workers

        self.agent = SyncAgent(
            self.settings.sync, self.settings.state_dir, self.replica, Workers(self.fleet)
        )
        await self.agent.run()

    def watch_certificates(self, stack: contextlib.AsyncExitStack) -> None:
        """Tell of certificates that end soon, until the stack ends."""
        from gate.sync.expiry import Certificates

        admin, sync = self.settings.admin, self.settings.sync
        used = {
            "admin.tls": admin.tls,
            "sync.tls": sync.tls,
            "sync.push.tls": sync.push.tls if sync.push else None,
            "sync.nats.tls": sync.nats.tls if sync.nats else None,
        }
        self.certificates = Certificates(used)
        task = asyncio.create_task(self.certificates.watch())
        stack.callback(task.cancel)

    def begin_reports(self, stack: contextlib.AsyncExitStack) -> None:
        """Tell the registry of blocked names until the stack ends, if the settings want it."""
        if self.outbox is None:
            return
        from gate.reporting import Reporter

        settings = self.settings
        self.reporter = Reporter(
            settings.unfiled.report,
            settings.sync,
            settings.state_dir,
            self.outbox,
            keep=self.unfiled.save,
        )
        task = asyncio.create_task(self.reporter.run())
        stack.callback(task.cancel)

    def _farewell(self, link: Link, words: Message) -> None:
        self.figures.farewell(link, words)
        self.unfiled.farewell(link, words)

    def _obstacles(self) -> list[str]:
        sync = self.settings.sync
        if self.agent is not None:
            return self.agent.obstacles()
        must_hear = self.replica.position() is None or sync.unready_seconds is not None
        if sync.registry != NONE and must_hear:
            return [f"the sync with {sync.registry} begins"]
        return []

    def _sync_fields(self) -> dict[str, Any] | None:
        if self.agent is None:
            return None
        from gate.syncing import sync_fields

        return sync_fields(self.agent)

    def _more_samples(self) -> Iterator[tuple[Metric, list[Sample]]]:
        """The figures of what runs in this process beside the fleet."""
        yield metrics.OVERRIDES, self.overrides.samples()
        yield metrics.UNFILED_NAMES, [((), float(len(self.unfiled.table)))]
        if self.certificates is not None:
            yield metrics.CERTIFICATES, [((name,), end) for name, end in self.certificates.ends()]
        if self.agent is not None:
            from gate.syncing import samples

            yield from samples(self.agent)
        if self.reporter is not None:
            yield from self.reporter.samples()


def _unfiled(settings: Settings) -> UnfiledNames:
    """The table of blocked names, as it was left by the control process before."""
    table = UnfiledTable(
        names=settings.unfiled.names, keep_seconds=settings.unfiled.keep_days * 86400
    )
    return UnfiledNames(table, settings.state_dir / "unfiled.json")


async def _end(follow: asyncio.Task[None], path: Path) -> int:
    """Stops the sync; 1 when it stopped by itself, so that this process starts again."""
    from gate.sync.errors import SyncError

    follow.cancel()
    try:
        await follow
    except asyncio.CancelledError:
        return 0
    except SyncError as error:
        # The workers notice on their new links that their replica is another one.
        put_aside(path, error)
    return 1
