"""Runs workloads in interleaved rounds and sums them up: medians, spread, ratios."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from .bench import Bench, Sample
from .process import BenchError, NotOffered
from .workloads import Workload

Say = Callable[[str], None]


@dataclass(slots=True)
class Cell:
    """All rounds of one workload on one server; `failures` are rounds that did not count.

    `note` says why a server does not take part.
    """

    samples: list[Sample] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    note: str = ""

    def cost(self, scale: float) -> float | None:
        """Median CPU per unit, in seconds times `scale`; None without a good round."""
        costs = self.costs(scale)
        return statistics.median(costs) if costs else None

    def costs(self, scale: float) -> list[float]:
        """CPU per unit of each good round."""
        return [sample.cpu / sample.units * scale for sample in self.samples]

    def worker_cost(self, scale: float) -> float | None:
        """Median CPU per unit of the traffic workers alone."""
        costs = [sample.worker_cpu / sample.units * scale for sample in self.samples]
        return statistics.median(costs) if costs else None

    def rate(self) -> float | None:
        """Median of units a second."""
        rates = [sample.units / sample.seconds for sample in self.samples]
        return statistics.median(rates) if rates else None

    def extra(self) -> dict[str, float]:
        """Medians of what else was seen."""
        keys = {key for sample in self.samples for key in sample.extra}
        return {
            key: statistics.median([s.extra[key] for s in self.samples if key in s.extra])
            for key in sorted(keys)
        }


def run_workload(
    bench: Bench, workload: Workload, servers: Sequence[str], rounds: int, say: Say
) -> dict[str, Cell]:
    """Prepare a workload and run it on servers that share a bench."""
    workload.prepare(bench)
    return run_in_turn(dict.fromkeys(servers, bench), workload, rounds, say)


def run_in_turn(
    benches: Mapping[str, Bench], workload: Workload, rounds: int, say: Say
) -> dict[str, Cell]:
    """Warm each server up, then measure it once in each round; the first place goes round."""
    cells: dict[str, Cell] = {name: Cell() for name in benches}
    alive: list[str] = []
    for name, bench in benches.items():
        full = bench.scale
        bench.scale = full * 0.25
        try:
            with bench.beside_clients():
                workload.run(bench, bench.server(name, workload.variant))
            alive.append(name)
        except NotOffered as error:
            cells[name].note = str(error)
            say(f"  {workload.name:<20} {name:<8} not offered: {error}")
        except BenchError as error:
            cells[name].failures.append(f"warm-up: {error}")
            say(f"  {workload.name:<20} {name:<8} warm-up failed: {error}")
        finally:
            bench.scale = full
    for turn in range(rounds):
        shift = turn % len(alive) if alive else 0
        for name in alive[shift:] + alive[:shift]:
            bench = benches[name]
            try:
                with bench.beside_clients():
                    sample = workload.run(bench, bench.server(name, workload.variant))
            except BenchError as error:
                cells[name].failures.append(str(error))
                say(f"  {workload.name:<20} {name:<8} round {turn + 1} failed: {error}")
                continue
            cells[name].samples.append(sample)
            cost = sample.cpu / sample.units * workload.scale
            rate = sample.units / sample.seconds
            busy = sample.cpu / sample.seconds
            worker = sample.worker_cpu / sample.units * workload.scale
            say(
                f"  {workload.name:<20} {name:<8} round {turn + 1}: {cost:8.3f}, "
                f"{worker:8.3f} in workers "
                f"({rate:9.1f} {workload.unit}s/s, server {busy:4.0%} busy)"
            )
    return cells
