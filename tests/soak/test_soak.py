"""A minute of the soak; `python -m tests.soak --minutes 60` is the whole."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.soak.soak import Soak


@pytest.mark.long
def test_a_minute_of_load_changes_and_faults_finds_nothing(tmp_path: Path) -> None:
    report = Soak(tmp_path, 60.0, seed=1).run()
    assert report.problems() == [], str(report)
    assert report.verdicts > 1000
    assert report.changes > 10
    assert report.faults.total() >= 3
