"""Gates that run as somebody else, and ports that not everybody may bind."""

from __future__ import annotations

import os
import pwd
import subprocess
from pathlib import Path

from tests.harness.gate_process import GATE

# <linux/capability.h>
DAC_READ_SEARCH = 2
NET_BIND_SERVICE = 10


def as_nobody(*capabilities: str) -> tuple[str, ...]:
    """What root puts before a command for it to run as nobody, with these capabilities alone."""
    added = ",".join(f"+{name}" for name in capabilities)
    options = (f"--inh-caps={added}", f"--ambient-caps={added}") if added else ()
    return ("setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups", *options)


def own(top: Path, user: str) -> None:
    """Give a folder and all that is in it to the user; root alone can."""
    entry = pwd.getpwnam(user)
    for path in (top, *top.rglob("*")):
        os.chown(path, entry.pw_uid, entry.pw_gid)


def can_run(user: str) -> bool:
    """May the user run the gate's program?"""
    try:
        done = subprocess.run(
            [GATE, "version"], user=user, extra_groups=[], capture_output=True, check=False
        )
    except PermissionError:
        return user == pwd.getpwuid(os.getuid()).pw_name
    return done.returncode == 0


def status_fields(pid: int) -> dict[str, str]:
    """What the kernel tells of a process: see proc_pid_status(5)."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return dict(line.split(":\t", 1) for line in lines if ":\t" in line)
