"""What operators set while the gate runs, for the next control process of the same run."""

from __future__ import annotations

import json
import logging
import resource
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gate.control.operators.runtime import Runtime
from gate.ipc.scoreboard import Board
from gate.settings import Mode, Settings


@pytest.fixture(autouse=True)
def root_logger_as_before() -> Iterator[None]:
    level = logging.getLogger().level
    yield
    logging.getLogger().setLevel(level)


def runtime_of(folder: Path, *, born: int = 7) -> Runtime:
    return Runtime(Board(["control"], born=born), folder / "runtime.json")


def saved(folder: Path) -> Runtime:
    """One that an operator has changed in every way."""
    runtime = runtime_of(folder)
    runtime.modes = {"http": Mode.MONITOR}
    runtime.level = "debug"
    runtime.withdrawn = True
    runtime.save()
    return runtime


def test_the_next_control_process_goes_on_with_what_was_set(tmp_path: Path) -> None:
    before = saved(tmp_path)
    after = runtime_of(tmp_path)
    after.restore("info")
    assert (after.modes, after.level, after.withdrawn) == ({"http": Mode.MONITOR}, "debug", True)
    assert after.greeting() == before.greeting() == {"modes": {"http": "monitor"}, "level": "debug"}
    assert logging.getLogger().level == after.board.log_level == logging.DEBUG


def test_a_reload_ends_mode_and_level_and_leaves_the_gate_out_of_rotation(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    saved(tmp_path)
    after = runtime_of(tmp_path)
    after.board.generation += 1
    after.restore("warning")
    assert (after.modes, after.level, after.withdrawn) == ({}, None, True)
    assert after.board.log_level == logging.WARNING
    assert "set by hand are over" in caplog.text


def test_a_refused_reload_ends_nothing(tmp_path: Path) -> None:
    saved(tmp_path)
    after = runtime_of(tmp_path)
    after.board.count_refused_reload()
    after.restore("info")
    assert (after.modes, after.level) == ({"http": Mode.MONITOR}, "debug")


def test_another_run_of_the_gate_begins_as_the_settings_say(tmp_path: Path) -> None:
    saved(tmp_path)
    after = runtime_of(tmp_path, born=8)
    after.restore("error")
    assert (after.modes, after.level, after.withdrawn) == ({}, None, False)
    assert logging.getLogger().level == after.board.log_level == logging.ERROR


def test_without_a_file_the_settings_hold_and_nothing_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    after = runtime_of(tmp_path)
    after.restore("info")
    assert (after.modes, after.level, after.withdrawn, caplog.text) == ({}, None, False, "")


COMPLETE = {"born": 7, "reloads": 0, "modes": {}, "level": "debug", "withdrawn": False}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"\xff\xfe",
        b"[]",
        b"7",
        json.dumps({key: value for key, value in COMPLETE.items() if key != "modes"}).encode(),
        json.dumps(COMPLETE | {"modes": {"http": "sometimes"}}).encode(),
        json.dumps(COMPLETE | {"modes": []}).encode(),
        json.dumps(COMPLETE | {"level": "loud"}).encode(),
        json.dumps(COMPLETE | {"level": 7}).encode(),
    ],
)
def test_a_damaged_file_is_told_of_and_the_settings_hold(
    content: bytes, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "runtime.json").write_bytes(content)
    after = runtime_of(tmp_path)
    after.restore("error")
    assert (after.modes, after.level) == ({}, None)
    assert "runtime.json" in caplog.text
    assert "the settings are in force as they are" in caplog.text
    assert after.board.log_level == logging.ERROR


def test_a_file_that_cannot_be_written_is_an_error_and_leaves_the_one_before(
    tmp_path: Path,
) -> None:
    runtime = saved(tmp_path)
    before = (tmp_path / "runtime.json").read_bytes()
    runtime.level = "error"
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))  # as a full disk: no byte goes in
    try:
        with pytest.raises(OSError, match="too large"):
            runtime.save()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert (tmp_path / "runtime.json").read_bytes() == before


@pytest.mark.parametrize(
    ("by_hand", "in_force"),
    [
        ({}, Mode.ENFORCE),
        ({"http": Mode.MONITOR}, Mode.MONITOR),
        ({"tls": Mode.MONITOR}, Mode.ENFORCE),
    ],
)
def test_a_mode_is_as_configured_until_it_is_set(
    by_hand: dict[str, Mode], in_force: Mode, tmp_path: Path
) -> None:
    entry: dict[str, Any] = {"kind": "http", "address": "127.0.0.1:80"}
    settings = Settings.model_validate({"listeners": [{"name": "http", **entry}]})
    runtime = runtime_of(tmp_path)
    runtime.modes = by_hand
    assert runtime.mode_of("http", settings) is in_force
    with pytest.raises(KeyError):
        runtime.mode_of("none", settings)
