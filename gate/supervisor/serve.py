"""Puts a gate together: from settings to sockets, processes and the first fork."""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import resource
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

from gate import logs
from gate.controller import ControlSockets, run_control
from gate.scoreboard import Board
from gate.settings import ConfigError, Process, Settings
from gate.settings.advice import advice
from gate.settings.reload import merge
from gate.supervisor import privileges
from gate.supervisor.binding import BindError, Ports, bind, write_addresses
from gate.supervisor.family import Family, Role
from gate.supervisor.inside import Inside, InsideError
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
) -> int:
    """Runs a gate until it is told to stop; the exit status of the program.

    `read_again` gives the settings on a reload and raises ConfigError. `more_roles` run beside
    the gate's own processes (an embedded registry, the demo origin).
    Raises Refused before anything has been started.
    """
    logs.set_up(settings.log)
    workers = settings.workers or os.cpu_count() or 1
    try:
        with _own(settings.state_dir):
            ports = bind(settings, workers)
            open_files = privileges.raise_open_files(settings.process.open_files)
            write_addresses(ports, settings.state_dir / "listening.json")
            privileges.drop(settings.process, (settings.state_dir, settings.replica_path))
            # Only now: a start that is refused says one line, and no warnings beside it.
            inside = Inside.prepare(settings)
            _warn(settings, open_files)
            return _run(settings, workers, ports, read_again, inside, more_roles, on_ready)
    except (BindError, privileges.PrivilegeError, InsideError) as error:
        raise Refused(str(error)) from None


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


def _run(
    settings: Settings,
    workers: int,
    ports: Ports,
    read_again: Reader,
    inside: Inside,
    more_roles: Sequence[Role],
    on_ready: Callable[[Ports], None] | None,
) -> int:
    names = ["control", *(f"worker-{index}" for index in range(workers))]
    more_roles = [*inside.roles(ports.all()), *more_roles]
    board = Board([*names, *(role.name for role in more_roles)])
    running = settings

    def roles(wanted: Settings) -> list[Role]:
        resolved = wanted.model_copy(update={"sync": inside.resolve(wanted.sync)})
        return [*_roles(resolved, workers, ports, board), *more_roles]

    def reload() -> tuple[Sequence[Role], Process] | None:
        nonlocal running
        try:
            wanted = read_again()
        except ConfigError as error:
            for problem in error.problems:
                log.error("reload refused: %s", problem)
            return None
        running, kept = merge(running, wanted)
        for key in kept:
            log.warning("reload: %s changes on a restart only; the old value stays", key)
        logs.set_up(running.log)
        log.info("reloaded")
        return roles(running), running.process

    def stop_accepting() -> None:
        for sock in ports.of_workers():
            sock.close()

    def announce() -> None:
        log.info("ready: %s", ", ".join(f"{k} {v}" for k, v in ports.describe().items()))
        if on_ready:
            on_ready(ports)

    family = Family(roles(running), board, running.process, reload, stop_accepting, announce)
    log.info("starting: %d workers, process %d", workers, os.getpid())
    return family.run()


def _roles(settings: Settings, workers: int, ports: Ports, board: Board) -> Iterator[Role]:
    control = ControlSockets(ports.control, ports.admin, ports.notice)
    yield Role(
        "control",
        partial(run_control, settings, control, board, workers, ports.of_workers()),
        carries_traffic=False,
    )
    for index in range(workers):
        mine = ports.of_worker(index, settings.listeners)
        worker = Worker(index, settings, mine, board.row(f"worker-{index}"))
        keep = {sock.fileno() for _, sock in mine}
        others = [sock for sock in ports.all() if sock.fileno() not in keep]
        yield Role(f"worker-{index}", partial(run_worker, worker, others), carries_traffic=True)


@contextlib.contextmanager
def _own(folder: Path) -> Iterator[None]:
    """Makes the state folder and locks it: one gate per folder."""
    path = folder / "gate.pid"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = path.open("a+", encoding="ascii")
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
        yield
        lock.truncate(0)
