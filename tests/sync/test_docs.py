"""The sync's guide: its commands run, its settings are valid, and its tables are complete."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

import gate
from gate.changes.push import REFUSALS
from gate.cli import certs
from gate.settings import Settings
from gate.sync.source import RESUMES
from tests.harness.guides import run_script, shell_blocks

pytestmark = pytest.mark.programs

GUIDE = (Path(gate.__file__).parent / "docs" / "sync.md").read_text(encoding="utf-8")


def test_the_guides_commands_work_in_their_order(tmp_path: Path) -> None:
    blocks = shell_blocks(GUIDE)
    assert len(blocks) == 3
    printed = run_script("\n".join(blocks), tmp_path)
    assert "retired" in printed
    assert "begins at revision 0" in printed
    assert len(yaml.safe_load((tmp_path / "trusted.json").read_text())["keys"]) == 1


@pytest.mark.parametrize("text", re.findall(r"```yaml\n(.*?)```", GUIDE, re.DOTALL))
def test_the_guides_settings_are_valid(text: str) -> None:
    Settings.model_validate(yaml.safe_load(text))


def test_the_guide_names_every_certificate() -> None:
    for name in (*certs.SERVERS, *certs.CLIENTS, certs.CA):
        assert f"`{name}.pem`" in GUIDE


def test_the_guide_tells_every_answer_of_the_push_port() -> None:
    told = {int(status) for status in re.findall(r"\b([2-5][0-9][0-9])\b", GUIDE)}
    assert {200, 503, *REFUSALS.values()} <= told


def test_the_guide_tells_how_often_a_snapshot_is_gone_on_with() -> None:
    words = {5: "five"}
    assert f"up to {words[RESUMES]} times" in GUIDE
