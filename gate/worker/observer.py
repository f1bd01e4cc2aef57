"""The data plane's observer: what a worker notes of each decision.

`observe` is on the hot path of a refusal, which costs some 20 µs in all. So a blocked decision
is one entry in a dictionary whose key is the verdict itself: verdicts are shared by all who ask
for a name, and their hash is their address. What the entries say is worked out later, in batches,
and only for a bounded number of them. A line for the log is made while the second's budget
lasts; beyond it, its cost is that of looking at an integer.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from random import random
from typing import Final

from gate.policy import Reason, Verdict
from gate.proxy.connection import connection_name
from gate.settings import AccessLog
from gate.worker.access_log import CLIENT, LOGGER, ConsoleLines, Decision, JsonLines
from gate.worker.blocked_counts import BlockedCounts
from gate.worker.journal import Journal

FOLD_AT: Final = 1024
"""Verdicts of one listener that are counted before they are folded into the rows."""

TICK_SECONDS: Final = 0.25


class Observer:
    """What one worker notes. `tick` is to be called every TICK_SECONDS."""

    def __init__(
        self,
        listeners: Iterable[str],
        *,
        run: str,
        access: AccessLog,
        lines: JsonLines | ConsoleLines,
        journal: Journal,
        blocked: BlockedCounts,
        clock: Callable[[], float] = time.time,
        chance: Callable[[], float] = random,
    ) -> None:
        """`run` is the worker's part of the connections' names, as the data plane has it."""
        self._counts: dict[str, dict[Verdict, int]] = {name: {} for name in listeners}
        # Where each verdict was asked for last, where connections go to many destinations.
        self._destinations: dict[str, dict[Verdict, str]] = {name: {} for name in self._counts}
        self._run = run
        self._sample = access.sample
        self._per_second = access.per_second
        self._client = CLIENT[access.client]
        self._lines = lines
        self._journal = journal
        self._blocked = blocked
        self._clock = clock
        self._chance = chance
        self._due = 0  # decisions of this second that are due a line
        self._made = 0  # lines of this second
        self._ticks = 0
        self.budget = 0
        """Lines that may still be made in this second."""
        self.suppressed = 0
        self.refill()

    @property
    def observing(self) -> bool:
        """Whether allowed decisions are to be observed, too."""
        return self._sample > 0 and self._per_second > 0

    def observe(
        self,
        listener: str,
        scheme: str,
        address: str,
        verdict: Verdict,
        passed: bool,
        number: int,
        destination: str = "",
    ) -> None:
        """Note a decision; see `gate.proxy.listener.Observe`."""
        if verdict.allowed:
            if self._chance() < self._share_of(verdict):
                self._due += 1
                if self.budget:
                    self.note(listener, scheme, address, verdict, passed, number, destination)
            return
        if destination:
            self._destinations[listener][verdict] = destination
        counts = self._counts[listener]
        count = counts.get(verdict)
        if count is None:
            if len(counts) >= FOLD_AT:
                self.fold()
            counts[verdict] = 1
        else:
            counts[verdict] = count + 1
        if self.budget:
            self.note(listener, scheme, address, verdict, passed, number, destination)

    def note(
        self,
        listener: str,
        scheme: str,
        address: str,
        verdict: Verdict,
        passed: bool,
        number: int,
        destination: str = "",
    ) -> None:
        """Make a line, at the cost of the budget."""
        self.budget -= 1
        self._made += 1
        decision = Decision(
            self._clock(),
            connection_name(self._run, listener, number),
            listener,
            scheme,
            self._client(address),
            verdict,
            passed,
            self._share_of(verdict) if verdict.allowed else None,
            destination,
        )
        self._journal.add(self._lines.decision(decision))

    def _share_of(self, verdict: Verdict) -> float:
        """Return the share of such passes that get a line; what passes unfiled always does."""
        return 1.0 if verdict.reason is Reason.ACME else self._sample

    def counts_of(self, listener: str) -> dict[Verdict, int]:
        """Return how often each verdict blocked on a listener, since the last fold."""
        return self._counts[listener]

    def fold(self) -> None:
        """Turn what was counted into rows of names."""
        now = self._clock()
        for listener, counts in self._counts.items():
            destinations = self._destinations[listener]
            self._due += self._blocked.add(listener, counts, now, destinations)
            counts.clear()
            destinations.clear()

    def tick(self) -> None:
        """Write the lines; once a second, fold, tell what was suppressed, and refill."""
        self._ticks += 1
        if self._ticks * TICK_SECONDS % 1 == 0:
            self.fold()
            self._tell_suppressed()
            self.refill()
        self._journal.flush()

    def _tell_suppressed(self) -> None:
        over = self._due - self._made
        if over > 0 and self._may_write():
            self.suppressed += over
            self._journal.add(self._lines.suppressed(self._clock(), over))
        self._due = self._made = 0

    def refill(self) -> None:
        """Begin a new second."""
        self.budget = self._per_second if self._may_write() else 0

    def _may_write(self) -> bool:
        return self._per_second > 0 and logging.getLogger(LOGGER).isEnabledFor(logging.INFO)

    def lines(self) -> dict[str, int]:
        """Return lines that were written, and those that are missing, by cause."""
        journal = self._journal
        return {
            "written": journal.written,
            "suppressed": self.suppressed,
            "dropped": journal.dropped,
        }

    def close(self) -> None:
        """Fold and write what there is."""
        self.fold()
        self._tell_suppressed()
        self._journal.close()
