"""Run the lookup benchmark: `python -m benchmarks.lookup --help`."""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.lookup.report import report

_RESULTS = Path(__file__).parent.parent / "results"
_LATEST = Path(__file__).parent / "latest"
_STAGES = ("build", "lookups", "memory", "sets")


def main() -> int:
    options = _options()
    document: dict[str, Any] = {"machine": _machine(), "rounds": options.rounds, "sizes": {}}
    with tempfile.TemporaryDirectory(dir=options.directory, prefix="lookup-") as directory:
        for size in options.sizes:
            results: dict[str, Any] = {}
            for stage in _STAGES:
                if stage == "sets" and options.no_sets:
                    continue
                print(f"{size:,} names: {stage} ...", file=sys.stderr, flush=True)
                outcome = _run(stage, Path(directory) / str(size), size, options)
                results.update(outcome if stage in ("lookups", "sets") else {stage: outcome})
            document["sizes"][str(size)] = results
    text = report(document)
    print(text)
    _RESULTS.mkdir(exist_ok=True)
    stamp = time.strftime("lookup-%Y%m%d-%H%M%S.json", time.gmtime())
    (_RESULTS / stamp).write_text(json.dumps(document, indent=1) + "\n")
    if options.publish:
        _LATEST.with_suffix(".json").write_text(json.dumps(document, indent=1) + "\n")
        _LATEST.with_suffix(".md").write_text(
            "# Latest results\n\nWritten by `--publish`; the method is in `../README.md`.\n\n"
            f"```\n{text}```\n"
        )
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.lookup")
    parser.add_argument(
        "--sizes",
        type=lambda text: [int(size) for size in text.split(",")],
        default=[1_000_000, 10_000_000],
        help="names in the list, separated by commas (default: 1000000,10000000)",
    )
    parser.add_argument("--rounds", type=int, default=7, help="rounds; medians are shown")
    parser.add_argument("--count", type=int, default=100_000, help="calls in a round")
    parser.add_argument("--directory", help="where the replica is made (default: the system's)")
    parser.add_argument("--no-sets", action="store_true", help="leave out names in Python's memory")
    parser.add_argument("--publish", action="store_true", help="renew latest.json and latest.md")
    return parser.parse_args()


def _run(stage: str, path: Path, size: int, options: argparse.Namespace) -> dict[str, Any]:
    numbers = [str(size), str(options.rounds), str(options.count)]
    command = [sys.executable, "-m", "benchmarks.lookup.stage", stage, str(path), *numbers]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True)
    outcome: dict[str, Any] = json.loads(done.stdout)
    return outcome


def _machine() -> str:
    load = os.getloadavg()[0]
    return (
        f"{time.strftime('%Y-%m-%d %H:%M UTC', time.gmtime())}, {os.cpu_count()} cores, "
        f"Linux {platform.release()}, Python {platform.python_version()}, load average {load:.2f}"
    )


if __name__ == "__main__":
    sys.exit(main())
