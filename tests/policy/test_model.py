"""The decider, its cache and the replica together against a few lines that say what is right."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from gate.filings import Change, Filing, Override, OverrideKind, Status
from gate.policy import Decider, Reason
from gate.replica import Replica
from tests.harness.examples import examples

DOMAINS = ["a.com", "b.a.com", "c.b.a.com", "ba.com", "a.com.cn", "b.a.com.cn"]
NAMES = [*DOMAINS, "x.a.com", "x.b.a.com", "x.y.c.b.a.com", "xa.com", "x.b.a.com.cn", "com.cn"]
STATUSES = [Status.FILED, Status.FILED_ELSEWHERE, Status.SUSPENDED, Status.ABSENT]


class Gate(RuleBasedStateMachine):
    """Changes as the sync makes them (commit, then invalidate), and decisions in between."""

    @initialize()
    def start(self) -> None:
        self.directory = Path(tempfile.mkdtemp())
        self.replica = Replica.open(self.directory / "replica", writable=True)
        self.now = 1000.0
        self.decider = Decider(self.replica, size=6, clock=lambda: self.now)
        self.revision = 0
        self.filings: dict[str, Status] = {}
        self.overrides: dict[str, Override] = {}

    def teardown(self) -> None:
        if hasattr(self, "replica"):
            self.replica.close()
            shutil.rmtree(self.directory)

    @rule(
        changes=st.lists(st.tuples(st.sampled_from(DOMAINS), st.sampled_from(STATUSES)), max_size=4)
    )
    def apply(self, changes: list[tuple[str, Status]]) -> None:
        self.replica.apply(
            [Change(domain, status) for domain, status in changes],
            epoch="e",
            from_revision=self.revision,
            to_revision=self.revision + 1,
        )
        self.revision += 1
        for domain, status in changes:
            if status is not Status.ABSENT:
                self.filings[domain] = status
            elif domain in self.filings:
                self.filings[domain] = Status.REVOKED
        self.decider.invalidate([domain for domain, _ in changes])

    @precondition(lambda self: self.revision)
    @rule(domains=st.sets(st.sampled_from(DOMAINS)))
    def load(self, domains: set[str]) -> None:
        self.revision += 1
        self.replica.load(
            [Filing(domain, Status.FILED) for domain in sorted(domains)],
            epoch="e",
            revision=self.revision,
        )
        self.filings = dict.fromkeys(self.filings, Status.REVOKED)
        self.filings.update(dict.fromkeys(domains, Status.FILED))
        self.decider.clear()

    @rule(
        domain=st.sampled_from(DOMAINS),
        kind=st.sampled_from(OverrideKind),
        seconds=st.sampled_from([1, 5, None]),
    )
    def set_override(self, domain: str, kind: OverrideKind, seconds: int | None) -> None:
        until = None if seconds is None else self.now + seconds
        self.overrides[domain] = Override(domain, kind, until, "why", "who", self.now)
        self.replica.set_override(self.overrides[domain])
        self.decider.invalidate([domain])

    @rule(domain=st.sampled_from(DOMAINS))
    def remove_override(self, domain: str) -> None:
        assert self.replica.remove_override(domain) == (
            self.overrides.pop(domain, None) is not None
        )
        self.decider.invalidate([domain])

    @rule(seconds=st.integers(-3, 3))
    def let_time_pass(self, seconds: int) -> None:
        self.now += seconds
        self.decider.expire(self.now)

    @rule(names=st.lists(st.sampled_from(NAMES), min_size=1, max_size=8))
    def decide(self, names: list[str]) -> None:
        for name in names:
            verdict = self.decider.decide(name.encode())
            assert (verdict.allowed, verdict.reason) == self.expected(name), name

    def expected(self, name: str) -> tuple[bool, Reason]:
        above = [domain for domain in DOMAINS if ("." + name).endswith("." + domain)]
        above.sort(key=len, reverse=True)
        statuses = [self.filings[domain] for domain in above if domain in self.filings]
        reason = Reason.UNFILED
        for wanted in (
            (Status.FILED, Status.SUSPENDED),
            (Status.FILED_ELSEWHERE,),
            (Status.REVOKED,),
        ):
            found = [status for status in statuses if status in wanted]
            if found:
                reason = Reason(found[0].value)
                break
        allowed = reason is Reason.FILED
        for domain in above:
            override = self.overrides.get(domain)
            if override is not None and (override.until is None or self.now < override.until):
                if override.kind is OverrideKind.EXEMPT and not allowed:
                    return True, Reason.EXEMPT
                if override.kind is OverrideKind.SUSPENDED and allowed:
                    return False, Reason.SUSPENDED
                break
        return allowed, reason


TestGate = Gate.TestCase
TestGate.settings = settings(max_examples=examples(60), stateful_step_count=30, deadline=None)
