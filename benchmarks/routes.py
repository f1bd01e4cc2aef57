"""What 20,000 routes cost: a reload, `gate check`, a change, and the memory of a worker.

    .venv/bin/python -m benchmarks.routes [--routes 20000] [--rounds 9]

Two gates, each with two workers: one without routes, and one with so many in a file
(`upstreams.routes_file`). The times are of whole commands, as an operator waits for them, the start
of the program included. The CPU is that of the command and of all the gate's processes, and tells
more than the time does where other work runs beside. A change of the file is timed from its rename
to the first line of the log that says it is in force, so that the wait for the next look (up to a
second) is in it. A worker's memory is what is its own (private pages), after the reloads and with
no traffic. Medians, with the lowest and the highest.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Final

from benchmarks.side_by_side.process import memory
from benchmarks.start import fill
from benchmarks.sync.gates import GateProcess
from gate.settings import NONE

_GATE: Final = str(Path(sys.executable).parent / "gate")
_NAMES: Final = 100_000
_SET: Final = ("routes", "set", "last.cn", "--http")


def lines(routes: int, last: int = 1) -> str:
    """Return a file of routes; `last` is in the address of the last one."""
    text = [
        f"site-{n:09d}.cn http=10.{n >> 16}.{n >> 8 & 255}.{n & 255}:80 tls=10.0.0.1:443"
        for n in range(routes - 1)
    ]
    return "\n".join([*text, f"last.cn http=10.0.0.{last}:80\n"])


def replace(file: Path, text: str) -> None:
    """Put a new file in the place of one."""
    new = file.with_suffix(".new")
    new.write_text(text)
    new.replace(file)


def timed(work: Callable[[], None]) -> float:
    """Return the seconds that some work takes."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def of_all(gate: GateProcess, work: Callable[[], None]) -> float:
    """Return the CPU seconds of the commands that some work runs, and of the gate meanwhile."""

    def used() -> float:
        commands = resource.getrusage(resource.RUSAGE_CHILDREN)
        return commands.ru_utime + commands.ru_stime + gate.cpu_seconds()

    began = used()
    work()
    time.sleep(0.5)  # the old processes end
    return used() - began


def command(gate: GateProcess, *arguments: str) -> None:
    """Run a command on a gate."""
    subprocess.run(
        [_GATE, *arguments, "--config", str(gate.config)], check=True, stdout=subprocess.DEVNULL
    )


def in_force(gate: GateProcess, file: Path, routes: int, number: int) -> None:
    """Change one line of the file, and return when the log says that it is in force."""
    before = gate.log_text().count("routes in force")
    replace(file, lines(routes, number))
    while gate.log_text().count("routes in force") == before:
        time.sleep(0.005)


@contextmanager
def running(folder: Path, file: Path | None) -> Iterator[GateProcess]:
    """Run a gate until the end of the block."""
    upstreams = {} if file is None else {"routes_file": str(file)}
    gate = GateProcess(folder, {"registry": NONE}, "127.0.0.1:9", upstreams=upstreams)
    fill(folder, _NAMES)
    with gate.running():
        gate.wait_ready()
        yield gate


def workers_own(gate: GateProcess) -> list[int]:
    """Return the private bytes of each worker."""
    return [memory(pid).private for pid in gate.workers()]


def shown(values: Sequence[float], unit: str, scale: float = 1.0) -> str:
    """Return the median, and the lowest and the highest."""
    low, middle, high = (f"{value * scale:.2f}" for value in _spread(values))
    return f"{middle} {unit} [{low}, {high}]"


def _spread(values: Sequence[float]) -> tuple[float, float, float]:
    return min(values), statistics.median(values), max(values)


def main() -> None:
    """Run it and print its figures."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--routes", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=9)
    options = parser.parse_args()
    rounds = range(options.rounds)
    with tempfile.TemporaryDirectory() as name:
        file = Path(name) / "all.routes"
        replace(file, lines(options.routes))
        own: dict[str, list[int]] = {}
        for title, routes in (("without routes", None), (f"{options.routes} routes", file)):
            with running(Path(name) / title.replace(" ", "-"), routes) as gate:
                check = [timed(lambda: command(gate, "check", "site-000000007.cn")) for _ in rounds]
                reload = [timed(lambda: command(gate, "reload")) for _ in rounds]
                used = [
                    of_all(gate, lambda: command(gate, "check", "site-000000007.cn"))
                    for _ in rounds
                ]
                cpu = [of_all(gate, lambda: command(gate, "reload")) for _ in rounds]
                own[title] = workers_own(gate)
                print(f"{title}: gate check {shown(check, 's')}, CPU of it {shown(used, 's')}")
                print(f"{title}: gate reload {shown(reload, 's')}, CPU of it {shown(cpu, 's')}")
                print(f"{title}: a worker's own memory {shown(own[title], 'MB', 1e-6)}")
                if routes is None:
                    continue
                edits = [
                    timed(partial(in_force, gate, file, options.routes, number % 200 + 2))
                    for number in rounds
                ]
                print(f"{title}: the file changed, until in force {shown(edits, 's')}")
                single = [
                    timed(partial(command, gate, *_SET, f"10.1.0.{number + 1}:80"))
                    for number in rounds
                ]
                print(f"{title}: gate routes set {shown(single, 's')}")
                own[title] = workers_own(gate)
                print(f"{title}: a worker's own memory afterwards {shown(own[title], 'MB', 1e-6)}")


if __name__ == "__main__":
    main()
