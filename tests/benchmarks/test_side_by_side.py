"""The side-by-side benchmark: what it sends, what it counts, what it refuses to count.

Names no peer: the parts that need no HAProxy, nginx, Envoy or wrk are tested with sockets alone.
"""

from __future__ import annotations

import pickle
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmarks.side_by_side import dataset
from benchmarks.side_by_side.bench import Sample
from benchmarks.side_by_side.chart import draw
from benchmarks.side_by_side.counters import CounterFile, Counts
from benchmarks.side_by_side.hello import Answer, client_hello, read_answer
from benchmarks.side_by_side.http_load import request, write_requests
from benchmarks.side_by_side.load import Generator
from benchmarks.side_by_side.paced import read_requests
from benchmarks.side_by_side.process import BenchError, accepts, free_ports, spawn, stop, wait_until
from benchmarks.side_by_side.report import ratio, table
from benchmarks.side_by_side.rounds import Cell
from benchmarks.side_by_side.visits import Kind, Outcome, Plan, Visit, write_visits
from gate.wire.http1 import RequestParser
from gate.wire.tls import parse_client_hello
from tests.harness.waiting import wait_for


@pytest.fixture(scope="module")
def names() -> list[str]:
    return dataset.real_names()


class TestNames:
    @pytest.mark.parametrize("size", [10, 1_000, 1_500_000])
    def test_a_list_has_its_size_and_no_name_twice(self, names: list[str], size: int) -> None:
        listed = dataset.allowlist(size, names)
        assert len(listed) == len(set(listed)) == size

    def test_a_list_is_the_same_each_time(self, names: list[str]) -> None:
        assert dataset.allowlist(500, names) == dataset.allowlist(500, names)

    def test_filed_hosts_are_listed_or_below_a_listed_name(self, names: list[str]) -> None:
        listed = dataset.allowlist(1_000, names)
        covered = set(listed)
        for host in dataset.filed_hosts(2_000, listed):
            labels = host.split(".")
            assert any(".".join(labels[at:]) in covered for at in range(len(labels)))

    def test_unfiled_hosts_have_no_listed_name_at_or_above_them(self, names: list[str]) -> None:
        listed = dataset.allowlist(1_000, names)
        covered = set(listed)
        hosts = dataset.unfiled_hosts(2_000, listed)
        assert len(set(hosts)) == 2_000
        for host in hosts:
            labels = host.split(".")
            assert not any(".".join(labels[at:]) in covered for at in range(len(labels)))

    def test_the_first_of_a_skewed_draw_is_asked_for_most(self) -> None:
        drawn = dataset.skewed([f"h{n}.example" for n in range(100)], 10_000)
        assert drawn.count("h0.example") > 5 * drawn.count("h20.example")


class TestWhatIsSent:
    @pytest.mark.parametrize("post_quantum", [False, True])
    def test_a_hello_names_its_host_to_the_gates_own_reader(self, post_quantum: bool) -> None:
        hello = client_hello("www.example.com.cn", post_quantum=post_quantum)
        parsed = parse_client_hello(hello)
        assert parsed is not None
        assert parsed.sni == b"www.example.com.cn"
        assert len(hello) > 1_700 if post_quantum else len(hello) == 517

    def test_a_hello_carries_the_answer_that_is_wanted(self) -> None:
        assert read_answer(client_hello("a.example", Answer.BULK, 256)) == (Answer.BULK, 256)

    def test_a_foreign_hello_wants_nothing(self) -> None:
        assert read_answer(b"\x16\x03\x01" + bytes(514)) is None

    @pytest.mark.parametrize(
        "sent",
        [
            request("www.example.cn"),
            request("www.example.cn", serial=7),
            request("www.example.cn", close=True),
            request("www.example.cn", "/upload", body=b"x" * 50),
        ],
        ids=["plain", "unique", "close", "post"],
    )
    def test_a_request_is_valid_to_the_gates_own_parser(self, sent: bytes) -> None:
        head = RequestParser().parse(sent)
        assert head is not None
        assert head.host == b"www.example.cn"

    def test_unique_requests_differ_in_path_and_cookie(self) -> None:
        first, second = (request("a.example", serial=n).split(b"\r\n") for n in (1, 2))
        assert first[0] != second[0]
        assert first[-3] != second[-3]

    def test_stored_requests_come_back_whole(self, tmp_path: Path) -> None:
        sent = [request("a.example"), request("b.example", body=b"\r\n\r\n12")]
        assert read_requests(write_requests(tmp_path / "r", sent)) == sent


@pytest.fixture(scope="module")
def upstream(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, CounterFile]]:
    import sys

    folder = tmp_path_factory.mktemp("upstream")
    tls, sink = free_ports(2)
    counters = CounterFile(folder / "counters")
    command = [sys.executable, "-m", "benchmarks.side_by_side.upstream"]
    command += ["127.0.0.1", str(tls), str(sink), str(folder / "counters")]
    child = spawn(command, cores={0, 1}, log=folder / "log")
    wait_until(lambda: accepts(sink), seconds=20, what="upstream", child=child)
    yield tls, counters
    stop(child)


class TestCounting:
    def run(self, port: int, folder: Path, visit: Visit, count: int) -> Outcome:
        plan = Plan(port, port, write_visits(folder / "v", [visit]), count, 8)
        return Generator(plan, pickle.loads(plan.visits.read_bytes())).run()

    def test_answered_visits_are_counted_on_both_sides(
        self, upstream: tuple[int, CounterFile], tmp_path: Path
    ) -> None:
        port, counters = upstream
        before = counters.read()
        visit = Visit(Kind.ANSWERED, client_hello("a.example", Answer.SHORT, 1000), 1000)
        outcome = self.run(port, tmp_path, visit, 50)
        assert (outcome.failed, outcome.done[Kind.ANSWERED]) == (0, 50)
        # The upstream publishes its counts once it has dealt with all that it was told of at once.
        wait_for(lambda: (counters.read() - before).short >= 50, "all counts")
        assert (counters.read() - before).short == 50

    def test_bulk_bytes_are_counted_on_both_sides(
        self, upstream: tuple[int, CounterFile], tmp_path: Path
    ) -> None:
        port, counters = upstream
        before = counters.read()
        visit = Visit(Kind.BULK, client_hello("a.example", Answer.BULK, 3), 3 << 20)
        outcome = self.run(port, tmp_path, visit, 2)
        assert (outcome.failed, outcome.bytes) == (0, 6 << 20)
        wait_for(lambda: (counters.read() - before).bulk_bytes >= 6 << 20, "all counts")
        assert (counters.read() - before).bulk_bytes == 6 << 20

    @pytest.mark.parametrize(
        ("visit", "reason"),
        [
            (Visit(Kind.REFUSED, client_hello("a.example")), "bytes came back"),
            (Visit(Kind.ANSWERED, client_hello("a.example", size=999), 1000), "999 bytes"),
            (Visit(Kind.SERVED, b"GET / HTTP/1.1\r\n\r\n", 36), "closed early"),
        ],
        ids=["let through", "a byte short", "no answer"],
    )
    def test_a_wrong_outcome_is_a_failure(
        self, upstream: tuple[int, CounterFile], tmp_path: Path, visit: Visit, reason: str
    ) -> None:
        outcome = self.run(upstream[0], tmp_path, visit, 5)
        assert outcome.failed == 5
        assert all(reason in text for text in outcome.failures)

    def test_counters_subtract(self) -> None:
        assert Counts(short=5, posts=2) - Counts(short=3) == Counts(short=2, posts=2)

    def test_a_program_that_is_not_there_is_a_clear_error(self, tmp_path: Path) -> None:
        child = spawn(["no-such-program"], cores={0, 1}, log=tmp_path / "log")
        with pytest.raises(BenchError, match="nothing: the process ended with status 127"):
            wait_until(lambda: False, seconds=20, what="nothing", child=child)


def _row(gate: float, peer: float) -> dict[str, Any]:
    cells = {
        "cpu_per_unit": gate, "lowest": gate, "highest": gate, "failures": [],
    }  # fmt: skip
    return {
        "workload": "tls-reset",
        "title": "TLS <unfiled>",
        "unit": "connection",
        "cpu_unit": "us",
        "target": 0.85,
        "ratio": gate / peer,
        "servers": {"gate": cells, "nginx": {**cells, "cpu_per_unit": peer}},
    }


class TestReport:
    def test_the_ratio_is_by_the_cheapest_peer_and_from_medians(self) -> None:
        def cell(*cpu: float) -> Cell:
            return Cell([Sample(10, seconds, seconds, 1.0) for seconds in cpu])

        cells = {"gate": cell(1, 2, 9), "haproxy": cell(8, 8, 8), "nginx": cell(4, 4, 90)}
        assert ratio(cells, 1e6) == pytest.approx(0.5)

    def test_there_is_no_ratio_without_a_good_round_of_the_gate(self) -> None:
        assert ratio({"gate": Cell(failures=["x"]), "nginx": Cell([Sample(1, 1, 1, 1)])}, 1) is None

    def test_the_table_marks_a_server_whose_rounds_all_failed(self) -> None:
        row = _row(1, 2)
        row["servers"]["gate"] = {"cpu_per_unit": None, "failures": ["no"]}
        assert "failed" in table([row], ["gate", "nginx"])

    def test_the_chart_is_well_formed_and_cuts_what_is_too_long(self) -> None:
        root = ElementTree.fromstring(draw([_row(1.0, 2.0), _row(90.0, 2.0)], "note"))
        texts = [element.text or "" for element in root.iter() if element.tag.endswith("text")]
        assert "TLS <unfiled>" in texts
        assert any("×45.0" in text for text in texts)
