"""The commands of a guide, run as a reader would."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

from tests.harness import prefork
from tests.harness.gate_process import GATE
from tests.harness.waiting import patience


def shell_blocks(guide: str) -> list[str]:
    """The code blocks of a guide that are for a shell, in their order."""
    return re.findall(r"```sh\n(.*?)```", guide, re.DOTALL)


def run_script(script: str, folder: Path) -> str:
    """Run a script in a folder, with this `gate` and no settings of ours; what it prints.

    Fails at the first command that fails.
    """
    clean = {key: value for key, value in os.environ.items() if not key.startswith("GATE_")}
    with prefork.program_folder(GATE) as programs:
        done = subprocess.run(
            ["/bin/sh", "-e", "-c", script],
            cwd=folder,
            env=clean | {"PATH": f"{programs}:{Path(GATE).parent}:{os.environ['PATH']}"},
            capture_output=True,
            text=True,
            check=False,
            timeout=patience(120),
        )
    assert done.returncode == 0, done.stderr
    return done.stdout
