"""The parent of all processes: starts them, starts dead ones again, takes signals, stops them.

The workers start first, where there is a list for them to serve. What the other processes need
takes longer to load than all the rest: the parent loads it once the workers serve, and forks them
then, so that it is in memory once. Children of a later day find it there, also when the files of
the program are being replaced by then, for an upgrade.

One thread, no event loop: signals are blocked and taken one at a time with `sigwaitinfo`; ALRM is
the time of the next thing to do. The parent touches no traffic and opens no replica, so that a
fork is always safe. What it is about is its phase (`phase.py`).

Signals: TERM and INT drain and stop (a second one stops at once), HUP reloads, USR2 lets another
program take the place of this one. None is lost: what comes in the middle of an upgrade stays
pending, which an exec keeps, and a HUP that comes in the middle of a reload has its turn after it.
A child is told TERM to end within `process.drain_seconds`, and RETIRE to end within
`process.reload_drain_seconds` after its successor has taken over.
"""

from __future__ import annotations

import gc
import math
import signal
import time
from collections.abc import Callable
from typing import Final

from gate import logs
from gate.ipc.scoreboard import Board
from gate.loading import loading
from gate.settings import Process
from gate.supervisor import code_pages
from gate.supervisor.child import TAKEN
from gate.supervisor.children import Children, Ended
from gate.supervisor.notify import Notifier
from gate.supervisor.phase import CHANGING, STOPPING, Course, GatePhase
from gate.supervisor.reload import Reload, ReloadStep
from gate.supervisor.stop import Stop
from gate.supervisor.upgrade import Upgrade

_LONGEST_WAIT: Final = 1.0
_SHORT_WAIT: Final = 0.05  # while a process is expected to say something
_RELOAD_PATIENCE: Final = 5.0  # for workers that are being started, before a reload begins
_HEAD_START: Final = 0.3  # for the first workers, at most, before the rest is loaded
_HEAD_START_WAIT: Final = 0.01
_WATCHDOG_GRACE: Final = 5.0  # for a process that was killed because it hung


class Supervisor:
    """Runs the children of one gate until all have ended."""

    def __init__(
        self,
        children: Children,
        reload: Reload,
        upgrade: Upgrade,
        stop: Stop,
        board: Board,
        notifier: Notifier,
        on_ready: Callable[[], None],
        load: Callable[[], None],
        *,
        workers_first: bool,
    ) -> None:
        """`on_ready` is called when the gate takes traffic for the first time.

        `load` loads what children need beyond what the first workers do. `workers_first` says
        that these can serve before.
        """
        self._children = children
        self._reload = reload
        self._upgrade = upgrade
        self._stop = stop
        self._board = board
        self._notifier = notifier
        self._on_ready = on_ready
        self._load = load
        self._workers_first = workers_first
        self._rest_at = math.inf  # the head start of the workers is over (monotonic)
        self._course = Course()
        self._wanted: set[signal.Signals] = set()  # HUP and USR2, until there is room for them
        self._is_announced = False
        self._next_reload = 0.0  # in STARTING, the next one begins then, if not before (monotonic)
        self._next_watchdog = 0.0

    def run(self) -> int:
        """Run to the end; return 0 when it was orderly, 1 when a child had to be killed in it."""
        signal.pthread_sigmask(signal.SIG_BLOCK, TAKEN)
        if self._workers_first:
            gc.freeze()  # what is there by now stays shared between the processes
            self._children.start_missing(lambda role: role.carries_traffic)
            self._rest_at = time.monotonic() + _HEAD_START
        else:
            self._start_rest()
        while self._course.phase is not GatePhase.ENDED:
            self._take(_next_signal(self._heeded(), self._wait()))
            for ended in self._children.reap():
                self._bury(ended)
            self._tick(time.monotonic())
        return int(self._stop.killed)

    def _heeded(self) -> set[signal.Signals]:
        """Return the signals to take now.

        An upgrade under way leaves some to the program to come.
        """
        if self._course.phase is GatePhase.UPGRADING:
            return TAKEN - {signal.SIGHUP, signal.SIGUSR2}
        return TAKEN

    def _wait(self) -> float:
        """Return the seconds until there is something to do."""
        now, phase = time.monotonic(), self._course.phase
        changing = phase in CHANGING or not self._children.are_settled()
        times = [now + (_SHORT_WAIT if changing else _LONGEST_WAIT)]
        if self._rest_at < math.inf:
            times.append(now + _HEAD_START_WAIT)
        if phase in STOPPING:
            times.append(self._stop.next_time(draining=phase is not GatePhase.LEAVING))
        else:
            times += self._children.due_times()
            times.append(self._upgrade.next_time() if phase is GatePhase.UPGRADING else math.inf)
        if self._notifier.watchdog_seconds:
            times.append(self._next_watchdog)
        return max(0.0, min(times) - now)

    def _take(self, number: signal.Signals) -> None:
        match number:
            case signal.SIGHUP | signal.SIGUSR2 as asked:
                self._wanted.add(asked)
            case signal.SIGTERM | signal.SIGINT if self._course.phase in STOPPING:
                self._stop.hurry()
            case signal.SIGTERM | signal.SIGINT:
                self._course.move(GatePhase.LEAVING)
                self._notifier.send(STOPPING=1, STATUS="draining")
                self._stop.begin(self._reload.plan.settings.process)

    def _bury(self, ended: Ended) -> None:
        phase = self._course.phase
        if phase in STOPPING or (
            phase is GatePhase.UPGRADING and not ended.child.role.carries_traffic
        ):
            return
        if phase is GatePhase.RELOADING and self._reload.ended(ended) is ReloadStep.FAILED:
            self._course.move(GatePhase.ROLLING_BACK)
        elif ended.unasked:
            self._children.start_again_later(ended)
        else:
            self._children.start_successor(ended)

    def _tick(self, now: float) -> None:
        logs.follow(self._board.log_level)
        self._feed_watchdog(now)
        if self._course.phase in STOPPING:
            self._go_on_stopping(now)
            return
        self._go_on(now)
        self._children.kill_late(now)
        self._children.start_due(now)
        self._children.kill_hung(self._process.hang_seconds)

    def _go_on(self, now: float) -> None:
        """Do what the phase asks for."""
        if self._rest_at < math.inf:
            if now >= self._rest_at or self._children.carry_traffic():
                self._start_rest()
            return
        match self._course.phase:
            case GatePhase.STARTING | GatePhase.SERVING:
                self._retire_predecessors()
                self._announce()
                self._begin_what_is_wanted(now)
            case GatePhase.RELOADING:
                match self._reload.wait(now):
                    case ReloadStep.SERVED:
                        self._course.move(GatePhase.RETIRING)
                    case ReloadStep.FAILED:
                        self._course.move(GatePhase.ROLLING_BACK)
            case GatePhase.RETIRING:
                if self._reload.finish(now) is ReloadStep.DONE:
                    self._end_reload()
            case GatePhase.ROLLING_BACK:
                if self._reload.settle(now) is ReloadStep.DONE:
                    self._end_reload()
            case GatePhase.UPGRADING:
                if self._upgrade.go_on(now):
                    self._course.move(GatePhase.SERVING)
                    self._notifier.send(READY=1)

    def _announce(self) -> None:
        """Say once that the gate takes traffic."""
        if self._course.phase is GatePhase.STARTING and self._board.ready:
            self._course.move(GatePhase.SERVING)
            if not self._is_announced:
                self._is_announced = True
                self._notifier.send(READY=1, STATUS="ready")
                self._on_ready()

    def _start_rest(self) -> None:
        """Load what was not needed so far, and start the processes that need it."""
        self._rest_at = math.inf
        with loading():
            self._load()
            gc.collect()
        code_pages.give_back()
        self._children.start_missing()

    def _retire_predecessors(self) -> None:
        """Retire each worker of the program before this one whose successor serves."""
        for child in self._children.predecessors():
            if self._board.row(child.role.name).serving:
                self._children.retire(child, self._process.reload_drain_seconds)

    def _begin_what_is_wanted(self, now: float) -> None:
        is_calm = self._course.phase is GatePhase.SERVING and self._children.are_settled()
        if signal.SIGHUP in self._wanted:
            if is_calm or now >= self._next_reload:
                self._begin_reload(now)
        elif signal.SIGUSR2 in self._wanted and is_calm:
            self._wanted.discard(signal.SIGUSR2)
            if self._upgrade.may_begin():
                self._tell_reloading()
                self._upgrade.begin()
                self._course.move(GatePhase.UPGRADING)

    def _begin_reload(self, now: float) -> None:
        self._wanted.discard(signal.SIGHUP)
        self._next_reload = now + _RELOAD_PATIENCE
        self._tell_reloading()
        if self._reload.begin():
            self._course.move(GatePhase.RELOADING)
        elif self._is_announced:
            self._notifier.send(READY=1)

    def _end_reload(self) -> None:
        self._course.move(GatePhase.SERVING if self._is_announced else GatePhase.STARTING)
        if self._is_announced:
            self._notifier.send(READY=1)

    def _tell_reloading(self) -> None:
        self._notifier.send(
            RELOADING=1, MONOTONIC_USEC=time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        )

    def _go_on_stopping(self, now: float) -> None:
        if self._course.phase is GatePhase.LEAVING and self._stop.is_drain_due(now):
            self._course.move(GatePhase.DRAINING)
            self._stop.drain()
        if self._course.phase is GatePhase.DRAINING:
            self._stop.go_on(now)
            if not len(self._children):
                self._course.move(GatePhase.ENDED)

    def _feed_watchdog(self, now: float) -> None:
        """Give systemd a sign of life, if every process has given one."""
        seconds = self._notifier.watchdog_seconds
        if not seconds or now < self._next_watchdog:
            return
        self._next_watchdog = now + seconds
        limit = (self._process.hang_seconds or seconds) + _WATCHDOG_GRACE
        if self._course.phase in STOPPING or self._children.longest_silence() < limit:
            self._notifier.send(WATCHDOG=1)

    @property
    def _process(self) -> Process:
        return self._reload.plan.settings.process


def _next_signal(heeded: set[signal.Signals], seconds: float) -> signal.Signals:
    """Return the next of these signals; ALRM when none has come for so long."""
    # `sigtimedwait` with a time would do, but for a process that was stopped beyond it and goes on:
    # then CPython 3.11 makes up a signal from memory that nobody has written.
    if seconds <= 0:
        taken = signal.sigtimedwait(heeded, 0)
        return signal.SIGALRM if taken is None else signal.Signals(taken.si_signo)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    taken = signal.sigwaitinfo(heeded)
    signal.setitimer(signal.ITIMER_REAL, 0)
    return signal.Signals(taken.si_signo)
