"""How much a worker takes on: connections, by address and in all, and bytes held unjudged."""

from __future__ import annotations

from typing import Final

from gate.settings import Limits

READ_BYTES: Final = 1 << 14
"""The most that is read of a client at once before it is judged."""

OVER_BUDGET: Final = "pending_bytes"
"""The cause of an end: the budget for unjudged bytes is used up."""


class Admission:
    """Counts client connections in and out, within the limits."""

    __slots__ = ("_per_address", "_per_worker", "by_address", "open")

    def __init__(self, limits: Limits) -> None:
        self._per_worker = limits.connections_per_worker
        self._per_address = limits.connections_per_address
        self.open = 0
        self.by_address: dict[str, int] = {}

    @property
    def limit(self) -> int:
        """How many connections a worker may have open."""
        return self._per_worker

    def enter(self, address: str) -> bool:
        """Count a connection of `address` in, unless that would be over a limit."""
        mine = self.by_address.get(address, 0)
        if self.open >= self._per_worker or mine >= self._per_address:
            return False
        self.open += 1
        self.by_address[address] = mine + 1
        return True

    def move(self, before: str, address: str) -> bool:
        """Count a connection under the address that a trusted PROXY header gives for it.

        False if that address has too many; the connection still counts under it.
        """
        if address == before:
            return True  # it was let in under this address
        mine = self.by_address.get(address, 0)
        self._forget(before)
        self.by_address[address] = mine + 1
        return mine < self._per_address

    def leave(self, address: str) -> None:
        """Count a connection out again."""
        self.open -= 1
        self._forget(address)

    def _forget(self, address: str) -> None:
        left = self.by_address[address] - 1
        if left:
            self.by_address[address] = left
        else:
            del self.by_address[address]


class Budget:
    """Bytes that wait for more before they can be judged, or for an upstream.

    What is judged in the read that brought it is never counted.
    """

    __slots__ = ("held", "limit")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.held = 0

    def hold(self, count: int) -> bool:
        """Count bytes in, unless that would be over the limit."""
        if self.held + count > self.limit:
            return False
        self.held += count
        return True

    def charge(self, count: int) -> None:
        """Count bytes in that are here already, whatever the limit."""
        self.held += count

    def release(self, count: int) -> None:
        """Count bytes out again."""
        self.held -= count

    @property
    def full(self) -> bool:
        """Whether there is no room for another read."""
        return self.held + READ_BYTES > self.limit
