"""The command: rows, rounds, and a table of medians with the two ratios that are asked for."""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

from benchmarks.side_by_side.bench import Bench
from benchmarks.side_by_side.process import LOAD_CORE, BenchError
from benchmarks.side_by_side.rounds import Cell, run_in_turn
from benchmarks.side_by_side.workloads import WORKLOADS, Workload
from benchmarks.transparent.contestants import CONTESTANTS, Between

ROWS = ("http-filed", "http-connect", "tls-short")
RATIOS = (("gate-own", "gate", 1.05), ("gate-client", "nginx-client", 0.75))
"""Whose cost by whose, and what it may be at most."""
HURRIED = 0.02


def say(text: str) -> None:
    """Progress, on standard error."""
    print(text, file=sys.stderr, flush=True)


def chosen(text: str, known: tuple[str, ...]) -> list[str]:
    """The names in `text`, with commas between; all that are known if it is empty."""
    names = text.split(",") if text else list(known)
    for name in names:
        if name not in known:
            raise argparse.ArgumentTypeError(f"no {name!r}; there are {', '.join(known)}")
    return names


def table_row(workload: Workload, cells: Mapping[str, Cell]) -> str:
    """One line of the table: medians with lowest and highest, then the ratios."""
    shown = []
    for cell in cells.values():
        costs = cell.costs(workload.scale)
        mark = "!" if cell.failures else ""
        middle = cell.cost(workload.scale)
        shown.append(
            "failed"
            if middle is None
            else f"{middle:.1f} ({min(costs):.1f}-{max(costs):.1f}){mark}"
        )
    for one, other, _ in RATIOS:
        ours, theirs = (cells[name].cost(1.0) if name in cells else None for name in (one, other))
        shown.append(f"{ours / theirs:.2f}" if ours and theirs else "-")
    return f"| {workload.name} | " + " | ".join(shown) + " |"


def table_head(names: list[str]) -> str:
    """The first two lines of the table."""
    ratios = [f"{one}/{other} (<= {most:.2f})" for one, other, most in RATIOS]
    columns = ["µs CPU a unit", *names, *ratios]
    return f"| {' | '.join(columns)} |\n|{' --- |' * len(columns)}"


def run(
    folder: Path, rows: list[str], names: list[str], rounds: int, size: int, *, hurry: bool
) -> bool:
    """Print the table; whether every round counted. Raises BenchError."""
    shared = Bench.open(folder, size=size, scale=HURRIED if hurry else 1.0, workers=1)
    shared.origins.stop()  # each has its own, in its own networks
    listed = folder / "names.txt"
    listed.write_text("\n".join(shared.listed) + "\n", encoding="ascii")
    good = True
    with ExitStack() as stack:
        benches = {}
        for name in names:
            between = Between(CONTESTANTS[name], shared, listed, settle=not hurry)
            stack.callback(between.close)
            benches[name] = between.bench
        print(table_head(names), flush=True)
        for workload in WORKLOADS:
            if workload.name not in rows:
                continue
            workload.prepare(shared)
            cells = run_in_turn(benches, workload, rounds, say)
            good &= not any(cell.failures for cell in cells.values())
            print(table_row(workload, cells), flush=True)
    return good


def main() -> None:
    """Measure the gate in front of hosts, beside HAProxy and nginx: CPU time per unit of work."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--only", default="", help=f"rows, with commas: {', '.join(ROWS)}")
    parser.add_argument("--servers", default="", help=f"with commas: {', '.join(CONTESTANTS)}")
    parser.add_argument("--rounds", type=int, default=5, help="rounds that count")
    parser.add_argument("--size", type=int, default=100_000, help="names in the list")
    parser.add_argument("--hurry", action="store_true", help="see that it works, measure nothing")
    options = parser.parse_args()
    try:
        rows = chosen(options.only, ROWS)
        names = chosen(options.servers, tuple(CONTESTANTS))
    except argparse.ArgumentTypeError as error:
        parser.error(str(error))
    os.sched_setaffinity(0, {LOAD_CORE})
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the servers are stopped
    folder = Path(tempfile.mkdtemp(prefix="gate-bench-"))
    folder.chmod(0o755)  # nginx's workers give up root
    try:
        good = run(folder, rows, names, options.rounds, options.size, hurry=options.hurry)
    except BenchError as error:
        sys.exit(f"error: {error}")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    sys.exit(0 if good else 1)
