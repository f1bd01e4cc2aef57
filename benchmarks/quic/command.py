"""The command: rows, rounds, and a table of medians."""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.quic.peers import JUDGES, RELAYS, Peer, start_all
from benchmarks.quic.traffic import Clients, Flow, Upstream, drained, initials
from benchmarks.side_by_side import dataset
from benchmarks.side_by_side.process import LOAD_CORE, BenchError

FLOWS = 20


@dataclass(slots=True)
class Bench:
    """All that the rows share."""

    upstream: Upstream
    filed: list[bytes]
    unfiled: list[bytes]
    name: str
    relaying: float = 0.0
    """CPU seconds of the last round's relaying alone, without the opening of its flows."""


@dataclass(slots=True, frozen=True)
class Row:
    """One row: `run` does it once and returns how many units were done."""

    name: str
    unit: str
    peers: tuple[str, ...]
    run: Callable[[Bench, Peer], int]
    target: str


def refused(bench: Bench, peer: Peer) -> int:
    """Initials for unfiled names, each a connection of its own."""
    clients = Clients(peer.setup.port)
    try:
        return clients.send(bench.unfiled)
    finally:
        clients.close()


def opened(bench: Bench, peer: Peer) -> int:
    """Initials for filed names, each of which reaches the upstream."""
    clients = Clients(peer.setup.port)
    try:
        bench.upstream.take()
        done = 0
        for at in range(0, len(bench.filed), 200):
            done += clients.send(bench.filed[at : at + 200])
            bench.upstream.take()
        return done
    finally:
        clients.close()


def relayed(row: int, *, down: bool) -> Callable[[Bench, Peer], int]:
    """Datagrams of 1,200 bytes on open flows, `row` in one call."""

    def run(bench: Bench, peer: Peer) -> int:
        flows = [Flow(peer.setup.port, bench.upstream, bench.name) for _ in range(FLOWS)]
        try:
            before, moved = peer.cpu(), 0
            for _ in range(max(1, 20_000 // row // FLOWS)):
                for flow in flows:
                    flow.down(row) if down else flow.up(row)
                drained(peer.setup.port)
                moved += _taken(bench, flows, row * FLOWS, down=down)
            bench.relaying = peer.cpu() - before
            return moved
        finally:
            for flow in flows:
                flow.close()

    return run


def _taken(bench: Bench, flows: list[Flow], expected: int, *, down: bool) -> int:
    """Wait for the datagrams that were sent; how many came."""
    total, ends = 0, time.monotonic() + 0.5
    while total < expected * 1200 and time.monotonic() < ends:
        total += sum(flow.take() for flow in flows) if down else bench.upstream.take()
    return total // 1200


ROWS = (
    Row("quic-refused", "refused Initial", JUDGES, refused, "27.5 µs (sing-box, drop)"),
    Row("quic-opened", "judged and opened flow", RELAYS, opened, "77.5 µs (sing-box)"),
    Row("quic-up", "datagram, one a call", RELAYS, relayed(1, down=False), ""),
    Row("quic-up-16", "datagram, 16 a call", RELAYS, relayed(16, down=False), "0.46 µs"),
    Row("quic-up-50", "datagram, 50 a call", RELAYS, relayed(50, down=False), "0.46 µs"),
    Row("quic-down", "datagram, one a call", RELAYS, relayed(1, down=True), ""),
    Row("quic-down-16", "datagram, 16 a call", RELAYS, relayed(16, down=True), "0.46 µs"),
    Row("quic-down-50", "datagram, 50 a call", RELAYS, relayed(50, down=True), "0.46 µs"),
)


def measure(bench: Bench, peer: Peer, row: Row) -> float:
    """Microseconds of CPU a unit."""
    before = peer.cpu()
    bench.relaying = 0.0
    units = row.run(bench, peer)
    if not units:
        raise BenchError(f"{peer.name}: nothing of {row.name} came through")
    return (bench.relaying or peer.cpu() - before) / units * 1e6


def main() -> int:
    """Run the rows named on the command line, or all, in interleaved rounds."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("row", nargs="*", metavar="ROW")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--units", type=int, default=4000, help="Initials in a round")
    parser.add_argument("--size", type=int, default=100_000, help="names in the list")
    parser.add_argument("--peers", default="", help="only these, with commas between")
    options = parser.parse_args()
    os.sched_setaffinity(0, {LOAD_CORE})
    rows = [row for row in ROWS if not options.row or row.name in options.row]
    only = set(options.peers.split(",")) - {""}
    with tempfile.TemporaryDirectory() as folder:
        _run(Path(folder), rows, only, options)
    return 0


def _run(folder: Path, rows: list[Row], only: set[str], options: argparse.Namespace) -> None:
    real = dataset.real_names()
    listed = dataset.allowlist(options.size, real)
    names = folder / "names.txt"
    names.write_text("\n".join(listed) + "\n", encoding="ascii")
    upstream = Upstream()
    filed = dataset.filed_hosts(2000, listed)
    bench = Bench(
        upstream,
        initials(filed, options.units),
        initials(dataset.unfiled_hosts(2000, listed), options.units),
        filed[0],
    )
    wanted = dict.fromkeys(name for row in rows for name in row.peers if not only or name in only)
    peers = start_all(wanted, folder, names, upstream.port)
    print("| row | unit | server | µs CPU a unit | lowest | highest | to beat |")
    print("| --- | --- | --- | --- | --- | --- | --- |", flush=True)
    try:
        for row in rows:
            taking_part = [peers[name] for name in row.peers if name in peers]
            costs: dict[str, list[float]] = {peer.name: [] for peer in taking_part}
            for number in range(options.rounds + 1):
                for peer in (
                    taking_part[number % len(taking_part) :]
                    + taking_part[: number % len(taking_part)]
                ):
                    cost = measure(bench, peer, row)
                    if number:  # the first round warms up
                        costs[peer.name].append(cost)
            for name, found in costs.items():
                middle = statistics.median(found)
                print(
                    f"| {row.name} | {row.unit} | {name} | {middle:.2f} | {min(found):.2f} "
                    f"| {max(found):.2f} | {row.target if name == 'gate' else ''} |",
                    flush=True,
                )
    finally:
        for peer in peers.values():
            peer.stop()
        upstream.close()
