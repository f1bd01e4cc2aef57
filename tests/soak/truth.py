"""What the registry says of each domain, and since when: what verdicts are held against."""

from __future__ import annotations

import random
import threading
import time
from dataclasses import dataclass, field

from gate.registry.client import Remote
from gate.registry.commands import (
    Approve,
    CancelService,
    FirstFiling,
    NewService,
    ServiceData,
    SubjectData,
)

STEADY = 20
CHANGING = 12
NEVER_FILED = ("notsteady", "unfiled")
"""How the names begin that nobody ever files."""


@dataclass(slots=True)
class _Domain:
    filed: bool
    since: float = 0.0
    """When the gate had the present state in force (monotonic seconds); before that, either."""


@dataclass(slots=True)
class Truth:
    """Domains that are filed, that come and go, and all others, which were never filed."""

    registry: Remote
    rng: random.Random
    changes: int = 0
    _licence: str = ""
    _domains: dict[str, _Domain] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def begin(self) -> int:
        """File the first domains; returns the registry's revision after that."""
        names = [f"steady{n}.example.cn" for n in range(STEADY)]
        names += [f"changing{n}.example.cn" for n in range(CHANGING)]
        revision = 0
        for name in names:
            revision = self._file(name)
            self._domains[name] = _Domain(filed=True)
        return revision

    def _file(self, name: str) -> int:
        service = ServiceData(name=name, domains=(name,))
        person = SubjectData(name="soak", certificate="SOAK-1")
        if self._licence:
            outcome = self.registry.perform(
                NewService(account="soak", licence=self._licence, service=service)
            )
        else:
            outcome = self.registry.perform(
                FirstFiling(account="soak", province="京", subject=person, service=service)
            )
        assert outcome.application is not None
        outcome = self.registry.perform(Approve(application=outcome.application, generate=True))
        assert outcome.licence is not None
        self._licence = outcome.licence.partition("-")[0]
        return outcome.revision

    def change(self) -> tuple[str, int]:
        """File or cancel one domain, uncertain until `settled`; returns it and the revision."""
        name = f"changing{self.rng.randrange(CHANGING)}.example.cn"
        domain = self._domains[name]
        with self._lock:
            domain.since = float("inf")
            domain.filed = not domain.filed
        revision = (
            self._file(name)
            if domain.filed
            else self.registry.perform(CancelService(domain=name)).revision
        )
        self.changes += 1
        return name, revision

    def settled(self, name: str) -> None:
        """The gate has the domain's present state in force."""
        with self._lock:
            self._domains[name].since = time.monotonic()

    def pick(self) -> str:
        """A host to ask for: of a filed domain, of a changing one, or one that nobody filed."""
        kind = self.rng.random()
        if kind < 0.45:
            below = self.rng.choice(("", "www.", "a.b."))
            return f"{below}steady{self.rng.randrange(STEADY)}.example.cn"
        if kind < 0.7:
            return f"changing{self.rng.randrange(CHANGING)}.example.cn"
        if kind < 0.85:
            return f"notsteady{self.rng.randrange(10**6)}.example.cn"
        return f"unfiled{self.rng.randrange(10**6)}.com"

    def verdict(self, host: str, asked_at: float) -> bool | None:
        """Whether `host` had to pass when it was asked for at that time; None if uncertain."""
        domain = self._domains.get(host)
        if domain is None:
            parents = [name for name in self._domains if host.endswith(f".{name}")]
            if not parents:
                return False
            domain = self._domains[parents[0]]
        with self._lock:
            return domain.filed if domain.since < asked_at else None
