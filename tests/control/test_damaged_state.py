"""Files of state that a full disk, a crash or a hand has damaged: none stops who reads it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest

from gate.control.blocked.names import BlockedNames
from gate.control.blocked.outbox import Outbox
from gate.control.blocked.table import BlockedTable
from gate.control.metrics.tally import Tally
from gate.control.operators.runtime import Runtime
from gate.control.traffic import Traffic
from gate.ipc.scoreboard import Board
from gate.registry.console.app import _key
from gate.registry.distribution.given import Given


def unfiled(folder: Path) -> Path:
    path = folder / "unfiled.json"
    outbox = Outbox(10)
    BlockedNames(BlockedTable(names=10, keep_seconds=1e12), path, outbox)
    assert outbox.report() is None
    return path


def counters(folder: Path) -> Path:
    path = folder / "counters.json"
    tally = Tally(lambda figure: True)
    tally.restore(path, 7)
    assert tally.totals() == {}
    return path


def runtime(folder: Path) -> Path:
    path = folder / "runtime.json"
    state = Runtime(Board(["control"], born=7), path)
    state.restore("info")
    assert (state.modes, state.level, state.withdrawn) == ({}, None, False)
    return path


def given_out(folder: Path) -> Path:
    path = folder / "given.json"
    assert Given(path).last is None
    return path


def traffic(folder: Path) -> Path:
    path = folder / "traffic.json"
    assert len(Traffic(path, most=10)) == 0
    return path


READERS: Final = [unfiled, counters, runtime, given_out, traffic]

NOT_JSON: Final = [b"", b"{", b"\xff\xfe\x00", b"[" * 100_000]
OF_ANOTHER_SHAPE: Final = [b"null", b"5", b'"x"', b"[]", b"[[]]", b"{}"]
NEARLY: Final[list[tuple[Callable[[Path], Path], bytes]]] = [
    (unfiled, b'{"rows": [["a.cn", "http", "unfiled", "", "1", 1, 1]], "since": 1, "unlisted": 0}'),
    (
        unfiled,
        b'{"rows": [["a.cn", "h", "unfiled", "", 1, null, 1]], "since": 1, "unlisted": 0}',
    ),
    (unfiled, b'{"rows": [[5, "http", "unfiled", "", 1, 1, 1]], "since": 1, "unlisted": 0}'),
    (unfiled, b'{"rows": {"a": 1}, "since": 1, "unlisted": 0}'),
    (unfiled, b'{"rows": [], "since": 1, "unlisted": Infinity}'),
    (unfiled, b'{"rows": [], "since": 1, "unlisted": 0, "heard": [[[], 1, 2]]}'),
    (counters, b'{"gate": 7}'),
    (counters, b'{"gate": 7, "ended": [[["requests"], "x"]], "processes": []}'),
    (counters, b'{"gate": 7, "ended": [[5, 1]], "processes": []}'),
    (counters, b'{"gate": 7, "ended": [], "processes": [{"who": [1], "figures": []}]}'),
    (counters, b'{"gate": 7, "ended": [[["requests"], 1]], "processes": 5}'),
    (runtime, b'{"born": 7, "generation": 0, "modes": [], "level": null, "withdrawn": true}'),
    (runtime, b'{"born": 7, "generation": 0, "modes": {}, "level": 5, "withdrawn": true}'),
    (given_out, b'{"epoch": "e", "revision": "1", "filed": 5}'),
    (given_out, b'{"epoch": "e", "revision": 1, "filed": null}'),
    (traffic, b'{"days": 3, "lost": []}'),
    (traffic, b'{"days": [[740000, [5]]], "lost": []}'),
    (traffic, b'{"days": [[0, ["a.cn"]]], "lost": []}'),
    (traffic, b'{"days": [], "lost": ["740000"]}'),
    (traffic, b'{"days": [[1e999, []]], "lost": []}'),
]


@pytest.mark.parametrize(
    ("read", "content"),
    [*((read, text) for read in READERS for text in (*NOT_JSON, *OF_ANOTHER_SHAPE)), *NEARLY],
)
def test_a_damaged_file_is_set_aside_and_told_of_and_all_goes_on(
    read: Callable[[Path], Path],
    content: bytes,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    path = read(tmp_path)  # there is none yet: nothing to tell
    assert not caplog.records
    path.write_bytes(content)
    read(tmp_path)
    assert path.with_suffix(".bad").read_bytes() == content
    if read is traffic:  # which notes at once since when a kill would lose names
        assert set(json.loads(path.read_bytes())) == {"days", "lost", "since"}
    else:
        assert not path.exists()
    (record,) = caplog.records
    assert str(path) in record.getMessage()
    read(tmp_path)
    assert len(caplog.records) == 1, "it is told of once"


@pytest.mark.parametrize(
    "reports",
    ["5", "[]", '{"report": null, "waiting": {"a": 1}}', '{"report": 5, "waiting": []}']
    + [
        f'{{"report": {report}, "waiting": {waiting}}}'
        for report, waiting in (
            ('{"key": "k", "names": [5]}', "[]"),
            ('{"key": "k", "names": [{"name": "a.cn"}]}', "[]"),
            ("null", '[["a.cn", "unfiled", "1", 1, 1]]'),
            ("null", '[["a.cn", "unfiled", 1, Infinity, 1]]'),
        )
    ],
)
def test_damaged_reports_cost_no_blocked_name(
    reports: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "unfiled.json"
    rows = '[["a.cn", "http", "unfiled", "", 1, 1.0, 1.0]]'
    path.write_text(f'{{"since": 1, "unlisted": 0, "rows": {rows}, "reports": {reports}}}')
    table, outbox = BlockedTable(names=10, keep_seconds=1e12), Outbox(10)
    BlockedNames(table, path, outbox)
    assert len(table) == 1
    assert outbox.report() is None
    assert "what was still to be reported is lost" in caplog.text


@pytest.mark.parametrize("content", [b"", b"\xff", b"short", b"AAAA" * 100])
def test_a_damaged_key_of_the_console_is_set_aside(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "console.key"
    path.write_bytes(content)
    made = _key([tmp_path])
    assert len(made) == 32
    assert _key([tmp_path]) == made
    assert (tmp_path / "console.key.bad").read_bytes() == content
