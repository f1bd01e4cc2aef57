"""Options, the order of things, and where the results go."""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from . import idle, latency, lists
from .bench import DIRECT, STARTERS, Bench
from .process import LOAD_CORE, BenchError
from .report import machine, row, table
from .rounds import run_workload
from .servers import Variant
from .workloads import WORKLOADS

VARIANTS = list(Variant)
RESULTS = Path(__file__).resolve().parents[1] / "results"
LATEST = Path(__file__).with_name("latest.json")
NEEDED = {
    "haproxy": "apt-get install haproxy",
    "nginx": "apt-get install nginx libnginx-mod-stream",
    "wrk": "apt-get install wrk",
}


@dataclass(slots=True, frozen=True)
class Study:
    """A measurement with a table of its own."""

    title: str
    run: Callable[[Bench, list[str], int, Callable[[str], None]], dict[str, Any]]
    table: Callable[[dict[str, Any]], str]


STUDIES = {
    "idle": Study("10,000 idle tunnels: memory and CPU", idle.study, idle.table),
    "latency": Study("latency added at an equal load", latency.study, latency.table),
    "lists": Study("1,000 to 1,000,000 names: memory, start, change", lists.study, lists.table),
}


def _names(text: str, known: list[str], what: str) -> list[str]:
    chosen = text.split(",") if text else known
    for name in chosen:
        if name not in known:
            raise click.BadParameter(f"no {what} {name!r}; there are {', '.join(known)}")
    return chosen


def _check_installed() -> None:
    missing = [how for program, how in NEEDED.items() if shutil.which(program) is None]
    if missing:
        raise click.ClickException("missing programs: " + "; ".join(missing))


def say(text: str) -> None:
    """Progress, on standard error."""
    click.echo(text, err=True)


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--only", default="", help="Workloads, with commas; default: all.")
@click.option("--servers", default="", help="Servers, with commas; default: all.")
@click.option("--rounds", default=5, show_default=True, help="Rounds that count.")
@click.option("--quick", is_flag=True, help="A third of the work in each round.")
@click.option("--size", default=100_000, show_default=True, help="Names in the list.")
@click.option("--workers", default=1, show_default=True, help="Worker processes (or threads).")
@click.option("--concurrency", default="64", show_default=True, help="Connections, with commas.")
@click.option("--json", "target", type=click.Path(path_type=Path), help="Where to put the JSON.")
@click.option("--keep", is_flag=True, help="Keep the folder with configurations and logs.")
@click.option("--list", "show", is_flag=True, help="List the workloads and end.")
def main(
    only: str,
    servers: str,
    rounds: int,
    quick: bool,
    size: int,
    workers: int,
    concurrency: str,
    target: Path | None,
    keep: bool,
    show: bool,
) -> None:
    """Measure the gate beside HAProxy, nginx and Envoy: CPU time per unit of work."""
    if show:
        for workload in WORKLOADS:
            click.echo(f"{workload.name:<20} {workload.title} (per {workload.unit})")
        for name, study in STUDIES.items():
            click.echo(f"{name:<20} {study.title}")
        return
    _check_installed()
    chosen = _names(only, [*(w.name for w in WORKLOADS), *STUDIES], "workload")
    measured = _names(servers, [*STARTERS, DIRECT], "server")
    if not servers:
        measured.remove(DIRECT)
    os.sched_setaffinity(0, {LOAD_CORE})
    folder = Path(tempfile.mkdtemp(prefix="gate-bench-"))
    folder.chmod(0o755)  # nginx's workers give up root
    rows = []
    try:
        bench = Bench.open(folder, size=size, scale=0.3 if quick else 1.0, workers=workers)
    except BenchError as error:
        raise click.ClickException(str(error)) from error
    try:
        ordered = sorted(
            (w for w in WORKLOADS if w.name in chosen), key=lambda w: VARIANTS.index(w.variant)
        )
        for workload in ordered:
            for connections in map(int, concurrency.split(",")):
                bench.concurrency = connections
                bench.retire(keep=workload.variant)
                cells = run_workload(bench, workload, measured, rounds, say)
                item = row(workload, cells)
                item["connections"] = connections
                if connections != 64:
                    item["workload"] += f" x{connections}"
                rows.append(item)
                say(table([item], measured) + "\n")
        studies: dict[str, Any] = {}
        bench.concurrency = 64
        for name in (n for n in STUDIES if n in chosen):
            if name != "latency":
                bench.retire()
            studies[name] = STUDIES[name].run(bench, measured, rounds, say)
    finally:
        bench.close()
        if keep:
            say(f"kept: {folder}")
        else:
            shutil.rmtree(folder, ignore_errors=True)
    if rows:
        click.echo(table(rows, measured))
    for name, found in studies.items():
        click.echo("\n" + STUDIES[name].table(found))
    RESULTS.mkdir(exist_ok=True)
    target = target or RESULTS / f"{time.strftime('%Y%m%d-%H%M%S')}.json"
    document = {"machine": machine(), "names": size, "workers": workers, "rows": rows, **studies}
    target.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    say(f"results: {target}")
    sys.exit(0 if all(not c["failures"] for r in rows for c in r["servers"].values()) else 1)
