"""The audit log: a change has a whole line on the disk, or is refused and leaves none."""

from __future__ import annotations

import json
import resource
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from gate.control.operators.audit import AuditError, AuditLog


@contextmanager
def room_for(size: int) -> Iterator[None]:
    """No file grows over `size` bytes, as on a disk that is full by then: a write that crosses it
    is cut short, and the next one refused."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


def record(log: AuditLog, target: str) -> None:
    log.record(actor="token", peer="127.0.0.1", by="me", action="exempt", target=target)


@pytest.mark.parametrize("room", [0, 1, 40])
def test_a_line_that_the_disk_takes_in_part_is_refused_and_taken_back(
    tmp_path: Path, room: int
) -> None:
    path = tmp_path / "audit.jsonl"
    log = AuditLog(path)
    record(log, "first.cn")
    before = path.read_bytes()
    with room_for(len(before) + room), pytest.raises(AuditError, match="nothing was changed"):
        record(log, "second.cn")
    assert path.read_bytes() == before
    record(log, "third.cn")
    targets = [json.loads(line)["target"] for line in path.read_text().splitlines()]
    assert targets == ["first.cn", "third.cn"]


def test_the_newest_entries_come_oldest_first_and_damaged_lines_are_left_out(
    tmp_path: Path,
) -> None:
    path = tmp_path / "audit.jsonl"
    log = AuditLog(path, clock=lambda: 0.0)
    assert log.newest(5) == []
    for target in ("a.cn", "b.cn"):
        record(log, target)
    with path.open("a") as file:
        file.write('{"time": \n[]\n{"colour": 1}\n')
    entry = log.record(actor="token", peer="::1", by="", action="mode", mode="monitor")
    assert [item.target for item in log.newest(10)] == ["a.cn", "b.cn", ""]
    assert log.newest(1) == [entry]
    assert (entry.time, entry.detail) == ("1970-01-01T00:00:00Z", {"mode": "monitor"})
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_line_that_a_crash_cut_short_spoils_no_other(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    log = AuditLog(path)
    record(log, "a.cn")
    with path.open("a") as file:
        file.write('{"time": "20')
    record(log, "b.cn")
    assert [item.target for item in log.newest(10)] == ["a.cn", "b.cn"]
