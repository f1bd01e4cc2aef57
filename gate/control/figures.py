"""Collects the workers' figures and gives them, with the gate's own, to Prometheus."""

from __future__ import annotations

import contextlib
import os
import platform
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.registry import Collector

from gate import __version__
from gate.control import metrics
from gate.control.fleet import Fleet, Link
from gate.control.lines import Message
from gate.control.metrics import WORKER_METRICS, Kind, Metric
from gate.control.processes import Usage, usage
from gate.control.tally import Path_, Tally
from gate.door import Door
from gate.histogram import BOUNDS
from gate.replica import Replica
from gate.scoreboard import Board

Sample = tuple[tuple[str, ...], float]
"""The labels' values and the value."""


class Figures(Collector):
    """All that /metrics tells."""

    def __init__(self, board: Board, replica: Replica, kept: Path) -> None:
        """`kept` is the file that carries counters over a restart of the control process."""
        self._board = board
        self._replica = replica
        self._kept = kept
        counters = {metric.source for metric in WORKER_METRICS if metric.kind is not Kind.GAUGE}
        self._tally = Tally(lambda path: any(path[: len(source)] == source for source in counters))
        self._tally.restore(kept, board.born)
        self._linked = 0
        self.more: Callable[[], Iterable[tuple[Metric, list[Sample]]]] = tuple
        """Figures of what else runs in the control process."""
        self.doors: dict[str, Door] = {}
        """The control process's own listeners, by name."""
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(self)

    async def collect_from(self, fleet: Fleet) -> None:
        """Asks every worker for its figures."""
        replies = await fleet.ask("stats")
        for link, reply in replies.items():
            self._tally.update((link.pid, link.born), reply["stats"])
        self._linked = fleet.workers - len(fleet.missing)
        with contextlib.suppress(OSError):  # a full disk costs no more than continuity
            self._tally.save(self._kept, self._board.born)

    def totals(self) -> dict[Path_, float]:
        """Every figure of the workers by its path, summed over all of them."""
        return self._tally.totals()

    def farewell(self, link: Link, words: Message) -> None:
        """Take the last figures of a worker that ends."""
        self._tally.update((link.pid, link.born), words["stats"])

    def forget(self, link: Link) -> None:
        """A worker's link has ended."""
        self._tally.leave((link.pid, link.born))

    def expose(self, accept: str) -> tuple[bytes, str]:
        """The exposition and its content type, as the Accept field wants it."""
        encode, content_type = choose_encoder(accept)
        return encode(self._registry), content_type

    def collect(self) -> Iterator[Family]:
        """Every family, for prometheus_client."""
        totals = self._tally.totals()
        for metric in WORKER_METRICS:
            depth = len(metric.source)
            if metric.kind is Kind.HISTOGRAM:
                yield _histogram(metric, totals)
                continue
            yield _family(
                metric,
                (
                    (path[depth:], value)
                    for path, value in totals.items()
                    if path[:depth] == metric.source and len(path) == depth + len(metric.labels)
                ),
            )
        yield from self._own()

    def _own(self) -> Iterator[Family]:
        board, position = self._board, self._replica.position()
        yield _family(metrics.READY, [((), float(board.ready))])
        yield _family(metrics.WORKERS, [((), float(self._linked))])
        yield _family(metrics.RESTARTS, [((row.name,), row.restarts) for row in board])
        yield _family(
            metrics.RELOADS, [(("done",), board.reloads), (("refused",), board.reloads_refused)]
        )
        yield _family(
            metrics.TURNED_AWAY, [((name,), door.refused) for name, door in self.doors.items()]
        )
        yield _family(metrics.ENTRIES, [((), self._replica.count())])
        if position is not None:
            yield _family(metrics.REVISION, [((), position.revision)])
            yield _family(metrics.UPDATED, [((), position.updated_at)])
        for metric, values in self.more():
            yield _family(metric, values)
        yield _family(metrics.BUILD, [((__version__, platform.python_version()), 1.0)])
        yield from self._processes()

    def _processes(self) -> Iterator[Family]:
        used = self.usage()
        memory = [((name,), float(item.memory_bytes)) for name, item in used.items()]
        yield _family(metrics.MEMORY, memory)
        yield _family(metrics.CPU, [((name,), item.cpu_seconds) for name, item in used.items()])
        files = [((name,), float(item.open_files)) for name, item in used.items()]
        yield _family(metrics.FILES, files)

    def usage(self) -> dict[str, Usage]:
        """What each process of the gate has used."""
        return usage(
            {"supervisor": os.getppid()} | {row.name: row.pid for row in self._board if row.pid}
        )


def _family(metric: Metric, samples: Iterable[Sample]) -> Family:
    make = CounterMetricFamily if metric.kind is Kind.COUNTER else GaugeMetricFamily
    family = make(metric.name, metric.help, labels=metric.labels)
    for labels, value in samples:
        family.add_metric(list(labels), value)
    return family


def _histogram(metric: Metric, totals: Mapping[tuple[str, ...], float]) -> Family:
    """A histogram family; a worker counts each bucket alone, Prometheus wants them summed up."""
    cumulative, buckets = 0.0, []
    for bound in (*map(repr, BOUNDS), "+Inf"):
        cumulative += totals.get((*metric.source, "bucket", bound), 0.0)
        buckets.append((bound, cumulative))
    family = HistogramMetricFamily(metric.name, metric.help)
    family.add_metric([], buckets, totals.get((*metric.source, "sum"), 0.0))
    return family
