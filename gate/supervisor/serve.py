"""Puts a gate together: from settings to sockets, processes and the first fork."""

from __future__ import annotations

import contextlib
import fcntl
import gc
import logging
import os
import resource
import socket
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial

from gate import logs
from gate.controller import ControlSockets, preload, run_control
from gate.registry.embedded import load as load_registry
from gate.scoreboard import Board, Elders
from gate.settings import EMBEDDED, ConfigError, Process, Settings
from gate.settings.advice import advice
from gate.settings.reload import merge
from gate.supervisor import privileges
from gate.supervisor.activation import ActivationError, assign, passed
from gate.supervisor.binding import BindError, Ports, bind, write_addresses
from gate.supervisor.child import Role
from gate.supervisor.family import Family
from gate.supervisor.handover import (
    Counts,
    Handover,
    HandoverError,
    Heir,
    descriptors_of,
    inherited,
    inside_of,
    ports_of,
)
from gate.supervisor.inside import Inside, InsideError
from gate.supervisor.program import Program
from gate.supervisor.reloading import note_reload
from gate.worker import Worker, run_worker

log = logging.getLogger("gate.supervisor")

Reader = Callable[[], Settings]


class Refused(Exception):
    """The gate cannot start; the message is one clear line for the operator."""


def serve(
    settings: Settings,
    read_again: Reader,
    *,
    more_roles: Sequence[Role] = (),
    on_ready: Callable[[Ports], None] | None = None,
    program: Program | None = None,
) -> int:
    """Runs a gate until it is told to stop; the exit status of the program.

    `read_again` gives the settings on a reload and raises ConfigError. `more_roles` run beside
    the gate's own processes (an embedded registry, the demo origin). `program` is what an upgrade
    executes; without one, no upgrade is possible.
    Raises Refused before anything has been started.
    """
    before = _inherited()
    kept: list[str] = []
    if before is not None:
        settings, kept = _as_before(before, settings)
    logs.set_up(settings.log)
    for key in kept:
        log.warning("upgrade: %s changes on a restart only; the old value stays", key)
    workers = before.workers if before else settings.workers or os.cpu_count() or 1
    try:
        with _own(settings, before) as lock:
            if before is None:
                settings.addresses_path.unlink(missing_ok=True)  # the ports may be anybody's by now
            _check_certificates(settings)
            ports = ports_of(before) if before else _bind(settings, workers)
            open_files = privileges.raise_open_files(settings.process.open_files)
            write_addresses(ports, settings.addresses_path)
            if settings.process.user or settings.process.group:
                _preload(settings)  # whom it becomes may have no right to read the program
            privileges.drop(settings.process, (settings.state_dir, settings.replica_path))
            # Only now: a start that is refused says one line, and no warnings beside it.
            inside = Inside.prepare(settings, inside_of(before) if before else None)
            _warn(settings, open_files)
            gate = _Gate(settings, workers, ports, lock, read_again, inside, more_roles, program)
            return gate.run(before, on_ready)
    except (ActivationError, BindError, privileges.PrivilegeError, InsideError) as error:
        raise Refused(str(error)) from None


def rehearse(settings: Settings) -> None:
    """Would `serve` in place of the program that calls this one understand it? Raises Refused."""
    before = _inherited()
    if before is None:
        raise Refused("a rehearsal is for a gate that is about to be upgraded, and calls it itself")
    settings, _ = _as_before(before, settings)
    _check_certificates(settings)


def _inherited() -> Handover | None:
    try:
        return inherited(os.environ)
    except HandoverError as error:
        raise Refused(str(error)) from None


def _as_before(before: Handover, wanted: Settings) -> tuple[Settings, list[str]]:
    """The wanted settings but for what changes on a restart only, and the keys of that."""
    try:
        return merge(Settings.model_validate(before.settings), wanted)
    except ValueError as error:
        raise Refused(
            f"the settings of the program before this one can't be read: {error}; start anew"
        ) from None


def _check_certificates(settings: Settings) -> None:
    """Can the admin port's certificates be used? Raises Refused."""
    tls = settings.admin.tls
    if tls is None:
        return
    from gate.sync.tls import ServerContext, TlsError

    try:
        ServerContext(tls.certificate, tls.key, tls.client_ca)
    except TlsError as error:
        raise Refused(str(error)) from None


def _bind(settings: Settings, workers: int) -> Ports:
    given = assign(passed(os.environ, os.getpid()), settings, workers)
    if given:
        log.info("passed by the service manager: the sockets of %s", ", ".join(sorted(given)))
    return bind(settings, workers, given)


def _preload(settings: Settings) -> None:
    """Load in this process what its children will need; those that lack it then say so."""
    try:
        preload(settings)
        if settings.sync.registry == EMBEDDED:
            load_registry()
    except ImportError:
        log.exception("a part of the program cannot be loaded; install it again")


def _warn(settings: Settings, open_files: int) -> None:
    for warning in advice(settings):
        log.warning("%s", warning)
    wanted = settings.process.open_files
    if open_files != resource.RLIM_INFINITY and open_files < wanted:
        log.warning(
            "process.open_files: %d wanted, %d allowed; raise the hard limit (LimitNOFILE in "
            "systemd, ulimit -Hn in a shell)",
            wanted,
            open_files,
        )


class _Gate:
    """A gate whose ports are bound."""

    def __init__(
        self,
        settings: Settings,
        workers: int,
        ports: Ports,
        lock: int,
        read_again: Reader,
        inside: Inside,
        more_roles: Sequence[Role],
        program: Program | None,
    ) -> None:
        self._settings = settings
        self._workers = workers
        self._ports = ports
        self._lock = lock
        self._read_again = read_again
        self._inside = inside
        self._more_roles = more_roles
        self._program = program
        names = ["control", *(f"worker-{index}" for index in range(workers))]
        self._names = [*names, *inside.names, *(role.name for role in more_roles)]
        self._board = Board(self._names)

    def run(self, before: Handover | None, on_ready: Callable[[Ports], None] | None) -> int:
        """Runs it to its end; the exit status of the program."""
        if before is not None:
            self._go_on_from(before)

        def announce() -> None:
            log.info("ready: %s", ", ".join(f"{k} {v}" for k, v in self._ports.describe().items()))
            if on_ready:
                on_ready(self._ports)
            # The first children have loaded what they need by themselves, beside each other, and
            # those of a later day find it here: also when the files of the program are being
            # replaced by then, for an upgrade.
            _preload(self._settings)
            gc.collect()
            gc.freeze()

        family = Family(
            self._roles(),
            self._board,
            self._settings.process,
            self._reload,
            self._stop_accepting,
            announce,
            self._may_upgrade,
            self._replace_program,
        )
        if before is not None:
            family.adopt(before.children, beat=before.elders is not None)
            log.info("upgraded: %d workers, process %d", self._workers, os.getpid())
        else:
            log.info("starting: %d workers, process %d", self._workers, os.getpid())
        return family.run()

    def _go_on_from(self, before: Handover) -> None:
        counts = before.counts
        self._board = Board(self._names, born=counts.born, elders=Elders(before.elders))
        self._board.count_from(done=counts.reloads, refused=counts.reloads_refused)
        for row in self._board:
            row.count_from(counts.restarts.get(row.name, 0))

    def _roles(self) -> list[Role]:
        resolved = self._settings.model_copy(
            update={"sync": self._inside.resolve(self._settings.sync)}
        )
        # A copy left open in another process would keep the port when its owner lets go of it.
        listener = self._inside.listener
        strange = [] if listener is None else [listener]
        own = _roles(resolved, self._workers, self._ports, self._board, strange)
        registry = self._inside.roles(self._ports.all(), self._board)
        return [*own, *registry, *self._more_roles]

    def _reload(self) -> tuple[Sequence[Role], Process] | None:
        try:
            wanted = self._read_again()
        except ConfigError as error:
            for problem in error.problems:
                log.error("reload refused: %s", problem)
            self._note_reload(taken=False, problems=map(str, error.problems))
            return None
        self._settings, kept = merge(self._settings, wanted)
        for key in kept:
            log.warning("reload: %s changes on a restart only; the old value stays", key)
        logs.set_up(self._settings.log)
        self._board.log_level = logs.level()  # a level that was set by hand is over
        log.info("reloaded")
        self._note_reload(taken=True, kept=kept)
        return self._roles(), self._settings.process

    def _note_reload(
        self, *, taken: bool, problems: Iterable[str] = (), kept: Iterable[str] = ()
    ) -> None:
        path = self._settings.reload_path
        note_reload(path, self._board.born, taken=taken, problems=problems, kept=kept)

    def _stop_accepting(self) -> None:
        for sock in self._ports.of_workers():
            sock.close()

    def _handover(self, children: Sequence[Heir]) -> Handover:
        board = self._board
        counts = Counts(
            board.born,
            {row.name: row.restarts for row in board},
            board.reloads,
            board.reloads_refused,
        )
        return Handover(
            self._settings.model_dump(mode="json"),
            self._workers,
            self._lock,
            descriptors_of(self._ports, self._inside.listener),
            children,
            counts,
            board.elders.descriptor,
        )

    def _may_upgrade(self) -> bool:
        if self._program is None:
            log.error("upgrade refused: only a gate that `gate serve` has started can be upgraded")
            return False
        problem = self._program.rehearse(self._handover([]))
        if problem:
            log.error("upgrade refused: %s", problem)
        return not problem

    def _replace_program(self, children: Sequence[Heir]) -> None:
        if self._program is None:
            return
        log.info("upgrading: %s takes over", self._program)
        sys.stdout.flush()
        sys.stderr.flush()
        problem = self._program.replace_this_one(self._handover(children))
        log.error("upgrade failed, the program stays: %s", problem)


def _roles(
    settings: Settings, workers: int, ports: Ports, board: Board, strange: Sequence[socket.socket]
) -> Iterator[Role]:
    """The gate's own processes; `strange` are sockets that none of them has any use for."""
    control = ControlSockets(ports.control, ports.admin, ports.notice)
    not_controls = [*ports.of_workers(), *strange]
    yield Role(
        "control",
        partial(run_control, settings, control, board, workers, not_controls),
        carries_traffic=False,
    )
    for index in range(workers):
        mine = ports.of_worker(index, settings.listeners)
        worker = Worker(index, settings, mine, board.row(f"worker-{index}"))
        keep = {sock.fileno() for _, sock in mine}
        others = [sock for sock in ports.all() if sock.fileno() not in keep]
        others += strange
        yield Role(f"worker-{index}", partial(run_worker, worker, others), carries_traffic=True)


@contextlib.contextmanager
def _own(settings: Settings, before: Handover | None) -> Iterator[int]:
    """Makes the state folder and locks it: one gate per folder. Gives the lock's descriptor."""
    folder, path = settings.state_dir, settings.lock_path
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # Closing any other descriptor of the file would end an inherited lock.
        lock = open(before.lock if before else path, "a+", encoding="ascii")  # noqa: SIM115
    except OSError as error:
        raise Refused(
            f"state_dir: {folder} cannot be used: {error.strerror}; "
            "set state_dir to a folder that the gate may write"
        ) from None
    with lock:
        try:
            # A POSIX lock: children do not inherit it, so it ends with this process.
            fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):
            lock.seek(0)
            raise Refused(
                f"state_dir: {folder} belongs to the gate that runs as process "
                f"{lock.read().strip()}; stop that one or set another state_dir"
            ) from None
        lock.truncate(0)
        lock.write(f"{os.getpid()}\n")
        lock.flush()
        yield lock.fileno()
        lock.truncate(0)
