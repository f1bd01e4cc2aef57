"""The guide to the filing workflow: its commands run, and its tables are the program's."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import gate
from gate.registry.commands import Role
from gate.registry.orders.kinds import FILING_TYPES, NAMES, OrderType
from gate.registry.orders.states import STATE_NAMES, OrderState, next_steps
from tests.harness.guides import run_script, shell_blocks

GUIDE = (Path(gate.__file__).parent / "docs" / "filing.md").read_text(encoding="utf-8")


@pytest.mark.programs
def test_the_guide_s_commands_work_in_their_order(tmp_path: Path) -> None:
    printed = run_script("\n".join(shell_blocks(GUIDE)), tmp_path)
    assert "完成 (done)" in printed
    assert re.search(r"^status +filed$", printed, re.MULTILINE)


def test_the_guide_lists_every_state_with_its_steps() -> None:
    rows = re.findall(r"^\| (`\w+`[^|]*) \|([^|]*)\|([^|]*)\|", GUIDE, re.MULTILINE)
    listed = {}
    for names, _, steps in rows:
        for name in re.findall(r"`(\w+)`", names):
            listed[name] = (names, {step.strip() for step in steps.split(",") if step.strip()})
    for state in OrderState:
        names, steps = listed[state.value]
        told = {event.value for event, _ in next_steps(state)}
        assert steps == told
        if len(re.findall("`", names)) == 2:
            assert STATE_NAMES[state][0] in names


def test_the_guide_names_every_type_and_role() -> None:
    for kind in OrderType:
        assert NAMES[kind][0] in GUIDE
    assert len(re.findall(r"^\| (?:yes|no|any) \|", GUIDE, re.MULTILINE)) == len(FILING_TYPES) - 3
    for role in Role:
        assert f"| `{role.value}` |" in GUIDE
