"""The wall clock of a whole running gate jumps by a year, under load, with an embedded registry.

What must hold whatever the clock shows: no wrong verdict, no broken connection, no process that
ends; changes come in; and what goes by the clock is right again once the clock is.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from gate.registry.unfiled import UnfiledQuery
from gate.replica import Replica
from tests.faults.embedded import cancel, file, gate_inside, remote
from tests.faults.watching import FILED, UNFILED, watched
from tests.harness.client import Client
from tests.harness.gate_process import Gate, run_gate
from tests.harness.hello import real_hello
from tests.harness.ports import free_port
from tests.harness.running import log_of, status_of
from tests.harness.waiting import wait_for
from tests.harness.wall_clock import WallClock

HOUR, YEAR = 3600, 365 * 86400
REPORT_SECONDS = 8  # so that one report tells of requests before and after a jump
PER_SECOND = 20  # lines on decisions, of each worker
ASKED = 5  # requests for a blocked name at each time


@pytest.fixture
def clock(tmp_path: Path) -> WallClock:
    return WallClock(tmp_path)


@pytest.fixture
def gate(tmp_path: Path, clock: WallClock, origins: dict[str, Any]) -> Iterator[Gate]:
    """By that clock, with an embedded registry whose changes come by pull and by push."""
    push = f"127.0.0.1:{free_port()}"
    more = {
        "sync": {"push": {"listen": push}, "poll_seconds": 1, "unready_seconds": HOUR},
        "registry": {"push": [{"name": "itself", "url": f"http://{push}"}]},
        "unfiled": {"report": {"enabled": True, "seconds": REPORT_SECONDS, "gate": "edge"}},
        "log": {"format": "json", "access": {"per_second": PER_SECOND}},
    }
    with gate_inside(tmp_path, origins | more, through=clock.through) as gate:
        yield gate
    assert "Traceback" not in log_of(gate)


def jump(gate: Gate, clock: WallClock, seconds: int) -> None:
    """Set the clock, and see that the gate goes by it."""
    clock.jump(seconds)
    off = moment(status(gate)["now"]) - clock.now()
    assert abs(off) < timedelta(minutes=1), f"the gate's clock is off by {off}"


def status(gate: Gate) -> dict[str, Any]:
    code, text = gate.ask_admin("/v1/status")
    assert code == 200
    found: dict[str, Any] = json.loads(text)
    return found


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


def counters(gate: Gate) -> dict[tuple[str, ...], float]:
    """All that may only grow: counters and histograms."""
    return {
        (sample.name, *map(str, sample.labels.items())): sample.value
        for family in text_string_to_metric_families(gate.ask_admin("/metrics")[1])
        if family.type in ("counter", "histogram")
        for sample in family.samples
        if not sample.name.endswith("_created")
    }


def acknowledged(gate: Gate) -> int:
    """The revision that the gate has acknowledged to the registry that pushes."""
    (row,) = remote(gate)._json("GET", "/v1/followers")["gates"]
    return int(row["revision"] or 0)


@pytest.mark.long
@pytest.mark.parametrize("jumps", [(YEAR, -YEAR), (-YEAR, YEAR)], ids=["ahead", "behind"])
def test_service_and_sync_go_on_over_every_jump(
    gate: Gate, clock: WallClock, jumps: tuple[int, ...]
) -> None:
    processes = gate.children()
    with watched(gate) as watch:
        for number, seconds in enumerate(jumps):
            before = counters(gate)
            jump(gate, clock, seconds)
            assert gate.total("gate_sync_staleness_seconds") < HOUR, "that is no silence"
            watch.goes_on("service after the jump")
            check_changes_come_in(gate, f"new-{number}.example.net")
            check_lines_are_written(gate)
            assert gate.ask_admin("/readyz")[0] == 200
            after = counters(gate)
            assert {key: after[key] for key in before if after[key] < before[key]} == {}
    assert watch.broken == 0
    assert gate.children() == processes
    assert "stale" not in log_of(gate)


def check_changes_come_in(gate: Gate, name: str) -> None:
    """A filing and its end are enforced, and acknowledged to the registry."""
    file(gate, name)
    assert status_of(gate, name) == 200
    cancel(gate, name)
    assert status_of(gate, name) == 302
    revision = gate.total("gate_sync_enforced_revision")
    wait_for(lambda: acknowledged(gate) >= revision, "the acknowledgement", 30)


def check_lines_are_written(gate: Gate) -> None:
    """Lines on decisions have a limit for each second, so there are some in the next ones."""
    before = gate.total("gate_access_lines_total", result="written")
    wait_for(
        lambda: gate.total("gate_access_lines_total", result="written") > before + 3 * PER_SECOND,
        "lines of several seconds",
        30,
    )


def set_override(gate: Gate, kind: str, domain: str, *more: str) -> None:
    run_gate(kind, domain, "--config", str(gate.config), "--reason", "a test", *more)


@pytest.mark.long
def test_overrides_end_by_the_clock_and_not_before(gate: Gate, clock: WallClock) -> None:
    set_override(gate, "exempt", UNFILED, "--for", "1h")
    set_override(gate, "suspend", FILED, "--for", "1h")
    set_override(gate, "suspend", "for-good.com")

    def are_in_force() -> bool:
        return (status_of(gate, UNFILED), status_of(gate, FILED)) == (200, 302)

    def are_forgotten() -> bool:
        with closing(Replica.open(gate.directory / "replica", writable=False)) as replica:
            return set(replica.overrides()) == {"for-good.com"}

    assert are_in_force()
    tunnel = Client(gate.ports["tls"])
    tunnel.send(real_hello(UNFILED))
    assert tunnel.read_some()
    for seconds in (-YEAR, YEAR, HOUR // 2):
        jump(gate, clock, seconds)
        assert are_in_force(), seconds
        assert gate.total("gate_overrides") == 3
    jump(gate, clock, HOUR)
    wait_for(are_forgotten, "the end of both")
    tunnel.expect_closed()
    jump(gate, clock, -2 * HOUR)
    assert (status_of(gate, UNFILED), status_of(gate, FILED)) == (302, 200)
    assert (gate.directory / "audit.jsonl").read_text().count('"end override"') == 2


def listed(gate: Gate, name: str) -> dict[str, Any]:
    """A name's row in the gate's own table."""
    rows = json.loads(gate.ask_admin("/v1/unfiled")[1])["items"]
    return next((row for row in rows if row["name"] == name), {"count": 0})


def ask_for_blocked(gate: Gate, name: str) -> None:
    """Some requests; returns when the gate has counted them."""
    count = listed(gate, name)["count"] + ASKED
    for _ in range(ASKED):
        assert status_of(gate, name) == 302
    wait_for(lambda: listed(gate, name)["count"] == count, "the gate's count", 30)


@pytest.mark.long
def test_blocked_names_are_counted_and_reported_over_every_jump(
    gate: Gate, clock: WallClock
) -> None:
    name = "www.never.org"
    jumps = (0, YEAR, -YEAR, -YEAR, YEAR)
    for seconds in jumps:
        jump(gate, clock, seconds)
        ask_for_blocked(gate, name)
    assert moment(listed(gate, name)["last_seen"]) <= clock.now()
    wait_for(
        lambda: (
            [row.count for row in remote(gate).unfiled(UnfiledQuery(), limit=9)]
            == [len(jumps) * ASKED]
        ),
        "the registry's count",
        30,
    )
    assert gate.total("gate_unfiled_reported_names_total", result="refused") == 0
