"""What runs under one state of the settings: the roles of the gate's processes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from gate.control.process import ControlSockets, run_control
from gate.ipc.scoreboard import Board
from gate.settings import Settings
from gate.supervisor.child import ProcessRole
from gate.supervisor.embedded import EmbeddedRegistry
from gate.supervisor.sockets import Ports
from gate.worker.process import Worker, run_worker


@dataclass(slots=True, frozen=True)
class Plan:
    """The settings in force, and the roles that serve them."""

    settings: Settings
    roles: Sequence[ProcessRole]


def role_names(
    workers: int, embedded: EmbeddedRegistry, more_roles: Sequence[ProcessRole]
) -> list[str]:
    """Return the names of all roles of a gate."""
    own = ["control", *(f"worker-{index}" for index in range(workers))]
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
        control = ControlSockets(ports.control, ports.admin, ports.notice)
        controls = {ports.control, ports.admin, ports.notice}
        yield ProcessRole(
            "control",
            partial(
                run_control,
                settings,
                control,
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
            worker = Worker(index, settings, mine, siblings)
            yield ProcessRole(
                f"worker-{index}",
                partial(run_worker, worker, [*others, *foreign]),
                carries_traffic=True,
            )
