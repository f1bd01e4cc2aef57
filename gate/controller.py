"""The control process: the admin port, the notice page, and the link to all workers."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import resource
import signal
import socket
import ssl
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from aiohttp import web

from gate.control import metrics
from gate.control.admin import admin_app
from gate.control.api.access import Guard
from gate.control.api.operator import Operator
from gate.control.audit import AuditLog
from gate.control.door import Door
from gate.control.explaining import Explainer
from gate.control.figures import Figures, Sample
from gate.control.fleet import Fleet, Link
from gate.control.health import Health
from gate.control.lines import Message
from gate.control.metrics import Metric
from gate.control.notice import notice_app
from gate.control.overrides import Overrides
from gate.control.pulse import Pulse
from gate.control.runtime import Runtime
from gate.control.unfiled import UnfiledNames, UnfiledTable
from gate.replica import ReplicaError
from gate.scoreboard import Board
from gate.settings import NONE, AdminTls, Settings
from gate.sync.agent import SyncAgent
from gate.sync.errors import SyncError
from gate.sync.tls import ServerContext, TlsError
from gate.syncing import Workers, open_replica, put_aside, samples, sync_fields

log = logging.getLogger("gate.control")

_TICK_SECONDS = 1.0
_READY_TICK_SECONDS = 0.05  # until the gate is ready for the first time
_START_SECONDS = 10.0  # a gate that is not ready by then waits for something else than its start
_NOTICE_SECONDS = 15.0  # a visitor's whole stay; the page is one small answer
_HANDSHAKE_SECONDS = 5.0


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
    except (ReplicaError, TlsError) as error:
        log.error("the control process cannot go on: %s", error)
        return 1


async def _run(settings: Settings, sockets: ControlSockets, board: Board, workers: int) -> int:
    leave = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, leave.set)
    state_dir = settings.state_dir
    async with contextlib.AsyncExitStack() as stack:
        replica = stack.enter_context(contextlib.closing(open_replica(settings.replica_path)))
        figures = Figures(board, replica, state_dir / "counters.json")
        unfiled = _unfiled(settings)
        runtime = Runtime(board, state_dir / "runtime.json")
        runtime.restore()

        def farewell(link: Link, words: Message) -> None:
            figures.farewell(link, words)
            unfiled.farewell(link, words)

        fleet = Fleet(
            workers,
            elders=lambda: board.elders,
            on_lost=figures.forget,
            on_farewell=farewell,
            greeting=runtime.greeting,
        )
        stack.callback(unfiled.save)  # after the fleet has ended, and the last worker's words
        health = Health(board, fleet, replica)
        health.is_withdrawn = lambda: runtime.withdrawn
        await fleet.start(sockets.control)
        stack.push_async_callback(fleet.close)
        agent = None
        if settings.sync.registry != NONE:
            agent = SyncAgent(settings.sync, state_dir, replica, Workers(fleet))
            health.obstacles = agent.obstacles
        audit = AuditLog(state_dir / "audit.jsonl")
        overrides = Overrides(replica, fleet, audit)
        guard = Guard(settings.admin, state_dir)
        guard.prepare()
        pulse = Pulse()
        operator = Operator(
            settings=settings,
            board=board,
            replica=replica,
            fleet=fleet,
            health=health,
            figures=figures,
            pulse=pulse,
            unfiled=unfiled.table,
            overrides=overrides,
            explainer=Explainer(replica, settings.policy),
            runtime=runtime,
            audit=audit,
            guard=guard,
            sync=lambda: None if agent is None else sync_fields(agent),
        )
        figures.more = lambda: _more_samples(unfiled.table, agent)
        figures.doors["admin"] = await _serve(
            stack,
            admin_app(operator),
            sockets.admin,
            most=settings.admin.connections,
            tls=_tls(settings.admin.tls),
        )
        if sockets.notice is not None:
            figures.doors["notice"] = await _serve(
                stack,
                notice_app(),
                sockets.notice,
                most=settings.notice.connections,
                seconds=_NOTICE_SECONDS,
            )
        follow = None
        if agent is not None:
            follow = asyncio.create_task(agent.run())
            follow.add_done_callback(lambda task: leave.set())
        row = board.row("control")
        tick, began = _READY_TICK_SECONDS, time.monotonic()
        while not leave.is_set():
            row.beat(serving=True)
            health.check()
            await figures.collect_from(fleet)
            await unfiled.collect_from(fleet)
            await overrides.end_what_ran_out()
            pulse.beat(figures.totals())
            if board.ready or time.monotonic() > began + _START_SECONDS:
                tick = _TICK_SECONDS
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(tick):
                    await leave.wait()
        board.ready = False
        if follow is not None:
            return await _end(follow, settings.replica_path)
    return 0


def _unfiled(settings: Settings) -> UnfiledNames:
    """The table of blocked names, as it was left by the control process before."""
    table = UnfiledTable(
        names=settings.unfiled.names, keep_seconds=settings.unfiled.keep_days * 86400
    )
    return UnfiledNames(table, settings.state_dir / "unfiled.json")


def _tls(tls: AdminTls | None) -> ssl.SSLContext | None:
    return None if tls is None else ServerContext(tls.certificate, tls.key, tls.client_ca).listening


def _more_samples(
    table: UnfiledTable, agent: SyncAgent | None
) -> Iterator[tuple[Metric, list[Sample]]]:
    """The figures of what runs in this process beside the fleet."""
    yield metrics.UNFILED_NAMES, [((), float(len(table)))]
    if agent is not None:
        yield from samples(agent)


async def _end(follow: asyncio.Task[None], path: Path) -> int:
    """Stops the sync; 1 when it stopped by itself, so that this process starts again."""
    follow.cancel()
    try:
        await follow
    except asyncio.CancelledError:
        return 0
    except SyncError as error:
        # The workers notice on their new links that their replica is another one.
        put_aside(path, error)
    return 1


async def _serve(
    stack: contextlib.AsyncExitStack,
    app: web.Application,
    sock: socket.socket,
    *,
    most: int,
    seconds: float | None = None,
    tls: ssl.SSLContext | None = None,
) -> Door:
    """Serves `app` on `sock` until the stack ends, to `most` connections, each for `seconds`."""
    runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=1.0)
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    make = runner.server
    if make is None:
        raise RuntimeError("the runner has no server after its setup")
    # Never so many that the process runs out of descriptors.
    affordable = resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 4
    door = Door(make, most=min(most, affordable), seconds=seconds)
    # The door counts who is through with the handshake, so nobody may be long at it.
    server = await asyncio.get_running_loop().create_server(
        door,
        sock=sock,
        backlog=1024,
        ssl=tls,
        ssl_handshake_timeout=None if tls is None else _HANDSHAKE_SECONDS,
    )
    stack.callback(server.close)
    return door
