"""The compiled ring of verdicts beside `VerdictCache`, which says what is right.

Both are asked and told the same; what they answer, count and hold must be the same, in the same
order of use, after every step.
"""

from __future__ import annotations

import gc
import random
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

verdicts = pytest.importorskip("gate.native.verdicts", reason="no compiler was there")

from gate.filings import Change, Override, OverrideKind, Status  # noqa: E402
from gate.policy import Decider, Reason, Verdict  # noqa: E402
from gate.policy.cache import SHARED, VerdictCache  # noqa: E402
from gate.policy.verdict import nameless  # noqa: E402
from gate.replica import Replica  # noqa: E402
from tests.harness.examples import examples  # noqa: E402

FACTS = ("allowed", "reason", "code", "name", "domain", "record", "licence")
LABELS = ["a", "b", "www", "com", "cn", "gov", "net"]
NAMES = st.lists(st.sampled_from(LABELS), min_size=1, max_size=4).map(".".join)
HOSTS = st.one_of(NAMES, NAMES.map(str.upper), NAMES.map(lambda name: name + ".:80"))
MALFORMED = nameless(Reason.MALFORMED)


def judge(host: bytes) -> Verdict:
    """A verdict that depends on the host alone; a few hosts are no names, or too long to hold."""
    name = host.decode().lower().partition(":")[0].rstrip(".")
    if name.startswith("net"):
        return MALFORMED
    if name.startswith("gov"):
        return Verdict(False, Reason.UNFILED, Reason.UNFILED.code, name)
    return Verdict(True, Reason.FILED, Reason.FILED.code, name, name[name.find(".") + 1 :], b"\x01")


def facts(verdict: object) -> list[object]:
    return [getattr(verdict, fact) for fact in FACTS]


class Ring(RuleBasedStateMachine):
    """Any order of questions, changes and clearings."""

    @initialize(size=st.integers(1, 6))
    def start(self, size: int) -> None:
        self.reference = VerdictCache(size, judge)
        self.ring = verdicts.VerdictRing(size, judge, shared=SHARED)

    @rule(host=HOSTS, times=st.integers(1, 3))
    def ask(self, host: str, times: int) -> None:
        for _ in range(times):
            expected = self.reference[host.encode()]
            answer = self.ring.decide(host.encode())
            assert facts(answer) == facts(expected)
            assert (answer is MALFORMED) == (expected is MALFORMED)

    @rule(names=st.lists(NAMES, min_size=10, max_size=30))
    def flood(self, names: list[str]) -> None:
        for name in names:
            self.ask(name, 1)

    @rule(length=st.integers(300, 330))
    def ask_for_a_long_host(self, length: int) -> None:
        self.ask("a" * length + ".com", 2)

    @rule(domains=st.lists(NAMES.filter(lambda name: "." in name), max_size=3))
    def change(self, domains: list[str]) -> None:
        assert self.ring.invalidate(domains) == self.reference.invalidate(domains)

    @rule()
    def clear(self) -> None:
        self.ring.clear()
        self.reference.clear()

    @invariant()
    def both_hold_and_count_the_same(self) -> None:
        if hasattr(self, "ring"):
            order = list(self.reference._LRUCache__order)  # type: ignore[attr-defined]
            assert list(self.ring) == order
            assert self.ring.currsize == len(self.ring) == self.reference.currsize
            assert self.ring.misses == self.reference.misses
            assert self.ring.evictions == self.reference.evictions
            assert sum(self.ring.seconds.counts) == sum(self.reference.seconds.counts)


TestRing = pytest.mark.long(Ring.TestCase)
TestRing.settings = settings(max_examples=examples(300), stateful_step_count=40, deadline=None)


def test_a_long_run_with_many_hosts_ends_with_the_same_in_the_same_order() -> None:
    """The tables grow; every chain has company."""
    chance = random.Random(1)
    reference = VerdictCache(3000, judge)
    ring = verdicts.VerdictRing(3000, judge, shared=SHARED)
    for step in range(60_000):
        host = f"{chance.randrange(6000)}.{chance.choice('abcdef')}.com".encode()
        assert ring.decide(host).name == reference[host].name
        if step % 500 == 0:
            domain = f"{chance.randrange(6000)}.{chance.choice('abcdef')}.com"
            assert ring.invalidate([domain]) == reference.invalidate([domain])
        if step % 20_000 == 0:
            assert ring.invalidate(["a.com"]) == reference.invalidate(["a.com"])
    assert list(ring) == list(reference._LRUCache__order)  # type: ignore[attr-defined]
    assert ring.evictions == reference.evictions > 0


@pytest.fixture
def replica(tmp_path: Path) -> Iterator[Replica]:
    with Replica.open(tmp_path / "replica", writable=True) as opened:
        changes = [
            Change("filed.com", Status.FILED, "京ICP备12345678号-1"),
            Change("elsewhere.com", Status.FILED_ELSEWHERE),
            Change("suspended.com", Status.SUSPENDED),
            Change("was.com", Status.FILED),
        ]
        opened.apply(changes, epoch="e", from_revision=0, to_revision=1)
        opened.apply([Change("was.com", Status.ABSENT)], epoch="e", from_revision=1, to_revision=2)
        yield opened


ASKED = [
    *(b"filed.com", b"WWW.filed.com", b"a.b.filed.com.", b"filed.com:8080", b"elsewhere.com"),
    *(b"x.elsewhere.com", b"suspended.com", b"was.com", b"nobody.com", b"com", b"1.2.3.4"),
    *(b"[::1]", b"", b"a..b", b"xn--fiqs8s.filed.com", "中.filed.com".encode(), b"a_b.filed.com"),
    b"x" * 64 + b".com",
]


@pytest.mark.parametrize("host", ASKED)
def test_a_decider_with_the_ring_says_what_one_without_says(replica: Replica, host: bytes) -> None:
    native, plain = Decider(replica, native=True), Decider(replica, native=False)
    for _ in range(2):
        assert facts(native.decide(host)) == facts(plain.decide(host))
    assert native.stats.misses == plain.stats.misses
    assert native.stats.size == plain.stats.size


def test_overrides_count_on_both(replica: Replica) -> None:
    native, plain = Decider(replica, native=True), Decider(replica, native=False)
    replica.set_override(Override("filed.com", OverrideKind.SUSPENDED, None, "why", "who", 1.0))
    replica.set_override(Override("b.nobody.com", OverrideKind.EXEMPT, None, "why", "who", 1.0))
    for host in (b"www.filed.com", b"a.b.nobody.com", b"nobody.com", b"elsewhere.com"):
        assert facts(native.decide(host)) == facts(plain.decide(host))
    assert native.decide(b"www.filed.com").reason is Reason.SUSPENDED
    assert native.decide(b"a.b.nobody.com").domain == "b.nobody.com"


def test_a_verdict_outlives_its_place_in_the_ring() -> None:
    ring = verdicts.VerdictRing(1, judge)
    verdict = ring.decide(b"a.com")
    ring.clear()
    ring.decide(b"b.com")
    del ring
    gc.collect()
    assert facts(verdict) == facts(judge(b"a.com"))


def test_nothing_is_left_when_the_ring_is_gone() -> None:
    ring = verdicts.VerdictRing(100, judge)
    for number in range(1000):
        ring.decide(b"%d.com" % number)
        ring.decide(b"%d.com" % number)
    last = ring.decide(b"999.com")
    assert sys.getrefcount(last) == 3  # the ring, `last`, the argument
    del ring
    gc.collect()
    assert sys.getrefcount(last) == 2


def test_a_judge_that_fails_leaves_the_ring_as_it_was() -> None:
    def fails(host: bytes) -> Verdict:
        raise OSError("no replica")

    ring = verdicts.VerdictRing(2, fails)
    with pytest.raises(OSError, match="no replica"):
        ring.decide(b"a.com")
    assert (len(ring), ring.misses) == (0, 1)
