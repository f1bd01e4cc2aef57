"""Options, the order of things, and where the results go."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from . import coalescing, idle, latency, lists
from .bench import DIRECT, STARTERS, Bench
from .process import LOAD_CORE, BenchError
from .publish import publish
from .report import machine, row, table
from .rounds import run_workload
from .servers import FLOOR, Variant
from .workloads import WORKLOADS

USUAL = 64
VARIANTS = list(Variant)
RESULTS = Path(__file__).resolve().parents[1] / "results"
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
    floored: bool = False
    """The floor takes part."""


STUDIES = {
    "idle": Study("10,000 idle tunnels: memory and CPU", idle.study, idle.table),
    "latency": Study("latency added at an equal load", latency.study, latency.table, floored=True),
    "coalescing": Study("process.coalesce_us: CPU and latency", coalescing.study, coalescing.table),
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


@dataclass(slots=True, frozen=True)
class Options:
    """What is to be measured."""

    chosen: list[str]
    servers: list[str]
    rounds: int
    scale: float
    size: int
    workers: int
    concurrency: list[int]
    settings: str


def measure(options: Options, folder: Path) -> dict[str, Any]:
    """Run the chosen workloads and studies; gives the document. Raises BenchError."""
    bench = Bench.open(
        folder,
        size=options.size,
        scale=options.scale,
        workers=options.workers,
        settings=options.settings,
    )
    rows: list[dict[str, Any]] = []
    studies: dict[str, Any] = {}
    try:
        workloads = [w for w in WORKLOADS if w.name in options.chosen]
        for workload in sorted(workloads, key=lambda w: VARIANTS.index(w.variant)):
            bench.retire(keep=workload.variant)
            servers = [x for x in options.servers if x != FLOOR or workload.floored]
            for connections in options.concurrency:
                bench.concurrency = connections
                cells = run_workload(bench, workload, servers, options.rounds, say)
                item = row(workload, cells)
                item |= {"connections": connections, "workers": options.workers}
                rows.append(item)
                say(table([item], options.servers) + "\n")
        bench.concurrency = USUAL
        for name in (n for n in STUDIES if n in options.chosen):
            bench.retire()
            servers = [x for x in options.servers if x != FLOOR or STUDIES[name].floored]
            studies[name] = STUDIES[name].run(bench, servers, options.rounds, say)
    finally:
        bench.close()
    return {
        "machine": machine(),
        "names": options.size,
        "scale": options.scale,
        "rows": rows,
        "studies": studies,
    }


def report(document: dict[str, Any], servers: list[str]) -> str:
    """All tables of a document as text."""
    parts = [table(document["rows"], servers)] if document["rows"] else []
    parts += [STUDIES[name].table(found) for name, found in document["studies"].items()]
    return "\n\n".join(parts)


def failed(document: dict[str, Any]) -> bool:
    """Whether a round did not count, or a study failed."""
    return '"failures": ["' in json.dumps(document)


def _show_list(context: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted:
        for workload in WORKLOADS:
            click.echo(f"{workload.name:<20} {workload.title} (per {workload.unit})")
        for name, study in STUDIES.items():
            click.echo(f"{name:<20} {study.title}")
        context.exit()


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--only", default="", help="Workloads and studies, with commas; default: all.")
@click.option("--servers", default=",".join(STARTERS), show_default=True, help="With commas.")
@click.option("--rounds", default=5, show_default=True, help="Rounds that count.")
@click.option("--quick", is_flag=True, help="A third of the work in each round.")
@click.option("--size", default=100_000, show_default=True, help="Names in the list.")
@click.option("--workers", default=1, show_default=True, help="Worker processes (or threads).")
@click.option("--concurrency", default=str(USUAL), show_default=True, help="With commas.")
@click.option("--settings", default="", help='More of the gate\'s, as YAML: "limits: {...}".')
@click.option("--json", "target", type=click.Path(path_type=Path), help="Where to put the JSON.")
@click.option("--publish", "published", is_flag=True, help="Renew latest.json and latest.svg.")
@click.option("--keep", is_flag=True, help="Keep the folder with configurations and logs.")
@click.option("--list", is_flag=True, is_eager=True, expose_value=False, callback=_show_list)
def main(
    only: str,
    servers: str,
    rounds: int,
    quick: bool,
    size: int,
    workers: int,
    concurrency: str,
    settings: str,
    target: Path | None,
    published: bool,
    keep: bool,
) -> None:
    """Measure the gate beside HAProxy, nginx and Envoy: CPU time per unit of work."""
    _check_installed()
    options = Options(
        chosen=_names(only, [*(w.name for w in WORKLOADS), *STUDIES], "workload"),
        servers=_names(servers, [*STARTERS, DIRECT], "server"),
        rounds=rounds,
        scale=0.3 if quick else 1.0,
        size=size,
        workers=workers,
        concurrency=[int(x) for x in concurrency.split(",")],
        settings=settings and settings + "\n",
    )
    os.sched_setaffinity(0, {LOAD_CORE})
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the servers are stopped
    folder = Path(tempfile.mkdtemp(prefix="gate-bench-"))
    folder.chmod(0o755)  # nginx's workers give up root
    try:
        document = measure(options, folder)
    except BenchError as error:
        raise click.ClickException(str(error)) from error
    finally:
        if keep:
            say(f"kept: {folder}")
        else:
            shutil.rmtree(folder, ignore_errors=True)
    click.echo(report(document, options.servers))
    RESULTS.mkdir(exist_ok=True)
    target = target or RESULTS / f"{time.strftime('%Y%m%d-%H%M%S')}.json"
    target.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    say(f"results: {target}")
    if published:
        publish(document)
    sys.exit(1 if failed(document) else 0)
