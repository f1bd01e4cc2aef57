"""Remembers what was parsed from a head, bounded in entries and in bytes.

Peers repeat themselves: on one connection the header block is often the same for every
request, and an origin's response heads differ by the second at most. The memo has two
generations. New entries go to the young one; when that is full it becomes the old one
and the old one is forgotten. An entry that is used again moves to the young one, so
what is in use stays, a flood of unique heads pushes out only what is not, and a hit
costs one dict lookup and no bookkeeping.
"""

from typing import Generic, TypeVar

T = TypeVar("T")

# A head larger than this share of a generation is not kept: it would push out many.
_LARGEST_SHARE = 32


class HeadMemo(Generic[T]):
    """A bounded map from the bytes of a head (or part of it) to what they mean.

    Each of the two generations holds at most `entries` heads with `max_bytes` bytes.
    An entry costs about twice its bytes and 1 kB. Look in `young`, then in `old`, and
    `store` what was not in `young`; the dicts are public to save a call on each lookup.
    """

    __slots__ = ("_bytes", "_entries", "_largest", "_max_bytes", "old", "young")

    def __init__(self, entries: int, max_bytes: int) -> None:
        self.young: dict[bytes, T] = {}
        self.old: dict[bytes, T] = {}
        self._entries = entries
        self._max_bytes = max_bytes
        self._largest = max_bytes // _LARGEST_SHARE
        self._bytes = 0

    def store(self, head: bytes, entry: T) -> None:
        """Remembers entry, unless head is too large to be worth it."""
        size = len(head)
        if size > self._largest:
            return
        self._bytes += size
        if self._bytes > self._max_bytes or len(self.young) >= self._entries:
            self.old = self.young
            self.young = {}
            self._bytes = size
        self.young[head] = entry
