"""The floor of the side-by-side benchmark does the units of its rows, and counts as no peer."""

from __future__ import annotations

import pickle
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from benchmarks.side_by_side import floor
from benchmarks.side_by_side.bench import Sample
from benchmarks.side_by_side.counters import CounterFile
from benchmarks.side_by_side.hello import Answer, client_hello
from benchmarks.side_by_side.http_load import POST_SIZE, REFUSED_PATH, answer_to, request
from benchmarks.side_by_side.load import Generator
from benchmarks.side_by_side.origin import LARGE, SMALL_BODY
from benchmarks.side_by_side.process import (
    NotOffered,
    accepts,
    cpu_seconds,
    free_ports,
    spawn,
    stop,
    wait_until,
)
from benchmarks.side_by_side.report import floor_ratio, ratio, table
from benchmarks.side_by_side.rounds import Cell
from benchmarks.side_by_side.servers import FLOOR, Running, Setup, Variant
from benchmarks.side_by_side.visits import Kind, Outcome, Plan, Visit, write_visits
from tests.harness.waiting import wait_for

_LARGE = bytes(range(256)) * 4096  # more than any buffer between the origin and a client takes


class _Server(ThreadingHTTPServer):
    request_queue_size = 128
    daemon_threads = True


class _Origin(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        body = _LARGE if self.path == LARGE else SMALL_BODY.encode()
        head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n\r\n"
        self.wfile.write(head.encode() + body)


@pytest.fixture(scope="module")
def upstreams(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, int, int]]:
    """The ports of an upstream for HTTP, one for TLS, and one for posted bodies."""
    folder = tmp_path_factory.mktemp("upstream")
    tls, sink = free_ports(2)
    CounterFile(folder / "counters")
    command = [sys.executable, "-m", "benchmarks.side_by_side.upstream"]
    command += ["127.0.0.1", str(tls), str(sink), str(folder / "counters")]
    child = spawn(command, cores={0, 1}, log=folder / "log")
    server = _Server(("127.0.0.1", 0), _Origin)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    wait_until(lambda: accepts(sink), seconds=60, what="upstream", child=child)
    yield server.server_port, tls, sink
    server.shutdown()
    thread.join()
    server.server_close()
    stop(child)


@contextmanager
def started(
    folder: Path, variant: Variant, upstreams: tuple[int, int, int], workers: int = 1
) -> Iterator[Running]:
    http, tls, sink = upstreams
    ports = free_ports(5)
    setup = Setup(
        folder, folder / "names", 0, variant, workers, ports[0], ports[1],
        (ports[2], ports[3], ports[4]), sink if variant is Variant.SINK else http, tls,
        frozenset({0, 1}),
    )  # fmt: skip
    try:
        found = floor.start(setup)
    except NotOffered as error:
        pytest.skip(str(error))
    yield found
    found.stop()


@pytest.fixture(scope="module", params=[Variant.KEEP, Variant.CLOSE])
def running(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    upstreams: tuple[int, int, int],
) -> Iterator[Running]:
    with started(tmp_path_factory.mktemp("floor"), request.param, upstreams) as found:
        yield found


def visited(running: Running, folder: Path, visit: Visit, count: int = 40) -> Outcome:
    setup = running.setup
    plan = Plan(setup.tls_port, setup.http_port, write_visits(folder / "v", [visit]), count, 8)
    return Generator(plan, pickle.loads(plan.visits.read_bytes())).run()


def test_it_refuses_a_hello_that_is_to_be_refused(running: Running, tmp_path: Path) -> None:
    hello = client_hello("a.example", Answer.REFUSED, 0)
    outcome = visited(running, tmp_path, Visit(Kind.REFUSED, hello))
    assert (outcome.failures, outcome.resets) == ({}, 40)


def test_it_relays_any_other(running: Running, tmp_path: Path) -> None:
    hello = client_hello("a.example", Answer.SHORT, 1000)
    outcome = visited(running, tmp_path, Visit(Kind.ANSWERED, hello, 1000))
    assert (outcome.failures, outcome.bytes) == ({}, 40_000)


@pytest.mark.parametrize(
    ("close", "repeat"), [(False, 3), (True, 1)], ids=["kept alive", "one request each"]
)
def test_it_forwards_requests_or_redirects_them_all(
    running: Running, tmp_path: Path, close: bool, repeat: int
) -> None:
    sent = request("a.example", close=close)
    if running.setup.variant is Variant.CLOSE:
        outcome = visited(running, tmp_path, Visit(Kind.REDIRECTED, sent))
    else:
        outcome = visited(running, tmp_path, Visit(Kind.SERVED, sent, len(SMALL_BODY), repeat))
    assert outcome.failures == {}
    assert sum(outcome.done) == 40


def test_it_moves_a_large_answer_whole_to_a_client_that_reads_late(
    tmp_path: Path, upstreams: tuple[int, int, int]
) -> None:
    with started(tmp_path, Variant.KEEP, upstreams) as server:
        for _ in range(2):  # on a new upstream connection, and on a kept one
            with socket.create_connection(("127.0.0.1", server.setup.http_port), 30) as sock:
                sock.sendall(request("a.example", LARGE))
                time.sleep(0.2)
                stream = sock.makefile("rb")
                while stream.readline() != b"\r\n":
                    pass
                assert stream.read(len(_LARGE)) == _LARGE


def test_it_moves_a_large_transfer_of_a_tunnel(
    tmp_path: Path, upstreams: tuple[int, int, int]
) -> None:
    hello = client_hello("a.example", Answer.BULK, 64)
    with started(tmp_path, Variant.KEEP, upstreams) as server:
        outcome = visited(server, tmp_path, Visit(Kind.BULK, hello, 64 << 20), count=2)
    assert (outcome.failures, outcome.bytes) == ({}, 128 << 20)


def test_it_moves_a_posted_body(tmp_path: Path, upstreams: tuple[int, int, int]) -> None:
    with started(tmp_path, Variant.SINK, upstreams) as server:
        address = "127.0.0.1", server.setup.http_port
        for _ in range(2):
            status, _, _ = answer_to(address, request("a.example", body=bytes(POST_SIZE)))
            assert status == 200


def test_it_redirects_what_says_that_it_is_refused(
    tmp_path: Path, upstreams: tuple[int, int, int]
) -> None:
    with started(tmp_path, Variant.KEEP, upstreams) as server:
        address = "127.0.0.1", server.setup.http_port
        assert answer_to(address, request("a.example", REFUSED_PATH))[0] == 302
        assert answer_to(address, request("a.example"))[0] == 200


def test_its_workers_share_the_connections_and_end_with_it(
    tmp_path: Path, upstreams: tuple[int, int, int]
) -> None:
    with started(tmp_path, Variant.KEEP, upstreams, workers=2) as server:
        pids = server.pids()
        assert len(pids) == 2
        hello = client_hello("a.example", Answer.SHORT, 1000)
        outcome = visited(server, tmp_path, Visit(Kind.ANSWERED, hello, 1000), count=200)
        assert outcome.failures == {}
        assert all(cpu_seconds(pid) > 0 for pid in pids)
    wait_for(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids), "its workers' end")


def test_its_figure_is_no_peers_and_has_a_ratio_of_its_own() -> None:
    def cell(cpu: float) -> Cell:
        return Cell([Sample(1, cpu, cpu, 1.0)])

    cells = {"gate": cell(6), "nginx": cell(8), FLOOR: cell(5)}
    assert ratio(cells, 1) == pytest.approx(0.75)
    assert floor_ratio(cells, 1) == pytest.approx(1.2)
    assert floor_ratio({"gate": cell(6), "nginx": cell(8)}, 1) is None


def test_the_table_has_a_column_for_it_where_it_took_part() -> None:
    cells = {"cpu_per_unit": 6.0, "lowest": 6.0, "highest": 6.0, "failures": []}
    row = {
        "workload": "tls-reset", "unit": "connection", "cpu_unit": "us", "target": None,
        "ratio": None, "floor_ratio": 1.2, "servers": {"gate": cells, FLOOR: cells},
    }  # fmt: skip
    assert table([row], ["gate", FLOOR]).splitlines()[1].endswith("1.20")
    assert "floor" not in table([row], ["gate"])
