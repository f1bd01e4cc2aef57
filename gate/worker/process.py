"""One worker process: the data plane on its own core, a decider, and the link to control."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import math
import os
import secrets
import signal
import socket
import sys
import time
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any

from gate.ipc.scoreboard import ProcessRow
from gate.ipc.siblings import Siblings
from gate.policy import Decider, Policy
from gate.proxy.dataplane import DataPlane, router_of
from gate.proxy.native import new_engine
from gate.proxy.reactor import ReactorLoop, new_event_loop
from gate.replica import Replica, ReplicaCorrupt, ReplicaError, ReplicaMissing
from gate.settings import Listener, Settings
from gate.worker.access_log import ConsoleLines, JsonLines
from gate.worker.blocked_counts import BlockedCounts
from gate.worker.filed_seen import FiledSeen
from gate.worker.journal import Journal
from gate.worker.link import WorkerLink
from gate.worker.observer import TICK_SECONDS, Observer
from gate.worker.requests import Requests

_log = logging.getLogger(__name__)

LISTEN_BACKLOG = 4096  # the kernel takes at most net.core.somaxconn
_TICK_SECONDS = 1.0
_COLLECTIONS = (50_000, 20, 100)  # objects, then collections of each younger generation
_WAIT_SECONDS = 0.1  # between two looks for a replica that is not there yet


@dataclass(slots=True, frozen=True)
class Worker:
    """What a worker process is given."""

    index: int
    settings: Settings
    listeners: Sequence[tuple[Listener, socket.socket]]
    siblings: Siblings | None = None
    """What the workers know of each other's QUIC connections, if there are any."""
    has_control: Callable[[], bool] = lambda: True
    """Whether there has been a control process since the gate was started."""


def run_worker(worker: Worker, others: Sequence[socket.socket], row: ProcessRow) -> int:
    """Run a worker in this process until it is told to end; `others` are not its sockets."""
    for sock in others:
        sock.close()
    loop = new_event_loop(new_engine(worker.settings.process))
    try:
        with asyncio.Runner(loop_factory=lambda: loop) as runner:
            return runner.run(_Running(worker, row, loop).run())
    except ReplicaError as error:
        _log.error("worker %d cannot go on: %s", worker.index, error)
        return 1


class _Running:
    """A worker at work."""

    def __init__(self, worker: Worker, row: ProcessRow, loop: ReactorLoop) -> None:
        self._worker = worker
        self._row = row
        self._loop = loop
        self._settings = worker.settings
        self._leave = asyncio.Event()
        # By the loop's clock:
        self._drain_until = math.inf
        self._retired = math.inf
        self._reload_drain = worker.settings.process.reload_drain_seconds
        self._serving = False
        self._status = 0

    async def run(self) -> int:
        process = self._settings.process
        self._loop.add_signal_handler(signal.SIGTERM, self._end, process.drain_seconds)
        self._loop.add_signal_handler(signal.SIGUSR1, self._retire)
        pulse = asyncio.create_task(self._row.beat_on(serving=lambda: self._serving))
        try:
            replica = await self._open_replica()
            if replica is not None:
                with contextlib.closing(replica):
                    await self._serve(replica)
        finally:
            pulse.cancel()
        return self._status

    def _end(self, seconds: float) -> None:
        """Drain within `seconds`; told again, the shorter time counts."""
        self._drain_until = min(self._drain_until, self._loop.time() + seconds)
        self._leave.set()

    def _retire(self) -> None:
        """Another worker has taken over: drain within `process.reload_drain_seconds`."""
        self._retired = min(self._retired, self._loop.time())
        self._leave.set()

    def _give_time(self, seconds: float) -> None:
        """Newer settings say how long a worker that was replaced may drain."""
        self._reload_drain = seconds

    def _ends_at(self) -> float:
        """Return when the drain is to be over, as of now."""
        return min(self._drain_until, self._retired + self._reload_drain)

    def _start_again(self) -> None:
        """End at once, to be started again on the replica that is there now."""
        self._status = 1
        self._end(0.0)

    def _indispensable(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Return a task that the worker needs: if it fails, the worker starts again."""
        task = asyncio.create_task(work)
        task.add_done_callback(self._restart_on_failure)
        return task

    def _restart_on_failure(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled():
            _log.error(
                "worker %d ends, to start again", self._worker.index, exc_info=task.exception()
            )
            self._start_again()

    async def _open_replica(self) -> Replica | None:
        """Return the replica, once the control process has made it.

        None when told to end before.
        """
        while not self._leave.is_set():
            try:
                return Replica.open(self._settings.replica_path, writable=False)
            except (ReplicaMissing, ReplicaCorrupt):  # the control process sets a damaged one aside
                await self._pause()
        return None

    async def _first_of(self, *events: asyncio.Event) -> None:
        """Wait until one of the events is set."""
        waits = [asyncio.create_task(event.wait()) for event in events]
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()

    async def _pause(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_WAIT_SECONDS):
                await self._leave.wait()

    async def _serve(self, replica: Replica) -> None:
        policy = self._settings.policy
        decider = Decider(
            replica,
            size=policy.cache_size,
            policy=Policy(
                ip_hosts_allowed=policy.ip_hosts == "allow",
                no_sni_allowed=policy.no_sni == "allow",
                no_host_allowed=policy.no_host == "allow",
                ech_allowed=policy.ech == "allow_outer",
                acme_allowed=policy.acme_http == "allow",
            ),
            native=self._settings.process.native == "auto",
        )
        router = router_of(self._settings, self._worker.listeners, tells=self._worker.index == 0)
        blocked = BlockedCounts(router.route)
        run = secrets.token_hex(4)
        observer = self._observer(run, blocked)
        plane = DataPlane(
            self._settings,
            decider,
            self._worker.listeners,
            loop=self._loop,
            run=run,
            observe=observer.observe,
            observing=observer.observing,
            tells=self._worker.index == 0,
            siblings=self._worker.siblings,
            observer=observer,
            router=router,
        )
        filed_seen = None
        if self._settings.traffic_report.enabled:
            filed_seen = FiledSeen(decider.clear)
            decider.tell_seen(filed_seen)
        changed = asyncio.Event()
        requests = Requests(
            decider,
            changed,
            plane,
            observer,
            blocked,
            filed_seen=filed_seen,
            settings=self._settings,
            is_replaced=replica.replaced,
            start_again=self._start_again,
            give_time=self._give_time,
        )
        link = WorkerLink(self._settings.control_path, self._worker.index, requests.handle)
        talk = self._indispensable(link.run())
        try:
            # No traffic before the control process counts on this worker, nor without a set. At
            # the start of a gate nobody can have changed anything yet, and nothing is changed
            # before every worker is counted in.
            if self._worker.has_control():
                await self._first_of(self._leave, link.welcomed)
            while not self._leave.is_set() and not self._has_a_set(replica):
                await self._pause()
            if not self._leave.is_set():
                observing = self._indispensable(_tick(observer))
                expiring = self._indispensable(expire_in_time(decider, changed))
                await self._carry(plane)
                expiring.cancel()
                observing.cancel()
                observer.close()
                await link.farewell(requests.last_words())
        finally:
            plane.close()
            talk.cancel()

    def _has_a_set(self, replica: Replica) -> bool:
        """Was the replica filled, and with a filing unless none is meant?"""
        return replica.position() is not None and (
            self._settings.sync.allow_empty or replica.has_ever_held()
        )

    def _observer(self, run: str, blocked: BlockedCounts) -> Observer:
        log_settings = self._settings.log
        return Observer(
            {listener.name for listener, _ in self._worker.listeners},
            run=run,
            access=log_settings.access,
            lines=JsonLines(os.getpid(), self._worker.index)
            if log_settings.format == "json"
            else ConsoleLines(),
            journal=Journal(sys.stderr.fileno()),
            blocked=blocked,
        )

    async def _carry(self, plane: DataPlane) -> None:
        # Connections leave no cycles behind, so there is little to collect, and much that every
        # collection would walk through: the cache of verdicts.
        gc.set_threshold(*_COLLECTIONS)
        await plane.resolve()
        streams = [s for _, s in self._worker.listeners if s.type == socket.SOCK_STREAM]
        for sock in streams:
            sock.listen(LISTEN_BACKLOG)
        plane.start()
        await plane.start_datagrams()
        self._serving = True
        self._row.beat(serving=True)
        await self._leave.wait()
        self._serving = False
        await plane.stop_accepting()
        for sock in streams:  # QUIC connections go on over the sockets that they came in by
            sock.close()
        self._row.stop_accepting()
        await plane.drain(self._ends_at)


async def expire_in_time(decider: Decider, changed: asyncio.Event) -> None:
    """Drop the verdicts of each override at the moment when it ends, until cancelled.

    `changed` is set when the overrides may have changed. A clock that is set is noticed within a
    second. Raises ReplicaError.
    """
    while True:
        changed.clear()
        now = time.time()
        decider.expire(now)
        end = decider.next_expiry(now)
        wait = _TICK_SECONDS if end is None else min(_TICK_SECONDS, end - time.time())
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(wait):
                await changed.wait()


async def _tick(observer: Observer) -> None:
    while True:
        await asyncio.sleep(TICK_SECONDS)
        observer.tick()
