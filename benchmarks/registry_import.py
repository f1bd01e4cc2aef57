"""How long it takes to put a list of filings on record, and to give it out again.

    .venv/bin/python -m benchmarks.registry_import [--filings 1000000] [--rounds 3]

Each round is a new SQLite database on the file system of the temporary folder: the bulk import of
a CSV file (all rules checked, each chunk a transaction that is on disk when it ends, with its
batch in the change log), the snapshot that gates fetch, an export, and the same file again. Wall
and CPU seconds of this process; the median of the rounds.
"""

from __future__ import annotations

import argparse
import random
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from gate.registry.bulk.exporting import export_filings
from gate.registry.bulk.files import FileFormat
from gate.registry.bulk.importing import import_file
from gate.registry.database import Database
from gate.registry.distribution.snapshots import Snapshots
from gate.registry.migrations import migrate
from gate.registry.registry import LOCAL, Registry

PROVINCES = "京沪粤鲁浙苏川"
SUFFIXES = ("com", "cn", "net", "com.cn")


@dataclass(slots=True, frozen=True)
class Cost:
    """Seconds of the clock and of the processor."""

    wall: float
    cpu: float


def write_list(path: Path, filings: int) -> None:
    """A list in no order: two websites a subject, each subject with its account."""
    numbers = list(range(filings))
    random.Random(1).shuffle(numbers)
    with path.open("w", encoding="utf-8") as file:
        file.write("域名,备案号,主体名称,账号\n")
        for number in numbers:
            subject = number // 2
            domain = f"site-{number * 7919 % 1_000_003}-{number}.{SUFFIXES[number % 4]}"
            licence = f"{PROVINCES[subject % 7]}ICP备{2020000000 + subject}号-{number % 2 + 1}"
            file.write(f"{domain},{licence},某某网络科技有限公司{subject},account-{subject}\n")


def timed(work: Callable[[], object]) -> Cost:
    """What one call costs."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return Cost(time.perf_counter() - wall, time.process_time() - cpu)


def one_round(path: Path, folder: Path, filings: int) -> dict[str, Cost]:
    """Import, snapshot, export, and import again."""
    database = Database(folder / "registry.db")
    migrate(database)
    registry = Registry(database)

    def take(*, accepted: int, unchanged: int) -> None:
        *_, state = import_file(registry, path, actor=LOCAL)
        assert (state.accepted, state.unchanged) == (accepted, unchanged), state

    def snapshot() -> None:
        made = Snapshots(
            registry, folder / "snapshots", seconds=0, keep=1, max_shrink=1.0
        ).current()
        assert made.manifest.count == filings

    def export() -> None:
        lines = sum(piece.count(b"\n") for piece in export_filings(database, FileFormat.CSV))
        assert lines == filings + 1

    try:
        return {
            "import": timed(lambda: take(accepted=filings, unchanged=0)),
            "snapshot": timed(snapshot),
            "export": timed(export),
            "the same file again": timed(lambda: take(accepted=0, unchanged=filings)),
        }
    finally:
        database.close()


def main() -> None:
    """Run the rounds and print the medians."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--filings", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    rounds = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        path = folder / "filings.csv"
        write_list(path, options.filings)
        for number in range(options.rounds):
            place = folder / str(number)
            place.mkdir()
            rounds.append(one_round(path, place, options.filings))
            size = (place / "registry.db").stat().st_size
            for file in place.glob("registry.db*"):
                file.unlink()
            print(f"round {number + 1}: import {rounds[-1]['import'].wall:.1f} s", flush=True)
    print(f"\n{options.filings:,} filings, {size / options.filings:.0f} bytes each on disk\n")
    print("| work | wall s | CPU s | filings a second |\n| --- | --- | --- | --- |")
    for work in rounds[0]:
        wall = statistics.median(done[work].wall for done in rounds)
        cpu = statistics.median(done[work].cpu for done in rounds)
        print(f"| {work} | {wall:.1f} | {cpu:.1f} | {options.filings / wall:,.0f} |")


if __name__ == "__main__":
    main()
