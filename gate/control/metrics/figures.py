"""What the workers count, summed over all of them."""

from __future__ import annotations

import contextlib
from pathlib import Path

from gate.control.metrics.catalogue import WORKER_METRICS, Kind
from gate.control.metrics.tally import Path_, Tally
from gate.control.workers import Link, Workers
from gate.ipc.messages import Message


class Figures:
    """The workers' figures."""

    def __init__(self, kept: Path, born: int) -> None:
        """`kept` is the file that carries counters over a restart of the control process.

        `born` tells this run of the gate from any other.
        """
        self._kept = kept
        self._born = born
        counters = {metric.source for metric in WORKER_METRICS if metric.kind is not Kind.GAUGE}
        self._tally = Tally(
            lambda path: any(path[: len(source)] == source for source in counters),
            frozenset(m.source[0] for m in WORKER_METRICS if m.labels[:1] == ("address",)),
        )
        self._tally.restore(kept, born)
        self.linked = 0
        """Workers that had a link at the last question."""

    async def collect_from(self, workers: Workers) -> None:
        """Ask every worker for its figures."""
        replies = await workers.ask("stats")
        for link, reply in replies.items():
            # One that has left meanwhile has said its last words, and they are newer.
            if link in workers.links:
                self._tally.update((link.pid, link.born), reply["stats"])
        self.linked = workers.count - len(workers.missing)
        with contextlib.suppress(OSError):  # a full disk costs no more than continuity
            self._tally.save(self._kept, self._born)

    def totals(self) -> dict[Path_, float]:
        """Return every figure by its path, summed over all workers."""
        return self._tally.totals()

    def farewell(self, link: Link, words: Message) -> None:
        """Take the last figures of a worker that ends."""
        self._tally.update((link.pid, link.born), words["stats"])

    def forget(self, link: Link) -> None:
        """Note that a worker's link has ended."""
        self._tally.leave((link.pid, link.born))
