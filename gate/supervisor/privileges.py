"""Rights of the processes: fewer privileges."""

from __future__ import annotations

import ctypes
import grp
import os
import pwd
import signal
from pathlib import Path

from gate.settings import Process
from gate.supervisor.errors import CannotStart

# prctl(2), <linux/prctl.h>
_PR_SET_PDEATHSIG = 1
_PR_SET_KEEPCAPS = 8
_PR_SET_NO_NEW_PRIVS = 38
_PR_CAP_AMBIENT = 47
_PR_CAP_AMBIENT_RAISE = 2
# capset(2), <linux/capability.h>
_CAP_NET_RAW = 13
_CAPABILITY_VERSION_3 = 0x20080522


class PrivilegeError(CannotStart):
    """The wanted user or group cannot be had."""


def drop(process: Process, owned: tuple[Path, ...], *, keeps_raw: bool = False) -> None:
    """Become `process.user` and `process.group` for good; gives them the folders `owned`.

    `keeps_raw` keeps the one capability with which connections may have a client's address,
    CAP_NET_RAW, also across an upgrade.
    Who is them already, by systemd or before an upgrade, gives nothing away: it has no right to,
    and root may have put a file there. Raises PrivilegeError for an unknown user or group, or
    without the right to change.
    """
    user, group = identity(process)
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
        if keeps_raw:
            _prctl(_PR_SET_KEEPCAPS, 1)
        os.setuid(user)
        if keeps_raw:
            _keep_raw_alone()
    except PermissionError:
        raise PrivilegeError(
            f"process.user: only root can become {process.user or process.group!r}; "
            "start the gate as root or set user and group to null"
        ) from None
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)


def _keep_raw_alone() -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    only = 1 << _CAP_NET_RAW
    # Effective, permitted and inheritable, of the capabilities below 32; then of those above.
    sets = (ctypes.c_uint32 * 6)(only, only, only, 0, 0, 0)
    if libc.capset(header, sets):
        raise PrivilegeError(f"capset: {os.strerror(ctypes.get_errno())}")
    _prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, _CAP_NET_RAW)


def identity(process: Process) -> tuple[int, int]:
    """Return the ids of the wanted user and group. Raises PrivilegeError for unknown ones."""
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
    """Have the kernel send TERM to this process when its parent ends, however it ends."""
    _prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def _prctl(option: int, value: int, more: int = 0) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(option, value, more, 0, 0):
        code = ctypes.get_errno()
        raise PrivilegeError(f"prctl({option}): {os.strerror(code)}")
