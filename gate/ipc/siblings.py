"""What the workers of one gate know of each other's QUIC connections: a page, and mailboxes.

The kernel leads a client's datagrams to one worker, by addresses and ports. A client whose address
changes may come to another one. So each worker writes into its part of a page which connection IDs
are its flows', as 64-bit fingerprints, and whoever meets an ID that is none of its own finds there
whom to ask, by a datagram into that one's mailbox. A fingerprint that lies costs an answer of "no".

The page also says which process takes the datagrams of a worker number: a successor asks that one,
by the same mailbox, for its flows. Page and mailboxes are the supervisor's, and outlive the
processes that use them, in an upgrade too.
"""

from __future__ import annotations

import json
import mmap
import os
import socket
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, Final

SLOTS: Final = 1 << 16
"""Fingerprints that one worker has room for."""
_WAYS: Final = 8  # places where a fingerprint may stand
_OWNER: Final = 0
_LENGTHS: Final = 1  # bit n: there are IDs of n bytes
_HEAD: Final = 2
_PART: Final = _HEAD + SLOTS
LONGEST_CID: Final = 20
MESSAGE_BYTES: Final = 1 << 17
"""Bytes of the longest message."""
MOST_DESCRIPTORS: Final = 64
"""Descriptors that may come with one (the kernel takes 253)."""


class FlowBoard:
    """The page; each worker number has a part, with one writer."""

    def __init__(self, workers: int, descriptor: int | None = None) -> None:
        """The page of a descriptor that the program before this one has left, or a new one."""
        if descriptor is None:
            descriptor = os.memfd_create("gate-flows")
            os.ftruncate(descriptor, workers * _PART * 8)  # nothing is used before it is written
        self.descriptor = descriptor
        self._words = memoryview(mmap.mmap(descriptor, workers * _PART * 8)).cast("Q")
        self._workers = workers

    def owner(self, worker: int) -> int:
        """Return the process id of who takes a worker's datagrams; 0 for nobody yet."""
        return int(self._words[worker * _PART + _OWNER])

    def own(self, worker: int, pid: int) -> None:
        """The process `pid` takes them from now on; its flows are none yet."""
        start = worker * _PART
        self._words[start + _HEAD : start + _PART] = memoryview(bytes(8 * SLOTS)).cast("Q")
        self._words[start + _LENGTHS] = 0
        self._words[start + _OWNER] = pid

    def add(self, worker: int, cid: bytes) -> None:
        """A flow of the worker's has the ID; without room for it, it is found by nobody else."""
        mark = _mark(cid)
        for at in self._places(worker, mark):
            if self._words[at] in (0, mark):
                self._words[at] = mark
                self._words[worker * _PART + _LENGTHS] |= 1 << len(cid)
                return

    def remove(self, worker: int, cid: bytes) -> None:
        """It has it no more."""
        mark = _mark(cid)
        for at in self._places(worker, mark):
            if self._words[at] == mark:
                self._words[at] = 0

    def starting(self, datagram: bytes, but: int) -> set[int]:
        """Return the workers, `but` one, whose ID may begin at a datagram's second byte."""
        words, marks, found = self._words, dict[int, int](), set[int]()
        for worker in range(self._workers):
            lengths = words[worker * _PART + _LENGTHS]
            if worker == but or not lengths:
                continue
            for length in range(1, LONGEST_CID + 1):
                if not lengths >> length & 1 or len(datagram) <= length:
                    continue
                mark = marks.get(length)
                if mark is None:
                    mark = marks[length] = _mark(datagram[1 : 1 + length])
                if any(words[at] == mark for at in self._places(worker, mark)):
                    found.add(worker)
        return found

    def _places(self, worker: int, mark: int) -> range:
        start = worker * _PART + _HEAD + mark % (SLOTS // _WAYS) * _WAYS
        return range(start, start + _WAYS)


def _mark(cid: bytes) -> int:
    return int.from_bytes(blake2b(cid, digest_size=8).digest(), "big") or 1


@dataclass(slots=True, frozen=True)
class Mailboxes:
    """One for each worker number: where others put messages, and where it takes them out."""

    entries: Sequence[socket.socket]
    outlets: Sequence[socket.socket]

    @classmethod
    def make(cls, workers: int) -> Mailboxes:
        """Return mailboxes for so many workers."""
        pairs = [socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM) for _ in range(workers)]
        for entry, outlet in pairs:
            entry.setblocking(False)
            outlet.setblocking(False)
        return cls([entry for entry, _ in pairs], [outlet for _, outlet in pairs])

    def all(self) -> list[socket.socket]:
        """Return every socket."""
        return [*self.entries, *self.outlets]


@dataclass(slots=True, frozen=True)
class Siblings:
    """One worker's end of it all."""

    index: int
    board: FlowBoard
    entries: Sequence[socket.socket]
    """Of all workers' mailboxes."""
    outlet: socket.socket
    """Of its own."""

    def tell(self, worker: int, message: dict[str, Any], descriptors: Sequence[int] = ()) -> bool:
        """Put a message into a worker's mailbox; False if there is no room."""
        return post(self.entries[worker], message, descriptors)

    def mail(self) -> Iterator[tuple[dict[str, Any], list[int]]]:
        """Take out what is there: messages, and the descriptors that came with each."""
        while (taken := collect(self.outlet)) is not None:
            yield taken


def post(sock: socket.socket, message: dict[str, Any], descriptors: Sequence[int] = ()) -> bool:
    """Send a message on a non-blocking socket that keeps bounds; False if there is no room.

    Raises OSError if the other side has gone.
    """
    line = json.dumps(message, separators=(",", ":")).encode()
    try:
        socket.send_fds(sock, [line], list(descriptors))
    except BlockingIOError:
        return False
    return True


def collect(sock: socket.socket) -> tuple[dict[str, Any], list[int]] | None:
    """Return the next message and its descriptors; None if there is none.

    Raises EOFError when the other side has gone, ValueError for what is no message.
    """
    try:
        line, descriptors, _, _ = socket.recv_fds(sock, MESSAGE_BYTES, MOST_DESCRIPTORS)
    except BlockingIOError:
        return None
    if not line:
        raise EOFError("the other side has gone")
    message = json.loads(line)
    if not isinstance(message, dict):
        raise ValueError(f"no object: {line[:80]!r}")
    return message, descriptors
