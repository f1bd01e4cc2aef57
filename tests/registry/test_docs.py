"""The registry's guide: its commands run, and what it says of columns and operations is so."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import gate
from gate.registry.bulk.record import CHINESE, COLUMNS

GUIDE = (Path(gate.__file__).parent / "docs" / "registry.md").read_text(encoding="utf-8")


def test_the_guides_commands_work_in_their_order(tmp_path: Path) -> None:
    blocks = re.findall(r"```sh\n(.*?)```", GUIDE, re.DOTALL)
    assert len(blocks) == 5
    clean = {key: value for key, value in os.environ.items() if not key.startswith("GATE_")}
    done = subprocess.run(
        ["/bin/sh", "-e", "-c", "\n".join(blocks)],
        cwd=tmp_path,
        env=clean | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "dnspod.cn -> filed 鲁ICP备09090609号-2" in done.stdout
    assert "1 taken" in done.stdout


def test_the_guide_lists_every_column() -> None:
    listed = dict(re.findall(r"^\| `(\w+)` \| (\S+) \|", GUIDE, re.MULTILINE))
    assert set(listed) == set(COLUMNS)
    assert {name: CHINESE[name] for name in listed.values()} == {
        name: column for column, name in listed.items()
    }
