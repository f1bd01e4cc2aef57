"""The audit of the dependencies: what it makes of each outcome of pip-audit."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
VULNERABLE = {
    "name": "old",
    "version": "1.0",
    "vulns": [{"id": "CVE-2026-1", "fix_versions": ["1.1"], "aliases": [], "description": ""}],
}
SOUND = {"name": "good", "version": "2.0", "vulns": []}
UNKNOWN = {"name": "other", "skip_reason": "Dependency not found and could not be audited"}


def audit(folder: Path, status: int, output: str, errors: str = "") -> tuple[int, list[str]]:
    """The audit's exit status and lines, for a pip-audit that ends like this."""
    (folder / "output").write_text(output)
    (folder / "errors").write_text(errors)
    program = folder / "pip-audit"
    program.write_text(f"#!/bin/sh\ncat {folder}/output\ncat {folder}/errors >&2\nexit {status}\n")
    program.chmod(0o755)
    run = subprocess.run(
        [sys.executable, ROOT / ".ci" / "audit", program], capture_output=True, text=True, cwd=ROOT
    )
    return run.returncode, (run.stdout + run.stderr).splitlines()


def report(*packages: dict[str, Any]) -> str:
    return json.dumps({"dependencies": packages, "fixes": []})


def test_found_vulnerability_fails_and_names_the_fix(tmp_path: Path) -> None:
    status, lines = audit(tmp_path, 1, report(VULNERABLE, SOUND))
    assert status == 1
    assert lines[0] == "audit: old 1.0: CVE-2026-1; fixed in 1.1"
    assert lines[1] == "audit: 2 packages audited, 0 could not be, 1 vulnerabilities"


def test_sound_packages_pass_and_the_unknown_are_counted(tmp_path: Path) -> None:
    assert audit(tmp_path, 0, report(SOUND, UNKNOWN)) == (
        0,
        ["audit: 1 packages audited, 1 could not be, 0 vulnerabilities"],
    )


@pytest.mark.parametrize(
    ("status", "output", "errors"),
    [
        (0, report(UNKNOWN, UNKNOWN), ""),
        (1, "", "Traceback\nrequests.exceptions.ConnectionError: Name or service not known"),
    ],
    ids=["an-index-that-knows-nothing", "no-way-there"],
)
def test_service_out_of_reach_is_said_in_one_line(
    tmp_path: Path, status: int, output: str, errors: str
) -> None:
    code, lines = audit(tmp_path, status, output, errors)
    assert code == 0
    assert len(lines) == 1
    assert lines[0].startswith("audit: nothing was audited, ")


def test_audit_that_breaks_fails(tmp_path: Path) -> None:
    assert audit(tmp_path, 1, "", "ERROR: requirements.lock: bad line") == (
        2,
        ["audit: pip-audit failed: ERROR: requirements.lock: bad line"],
    )
