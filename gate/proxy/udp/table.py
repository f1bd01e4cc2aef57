"""The flows of one worker: found by path or by connection ID, and bounded.

Connection IDs alone find a flow wherever in the worker it is: a client whose address has changed,
as behind a NAT that forgot it, goes on with the ID that it had. An ID that two servers chose finds
nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterator
from typing import Final

from gate.proxy.udp.flow import QuicFlow
from gate.proxy.udp.path import Path
from gate.proxy.udp.states import FlowState
from gate.settings import Limits

SHORTEST_FOUND: Final = 4
"""Bytes of the shortest connection ID by which a flow is found without its path."""

SURELY_IDLE_SECONDS: Final = 30.0
"""The idle time-out that most clients and servers have, and what they keep alive is heard of."""
_MOST_LOOKED: Final = 1024


class FlowTable:
    """Keeps the flows; see `gate.proxy.udp.keeper.FlowKeeper`."""

    def __init__(
        self,
        limits: Limits,
        *,
        on_learned: Callable[[bytes], None] = lambda cid: None,
        on_forgotten: Callable[[bytes], None] = lambda cid: None,
    ) -> None:
        """`on_learned` is told of each ID that finds a flow of this worker by now, `on_forgotten`
        of each that does no more."""
        self._limits = limits
        self.paths: dict[Hashable, Path[QuicFlow]] = {}
        self._flows: dict[QuicFlow, None] = {}
        self._unproven: dict[QuicFlow, None] = {}  # the oldest first
        self._by_address: dict[str, int] = {}
        self._looked: dict[str | None, float] = {}  # when to look for idle flows again
        self._by_cid: dict[bytes, QuicFlow | None] = {}  # None for one that two servers chose
        self._lengths: Counter[int] = Counter()  # of the IDs
        self._on_learned = on_learned
        self._on_forgotten = on_forgotten

    def __len__(self) -> int:
        return len(self._flows)

    def __iter__(self) -> Iterator[QuicFlow]:
        return iter(list(self._flows))

    # Bounds.

    @property
    def limit(self) -> int:
        """How many flows a worker takes."""
        return self._limits.quic_flows_per_worker

    def has_room(self, address: str, now: float) -> bool:
        """Return whether there is room for a flow of `address`; those that seem over go first.

        A close is encrypted, so that a flow stays for `quic_idle_seconds` behind it.
        """
        limits = self._limits
        if self._by_address.get(address, 0) >= limits.quic_flows_per_address:
            self._end_idle(now, address)
        elif len(self._flows) >= limits.quic_flows_per_worker:
            self._end_idle(now)
        return (
            len(self._flows) < limits.quic_flows_per_worker
            and self._by_address.get(address, 0) < limits.quic_flows_per_address
        )

    def _end_idle(self, now: float, address: str | None = None) -> None:
        """End the flows that have been silent for longest, of one address or of all."""
        if now < self._looked.get(address, 0.0):
            return
        idle = [
            flow
            for flow in self._flows
            if now - flow.touched >= SURELY_IDLE_SECONDS and address in (None, flow.host)
        ]
        idle.sort(key=lambda flow: flow.touched)
        for flow in idle[: 1 + len(idle) // 8]:
            flow.end("gave_way")
        if not idle:
            if len(self._looked) >= _MOST_LOOKED:
                self._looked.clear()
            self._looked[address] = now + 1.0

    def add(self, flow: QuicFlow) -> None:
        """Take in a flow whose client is not proven; the oldest such one may have to go."""
        while len(self._unproven) >= self._limits.quic_unproven_flows:
            next(iter(self._unproven)).end("unproven_limit")
        self._flows[flow] = self._unproven[flow] = None
        self._by_address[flow.host] = self._by_address.get(flow.host, 0) + 1
        self.paths[flow.path.key] = flow.path

    def proved(self, flow: QuicFlow) -> None:
        """Its client is where it says that it is: from now on its IDs lead to it."""
        self._unproven.pop(flow, None)
        for cid in flow.known_ids():
            if cid in self._by_cid:
                known = self._by_cid[cid]
                if known is not None and known.origin is flow.origin:
                    self._by_cid[cid] = flow
            else:
                self.learned(flow, cid)

    def ended(self, flow: QuicFlow) -> None:
        """Nothing is left of it."""
        self._unproven.pop(flow, None)
        if flow not in self._flows:
            return
        del self._flows[flow]
        left = self._by_address[flow.host] - 1
        if left:
            self._by_address[flow.host] = left
        else:
            del self._by_address[flow.host]
        if not flow.path.flows:
            self.paths.pop(flow.path.key, None)
        for cid in flow.known_ids():
            self.forget(flow, cid)

    # Connection IDs.

    def learned(self, flow: QuicFlow, cid: bytes) -> None:
        """The server of a flow has chosen a connection ID."""
        if len(cid) < SHORTEST_FOUND:
            return
        if cid not in self._by_cid:
            self._by_cid[cid] = flow
            self._lengths[len(cid)] += 1
            self._on_learned(cid)
        else:
            known = self._by_cid[cid]
            # The same connection, from another address, has it until that is proven.
            if known is not None and known.origin is not flow.origin:
                self._by_cid[cid] = None

    def forget(self, flow: QuicFlow, cid: bytes) -> None:
        """An ID of a flow leads to it no more."""
        if self._by_cid.get(cid) is flow:
            del self._by_cid[cid]
            self._lengths[len(cid)] -= 1
            if not self._lengths[len(cid)]:
                del self._lengths[len(cid)]
            self._on_forgotten(cid)

    def starting(self, datagram: bytes) -> QuicFlow | None:
        """Return the flow to whose ID a 1-RTT packet is sent, from wherever."""
        for length in self._lengths:
            flow = self._by_cid.get(datagram[1 : 1 + length])
            if flow is not None:
                return flow
        return None

    def find(self, cid: bytes) -> QuicFlow | None:
        """Return the flow to whose ID a packet with a long header is sent, from wherever."""
        return self._by_cid.get(cid)

    # Figures.

    def figures(self) -> dict[str, int]:
        """Return how many flows there are, by state."""
        held = sum(flow.state is FlowState.HELD for flow in self._unproven)
        return {
            "held": held,
            "open": len(self._unproven) - held,
            "proven": len(self._flows) - len(self._unproven),
        }
