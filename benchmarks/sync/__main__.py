"""Run the sync's benchmarks: `python -m benchmarks.sync --help`."""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.sync import catch_up, fleet, pushes, snapshots

_LATEST = Path(__file__).parent / "latest"
_WAYS = ("push", "snapshot", "catch-up", "fleet")


def main() -> int:
    options = _options()
    document: dict[str, Any] = {
        "machine": {
            "cpus": os.cpu_count(),
            "python": platform.python_version(),
            "date": time.strftime("%Y-%m-%d", time.gmtime()),
        },
        "rounds": options.rounds,
        "results": {},
    }
    results = document["results"]
    with tempfile.TemporaryDirectory(prefix="sync-", dir=options.directory) as name:
        folder = Path(name)
        if "push" in options.only:
            for load in (False, True):
                key = "push beside traffic on both cores" if load else "push to an idle gate"
                results[key] = _median(
                    options.rounds,
                    lambda number, load=load: pushes.run(  # type: ignore[misc]
                        folder / f"push-{load}-{number}",
                        rate=100,
                        seconds=options.seconds,
                        load=load,
                    ),
                )
        if "snapshot" in options.only:
            for filings in options.filings:
                found = snapshots.run(
                    folder / f"snapshot-{filings}", filings=filings, rounds=options.rounds
                )
                results[f"snapshot of {filings:,} domains"] = {
                    key: statistics.median(values) for key, values in found.items()
                }
        if "catch-up" in options.only:
            times = catch_up.run(folder / "catch-up", changes=100_000, rounds=options.rounds)
            results["catch-up of 100,000 changes"] = {"seconds": statistics.median(times)}
        if "fleet" in options.only:
            results["200 gates on one NATS server"] = _median(
                options.rounds,
                lambda number: fleet.run(
                    folder / f"fleet-{number}", gates=200, changes=50, interval=0.5
                ),
            )
    text = _report(document)
    print(text)
    if options.publish:
        _LATEST.with_suffix(".json").write_text(json.dumps(document, indent=1) + "\n")
        _LATEST.with_suffix(".md").write_text(
            "# Latest results\n\nWritten by `--publish`; the method is in `../README.md`.\n\n"
            f"{text}"
        )
    return 0


def _median(rounds: int, run: Callable[[int], dict[str, float]]) -> dict[str, float]:
    """The median of each figure over the rounds."""
    found = [run(number) for number in range(rounds)]
    return {key: statistics.median(one[key] for one in found) for key in found[0]}


def _report(document: dict[str, Any]) -> str:
    machine = document["machine"]
    lines = [
        f"{machine['cpus']} cores, Python {machine['python']}, {machine['date']}; median of "
        f"{document['rounds']} rounds.",
        "",
        "| what | figures |",
        "| --- | --- |",
    ]
    for what, figures in document["results"].items():
        shown = ", ".join(f"{key} {value:,.1f}" for key, value in figures.items())
        lines.append(f"| {what} | {shown} |")
    return "\n".join(lines) + "\n"


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
        default=[1_000_000, 10_000_000],
        help="domains in a snapshot, separated by commas",
    )
    parser.add_argument("--directory", help="where everything is kept (default: the system's)")
    parser.add_argument("--publish", action="store_true", help="keep the results as the latest")
    return parser.parse_args()


if __name__ == "__main__":
    raise SystemExit(main())
