"""Puts a gate together: from settings to sockets, processes and the first fork."""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import resource
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial

from gate import logs
from gate.ipc.scoreboard import Board, ReplacedWorkers
from gate.net.bind import BindError, TransparencyError, make_transparent
from gate.net.descriptors import raise_limit
from gate.net.local_addresses import LocalAddresses
from gate.proxy.native import why_python
from gate.registry.embedded import load as load_registry
from gate.settings import EMBEDDED, NONE, Process, Settings
from gate.settings.advice import advice
from gate.settings.reload import merge
from gate.supervisor import privileges
from gate.supervisor.activation import assign, passed
from gate.supervisor.child import ProcessRole
from gate.supervisor.children import STOP_GRACE, Children
from gate.supervisor.embedded import EmbeddedRegistry
from gate.supervisor.errors import CannotStart
from gate.supervisor.handover import Handover, inherited, ports_of, registry_socket_of
from gate.supervisor.loop import Supervisor
from gate.supervisor.notify import Notifier
from gate.supervisor.plan import Planner, role_names
from gate.supervisor.preflight import faults, worries
from gate.supervisor.program import Program
from gate.supervisor.reload import Reader, Reload
from gate.supervisor.sockets import Ports, bind, write_addresses
from gate.supervisor.stop import Stop
from gate.supervisor.upgrade import Upgrade

_log = logging.getLogger(__name__)


def serve(
    settings: Settings,
    read_again: Reader,
    *,
    more_roles: Sequence[ProcessRole] = (),
    on_ready: Callable[[Ports], None] | None = None,
    program: Program | None = None,
) -> int:
    """Run a gate until it is told to stop; return the exit status of the program.

    `read_again` gives the settings on a reload and raises ConfigError. `more_roles` run beside
    the gate's own processes (an embedded registry, the demo origin). `program` is what an upgrade
    executes; without one, no upgrade is possible.
    Raises CannotStart before anything has been started.
    """
    before = inherited(os.environ)
    kept: list[str] = []
    if before is not None:
        settings, kept = _as_before(before, settings)
    logs.set_up(settings.log)
    for key in kept:
        _log.warning("upgrade: %s changes on a restart only; the old value stays", key)
    workers = before.workers if before else settings.workers or os.cpu_count() or 1
    try:
        with _own(settings, before) as lock:
            if before is None:
                settings.addresses_path.unlink(missing_ok=True)  # the ports may be anybody's by now
            _check(settings)
            ports = ports_of(before) if before else _bind(settings, workers)
            open_files = raise_limit(settings.process.open_files)
            write_addresses(ports, settings.addresses_path)
            if settings.process.user or settings.process.group:
                _preload(settings)  # whom it becomes may have no right to read the program
            privileges.drop(
                settings.process,
                (settings.state_dir, settings.replica_path),
                keeps_raw=_clients_are_seen(settings),
            )
            _check_client_source(settings)
            _check_destinations(settings)
            # Only now: a start that is refused says one line, and no warnings beside it.
            listener = registry_socket_of(before) if before else None
            embedded = EmbeddedRegistry.prepare(settings, listener)
            _warn(settings, open_files)
            names = role_names(workers, embedded, more_roles)
            board = Board(names) if before is None else _board_after(before, names)
            planner = Planner(ports, workers, board, embedded, more_roles)
            plan = planner.plan(settings)
            children = Children(board, plan.roles)
            reload = Reload(plan, planner, read_again, children, board)
            supervisor = Supervisor(
                children,
                reload,
                Upgrade(program, lock, planner, reload, children, board),
                Stop(children, board, ports),
                board,
                Notifier(),
                partial(_announce, ports, on_ready),
                partial(_preload, settings),
                # After an upgrade the old workers go on, and the new ones have to hear what was
                # changed by hand. Without a list the workers wait for one.
                workers_first=before is None and settings.replica_path.exists(),
            )
            _tell_start(before, workers, settings.process)
            if before is not None:
                _adopt(before, children, settings)
            return supervisor.run()
    except BindError as error:
        raise CannotStart(str(error)) from None


def rehearse(settings: Settings) -> None:
    """Try whether `serve` in place of the program that calls this one would understand it.

    Raises CannotStart.
    """
    before = inherited(os.environ)
    if before is None:
        raise CannotStart(
            "a rehearsal is for a gate that is about to be upgraded, and calls it itself"
        )
    settings, _ = _as_before(before, settings)
    _check(settings)


def _as_before(before: Handover, wanted: Settings) -> tuple[Settings, list[str]]:
    """Return the wanted settings but for what changes on a restart only, and the keys of that."""
    try:
        return merge(Settings.model_validate(before.settings), wanted)
    except ValueError as error:
        raise CannotStart(
            f"the settings of the program before this one can't be read: {error}; start anew"
        ) from None


def _check(settings: Settings) -> None:
    """Is there what the settings ask of this machine? Raises CannotStart, a line for each fault."""
    found = tuple(faults(settings))
    if found:
        raise CannotStart("\n".join(found))


def _clients_are_seen(settings: Settings) -> bool:
    return any(listener.client_source != "off" for listener in settings.listeners)


def _check_client_source(settings: Settings) -> None:
    """Can connections have a client's address, where they are to? Raises CannotStart."""
    for listener in settings.listeners:
        if listener.client_source != "off":
            try:
                with socket.socket() as sock:
                    make_transparent(sock)
            except TransparencyError as error:
                raise CannotStart(
                    f"listener {listener.name!r}: client_source: {error} (it is kept when the gate "
                    "becomes process.user)"
                ) from None


def _check_destinations(settings: Settings) -> None:
    """Can the kernel be asked which addresses are this machine's? Raises CannotStart."""
    for listener in settings.listeners:
        if listener.destinations:
            try:
                LocalAddresses().close()
            except OSError as error:
                raise CannotStart(
                    f"listener {listener.name!r}: destinations: the kernel cannot be asked for "
                    f"this machine's addresses ({error.strerror}); let the gate have netlink "
                    "(AF_NETLINK in systemd's RestrictAddressFamilies=)"
                ) from None


def _bind(settings: Settings, workers: int) -> Ports:
    given = assign(passed(os.environ, os.getpid()), settings, workers)
    if given:
        _log.info("passed by the service manager: the sockets of %s", ", ".join(sorted(given)))
    return bind(settings, workers, given)


def _preload(settings: Settings) -> None:
    """Load in this process what its children will need; those that lack it then say so."""
    inside = EmbeddedRegistry.is_wanted(settings)
    follows = inside or settings.sync.registry not in (NONE, EMBEDDED)
    try:
        from gate.control.process import preload

        preload(settings, follows=follows)
        if any(listener.kind == "quic" for listener in settings.listeners):
            import gate.proxy.udp.plane  # noqa: F401 - loaded, and taken by those who use it
        if inside:
            load_registry()
    except ImportError:
        _log.exception("a part of the program cannot be loaded; install it again")


def _warn(settings: Settings, open_files: int) -> None:
    for warning in (*advice(settings), *worries(settings)):
        _log.warning("%s", warning)
    if settings.process.native == "auto" and why_python(settings.process):
        _log.warning(
            "process.native: the compiled data plane cannot be used: %s. The Python one does the "
            "same for two to four times the CPU; install a wheel for this platform, or gcc and "
            "python3-dev before `make setup`",
            why_python(settings.process),
        )
    wanted = settings.process.open_files
    if open_files != resource.RLIM_INFINITY and open_files < wanted:
        _log.warning(
            "process.open_files: %d wanted, %d allowed; raise the hard limit (LimitNOFILE in "
            "systemd, ulimit -Hn in a shell)",
            wanted,
            open_files,
        )


def _board_after(before: Handover, names: Sequence[str]) -> Board:
    """Return a board that goes on from what the program before this one has counted."""
    counts = before.counts
    board = Board(names, born=counts.born, replaced=ReplacedWorkers(before.replaced))
    board.count_from(
        done=counts.reloads,
        refused=counts.reloads_refused,
        rolled_back=counts.reloads_rolled_back,
        generation=counts.generation,
    )
    for row in board:
        row.count_from(counts.restarts.get(row.name, 0))
    return board


def _adopt(before: Handover, children: Children, settings: Settings) -> None:
    """Take over the workers that go on, as predecessors of those to come.

    Children in other roles have ended: the one program must be gone before the other one writes
    the replica.
    """
    end = time.monotonic() + settings.process.reload_drain_seconds + STOP_GRACE
    for worker in before.children:
        children.adopt(
            worker.pid,
            worker.role,
            beats=before.replaced is not None,
            kill_at=end if worker.leaving else None,
        )


def _tell_start(before: Handover | None, workers: int, process: Process) -> None:
    what = "starting" if before is None else "upgraded"
    reason = why_python(process)
    plane = f"the Python data plane ({reason})" if reason else "the native data plane"
    _log.info("%s: %d workers on %s, process %d", what, workers, plane, os.getpid())


def _announce(ports: Ports, on_ready: Callable[[Ports], None] | None) -> None:
    """Say that the gate takes traffic."""
    _log.info("ready: %s", ", ".join(f"{name} {at}" for name, at in ports.describe().items()))
    if on_ready:
        on_ready(ports)


@contextlib.contextmanager
def _own(settings: Settings, before: Handover | None) -> Iterator[int]:
    """Make the state folder and locks it: one gate per folder. Gives the lock's descriptor."""
    folder, path = settings.state_dir, settings.lock_path
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # Closing any other descriptor of the file would end an inherited lock.
        lock = open(before.lock if before else path, "a+", encoding="ascii")  # noqa: SIM115
    except OSError as error:
        raise CannotStart(
            f"state_dir: {folder} cannot be used: {error.strerror}; "
            "set state_dir to a folder that the gate may write"
        ) from None
    with lock:
        try:
            # A POSIX lock: children do not inherit it, so it ends with this process.
            fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):
            lock.seek(0)
            raise CannotStart(
                f"state_dir: {folder} belongs to the gate that runs as process "
                f"{lock.read().strip()}; stop that one or set another state_dir"
            ) from None
        lock.truncate(0)
        lock.write(f"{os.getpid()}\n")
        lock.flush()
        yield lock.fileno()
        lock.truncate(0)
