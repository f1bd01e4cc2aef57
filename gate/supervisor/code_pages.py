"""Gives back pages of code that the supervisor has loaded for its children and does not run."""

from __future__ import annotations

import contextlib
import ctypes
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

_MAPS: Final = Path("/proc/self/maps")
_MADV_DONTNEED: Final = 4


def give_back() -> None:
    """Let go of every page of a file's code; what runs next is mapped again from the page cache.

    To load a library touches much of it, some megabytes of the large ones, and whoever touches
    them is charged for them. Code is mapped read-only, so that nothing is lost. Without /proc all
    stays as it is.
    """
    madvise = ctypes.CDLL(None).madvise
    madvise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    with contextlib.suppress(OSError), _MAPS.open(encoding="utf-8", errors="replace") as maps:
        for start, end in list(code_of_files(maps)):
            madvise(start, end - start, _MADV_DONTNEED)


def code_of_files(maps: Iterable[str]) -> Iterator[tuple[int, int]]:
    """Yield where the code of each file begins and ends, of the lines of a process's maps."""
    for line in maps:
        addresses, rights, _, _, inode, *_ = line.split(maxsplit=5)
        if rights == "r-xp" and inode != "0":
            start, _, end = addresses.partition("-")
            yield int(start, 16), int(end, 16)
