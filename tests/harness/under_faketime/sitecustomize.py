"""Python loads this when it starts, where the folder is in PYTHONPATH.

libfaketime 0.9.10 has a fault: it changes the moment that `time.sleep` waits for, although it is to
leave the monotonic clock alone, and the kernel refuses it (its issue 426). So under it a sleep is
made of another system call.
"""

from __future__ import annotations

import select
import time
from typing import SupportsIndex


def _sleep(seconds: float | SupportsIndex, /) -> None:
    select.select((), (), (), float(seconds))


time.sleep = _sleep
