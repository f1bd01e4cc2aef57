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
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gate import logs
from gate.control.lines import Message
from gate.control.link import WorkerLink
from gate.policy import Decider
from gate.policy import Policy as DeciderPolicy
from gate.proxy.dataplane import DataPlane
from gate.proxy.reactor import ReactorLoop, new_event_loop
from gate.replica import Replica, ReplicaCorrupt, ReplicaError, ReplicaMissing
from gate.scoreboard import Row
from gate.settings import Listener, Mode, Settings
from gate.traffic.access import ConsoleLines, JsonLines
from gate.traffic.journal import Journal
from gate.traffic.observer import TICK_SECONDS, Observer
from gate.traffic.pending import Pending

log = logging.getLogger("gate.worker")

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
    row: Row


def run_worker(worker: Worker, others: Sequence[socket.socket]) -> int:
    """Runs a worker in this process until it is told to end; `others` are not its sockets."""
    for sock in others:
        sock.close()
    loop = new_event_loop()
    try:
        with asyncio.Runner(loop_factory=lambda: loop) as runner:
            return runner.run(_Running(worker, loop).run())
    except ReplicaError as error:
        log.error("worker %d cannot go on: %s", worker.index, error)
        return 1


class _Running:
    """A worker at work."""

    def __init__(self, worker: Worker, loop: ReactorLoop) -> None:
        self._worker = worker
        self._loop = loop
        self._settings = worker.settings
        self._leave = asyncio.Event()
        self._drain_until = math.inf  # by the loop's clock
        self._serving = False
        self._status = 0

    async def run(self) -> int:
        process = self._settings.process
        self._loop.add_signal_handler(signal.SIGTERM, self._end, process.drain_seconds)
        self._loop.add_signal_handler(signal.SIGUSR1, self._end, process.reload_drain_seconds)
        pulse = asyncio.create_task(self._pulse())
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

    def _start_again(self) -> None:
        """End at once, to be started again on the replica that is there now."""
        self._status = 1
        self._end(0.0)

    def _indispensable(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """A task without which the worker is of no use: if it fails, the worker starts again."""
        task = asyncio.create_task(work)
        task.add_done_callback(self._look_at)
        return task

    def _look_at(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled():
            log.error(
                "worker %d ends, to start again", self._worker.index, exc_info=task.exception()
            )
            self._start_again()

    async def _pulse(self) -> None:
        while True:
            self._worker.row.beat(serving=self._serving)
            await asyncio.sleep(_TICK_SECONDS)

    async def _open_replica(self) -> Replica | None:
        """The replica, once the control process has made it; None when told to end before."""
        while not self._leave.is_set():
            try:
                return Replica.open(self._settings.replica_path, writable=False)
            except (ReplicaMissing, ReplicaCorrupt):  # the control process sets a damaged one aside
                await self._pause()
        return None

    async def _pause(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_WAIT_SECONDS):
                await self._leave.wait()

    async def _serve(self, replica: Replica) -> None:
        policy = self._settings.policy
        decider = Decider(
            replica,
            size=policy.cache_size,
            policy=DeciderPolicy(
                ip_hosts_allowed=policy.ip_hosts == "allow",
                no_sni_allowed=policy.no_sni == "allow",
            ),
        )
        pending = Pending(lambda name: plane.route(name))
        run = secrets.token_hex(4)
        observer = self._observer(run, pending)
        plane = DataPlane(
            self._settings,
            decider,
            self._worker.listeners,
            loop=self._loop,
            run=run,
            observe=observer.observe,
            observing=observer.observing,
        )
        changed = asyncio.Event()
        requests = _Requests(
            decider,
            changed,
            plane,
            observer,
            pending,
            settings=self._settings,
            is_replaced=replica.replaced,
            start_again=self._start_again,
        )
        link = WorkerLink(self._settings.control_path, self._worker.index, requests.handle)
        talk = self._indispensable(link.run())
        try:
            # No traffic before the control process counts on this worker, nor without a set.
            while not self._leave.is_set() and not (
                link.welcomed.is_set() and replica.position() is not None
            ):
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

    def _observer(self, run: str, pending: Pending) -> Observer:
        log_settings = self._settings.log
        return Observer(
            {listener.name for listener, _ in self._worker.listeners},
            run=run,
            access=log_settings.access,
            lines=JsonLines(os.getpid(), self._worker.index)
            if log_settings.format == "json"
            else ConsoleLines(),
            journal=Journal(sys.stderr.fileno()),
            pending=pending,
        )

    async def _carry(self, plane: DataPlane) -> None:
        # Connections leave no cycles behind, so there is little to collect, and much that every
        # collection would walk through: the cache of verdicts.
        gc.set_threshold(*_COLLECTIONS)
        for _, sock in self._worker.listeners:
            sock.listen(LISTEN_BACKLOG)
        plane.start()
        self._serving = True
        self._worker.row.beat(serving=True)
        await self._leave.wait()
        self._serving = False
        await plane.stop_accepting()
        for _, sock in self._worker.listeners:
            sock.close()
        await plane.drain(lambda: self._drain_until)


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


class _Requests:
    """Does what the control process asks."""

    def __init__(
        self,
        decider: Decider,
        changed: asyncio.Event,
        plane: DataPlane,
        observer: Observer,
        pending: Pending,
        *,
        settings: Settings,
        is_replaced: Callable[[], bool],
        start_again: Callable[[], None],
    ) -> None:
        self._configured = {item.name: item.mode.value for item in settings.listeners}
        self._level = settings.log.level
        self._decider = decider
        self._changed = changed
        self._plane = plane
        self._observer = observer
        self._pending = pending
        self._cuts = settings.policy.revoked_connections == "reset"
        self._is_replaced = is_replaced
        self._start_again = start_again

    def handle(self, kind: str, request: Message) -> Message:
        """Does the request `kind`; its reply's fields. Raises ValueError for an unknown one."""
        match kind:
            case "welcome" if self._is_replaced():
                self._start_again()
                raise ValueError("its replica was set aside; it starts again on the new one")
            case "welcome":
                # What is not set by hand is as configured, whatever was said on an earlier link.
                self._set_modes(self._configured | request.get("modes", {}))
                self._set_level(request.get("level") or self._level)
                return self._clear()
            case "clear":
                return self._clear()
            case "invalidate":
                dropped = self._decider.invalidate(request["domains"])
                self._changed.set()
                cut = self._plane.cut(request["revoked"]) if self._cuts else 0
                return {"dropped": dropped, "cut": cut}
            case "stats":
                return {"stats": self._stats()}
            case "unfiled":
                self._observer.fold()
                # A control process of an older program does not say what it has kept.
                confirmed: int = request["confirmed"]
                return self._pending.take(confirmed, request.get("kept", confirmed))
            case "modes":
                self._set_modes(request["modes"])
                return {}
            case "level":
                self._set_level(request["level"])
                return {}
            case _:
                raise ValueError(f"unknown request {kind!r}")

    def last_words(self) -> Message:
        """What would be lost when the process ends: figures and names since the last question."""
        return {"stats": self._stats(), "unfiled": self._pending.rest()}

    def _clear(self) -> Message:
        self._decider.clear()
        self._changed.set()
        return {"cut": self._plane.recheck() if self._cuts else 0}

    def _set_modes(self, modes: Mapping[str, str]) -> None:
        for listener, mode in modes.items():
            self._plane.set_mode(listener, Mode(mode))

    def _set_level(self, level: str) -> None:
        logs.set_level(level)
        self._observer.refill()

    def _stats(self) -> Message:
        lines = self._observer.lines()
        return self._plane.stats() | {"cache": self._cache(), "access_lines": lines}

    def _cache(self) -> Message:
        stats = self._decider.stats
        return {
            # A hit leaves no trace, so that it costs nothing: what was decided and not missed.
            "hits": max(self._plane.named_decisions() - stats.misses, 0),
            "misses": stats.misses,
            "evictions": stats.evictions,
            "size": stats.size,
            "lookup_seconds": stats.lookup_seconds.figures(),
        }
