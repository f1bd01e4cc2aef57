"""CPU time of a call, contender beside contender, round by round.

A figure is the CPU time of this thread over a batch of calls, less that of the bare loop, by
the number of calls.  Time in which another process had the core does not count, though what
that process did to the core's memory caches does: compare within a round, not across runs.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from benchmarks.lookup.hosts import off_the_wire

Call = Callable[[bytes], object]


@dataclass(slots=True, frozen=True)
class Contender:
    """One thing to time: `make` sets it up for a round and gives the call."""

    name: str
    make: Callable[[], Call]
    hosts: Sequence[bytes]


def time_rounds(contenders: Sequence[Contender], rounds: int) -> dict[str, list[float]]:
    """Nanoseconds a call in each round; the contenders take turns in each of them."""
    figures: dict[str, list[float]] = {contender.name: [] for contender in contenders}
    for number in range(rounds):
        start = number % len(contenders)
        for contender in (*contenders[start:], *contenders[:start]):
            figures[contender.name].append(_time(contender))
    return figures


def _time(contender: Contender) -> float:
    call = contender.make()
    hosts = off_the_wire(contender.hosts)
    gc.collect()
    gc.disable()  # workers collect rarely, too; see gate.worker.process
    try:
        began = time.thread_time_ns()
        for host in hosts:
            call(host)
        busy = time.thread_time_ns() - began
        began = time.thread_time_ns()
        for _ in hosts:
            pass
        loop = time.thread_time_ns() - began
    finally:
        gc.enable()
    return (busy - loop) / len(hosts)
