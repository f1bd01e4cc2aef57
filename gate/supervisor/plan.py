"""What runs under one state of the settings: the roles of the gate's processes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from socket import socket
from typing import Final

from gate.ipc.scoreboard import Board, ProcessRow
from gate.settings import Settings
from gate.supervisor.child import ProcessRole
from gate.supervisor.embedded import EmbeddedRegistry
from gate.supervisor.sockets import Ports
from gate.worker.process import Worker, run_worker

_CONTROL: Final = "control"


@dataclass(slots=True, frozen=True)
class Plan:
    """The settings in force, and the roles that serve them."""

    settings: Settings
    roles: Sequence[ProcessRole]


def role_names(
    workers: int, embedded: EmbeddedRegistry, more_roles: Sequence[ProcessRole]
) -> list[str]:
    """Return the names of all roles of a gate."""
    own = [_CONTROL, *(f"worker-{index}" for index in range(workers))]
    return [*own, *embedded.names, *(role.name for role in more_roles)]


@dataclass(slots=True, frozen=True)
class Planner:
    """Makes plans for one gate: its sockets and the number of its workers never change."""

    ports: Ports
    workers: int
    board: Board
    embedded: EmbeddedRegistry
    more_roles: Sequence[ProcessRole]

    def plan(self, settings: Settings) -> Plan:
        """Return what serves these settings."""
        resolved = settings.model_copy(update={"sync": self.embedded.resolve(settings.sync)})
        registry = self.embedded.roles(self.ports.all(), self.board)
        return Plan(settings, [*self._own(resolved), *registry, *self.more_roles])

    def _own(self, settings: Settings) -> Iterator[ProcessRole]:
        """Yield the gate's own processes."""
        ports = self.ports
        # A copy left open in another process would keep the port when its owner lets go of it.
        listener = self.embedded.listener
        foreign = [] if listener is None else [listener]
        controls = {ports.control, ports.admin, ports.notice}
        yield ProcessRole(
            _CONTROL,
            partial(
                _run_control,
                settings,
                ports,
                self.board,
                self.workers,
                [*(sock for sock in ports.all() if sock not in controls), *foreign],
            ),
            carries_traffic=False,
        )
        for index in range(self.workers):
            mine, siblings = ports.of_worker(index, settings.listeners), ports.siblings(index)
            keep = {sock.fileno() for _, sock in mine}
            if siblings is not None:
                keep |= {sock.fileno() for sock in (*siblings.entries, siblings.outlet)}
            others = [sock for sock in ports.all() if sock.fileno() not in keep]
            worker = Worker(index, settings, mine, siblings, has_control=self._has_control)
            yield ProcessRole(
                f"worker-{index}",
                partial(run_worker, worker, [*others, *foreign]),
                carries_traffic=True,
            )

    def _has_control(self) -> bool:
        """Return whether there has been a control process in this run of the program."""
        return bool(self.board.row(_CONTROL).pid)


def _run_control(
    settings: Settings,
    ports: Ports,
    board: Board,
    workers: int,
    others: Sequence[socket],
    row: ProcessRow,
) -> int:
    # It takes long to load, and the first workers are not to wait for that.
    from gate.control.process import ControlSockets, run_control

    sockets = ControlSockets(ports.control, ports.admin, ports.notice)
    return run_control(settings, sockets, board, workers, others, row)
