"""The results as tables for people."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from .memory import VERDICTS

FIRST_MISS_TARGET = 4000
SECOND_MISS_TARGET = 5000
HIT_TARGET = 0.9
MEMORY_TARGET = 1 << 30
VERDICT_TARGET = 250
INTERPRETED = "interpreted"
"""In the name of what runs without anything compiled."""


def report(document: Mapping[str, Any]) -> str:
    """All tables, one after another."""
    parts = [document["machine"]]
    for size, results in document["sizes"].items():
        parts.append(f"{int(size):,} names")
        parts.append(_timings(results))
        parts.append(_sizes(results))
    return "\n\n".join(parts) + "\n"


def _timings(results: Mapping[str, Any]) -> str:
    rows = [("hit, skewed over 100,000 hosts", "ns", "spread", "to LRUCache.get", "target")]
    base = results["hits"]["cachetools LRUCache.get"]
    for name, figures in results["hits"].items():
        target = f"<= {HIT_TARGET}" if name == "Decider.decide" else ""
        rows.append((name, *_figures(figures), f"{_ratio(figures, base):.2f}", target))
    rows.append(("miss", "ns", "spread", "to lmdb: begin, get", "target"))
    base = results["lmdb"]["lmdb: begin, get"]
    for name, figures in (results["misses"] | results["lmdb"] | results.get("sets", {})).items():
        target = _miss_target(name) if name in results["misses"] else ""
        rows.append((name, *_figures(figures), f"{_ratio(figures, base):.2f}", target))
    return _table(rows)


def _miss_target(name: str) -> str:
    """The target of the plane that ships; without a compiler there is none for misses."""
    if INTERPRETED in name:
        return ""
    return f"<= {FIRST_MISS_TARGET if 'first' in name else SECOND_MISS_TARGET} ns"


def _figures(figures: Sequence[float]) -> tuple[str, str]:
    return f"{statistics.median(figures):,.0f}", f"{min(figures):,.0f}-{max(figures):,.0f}"


def _ratio(figures: Sequence[float], base: Sequence[float]) -> float:
    """The median of the rounds' ratios: what disturbs one of a round disturbs the other."""
    return statistics.median(one / other for one, other in zip(figures, base, strict=True))


def _sizes(results: Mapping[str, Any]) -> str:
    build = results["build"]
    load, batch = build["load"], build["batch_of_1000"]
    workers = results["memory"]["workers"]
    shared = sum(worker["replica_pss"] for worker in workers) * 1024
    rows = [
        ("the list", "", "target"),
        ("bulk load, wall (CPU) s", _seconds(load, 1), ""),
        ("batch of 1,000 changes, wall (CPU) ms", _seconds(batch, 1000), ""),
        ("open, ms", f"{1e3 * build['open_seconds']:.1f}", ""),
        ("bytes a name in the replica, with licence", f"{build['bytes_per_name']:.1f}", ""),
        ("file, MiB", _mib(build["file_bytes"]), ""),
        (
            f"memory of the replica for all of {len(workers)} workers, MiB",
            _mib(shared),
            f"< {MEMORY_TARGET >> 20} MiB for 10,000,000",
        ),
        (
            "a worker's own memory with 100,000 cached verdicts, MiB",
            _mib(max(worker["private"] for worker in workers) * 1024),
            "",
        ),
        (
            "a cached verdict, bytes of a worker",
            f"{max(worker['cached'] for worker in workers) * 1024 / VERDICTS:.0f}",
            f"<= {VERDICT_TARGET}",
        ),
    ]
    if "set_bytes" in results:
        rows.append(("a set of the names in each process, MiB", _mib(results["set_bytes"]), ""))
    return _table(rows)


def _seconds(times: Mapping[str, float], unit: float) -> str:
    return f"{unit * times['wall']:.1f} ({unit * times['cpu']:.1f})"


def _mib(size: float) -> str:
    return f"{size / (1 << 20):,.1f}"


def _table(rows: Sequence[tuple[str, ...]]) -> str:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join(_line(row, widths) for row in rows)


def _line(row: Iterable[str], widths: Sequence[int]) -> str:
    first, *rest = row
    cells = [cell.rjust(width) for cell, width in zip(rest[:-1], widths[1:-1], strict=True)]
    return "  ".join([first.ljust(widths[0]), *cells, rest[-1]]).rstrip()
