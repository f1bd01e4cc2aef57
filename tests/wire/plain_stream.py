"""A second CRYPTO stream, for the first to agree with: bytes at their offsets, each with a mark."""

from __future__ import annotations


class Refused(Exception):
    """A byte came twice, and differs."""


class PlainStream:
    """Bytes by their offset, in as much memory as the last of them asks for."""

    def __init__(self) -> None:
        self._bytes = bytearray()
        self._known = bytearray()  # 1 for each byte that came

    def add(self, offset: int, data: bytes) -> bool:
        """Take a piece; whether any byte of it is new. Raises Refused."""
        end = offset + len(data)
        for grown in (self._bytes, self._known):
            grown.extend(bytes(max(0, end - len(grown))))
        known = self._known[offset:end]
        if 1 in known and self._bytes[offset:end] != data:
            for was, there, byte in zip(known, self._bytes[offset:end], data, strict=True):
                if was and there != byte:
                    raise Refused
        self._bytes[offset:end] = data
        self._known[offset:end] = b"\1" * len(data)
        return 0 in known

    @property
    def whole(self) -> bytes:
        """What is there without a gap."""
        return bytes(self._bytes[: self._first_gap])

    @property
    def gap(self) -> bool:
        """Whether there is more."""
        return self._known.find(1, self._first_gap) >= 0

    @property
    def _first_gap(self) -> int:
        gap = self._known.find(0)
        return len(self._known) if gap < 0 else gap
