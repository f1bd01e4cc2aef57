"""Verdicts by raw host bytes: an LRU that a flood cannot flush and a change can search.

* A hit is `cachetools.LRUCache.__getitem__` and nothing else: no parsing, no counter.
* Admission: once the cache is full, a host enters on its second miss.  What was missed is
  remembered in a fixed table of one-byte tags, so hosts that are asked for once (a flood of
  random names) evict nothing.
* Index: each entry hangs on its name's anchor, the part that most likely has one owner.  A
  changed domain finds what lies at or below it without a walk over the whole cache, at a
  cost for each entry that does not grow with the number of its labels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from time import perf_counter
from typing import Final, Protocol

from cachetools import Cache, LRUCache

from gate.histogram import Histogram
from gate.names import parents
from gate.policy.verdict import Verdict

_MAX_KEY: Final = 320  # a longest name with port and dot fits; longer texts are judged anew
_SAMPLE: Final = 15
_TAGS: Final = 1 << 18
_TAG_MASK: Final = _TAGS - 1

SHARED: Final = frozenset(
    f"{label}.cn"
    for labels in (
        "ac com edu gov mil net org",
        "ah bj cq fj gd gs gx gz ha hb he hi hk hl hn jl js jx ln mo nm nx qh sc sd sh sn sx tj",
        "tw xj xz yn zj",
    )
    for label in labels.split()
)
"""Two-label suffixes with so many owners below them that one of three labels is the anchor.

That is about speed alone: the cache is right whatever is in here or not.
"""

_store = LRUCache.__setitem__
_remove = LRUCache.__delitem__
_peek = Cache.__getitem__  # does not count as use


class Seen(Protocol):
    """Who is told of verdicts as they are made."""

    def add(self, verdict: Verdict) -> None:
        """Note a verdict that was not in the cache, and lets pass."""


class VerdictCache(LRUCache[bytes, Verdict]):
    """A mapping that judges what it does not hold; `misses` and `evictions` count.

    Entries come by misses and go by eviction, `invalidate` and `clear`, in no other way.
    """

    def __init__(self, size: int, judge: Callable[[bytes], Verdict]) -> None:
        super().__init__(size)
        self._judge = judge
        self._room = size
        self._tags = bytearray(_TAGS)
        self._index: dict[str, bytes | set[bytes]] = {}
        self.seen: Seen | None = None
        """Is told of every verdict that is made and lets pass, if there is anybody."""
        self.misses = 0
        self.evictions = 0
        self.seconds = Histogram()  # of one miss in 16

    def __missing__(self, host: bytes) -> Verdict:
        self.misses += 1
        if self.misses & _SAMPLE:
            verdict = self._judge(host)
        else:
            began = perf_counter()
            verdict = self._judge(host)
            self.seconds.observe(perf_counter() - began)
        if self.seen is not None and verdict.allowed:
            self.seen.add(verdict)
        if verdict.name and len(host) <= _MAX_KEY:
            if self._room:
                self._room -= 1
                self._enter(host, verdict)
            else:
                # Missed lately?  A tag is wrong once in 256 times, which does no harm.
                mixed = hash(host)
                slot = mixed & _TAG_MASK
                tag = mixed >> 18 & 0xFF
                if self._tags[slot] == tag:
                    self._evict()
                    self._enter(host, verdict)
                else:
                    self._tags[slot] = tag
        return verdict

    def _enter(self, host: bytes, verdict: Verdict) -> None:
        _store(self, host, verdict)
        verdict.anchor = anchor = _anchor(verdict.name)
        held = self._index.setdefault(anchor, host)
        if held is not host:
            if type(held) is set:
                held.add(host)
            else:
                self._index[anchor] = {held, host}  # type: ignore[arg-type]

    def _evict(self) -> None:
        self.evictions += 1
        host, verdict = self.popitem()
        self._unhang(host, verdict.anchor)

    def _unhang(self, host: bytes, anchor: str) -> None:
        held = self._index[anchor]
        if type(held) is set and len(held) > 1:
            held.remove(host)
        else:
            del self._index[anchor]

    def clear(self) -> None:
        self._room += len(self)
        super().clear()
        self._index.clear()

    def invalidate(self, domains: Iterable[str]) -> int:
        """Drop the verdicts for names at or below each domain (of two labels or more).

        Returns how many were dropped.
        """
        groups: dict[str, set[str]] = {}
        for domain in domains:
            groups.setdefault(_anchor(domain), set()).add(domain)
        dropped = 0
        for anchor, group in groups.items():
            for host, verdict in self._at_or_below(anchor, group):
                _remove(self, host)
                self._unhang(host, verdict.anchor)
                dropped += 1
        self._room += dropped
        return dropped

    def _at_or_below(self, anchor: str, domains: set[str]) -> list[tuple[bytes, Verdict]]:
        """Return what is cached for names at or below domains that have one anchor."""
        if anchor in SHARED:  # the suffix itself: its names hang on many anchors
            hosts: Iterable[bytes] = self
        else:
            held = self._index.get(anchor)
            if held is None:
                return []
            hosts = (held,) if isinstance(held, bytes) else held
        held_here = [(host, _peek(self, host)) for host in hosts]
        return [item for item in held_here if not domains.isdisjoint(parents(item[1].name))]


def _anchor(name: str) -> str:
    """Return the last two labels of a name, or three if the two are a shared suffix.

    A domain and all names below it have one anchor, unless the domain is a shared suffix.
    """
    second = name.rfind(".", 0, name.rfind("."))
    if second == -1:
        return name
    anchor = name[second + 1 :]
    if anchor in SHARED:
        return name[name.rfind(".", 0, second) + 1 :]
    return anchor
