"""What is timed: the decider's paths, and the bare parts that bound them from below."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import lmdb
import tldextract
from cachetools import LRUCache

from benchmarks.lookup.hosts import WARM, Hosts
from benchmarks.lookup.report import INTERPRETED
from benchmarks.lookup.timing import Call, Contender
from gate.policy import Decider
from gate.replica import Replica


def on_hits(replica: Replica, hosts: Hosts) -> list[Contender]:
    """Everything is in memory; keys are raw hosts, asked for with skew."""
    decider = _warm(replica, hosts)
    cache: LRUCache[bytes, bool] = LRUCache(WARM)
    table: dict[bytes, bool] = {}
    for host in hosts.known:
        cache[host] = table[host] = True
    _check(decider, hosts)
    calls: list[tuple[str, Call]] = [
        ("Decider.decide", decider.decide),
        ("cachetools LRUCache.get", cache.get),
        ("cachetools LRUCache[]", cache.__getitem__),
        ("dict.get", table.get),
        ("a function that does nothing", lambda host: None),
    ]
    return [Contender(name, lambda call=call: call, hosts.skewed) for name, call in calls]  # type: ignore[misc]


def on_misses(replica: Replica, hosts: Hosts) -> list[Contender]:
    """Nothing is in the cache: names are read and looked up.

    A first miss of a full cache is judged and forgotten, a second one enters the cache and
    evicts another host. The interpreted ones are what a gate without a compiler has.
    """

    def second(asked: Sequence[bytes], *, native: bool = True) -> Callable[[], Call]:
        def make() -> Call:
            decider = _warm(replica, hosts, native=native)
            for host in asked:
                decider.decide(host)
            return decider.decide

        return make

    return [
        Contender("filed, first miss", lambda: _warm(replica, hosts).decide, hosts.filed),
        Contender("filed, second miss", second(hosts.filed), hosts.filed),
        Contender("unfiled, first miss", lambda: _warm(replica, hosts).decide, hosts.unfiled),
        Contender("unfiled, second miss", second(hosts.unfiled), hosts.unfiled),
        Contender(
            f"filed, first miss, {INTERPRETED}",
            lambda: _warm(replica, hosts, native=False).decide,
            hosts.filed,
        ),
        Contender(
            f"filed, second miss, {INTERPRETED}", second(hosts.filed, native=False), hosts.filed
        ),
        Contender("filed, an empty cache fills", lambda: Decider(replica).decide, hosts.filed),
    ]


def on_lmdb(path: Path, hosts: Hosts) -> list[Contender]:
    """Bare LMDB, as a floor for misses: exact keys, one at a time.

    LMDB allows one opening in a process: the replica must be closed.
    """
    environment = lmdb.open(str(path), readonly=True, max_dbs=4, readahead=False)
    names = [environment.open_db(name, create=False) for name in (b"names.0", b"names.1")]
    with environment.begin() as txn:
        names.sort(key=lambda database: int(txn.stat(database)["entries"]))
    database = names[-1]
    begin = environment.begin
    held = begin(database)
    return [
        Contender(
            "lmdb: begin, get", lambda: lambda host: begin(database).get(host), hosts.domains
        ),
        Contender("lmdb: get in an open transaction", lambda: held.get, hosts.domains),
    ]


def on_sets(names: Sequence[str], hosts: Hosts) -> list[Contender]:
    """All names in this process's memory, exact look-ups and by tldextract's registrable part."""
    listed = frozenset(names)
    table = dict.fromkeys([name.encode() for name in names], True)
    # Offline: the snapshot that comes with the library, its ICANN section as in the gate.
    extract = tldextract.TLDExtract(
        suffix_list_urls=(), cache_dir=None, include_psl_private_domains=False
    )

    def by_registrable_part(host: bytes) -> bool:
        return extract(host.decode()).top_domain_under_public_suffix in listed

    return [
        Contender("dict.get", lambda: table.get, hosts.domains),
        Contender("tldextract and a set, filed", lambda: by_registrable_part, hosts.filed),
        Contender("tldextract and a set, unfiled", lambda: by_registrable_part, hosts.unfiled),
    ]


def size_of_sets(names: Sequence[str]) -> dict[str, Any]:
    """Bytes that a set of names takes in one process's heap, with its strings."""
    listed = frozenset(names)
    return {"set_bytes": sys.getsizeof(listed) + sum(map(sys.getsizeof, listed))}


def _warm(replica: Replica, hosts: Hosts, *, native: bool = True) -> Decider:
    decider = Decider(replica, size=WARM, native=native)
    for host in hosts.known:
        decider.decide(host)
    return decider


def _check(decider: Decider, hosts: Hosts) -> None:
    """A benchmark of wrong answers would be worth nothing."""
    wrong = [host for host in hosts.filed[:1000] if not decider.judge(host).allowed]
    wrong += [host for host in hosts.unfiled[:1000] if decider.judge(host).allowed]
    if wrong or decider.stats.size != len(hosts.known):
        raise AssertionError(f"wrong verdicts, or a cache that is not warm: {wrong[:5]}")
