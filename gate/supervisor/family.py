"""The parent of all processes: starts them, starts dead ones again, takes signals, stops them.

One thread, no event loop: signals are blocked and taken one at a time with `sigtimedwait`, whose
time-out is the next thing to do. The parent touches no traffic and opens no replica, so that a
fork is always safe.

Signals: TERM and INT drain and stop (a second one stops at once), HUP reloads, USR2 lets another
program take the place of this one. None is lost: what comes in the middle of an upgrade stays
pending, which an exec keeps, and a HUP that comes in the middle of a reload has its turn after it.
A child is told TERM to end within `process.drain_seconds`, and RETIRE to end within
`process.reload_drain_seconds` after its successor has taken over.
"""

from __future__ import annotations

import gc
import logging
import os
import signal
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from gate import logs
from gate.scoreboard import ELDERS, Board
from gate.settings import Process
from gate.supervisor.child import RETIRE, TAKEN, Child, Role, be_child, send_signal
from gate.supervisor.handover import Heir
from gate.supervisor.notify import Notifier

log = logging.getLogger("gate.supervisor")

_LONGEST_WAIT = 1.0
_READY_WAIT = 0.05  # while a child is expected to say that it serves
_FIRST_DELAY = 0.1
_LONGEST_DELAY = 30.0
_SETTLED = 10.0  # a child that lived this long did not die at its start
_STOP_GRACE = 5.0  # beyond the deadline, for a child that cuts its last connections
_RELOAD_PATIENCE = 5.0  # for a reload under way, before the next one begins


@dataclass(slots=True)
class _Stop:
    """A stop under way."""

    drain_at: float
    kill_at: float
    draining: bool = False


@dataclass(slots=True)
class Family:
    """The running children; `run` returns when all have ended."""

    roles: Sequence[Role]
    board: Board
    process: Process
    reload: Callable[[], tuple[Sequence[Role], Process] | None]
    """Reads the settings again; None when they are refused (and logged)."""
    stop_accepting: Callable[[], None]
    """Closes the parent's copies of the data-plane sockets."""
    on_ready: Callable[[], None]
    may_upgrade: Callable[[], bool]
    """Would the program at hand do? Says in the log why not."""
    replace_program: Callable[[Sequence[Heir]], None]
    """Executes it, with these children; returns (and logs) only when that fails."""
    notifier: Notifier = field(default_factory=Notifier)
    _children: dict[int, Child] = field(default_factory=dict)
    _delays: dict[str, float] = field(default_factory=dict)
    _due: dict[str, float] = field(default_factory=dict)
    _successions: set[str] = field(default_factory=set)
    """Roles whose old child ends before the new one starts."""
    _stop: _Stop | None = None
    _reload_wanted: bool = False
    _reload_from: float = 0.0
    """The next reload begins now, or as soon as the last one is complete (monotonic)."""
    _upgrade_wanted: bool = False
    """Begins when the workers serve that are being started."""
    _upgrade_at: float | None = None
    """An upgrade waits for the control process to end, until then at most (monotonic)."""
    _announced: bool = False
    _killed: bool = False
    _next_watchdog: float = 0.0

    def adopt(self, heirs: Iterable[Heir], *, beat: bool) -> None:
        """Takes over the workers that the program before this one has started; before `run`.

        They are replaced as in a reload. Heirs of other roles have ended: the one program
        must be gone before the other one writes the replica. `beat` says whether they know the
        page of elders.
        """
        roles = {role.name: role for role in self.roles}
        for heir in heirs:
            child = Child(roles[heir.role], time.monotonic(), heir.leaving)
            if heir.leaving:
                child.kill_at = self._end_of_retirement()
            self._children[heir.pid] = child
            self.board.elders.add(heir.pid, beats=beat)

    def run(self) -> int:
        """Runs the family; 0 after an orderly end, 1 when a child had to be killed in it."""
        signal.pthread_sigmask(signal.SIG_BLOCK, TAKEN)
        gc.collect()
        gc.freeze()  # what is loaded by now stays shared between the processes
        for role in self.roles:
            self._start(role, restarted=False)
        while self._children or self._stop is None:
            taken = signal.sigtimedwait(self._heeded(), self._wait())
            if taken is not None:
                self._take(taken.si_signo)
            self._reap()
            self._tick(time.monotonic())
        return int(self._killed)

    def _heeded(self) -> set[signal.Signals]:
        """The signals to take now; an upgrade under way leaves some to the program to come."""
        return TAKEN if self._upgrade_at is None else TAKEN - {signal.SIGHUP, signal.SIGUSR2}

    def _wait(self) -> float:
        """Seconds until there is something to do."""
        now = time.monotonic()
        changing = not self._announced or any(self._predecessors())
        times = [now + (_READY_WAIT if changing else _LONGEST_WAIT), *self._due.values()]
        if self._stop is not None:
            times.append(self._stop.kill_at if self._stop.draining else self._stop.drain_at)
        else:
            times += [child.kill_at for child in self._children.values()]
            if self._upgrade_at is not None:
                times.append(self._upgrade_at)
            elif self._reload_wanted:
                times.append(self._reload_from)
        if self.notifier.watchdog_seconds:
            times.append(self._next_watchdog)
        return max(0.0, min(times) - now)

    def _take(self, number: int) -> None:
        if number == signal.SIGHUP:
            self._reload_wanted = True
        elif number == signal.SIGUSR2:
            self._upgrade_wanted = True
        elif number in (signal.SIGTERM, signal.SIGINT):
            self._begin_stop()

    def _tick(self, now: float) -> None:
        logs.follow(self.board.log_level)
        if self.notifier.watchdog_seconds and now >= self._next_watchdog:
            self.notifier.send(WATCHDOG=1)
            self._next_watchdog = now + self.notifier.watchdog_seconds
        if self._stop is not None:
            self._go_on_stopping(self._stop, now)
            return
        self._change(now)
        self._kill_late(now)
        for name in [name for name, due in self._due.items() if due <= now]:
            del self._due[name]
            self._start(self._role(name), restarted=True)
        self._retire_predecessors()
        self._kill_hung()
        if not self._announced and self.board.ready:
            self._announced = True
            self.notifier.send(READY=1, STATUS="ready")
            self.on_ready()

    def _change(self, now: float) -> None:
        """Begins what was asked for, and goes on with an upgrade that has begun."""
        if self._upgrade_at is None and self._reload_wanted:
            if now >= self._reload_from or self._is_calm():
                self._reload()
        elif self._upgrade_wanted and self._is_calm():
            self._begin_upgrade()
        if self._upgrade_at is not None:
            self._go_on_upgrading(self._upgrade_at, now)

    def _is_calm(self) -> bool:
        """Does everything that was started serve, as far as that can be seen here?"""
        return self._announced and not self._successions and not any(self._predecessors())

    # Starting

    def _role(self, name: str) -> Role:
        return next(role for role in self.roles if role.name == name)

    def _start(self, role: Role, *, restarted: bool) -> None:
        """Forks a child for `role`; in the child this never returns."""
        row = self.board.row(role.name)
        sys.stdout.flush()
        sys.stderr.flush()
        parent = os.getpid()
        pid = os.fork()
        if pid == 0:
            be_child(role, parent)
        row.begin(pid, restarted=restarted)
        self._children[pid] = Child(role, time.monotonic())
        log.debug("%s started as process %d", role.name, pid)

    def _reap(self) -> None:
        """Takes the exit status of every child that has ended, and plans its restart."""
        while self._children:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            child = self._children.pop(pid, None)
            if child is None:
                continue
            self.board.elders.remove(pid)
            name = child.role.name
            if not child.leaving and self.board.row(name).pid == pid:
                self._plan_restart(child, os.waitstatus_to_exitcode(status), pid)
            elif name in self._successions and self._stop is None:
                self._successions.discard(name)
                self._start(self._role(name), restarted=False)

    def _plan_restart(self, child: Child, code: int, pid: int) -> None:
        now = time.monotonic()
        name = child.role.name
        delay = 0.0
        if now - child.started < _SETTLED:
            delay = min(_LONGEST_DELAY, max(_FIRST_DELAY, 2 * self._delays.get(name, 0.0)))
        self._delays[name] = delay
        self._due[name] = now + delay
        how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with {code}"
        log.error("%s (process %d) %s; starting it again in %.1f s", name, pid, how, delay)

    def _kill_hung(self) -> None:
        limit = self.process.hang_seconds
        if not limit:
            return
        for pid, child in self._children.items():
            if not child.role.carries_traffic:
                continue
            row, elders = self.board.row(child.role.name), self.board.elders
            silent = row.silent_seconds if row.pid == pid else elders.silent_seconds(pid)
            if silent > limit:
                log.error("%s (process %d) hangs: no sign of life for %g s", row.name, pid, limit)
                send_signal(pid, signal.SIGKILL)

    def _kill_late(self, now: float) -> None:
        """Kills what was replaced and has not ended in its time: a successor may wait for it."""
        for pid, child in self._children.items():
            if now >= child.kill_at:
                log.error("%s (process %d) did not end in time; killed", child.role.name, pid)
                send_signal(pid, signal.SIGKILL)
                child.kill_at = now + _STOP_GRACE

    # Reload

    def _reload(self) -> None:
        """Replaces every child by one with the new settings."""
        self._reload_wanted = False
        self._reload_from = time.monotonic() + _RELOAD_PATIENCE
        self._tell_reloading()
        fresh = self.reload() if self._has_room() else None
        self.board.count_reload(refused=fresh is None)
        if fresh is not None:
            self.roles, self.process = fresh
            before = dict(self._children)
            for role in self.roles:
                for pid, child in before.items():
                    if child.role.name == role.name and not child.leaving:
                        self._make_way(pid, child)
                if role.carries_traffic:
                    self._due.pop(role.name, None)
                    self._start(role, restarted=False)
        if self._announced:
            self.notifier.send(READY=1)

    def _tell_reloading(self) -> None:
        self.notifier.send(
            RELOADING=1, MONOTONIC_USEC=time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        )

    def _has_room(self) -> bool:
        busy = len(self.board.elders.pids)
        wanted = sum(role.carries_traffic for role in self.roles)
        if busy + wanted > ELDERS:
            log.error(
                "refused: %d workers of earlier reloads still have open connections; "
                "wait, or lower process.reload_drain_seconds",
                busy,
            )
        return busy + wanted <= ELDERS

    def _make_way(self, pid: int, child: Child) -> None:
        if child.role.carries_traffic:
            # Until it ends, every change must reach it, too.
            self.board.elders.add(pid, beats=True)
            return
        # One process at a time writes the replica: this one ends before its successor starts.
        child.leaving = True
        child.kill_at = time.monotonic() + _STOP_GRACE
        self._successions.add(child.role.name)
        send_signal(pid, signal.SIGTERM)

    def _predecessors(self) -> Iterator[tuple[int, Child]]:
        """The children that have a successor and have not been told to end."""
        for pid, child in self._children.items():
            if self.board.row(child.role.name).pid != pid and not child.leaving:
                yield pid, child

    def _retire_predecessors(self) -> None:
        """Retires each child whose successor serves."""
        for pid, child in self._predecessors():
            if self.board.row(child.role.name).serving:
                child.leaving = True
                child.kill_at = self._end_of_retirement()
                send_signal(pid, RETIRE)

    def _end_of_retirement(self) -> float:
        return time.monotonic() + self.process.reload_drain_seconds + _STOP_GRACE

    # Upgrade

    def _begin_upgrade(self) -> None:
        """Ends all but the workers, if another program could take over."""
        self._upgrade_wanted = False
        if not self._has_room() or not self.may_upgrade():
            return
        self._tell_reloading()
        self._upgrade_at = time.monotonic() + _STOP_GRACE
        self._successions.clear()
        for role in self.roles:
            if not role.carries_traffic:
                self._due.pop(role.name, None)
        self._end(lambda child: not child.role.carries_traffic)

    def _go_on_upgrading(self, deadline: float, now: float) -> None:
        """Executes the other program as soon as workers alone are left."""
        others = [pid for pid, child in self._children.items() if not child.role.carries_traffic]
        if not others:
            self.replace_program(
                [Heir(pid, child.role.name, child.leaving) for pid, child in self._children.items()]
            )
            # Still here: it could not be executed.
            self._upgrade_at = None
            for role in self.roles:
                if not role.carries_traffic:
                    self._start(role, restarted=False)
            self.notifier.send(READY=1)
        elif now >= deadline:
            self._upgrade_at = now + _STOP_GRACE
            for pid in others:
                send_signal(pid, signal.SIGKILL)

    # Stopping

    def _begin_stop(self) -> None:
        now = time.monotonic()
        if self._stop is not None:
            log.warning("stopping at once")
            self._stop.kill_at = now
            self._stop.draining = True
            return
        log.info("stopping; open connections have %g s to end", self.process.drain_seconds)
        self.board.draining = True
        self._upgrade_at = None
        self.notifier.send(STOPPING=1, STATUS="draining")
        drain_at = now + self.process.drain_delay
        self._stop = _Stop(drain_at, drain_at + self.process.drain_seconds + _STOP_GRACE)

    def _go_on_stopping(self, stop: _Stop, now: float) -> None:
        if not stop.draining and now >= stop.drain_at:
            stop.draining = True
            self.stop_accepting()
            self._end(lambda child: child.role.carries_traffic)
        if now >= stop.kill_at:
            for pid, child in self._children.items():
                log.error("%s (process %d) did not end in time; killed", child.role.name, pid)
                send_signal(pid, signal.SIGKILL)
                child.leaving = True
                self._killed = True
            stop.kill_at = now + _STOP_GRACE
        elif stop.draining and not any(
            child.role.carries_traffic for child in self._children.values()
        ):
            self._end(lambda child: not child.leaving)

    def _end(self, which: Callable[[Child], bool]) -> None:
        """Tells children to end; a retired one learns that its time is shorter now."""
        for pid, child in self._children.items():
            if which(child):
                child.leaving = True
                send_signal(pid, signal.SIGTERM)
