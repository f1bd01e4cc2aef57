"""`python -m tests.soak --minutes 60`: soak a gate, and exit with 1 if anything was found."""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from pathlib import Path

from tests.harness import planes
from tests.soak.soak import Soak


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=1)
    names = [plane.name for plane in planes.PLANES]
    parser.add_argument("--plane", choices=names, help="of the gate; else its default")
    options = parser.parse_args()
    if options.plane:
        planes.choose(options.plane)
    folder = Path(tempfile.mkdtemp(prefix="gate-soak-"))
    report = Soak(folder, options.minutes * 60, options.seed).run(_say)
    _say(str(report))
    for problem in report.problems():
        _say(f"  {problem}")
    if report.problems():
        _say(f"what the gate wrote and left is in {folder}")
        return 1
    shutil.rmtree(folder)
    return 0


def _say(line: str) -> None:
    print(time.strftime("%H:%M:%S"), line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
