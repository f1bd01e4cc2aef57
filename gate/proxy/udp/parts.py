"""What all QUIC flows of one worker share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from gate.policy import Decider
from gate.proxy.admission import Budget
from gate.proxy.counters import Counters
from gate.proxy.datagrams import BUFFER_BYTES, Rows
from gate.proxy.hosts import Hosts
from gate.proxy.reactor import Reactor
from gate.proxy.udp.counters import QuicCounters
from gate.proxy.udp.refusals import QuicAnswers, Refusals
from gate.proxy.upstream import Pool
from gate.settings import Limits


@dataclass(slots=True)
class QuicParts:
    """The parts; each is an object of its own, with methods."""

    run: str
    """Tells this worker process from every other, in the names of connections."""
    reactor: Reactor
    decider: Decider
    pool: Callable[[str], Pool]
    """The pool for a name's QUIC traffic; raises UpstreamError if it has no address."""
    budget: Budget
    traffic: Counters
    limits: Limits
    answers: QuicAnswers
    closes: bool
    """Whether a refused client is told, rather than left to its time-out."""
    cuts: bool
    """Whether a flow ends when its name is revoked."""
    hosts: Hosts | None
    """Where flows are sent on to that go to their own destination, if some may."""
    rest_seconds: float
    """How long an endpoint rests after a failure."""
    counters: QuicCounters = field(default_factory=QuicCounters)
    refusals: Refusals = field(default_factory=Refusals)
    rows: Rows = field(default_factory=Rows)
    """Towards the upstreams."""
    buffer: memoryview = field(default_factory=lambda: memoryview(bytearray(BUFFER_BYTES)))
