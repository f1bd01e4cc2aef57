"""What a soak has found."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Literal


@dataclass(slots=True)
class Report:
    """What a soak has seen."""

    seconds: float = 0.0
    verdicts: int = 0
    uncertain: int = 0
    wrong: list[str] = field(default_factory=list)
    blocks: int = 0
    """Blocked decisions that the gate has noted itself, each compared, too."""
    suppressed: int = 0
    """Those that it did not note."""
    broken: int = 0
    """Connections that broke when a worker was killed, or were kept alive for a name that was
    revoked, as they must."""
    unexplained: list[str] = field(default_factory=list)
    """Connections that broke at any other time, and faults that the gate did not recover from."""
    changes: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    leaks: list[str] = field(default_factory=list)

    def note(self, kind: Literal["wrong", "unexplained", "leaks"], problem: str) -> None:
        """Keep a problem, with the time of day."""
        found: list[str] = getattr(self, kind)
        found.append(f"at {time.strftime('%H:%M:%S')}: {problem}")

    def problems(self) -> list[str]:
        """Everything that is not as it must be."""
        return [*self.wrong[:20], *self.unexplained[:20], *self.leaks]

    def __str__(self) -> str:
        faults = ", ".join(f"{kind} {count}" for kind, count in sorted(self.faults.items()))
        return (
            f"{self.seconds:.0f} s: {self.verdicts} verdicts compared, {len(self.wrong)} wrong; "
            f"{self.blocks} blocks in the gate's record compared ({self.suppressed} not noted); "
            f"{self.uncertain} asked while the filing changed; {self.changes} changes; "
            f"faults: {faults or 'none'}; {self.broken} connections broken by them, "
            f"{len(self.unexplained)} otherwise; leaks: {len(self.leaks)}"
        )
