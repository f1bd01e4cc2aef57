"""Run the sync's benchmarks: `python -m benchmarks.sync --help`."""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from benchmarks.sync import catch_up, fleet, pushes, snapshots

_LATEST = Path(__file__).parent / "latest"
_WAYS = ("push", "snapshot", "catch-up", "fleet")
_TARGETS = {
    "push beside traffic on both cores": "p99 under 100 ms",
    "snapshot of 10,000,000 domains": "ready within 60 s",
    "catch-up of 100,000 changes": "within 5 s",
    "200 gates on one NATS server": "p99 of the last gate under 2 s",
}

Figures = dict[str, float]


def main() -> int:
    options = _options()
    results: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="sync-", dir=options.directory) as name:
        for what, measure in _plan(options, Path(name)):
            before = os.getloadavg()[0]
            found = [measure(number) for number in range(options.rounds)]
            results[what] = {
                "figures": {key: statistics.median(one[key] for one in found) for key in found[0]},
                "rounds": found,
                "date": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
                "load_before": round(before, 1),
            }
            print(_row(what, results[what]), flush=True)
    document = {"machine": machine(), "results": results}
    if options.publish:
        path = _LATEST.with_suffix(".json")
        if path.exists():  # what was not measured now stays
            document["results"] = json.loads(path.read_text())["results"] | results
        path.write_text(json.dumps(document, indent=1) + "\n")
        _LATEST.with_suffix(".md").write_text(
            "# Latest results\n\nWritten by `--publish`; the method is in `../README.md`.\n\n"
            f"{_report(document)}"
        )
    print("\n" + _report(document))
    return 0


def _plan(
    options: argparse.Namespace, folder: Path
) -> Iterator[tuple[str, Callable[[int], Figures]]]:
    """What to measure, and how to measure it once."""
    if "push" in options.only:
        for load in (False, True):
            yield (
                "push beside traffic on both cores" if load else "push to an idle gate",
                lambda number, load=load: pushes.run(  # type: ignore[misc]
                    folder / f"push-{load}-{number}", rate=100, seconds=options.seconds, load=load
                ),
            )
    if "catch-up" in options.only:
        yield (
            "catch-up of 100,000 changes",
            lambda number: catch_up.run(folder / f"catch-up-{number}", changes=100_000),
        )
    if "fleet" in options.only:
        for gates in options.gates:
            yield (
                f"{gates:,} gates on one NATS server",
                lambda number, gates=gates: fleet.run(  # type: ignore[misc]
                    folder / f"fleet-{gates}-{number}",
                    gates=gates,
                    changes=30,
                    interval=max(1.0, gates / 300),
                ),
            )
    if "snapshot" in options.only:
        for filings in options.filings:
            with snapshots.offered(folder / f"snapshot-{filings}", filings) as offered:
                yield f"snapshot of {filings:,} domains", lambda number: snapshots.run(offered)


def machine() -> dict[str, Any]:
    """What the figures were measured on."""
    cpu = re.search(r"model name\s*: (.+)", Path("/proc/cpuinfo").read_text())
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "cpu": cpu[1] if cpu else platform.machine(),
        "cpus": os.cpu_count(),
        "memory_gib": round(memory / 2**30),
        "python": platform.python_version(),
    }


def _report(document: dict[str, Any]) -> str:
    on = document["machine"]
    lines = [
        f"{on['cpus']} cores ({on['cpu']}), {on['memory_gib']} GiB, Python {on['python']}. Median "
        "of the rounds; load is the load average of the minute before, which these runs did not "
        "cause.",
        "",
        "| what | figures | target | rounds | load | measured |",
        "| --- | --- | --- | --- | --- | --- |",
        *(_row(what, result) for what, result in document["results"].items()),
    ]
    return "\n".join(lines) + "\n"


def _row(what: str, result: dict[str, Any]) -> str:
    shown = ", ".join(f"{key} {value:,.1f}" for key, value in result["figures"].items())
    return (
        f"| {what} | {shown} | {_TARGETS.get(what, '')} | {len(result['rounds'])} "
        f"| {result['load_before']} | {result['date']} |"
    )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sync")
    parser.add_argument(
        "--only",
        type=lambda text: text.split(","),
        default=list(_WAYS),
        help=f"some of {', '.join(_WAYS)}",
    )
    parser.add_argument("--rounds", type=int, default=3, help="rounds; medians are shown")
    parser.add_argument("--seconds", type=float, default=20, help="length of a push round")
    parser.add_argument(
        "--filings",
        type=lambda text: [int(size) for size in text.split(",")],
        default=[1_000_000],
        help="domains in a snapshot, separated by commas",
    )
    parser.add_argument(
        "--gates",
        type=lambda text: [int(number) for number in text.split(",")],
        default=[200],
        help="gates of a fleet, separated by commas",
    )
    parser.add_argument("--directory", help="where everything is kept (default: the system's)")
    parser.add_argument("--publish", action="store_true", help="keep the results as the latest")
    return parser.parse_args()


if __name__ == "__main__":
    raise SystemExit(main())
