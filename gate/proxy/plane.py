"""What all connections of one worker share. Each part is an object of its own, with methods."""

from __future__ import annotations

from dataclasses import dataclass, field

from gate.policy import Decider
from gate.proxy.admission import Admission, Budget
from gate.proxy.counters import Counters
from gate.proxy.flow import BUFFER_BYTES
from gate.proxy.hosts import Hosts
from gate.proxy.pipes import PipePool
from gate.proxy.reactor import Reactor
from gate.proxy.upstream import Router
from gate.settings import Settings


@dataclass(slots=True)
class Plane:
    """The shared parts of one worker's data plane."""

    settings: Settings
    run: str
    """Tells this worker process from every other, in the names of connections."""
    reactor: Reactor
    decider: Decider
    router: Router
    admission: Admission
    budget: Budget
    hosts: Hosts | None = None
    """Where connections are sent on to that go to their own destination, if some may."""
    counters: Counters = field(default_factory=Counters)
    pipes: PipePool = field(default_factory=PipePool)
    buffer: memoryview = field(default_factory=lambda: memoryview(bytearray(BUFFER_BYTES)))
    draining: bool = False

    def drain(self) -> None:
        """From now on connections are to end rather than to wait for more."""
        self.draining = True
