"""The open files of this process: how many there may be, and how many one port may take."""

from __future__ import annotations

import resource


def raise_limit(wanted: int) -> int:
    """Raise the limit of open files to `wanted`, as far as allowed; return what it is now."""
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


def affordable(most: int) -> int:
    """Return how many of `most` connections a port may take: no more than a quarter of the limit.

    The rest is for the other ports of the process, and for its files.
    """
    return min(most, resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 4)
