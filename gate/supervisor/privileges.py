"""Rights of the processes: more open files, fewer privileges."""

from __future__ import annotations

import ctypes
import grp
import os
import pwd
import resource
import signal
from pathlib import Path

from gate.settings import Process

# prctl(2), <linux/prctl.h>
_PR_SET_PDEATHSIG = 1
_PR_SET_NO_NEW_PRIVS = 38


class PrivilegeError(Exception):
    """The wanted user or group cannot be had."""


def raise_open_files(wanted: int) -> int:
    """Raises the limit of open files to `wanted`, as far as allowed; returns what it is now."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return soft
    if hard == resource.RLIM_INFINITY or hard >= wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        return wanted
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, wanted))  # root, or CAP_SYS_RESOURCE
    except (ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        return hard
    return wanted


def drop(process: Process, owned: tuple[Path, ...]) -> None:
    """Becomes `process.user` and `process.group` for good; gives them the folders `owned`.

    Who is them already, by systemd or before an upgrade, gives nothing away: it has no right to,
    and root may have put a file there. Raises PrivilegeError for an unknown user or group, or
    without the right to change.
    """
    user, group = _identity(process)
    if (os.getuid(), os.getgid()) == (user, group):
        _prctl(_PR_SET_NO_NEW_PRIVS, 1)
        return
    try:
        for top in owned:
            for folder, _, files in os.walk(top):
                for path in (folder, *(os.path.join(folder, name) for name in files)):
                    os.chown(path, user, group, follow_symlinks=False)
        os.setgroups([])
        os.setgid(group)
        os.setuid(user)
    except PermissionError:
        raise PrivilegeError(
            f"process.user: only root can become {process.user or process.group!r}; "
            "start the gate as root or set user and group to null"
        ) from None
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)


def _identity(process: Process) -> tuple[int, int]:
    user, group = os.getuid(), os.getgid()
    if process.user is not None:
        try:
            entry = pwd.getpwnam(process.user)
        except KeyError:
            raise PrivilegeError(
                f"process.user: no user {process.user!r} on this machine; "
                f"make it with `useradd --system {process.user}`"
            ) from None
        user, group = entry.pw_uid, entry.pw_gid
    if process.group is not None:
        try:
            group = grp.getgrnam(process.group).gr_gid
        except KeyError:
            raise PrivilegeError(
                f"process.group: no group {process.group!r} on this machine; "
                f"make it with `groupadd --system {process.group}`"
            ) from None
    return user, group


def die_with_parent() -> None:
    """Has the kernel send TERM to this process when its parent ends, however it ends."""
    _prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def _prctl(option: int, value: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(option, value, 0, 0, 0):
        code = ctypes.get_errno()
        raise PrivilegeError(f"prctl({option}): {os.strerror(code)}")
