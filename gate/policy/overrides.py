"""Operators' overrides: domains let through until a time, or blocked although filed."""

from __future__ import annotations

from collections.abc import Iterable

from gate.names import parents
from gate.replica import Override


class Overrides:
    """The overrides in force, by domain. The most specific one at or above a name counts."""

    def __init__(self, overrides: Iterable[Override], now: float) -> None:
        self._by_domain = {
            override.domain: override
            for override in overrides
            if override.until is None or override.until > now
        }

    def __len__(self) -> int:
        return len(self._by_domain)

    def find(self, name: str) -> Override | None:
        """The override that decides on the canonical `name`."""
        for domain in parents(name):
            override = self._by_domain.get(domain)
            if override is not None:
                return override
        return None

    def next_expiry(self) -> float | None:
        """When the next one ends, in Unix seconds."""
        ends = [o.until for o in self._by_domain.values() if o.until is not None]
        return min(ends, default=None)

    def expire(self, now: float) -> list[str]:
        """Drop those that have ended; return their domains."""
        ended = [
            domain
            for domain, override in self._by_domain.items()
            if override.until is not None and override.until <= now
        ]
        for domain in ended:
            del self._by_domain[domain]
        return ended
