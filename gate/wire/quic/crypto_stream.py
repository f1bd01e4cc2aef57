"""The CRYPTO stream of Initial packets, put together out of pieces in any order.

A receiver may take either of two pieces that overlap and differ, so such a stream says two things
and is refused (RFC 9000 section 2.2 lets a receiver treat it so for STREAM; a server that does not
check must not find another name than the gate did). Pieces are kept as they came until they join
what is whole, so a claimed offset costs nothing but the piece itself.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import Final

from gate.wire.quic.errors import BadFlight, QuicFault

MAX_STREAM: Final = 16_384
"""Bytes of the CRYPTO stream that are read, from its start."""


class CryptoStream:
    """One side's CRYPTO stream, from its first byte on."""

    __slots__ = ("_at", "_pieces", "whole")

    def __init__(self, whole: bytes = b"") -> None:
        """`whole` is what is known of it already."""
        self.whole = bytearray(whole)
        """All that is there without a gap."""
        self._at: list[int] = []  # offsets of the pieces beyond, which neither touch nor overlap
        self._pieces: list[bytes] = []

    @property
    def gap(self) -> bool:
        """Whether there are pieces beyond the end of `whole`."""
        return bool(self._at)

    def add(self, offset: int, data: bytes) -> bool:
        """Take a piece; whether any byte of it is new.

        Raises BadFlight if it differs from what is there, or lies beyond MAX_STREAM.
        """
        end = offset + len(data)
        if end > MAX_STREAM:
            raise BadFlight(
                QuicFault.too_large,
                f"CRYPTO data up to byte {end}, {MAX_STREAM} at most are read",
            )
        whole = self.whole
        known = len(whole)
        if offset < known:
            if whole[offset:end] != data[: known - offset]:
                raise _differs(offset, end)
            data = data[known - offset :]
            offset = known
        if not data:
            return False
        if not self._at and offset == known:
            whole += data
            return True
        return self._insert(offset, data)

    def _insert(self, offset: int, data: bytes) -> bool:
        """Return the same for a piece that lies beyond `whole`, or joins it to what lies beyond."""
        at, pieces = self._at, self._pieces
        end = offset + len(data)
        # The pieces first <= i < last touch or overlap the new one; they become one with it.
        first = bisect_right(at, offset)
        if first and at[first - 1] + len(pieces[first - 1]) >= offset:
            first -= 1
        last = bisect_right(at, end, first)
        fresh = len(data)
        for start, piece in zip(at[first:last], pieces[first:last], strict=True):
            low, high = max(offset, start), min(end, start + len(piece))
            if data[low - offset : high - offset] != piece[low - start : high - start]:
                raise _differs(low, high)
            fresh -= high - low
        if first < last:
            before, after = pieces[first], pieces[last - 1]
            beyond = max(at[last - 1] + len(after) - end, 0)
            start = min(offset, at[first])
            data = before[: offset - start] + data + after[len(after) - beyond :]
            offset = start
        if offset == len(self.whole):
            self.whole += data
            del at[first:last], pieces[first:last]
        else:
            at[first:last], pieces[first:last] = [offset], [data]
        return fresh > 0


def _differs(start: int, end: int) -> BadFlight:
    return BadFlight(QuicFault.overlap, f"CRYPTO bytes {start} to {end} came twice, and differ")
