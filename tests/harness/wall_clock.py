"""The wall clock of a running program and its children, set as the test pleases.

libfaketime stands between the program and the C library. It reads the offset from a file each time
that it is asked for the time, so that a jump is there for all processes at once. The monotonic
clock and the times of files are left alone, as they are where somebody sets a machine's clock.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from tests.harness.tools import require

_LIBRARY = "/usr/$LIB/faketime/libfaketimeMT.so.1"  # the linker knows what $LIB is (ld.so(8))
_UNDER_FAKETIME = Path(__file__).parent / "under_faketime"


@dataclass(slots=True)
class WallClock:
    """One clock, kept in `folder`; `ahead` is how many seconds it is ahead of the true one."""

    folder: Path
    ahead: int = 0

    def __post_init__(self) -> None:
        require("faketime")
        self.jump(0)

    @property
    def through(self) -> tuple[str, ...]:
        """What a command line begins with so that its program goes by this clock."""
        return (
            "env",
            f"LD_PRELOAD={_LIBRARY}",
            f"FAKETIME_TIMESTAMP_FILE={self.folder / 'clock'}",
            "FAKETIME_NO_CACHE=1",
            "FAKETIME_DONT_FAKE_MONOTONIC=1",
            "NO_FAKE_STAT=1",
            f"PYTHONPATH={_UNDER_FAKETIME}",
        )

    def jump(self, seconds: int) -> None:
        """Set it forward, or back if negative; in force when this returns."""
        self.ahead += seconds
        new = self.folder / "clock.new"
        new.write_text(f"{self.ahead:+d}\n")
        new.replace(self.folder / "clock")  # whoever reads it meanwhile finds one or the other

    def now(self) -> datetime:
        """What it shows."""
        return datetime.fromtimestamp(time.time() + self.ahead, UTC)
