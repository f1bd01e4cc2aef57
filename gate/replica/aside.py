"""What becomes of a damaged replica."""

from __future__ import annotations

import os
import time
from pathlib import Path


def set_aside(path: Path | str, now: float) -> Path:
    """Move a damaged replica out of the way, kept for inspection; returns where it went.

    Every process that has it open must close it and open the new one.
    """
    path = Path(path)
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now))
    target = path.with_name(f"{path.name}.corrupt-{stamp}")
    suffix = 0
    while target.exists():
        suffix += 1
        target = path.with_name(f"{path.name}.corrupt-{stamp}-{suffix}")
    os.rename(path, target)
    return target
