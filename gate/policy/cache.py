"""Verdicts by raw host bytes: an LRU that a flood cannot flush and a change can search.

* A hit is `cachetools.LRUCache.__getitem__` and nothing else: no parsing, no counter.
* Admission: once the cache is full, a host enters on its second miss.  What was missed is
  remembered in a fixed table of one-byte tags, so hosts that are asked for once (a flood of
  random names) evict nothing.
* Index: each entry hangs on the last two and the last three labels of its name.  A changed
  domain finds what lies at or below it without a walk over the cache, at a cost for each
  entry that does not grow with the number of its labels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from time import perf_counter
from typing import Final

from cachetools import LRUCache

from gate.histogram import Histogram
from gate.policy.verdict import Verdict

_MAX_KEY: Final = 320  # a longest name with port and dot fits; longer texts are judged anew
_SAMPLE: Final = 15
_TAGS: Final = 1 << 18
_TAG_MASK: Final = _TAGS - 1


class VerdictCache(LRUCache[bytes, Verdict]):
    """A mapping that judges what it does not hold; `misses` and `evictions` count."""

    def __init__(self, size: int, judge: Callable[[bytes], Verdict]) -> None:
        super().__init__(size)
        self._judge = judge
        self._tags = bytearray(_TAGS)
        self._index: dict[str, bytes | set[bytes]] = {}
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
        if (
            verdict.name
            and len(host) <= _MAX_KEY
            and (self.currsize < self.maxsize or self._missed_before(host))
        ):
            self[host] = verdict
        return verdict

    def _missed_before(self, host: bytes) -> bool:
        """Whether the host was missed lately; remembers it if not.  Wrong once in 256 times."""
        mixed = hash(host)
        slot = mixed & _TAG_MASK
        tag = mixed >> 18 & 0xFF
        if self._tags[slot] == tag:
            return True
        self._tags[slot] = tag
        return False

    def __setitem__(self, host: bytes, verdict: Verdict) -> None:
        super().__setitem__(host, verdict)
        index = self._index
        for anchor in _anchors(verdict.name):
            held = index.get(anchor)
            if held is None:
                index[anchor] = host
            elif type(held) is set:
                held.add(host)
            elif held != host:
                index[anchor] = {held, host}  # type: ignore[arg-type]

    def __delitem__(self, host: bytes) -> None:
        verdict = super().__getitem__(host)
        super().__delitem__(host)
        index = self._index
        for anchor in _anchors(verdict.name):
            held = index[anchor]
            if type(held) is set:
                held.discard(host)
                if not held:
                    del index[anchor]
            else:
                del index[anchor]

    def popitem(self) -> tuple[bytes, Verdict]:
        self.evictions += 1
        return super().popitem()

    def clear(self) -> None:
        super().clear()
        self._index.clear()

    def invalidate(self, domains: Iterable[str]) -> int:
        """Drop the verdicts for names at or below each domain; returns how many were dropped."""
        dropped = 0
        for domain in domains:
            for host in self._at_or_below(domain):
                del self[host]
                dropped += 1
        return dropped

    def _at_or_below(self, domain: str) -> list[bytes]:
        anchors = _anchors(domain)
        if not anchors:
            return []  # no filing and no override has a single label
        held = self._index.get(anchors[-1])
        if held is None:
            return []
        hosts = [held] if isinstance(held, bytes) else list(held)
        if len(anchors[-1]) == len(domain):
            return hosts
        below = "." + domain
        return [
            host
            for host in hosts
            if ("." + super(VerdictCache, self).__getitem__(host).name).endswith(below)
        ]


def _anchors(name: str) -> tuple[str, ...]:
    """The last two and the last three labels of a name, as far as it has them."""
    first = name.rfind(".")
    if first == -1:
        return ()
    second = name.rfind(".", 0, first)
    if second == -1:
        return (name,)
    third = name.rfind(".", 0, second)
    return name[second + 1 :], name[third + 1 :]
