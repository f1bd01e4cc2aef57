"""The registry's guide: its commands run, and what it says of columns and operations is so."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import gate
from gate.registry.bulk.filing_row import CHINESE, COLUMNS
from tests.harness.guides import run_script, shell_blocks

pytestmark = pytest.mark.programs

GUIDE = (Path(gate.__file__).parent / "docs" / "registry.md").read_text(encoding="utf-8")


def test_the_guides_commands_work_in_their_order(tmp_path: Path) -> None:
    blocks = shell_blocks(GUIDE)
    assert len(blocks) == 5
    printed = run_script("\n".join(blocks), tmp_path)
    assert "dnspod.cn -> filed 鲁ICP备09090609号-2" in printed
    assert "1 taken" in printed


def test_the_guide_lists_every_column() -> None:
    listed = dict(re.findall(r"^\| `(\w+)` \| (\S+) ", GUIDE, re.MULTILINE))
    assert set(listed) == set(COLUMNS)
    assert {name: CHINESE[name] for name in listed.values()} == {
        name: column for column, name in listed.items()
    }
