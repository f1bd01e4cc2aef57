"""The QUIC listeners of one worker: start, figures, cut, drain."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections import defaultdict
from collections.abc import Callable, Collection, Sequence
from functools import partial
from typing import Any

from gate.ipc.siblings import Siblings
from gate.proxy.listener import ListenerState
from gate.proxy.plane import Plane
from gate.proxy.reactor import IN
from gate.proxy.udp.entry import QuicEntry
from gate.proxy.udp.neighbours import Neighbours
from gate.proxy.udp.parts import QuicParts
from gate.proxy.udp.refusals import QuicAnswers
from gate.proxy.udp.succession import Lost, ask_predecessor, give_away, receive
from gate.proxy.udp.table import FlowTable
from gate.settings import Limits

_log = logging.getLogger(__name__)


class QuicPlane:
    """All QUIC listeners and flows of one worker."""

    def __init__(
        self,
        plane: Plane,
        listeners: Sequence[tuple[ListenerState, socket.socket]],
        siblings: Siblings | None = None,
    ) -> None:
        """`siblings` are the gate's other workers, if there are QUIC listeners."""
        limits = plane.settings.limits
        self._parts = QuicParts(
            run=plane.run,
            reactor=plane.reactor,
            decider=plane.decider,
            pool=plane.router.quic,
            budget=plane.budget,
            traffic=plane.counters,
            limits=limits,
            answers=QuicAnswers(
                per_address=limits.quic_answers_per_address,
                per_worker=limits.quic_answers_per_worker,
            ),
            closes=plane.settings.policy.quic_refusal == "close",
            cuts=plane.settings.policy.revoked_connections == "reset",
            hosts=plane.hosts,
            rest_seconds=plane.settings.upstreams.rest_seconds,
        )
        self._siblings = siblings = siblings if listeners else None
        self._table = table = _table(limits, siblings)
        self._neighbours = (
            None if siblings is None else Neighbours(siblings, table, self._parts.counters)
        )
        self._entries = [QuicEntry(self._parts, table, self._neighbours, *one) for one in listeners]
        self._successions: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        return len(self._table)

    # Whose datagrams they are.

    async def start(self) -> None:
        """Take over what a predecessor has open; take datagrams from then on."""
        siblings = self._siblings
        if siblings is not None:
            owner = siblings.board.owner(siblings.index)
            channel = ask_predecessor(siblings)
            if channel is not None:
                with channel:
                    await self._take_over(channel, owner, siblings)
            siblings.board.own(siblings.index, os.getpid())
            for flow in self._table:
                for cid in flow.known_ids():
                    siblings.board.add(siblings.index, cid)
            self._parts.reactor.watch(siblings.outlet.fileno(), IN, self.on_mail)
        for entry in self._entries:
            entry.open()

    async def _take_over(self, channel: socket.socket, owner: int, siblings: Siblings) -> None:
        entries = {entry.listener.name: entry for entry in self._entries}
        origins: dict[int, object] = defaultdict(object)
        try:
            async for record, descriptor in receive(channel, owner):
                sock = None if descriptor is None else socket.socket(fileno=descriptor)
                try:
                    origin = origins[record["flow"]["origin"]] if sock is not None else None
                    entries[record["listener"]].thaw(record, sock, origin)
                except (KeyError, TypeError, ValueError) as error:
                    _log.warning("a QUIC flow could not be taken over: %r", error)
                    if sock is not None:
                        sock.close()
        except Lost as error:
            _log.warning("QUIC flows may be lost: %s", error)

    def on_mail(self, _events: int) -> None:
        """Another worker, or a successor, has sent something."""
        siblings, neighbours = self._siblings, self._neighbours
        if siblings is None or neighbours is None:
            return
        for message, descriptors in siblings.mail():
            match message:
                case {"take": pid} if descriptors and pid != os.getpid():
                    self._give_away(socket.socket(fileno=descriptors.pop()))
                case {"ask": _}:
                    neighbours.answer(message)
                case {"answer": _}:
                    neighbours.take_answer(message)
            for descriptor in descriptors:
                os.close(descriptor)

    def _give_away(self, channel: socket.socket) -> None:
        """A successor asks for everything."""
        channel.setblocking(False)
        self._stop_taking()
        task = asyncio.get_running_loop().create_task(self._send_all(channel))
        self._successions.add(task)
        task.add_done_callback(self._successions.discard)

    async def _send_all(self, channel: socket.socket) -> None:
        entries = {entry.listener: entry for entry in self._entries}
        with channel:
            try:
                await give_away(
                    channel, self._table, lambda flow: entries[flow.listener].freeze(flow)
                )
            except Lost as error:
                _log.warning("QUIC flows are lost: %s", error)

    def _stop_taking(self) -> None:
        for entry in self._entries:
            entry.close()
        if self._siblings is not None:
            self._parts.reactor.unwatch(self._siblings.outlet.fileno())

    def drain(self) -> None:
        """Take no new connection any more; what is open goes on."""
        for entry in self._entries:
            entry.draining = True

    def close(self) -> None:
        """Stop at once."""
        self._stop_taking()
        for flow in self._table:
            flow.abort()

    def end_monitored(self, listeners: Collection[ListenerState]) -> None:
        """End the flows of these listeners that are not allowed as of now."""
        judge = self._parts.decider.judge
        for flow in self._table if listeners else ():
            verdict = flow.verdict
            if flow.listener not in listeners or verdict is None or not flow.enforcing:
                continue
            if verdict.name:
                flow.verdict = verdict = judge(verdict.name.encode())
            if not verdict.allowed:
                flow.abort("not_allowed")

    def end_blocked(
        self, concerned: Callable[[str], bool], told: Callable[[object, str], None]
    ) -> None:
        """End the flows whose names are concerned and no longer allowed.

        `told` hears of each, with the name.
        """
        judge = self._parts.decider.judge
        for flow in self._table:
            verdict = flow.verdict
            if not flow.enforcing or verdict is None:
                continue
            if not verdict.allowed or not verdict.name:
                continue  # let through by monitor mode, or by a policy
            if concerned(verdict.name) and not judge(verdict.name.encode()).allowed:
                flow.abort("revoked")
                told(flow, verdict.name)

    def figures(self) -> dict[str, Any]:
        """Return all figures as nested dictionaries of plain ints."""
        figures = self._parts.counters.figures()
        dropped = figures["dropped"]
        unsent = self._parts.rows.dropped + sum(entry.rows.dropped for entry in self._entries)
        if unsent:
            dropped["unsent"] = unsent
        queues: dict[str, int] = {}
        for entry in self._entries:
            name = entry.listener.name
            queues[name] = queues.get(name, 0) + entry.kernel_drops
        return figures | {
            "flows": self._table.figures(),
            "flows_limit": self._table.limit if self._entries else 0,
            "queue_drops": queues,
        }


def _table(limits: Limits, siblings: Siblings | None) -> FlowTable:
    """Return the table of flows; other workers find by its IDs who has a flow."""
    if siblings is None:
        return FlowTable(limits)
    board, index = siblings.board, siblings.index
    return FlowTable(
        limits, on_learned=partial(board.add, index), on_forgotten=partial(board.remove, index)
    )
