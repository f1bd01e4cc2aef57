"""The cache of verdicts: what a change drops, and what a flood cannot."""

from __future__ import annotations

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from gate.policy.cache import VerdictCache
from gate.policy.verdict import Reason, Verdict
from tests.harness.examples import examples


class Judge:
    """Judges every host to be its own name in lower case, and remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[bytes] = []

    def __call__(self, host: bytes) -> Verdict:
        self.asked.append(host)
        return Verdict(True, Reason.FILED, 0, host.decode().lower())


def is_at_or_below(name: str, domain: str) -> bool:
    return name == domain or name.endswith("." + domain)


LABELS = st.sampled_from(["a", "b", "A", "com", "cn", "net", "gov"])
HOSTS = st.lists(LABELS, min_size=1, max_size=5).map(".".join)
DOMAINS = st.lists(
    st.sampled_from(["a", "b", "com", "cn", "net", "gov"]), min_size=2, max_size=4
).map(".".join)


@given(st.lists(HOSTS, max_size=40), st.lists(st.lists(DOMAINS, max_size=3), max_size=4))
def test_a_change_drops_exactly_what_is_at_or_below(
    hosts: list[str], batches: list[list[str]]
) -> None:
    cache = VerdictCache(1000, Judge())
    for host in hosts:
        cache[host.encode()]
    kept = set(hosts)
    for batch in batches:
        gone = {
            host for host in kept if any(is_at_or_below(host.lower(), domain) for domain in batch)
        }
        assert cache.invalidate(batch) == len(gone)
        kept -= gone
        assert set(cache) == {host.encode() for host in kept}


@settings(max_examples=examples(50))
@given(st.integers(1, 8), st.lists(st.one_of(HOSTS, DOMAINS.map(lambda d: "!" + d)), max_size=200))
def test_hits_evictions_and_changes_in_any_order(size: int, steps: list[str]) -> None:
    judge = Judge()
    cache = VerdictCache(size, judge)
    for step in steps:
        if step.startswith("!"):
            cache.invalidate([step[1:]])
            assert not any(is_at_or_below(host.decode().lower(), step[1:]) for host in list(cache))
        else:
            held = step.encode() in cache
            before = cache.misses
            assert cache[step.encode()].name == step.lower()
            assert cache.misses - before == (not held)
        assert len(cache) <= size
    assert cache.misses == len(judge.asked)
    # The index holds what the cache holds, and nothing else.
    cache.invalidate({host.decode().lower() for host in cache if b"." in host})
    assert all(b"." not in host for host in cache)


def test_the_least_recently_used_goes_first() -> None:
    cache = VerdictCache(2, Judge())
    cache[b"a.com"]
    cache[b"b.com"]
    cache[b"a.com"]
    for _ in range(2):  # the second miss admits it
        cache[b"c.com"]
    assert set(cache) == {b"a.com", b"c.com"}
    assert cache.evictions == 1


def test_a_full_cache_admits_a_host_on_its_second_miss() -> None:
    cache = VerdictCache(1, Judge())
    cache[b"a.com"]
    cache[b"b.com"]
    assert set(cache) == {b"a.com"}
    cache[b"b.com"]
    assert set(cache) == {b"b.com"}


def test_a_flood_of_random_hosts_does_not_flush_what_is_in_use() -> None:
    cache = VerdictCache(1000, Judge())
    rng = random.Random(1)
    used = [f"www.site{number}.com".encode() for number in range(1000)]
    for host in used:
        cache[host]
    for _ in range(50_000):
        cache[f"{rng.getrandbits(64):x}.flood.com".encode()]
    # A tag is one byte: one host in 256 is taken for one that was missed before.
    kept = sum(host in cache for host in used)
    assert kept > 700
    assert len(cache) == 1000


def test_traffic_among_a_flood_stays_in_the_cache() -> None:
    cache = VerdictCache(1000, Judge())
    rng = random.Random(2)
    used = [f"www.site{number}.com".encode() for number in range(500)]
    misses = 0
    for turn in range(100_000):
        if turn % 10:
            cache[f"{rng.getrandbits(64):x}.flood.com".encode()]
        else:
            host = rng.choice(used)
            misses += turn >= 50_000 and host not in cache
            cache[host]
    assert misses < 50  # of 5,000: what one flooding host in 256 evicts comes back


def test_clear_forgets_everything() -> None:
    cache = VerdictCache(10, Judge())
    cache[b"a.com"]
    cache.clear()
    assert len(cache) == 0
    assert cache.invalidate(["a.com"]) == 0
    cache[b"a.com"]
    assert cache.invalidate(["a.com"]) == 1
