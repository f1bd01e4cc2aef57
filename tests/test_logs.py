"""Log lines for people and for machines."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterator

import pytest

from gate import logs
from gate.settings import LogSettings


@pytest.fixture(autouse=True)
def root_logger_as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


def test_a_console_line_has_time_level_logger_and_text(capsys: pytest.CaptureFixture[str]) -> None:
    logs.set_up(LogSettings())
    logging.getLogger("gate.x").warning("%d domains", 3)
    line = capsys.readouterr().err
    assert re.fullmatch(r"\d\d:\d\d:\d\d warning gate\.x: 3 domains\n", line)


def test_a_json_line_is_one_object_also_with_line_ends_and_an_exception(
    capsys: pytest.CaptureFixture[str],
) -> None:
    logs.set_up(LogSettings(format="json"))
    try:
        raise ValueError("坏\n值")
    except ValueError:
        logging.getLogger("gate.x").exception("two\nlines")
    (line,) = capsys.readouterr().err.splitlines()
    entry = json.loads(line)
    assert (entry["level"], entry["logger"], entry["message"]) == ("error", "gate.x", "two\nlines")
    assert entry["exception"].endswith("ValueError: 坏\n值")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", entry["time"])


@pytest.mark.parametrize(("level", "shown"), [("info", False), ("debug", True)])
def test_the_level_is_the_least_that_is_written(
    level: str, shown: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    logs.set_up(LogSettings.model_validate({"level": level}))
    logging.getLogger("gate.x").debug("detail")
    assert ("detail" in capsys.readouterr().err) is shown
