"""Remembers parsed header blocks, bounded in entries and in bytes.

Clients repeat themselves: on one connection the header block is often the same for
every request, and many clients of one kind send the same block but for the host.
The memo has two generations. New entries go to the young one; when that is full it
becomes the old one and the old one is forgotten. An entry that is used again moves
to the young one, so what is in use stays, a flood of unique blocks pushes out only
what is not, and a hit costs one dict lookup and no bookkeeping.
"""

from typing import Generic, TypeVar

T = TypeVar("T")

# What an entry costs beside its key: the values built from it, and the objects.
_BYTES_PER_KEY_BYTE = 3
_BYTES_PER_ENTRY = 1000


class BlockMemo(Generic[T]):
    """A bounded map from header-block bytes to what was parsed from them.

    Holds at most 2 * entries blocks and about 2 * max_bytes of memory. `young` is
    public so that a parser can look into it without a call.
    """

    __slots__ = ("_charge", "_entries", "_max_bytes", "_old", "young")

    def __init__(self, entries: int, max_bytes: int) -> None:
        self.young: dict[bytes, T] = {}
        self._old: dict[bytes, T] = {}
        self._entries = entries
        self._max_bytes = max_bytes
        self._charge = 0

    def recall(self, block: bytes) -> T | None:
        """The entry of the old generation, made young again."""
        entry = self._old.get(block)
        if entry is not None:
            self.store(block, entry)
        return entry

    def store(self, block: bytes, entry: T) -> None:
        charge = len(block) * _BYTES_PER_KEY_BYTE + _BYTES_PER_ENTRY
        if charge > self._max_bytes // 8:
            return
        if len(self.young) >= self._entries or self._charge + charge > self._max_bytes:
            self._old = self.young
            self.young = {}
            self._charge = 0
        self.young[block] = entry
        self._charge += charge
