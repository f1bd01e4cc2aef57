"""All that /metrics tells: the workers' figures with the gate's own, for Prometheus."""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.registry import Collector

from gate import __version__
from gate.control.metrics import catalogue as metrics
from gate.control.metrics.catalogue import WORKER_METRICS, Kind, Metric, Sample
from gate.control.metrics.figures import Figures
from gate.control.metrics.processes import usage
from gate.histogram import BOUNDS
from gate.ipc.scoreboard import Board
from gate.replica import Replica

Source = Callable[[], Iterable[tuple[Metric, Sequence[Sample]]]]
"""Returns the figures of a part of the control process, as they are now."""


class Exposition(Collector):
    """The figures in the format that a scraper asks for."""

    def __init__(
        self,
        figures: Figures,
        board: Board,
        replica: Replica,
        turned_away: Mapping[str, int],
        sources: Sequence[Source],
    ) -> None:
        """`turned_away` are the refused connections of the control process's own listeners."""
        self._figures = figures
        self._board = board
        self._replica = replica
        self._turned_away = turned_away
        self._sources = sources
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(self)

    def expose(self, accept: str) -> tuple[bytes, str]:
        """Return the exposition and its content type, as the Accept field wants it."""
        encode, content_type = choose_encoder(accept)
        return encode(self._registry), content_type

    def collect(self) -> Iterator[Family]:
        """Return every family, for prometheus_client."""
        totals = self._figures.totals()
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
        yield _family(metrics.WORKERS, [((), float(self._figures.linked))])
        yield _family(metrics.RESTARTS, [((row.name,), row.restarts) for row in board])
        yield _family(
            metrics.RELOADS,
            [
                (("done",), board.reloads),
                (("refused",), board.reloads_refused),
                (("rolled_back",), board.reloads_rolled_back),
            ],
        )
        yield _family(
            metrics.TURNED_AWAY,
            [((name,), float(count)) for name, count in self._turned_away.items()],
        )
        yield _family(metrics.ENTRIES, [((), self._replica.count())])
        if position is not None:
            yield _family(metrics.REVISION, [((), position.revision)])
            yield _family(metrics.UPDATED, [((), position.updated_at)])
        for source in self._sources:
            for metric, values in source():
                yield _family(metric, values)
        yield _family(metrics.BUILD, [((__version__, platform.python_version()), 1.0)])
        yield from self._processes()

    def _processes(self) -> Iterator[Family]:
        used = usage(self._board)
        memory = [((name,), float(item.memory_bytes)) for name, item in used.items()]
        yield _family(metrics.MEMORY, memory)
        yield _family(metrics.CPU, [((name,), item.cpu_seconds) for name, item in used.items()])
        files = [((name,), float(item.open_files)) for name, item in used.items()]
        yield _family(metrics.FILES, files)


def _family(metric: Metric, samples: Iterable[Sample]) -> Family:
    make = CounterMetricFamily if metric.kind is Kind.COUNTER else GaugeMetricFamily
    family = make(metric.name, metric.help, labels=metric.labels)
    for labels, value in samples:
        family.add_metric(list(labels), value)
    return family


def _histogram(metric: Metric, totals: Mapping[tuple[str, ...], float]) -> Family:
    """Return a histogram; a worker counts each bucket alone, Prometheus wants them summed up."""
    cumulative, buckets = 0.0, []
    for bound in (*map(repr, BOUNDS), "+Inf"):
        cumulative += totals.get((*metric.source, "bucket", bound), 0.0)
        buckets.append((bound, cumulative))
    family = HistogramMetricFamily(metric.name, metric.help)
    family.add_metric([], buckets, totals.get((*metric.source, "sum"), 0.0))
    return family
