"""Connections that other workers have: asked about, and told of.

The first datagrams of a client whose address changed may come to a worker that does not know it.
It asks those whose part of the page has the ID; whoever has the flow says what it takes to go on
with it here. Until then a few datagrams of the client wait.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from gate.ipc.siblings import Siblings
from gate.policy import Reason, Verdict, nameless
from gate.proxy.udp.counters import QuicCounters
from gate.proxy.udp.states import Moved
from gate.proxy.udp.table import FlowTable

_MOST_ASKED: Final = 256
"""Clients that may wait for an answer at a time."""
_MOST_WAITING: Final = 8
"""Datagrams that wait of one."""
_PATIENCE_SECONDS: Final = 1.0
_START: Final = 21
"""The first byte of a packet with a short header, and the longest ID."""


class GoesOn(Protocol):
    """Where the datagrams came in."""

    def go_on(
        self, moved: Moved, key: Hashable, address: Any, local: bytes, datagrams: list[bytes]
    ) -> None:
        """Go on, from `address`, with a connection that is open from another one."""


@dataclass(slots=True)
class _Asked:
    """A client that waits."""

    entry: GoesOn
    key: Hashable
    address: Any
    local: bytes
    until: float
    answers_due: int
    datagrams: list[bytes] = field(default_factory=list)


class Neighbours:
    """Asks and answers, by the workers' mailboxes."""

    def __init__(self, siblings: Siblings, table: FlowTable, counters: QuicCounters) -> None:
        self._siblings = siblings
        self._table = table
        self._counters = counters
        self._asked: dict[int, _Asked] = {}
        self._by_client: dict[Hashable, int] = {}
        self._number = 0

    def ask(
        self,
        entry: GoesOn,
        listener: str,
        key: Hashable,
        address: Any,
        local: bytes,
        datagram: bytes,
        now: float,
    ) -> bool:
        """Ask whose the datagram is; it waits for the answer. False if nobody is to be asked."""
        number = self._by_client.get(key)
        asked = None if number is None else self._asked[number]
        if asked is not None and now < asked.until:
            if len(asked.datagrams) >= _MOST_WAITING:
                return False
            asked.datagrams.append(datagram)
            return True
        siblings = self._siblings
        workers = siblings.board.starting(datagram, siblings.index)
        if not workers or not self._has_room(now):
            return False
        self._number += 1
        question = {
            "ask": self._number,
            "from": siblings.index,
            "listener": listener,
            "start": datagram[:_START].hex(),
        }
        told = sum(siblings.tell(worker, question) for worker in workers)
        if told:
            until = now + _PATIENCE_SECONDS
            self._asked[self._number] = _Asked(entry, key, address, local, until, told, [datagram])
            self._by_client[key] = self._number
        return told > 0

    def _has_room(self, now: float) -> bool:
        """Forget those who wait in vain; whether another one may wait."""
        for number in [number for number, each in self._asked.items() if now >= each.until]:
            self._forget(number)
        return len(self._asked) < _MOST_ASKED

    def _forget(self, number: int) -> None:
        del self._by_client[self._asked.pop(number).key]

    def answer(self, question: dict[str, Any]) -> None:
        """Say what another worker asks."""
        start = bytes.fromhex(question["start"])
        flow = self._table.starting(start)
        moved = None
        if flow is not None and flow.listener.name == question["listener"]:
            moved = flow.moved()
        reply: dict[str, Any] = {"answer": question["ask"], "flow": None}
        if moved is not None:
            verdict = moved.verdict
            reply["flow"] = {
                "verdict": [verdict.name, verdict.allowed, verdict.reason],
                "family": moved.family,
                "upstream": moved.upstream,
                "cids": [cid.hex() for cid in moved.cids],
            }
        self._siblings.tell(question["from"], reply)

    def take_answer(self, reply: dict[str, Any]) -> None:
        """Go on with what another worker has said."""
        number = reply["answer"]
        asked = self._asked.get(number)
        if asked is None:
            return
        told = reply["flow"]
        if told is None:
            asked.answers_due -= 1
            if not asked.answers_due:
                self._forget(number)
                for _ in asked.datagrams:
                    self._counters.drop("no_flow")
            return
        self._forget(number)
        moved = Moved(
            verdict_of(told["verdict"]),
            told["family"],
            tuple(told["upstream"]),
            tuple(map(bytes.fromhex, told["cids"])),
            object(),
        )
        asked.entry.go_on(moved, asked.key, asked.address, asked.local, asked.datagrams)


def verdict_of(frozen: list[Any]) -> Verdict:
    """Return a verdict of another process: name, allowed, reason."""
    name, allowed, reason = frozen
    verdict = nameless(Reason(reason), allowed=bool(allowed))
    verdict.name = str(name)
    return verdict
