"""`python -m tests.soak --minutes 60`: soak a gate, and exit with 1 if anything was found."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from tests.soak.soak import Soak


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="gate-soak-") as folder:
        report = Soak(Path(folder), options.minutes * 60, options.seed).run()
    print(report)
    for problem in report.problems():
        print(f"  {problem}")
    return 1 if report.problems() else 0


if __name__ == "__main__":
    sys.exit(main())
