"""How the flows of one worker process go over to its successor: sockets and all.

Two processes have the listening sockets while a reload or an upgrade goes on, and a datagram is
read by one of them. So the successor asks, through the mailbox of its worker number, whoever takes
the datagrams by then; that one stops, sends its flows over a channel of their own, and says that it
is done; only then does the successor begin. What comes in between waits in the sockets' queues.
Each flow is judged again as it comes over: a revocation between the two must miss nothing.

    successor -> mailbox     {"take": pid}, with the channel's other end
    channel   -> successor   {"flows": [...]}, with the sockets of those that have one; …
    channel   -> successor   {"done": true}
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
from collections.abc import AsyncIterator, Callable, Iterable
from typing import Any, Final

from gate.ipc.alive import is_alive
from gate.ipc.siblings import MESSAGE_BYTES, MOST_DESCRIPTORS, Siblings, collect, post
from gate.proxy.failure import ProxyError
from gate.proxy.udp.flow import QuicFlow
from gate.proxy.udp.states import FlowState

_PATIENCE_SECONDS: Final = 5.0
"""For the next message; a predecessor that hangs keeps its flows."""
_POLL_SECONDS: Final = 0.05
_RECORD_BYTES: Final = MESSAGE_BYTES // 2

Record = dict[str, Any]


class Lost(ProxyError):
    """The other side of a channel has gone, or does not answer."""


def ask_predecessor(siblings: Siblings) -> socket.socket | None:
    """Ask whoever takes the datagrams now; the channel on which flows will come, if any will."""
    owner = siblings.board.owner(siblings.index)
    if owner in (0, os.getpid()) or not is_alive(owner):
        return None
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.setblocking(False)
    with theirs:
        if not siblings.tell(siblings.index, {"take": os.getpid()}, [theirs.fileno()]):
            ours.close()
            return None
    return ours


async def give_away(
    channel: socket.socket, flows: Iterable[QuicFlow], freeze: Callable[[QuicFlow], Record]
) -> None:
    """Send flows to a successor; each ends here as it is sent. Raises Lost."""
    waiting = [flow for flow in flows if flow.state is not FlowState.ENDED]
    while waiting:
        batch = _next_batch(waiting, freeze)
        sockets = [flow.sock.fileno() for flow, _ in batch if flow.sock is not None]
        if await _post(channel, {"flows": [record for _, record in batch]}, sockets):
            for flow, _ in batch:
                flow.end("handed_over")
        # Else they may have changed while there was no room: frozen anew.
        waiting = [flow for flow in waiting if flow.state is not FlowState.ENDED]
    while not await _post(channel, {"done": True}, []):
        pass


def _next_batch(
    waiting: Iterable[QuicFlow], freeze: Callable[[QuicFlow], Record]
) -> list[tuple[QuicFlow, Record]]:
    """As many flows as fit into one message, frozen; one at least."""
    batch: list[tuple[QuicFlow, Record]] = []
    size = 0
    for flow in waiting:
        record = freeze(flow)
        size += len(json.dumps(record))
        if batch and (size > _RECORD_BYTES or len(batch) >= MOST_DESCRIPTORS):
            break
        batch.append((flow, record))
    return batch


async def _post(channel: socket.socket, message: dict[str, Any], sockets: list[int]) -> bool:
    """Send a message; False after a wait for room, if there was none. Raises Lost."""
    try:
        if post(channel, message, sockets):
            return True
        await _ready(channel, writing=True)
    except OSError as error:
        raise Lost(f"the successor has gone: {error}") from None
    return False


async def receive(channel: socket.socket, owner: int) -> AsyncIterator[tuple[Record, int | None]]:
    """The flows of the predecessor, process `owner`: records, and a socket's descriptor for each
    that has one. Raises Lost, with what came before taken over."""
    while True:
        message, descriptors = await _next_message(channel, owner)
        if message.get("done"):
            return
        sockets = iter(descriptors)
        for record in message.get("flows", ()):
            yield record, next(sockets, None) if record.get("socket") else None


async def _next_message(channel: socket.socket, owner: int) -> tuple[Record, list[int]]:
    loop = asyncio.get_running_loop()
    deadline = loop.time() + _PATIENCE_SECONDS
    while True:
        try:
            taken = collect(channel)
        except (EOFError, OSError, ValueError) as error:
            raise Lost(f"the predecessor has gone: {error}") from None
        if taken is not None:
            return taken
        if loop.time() > deadline:
            raise Lost(f"process {owner} does not answer")
        if not is_alive(owner):
            raise Lost(f"process {owner} has ended")
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_POLL_SECONDS):
                await _ready(channel, writing=False)


async def _ready(sock: socket.socket, *, writing: bool) -> None:
    """Return when a socket is ready."""
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    add, remove = (
        (loop.add_writer, loop.remove_writer) if writing else (loop.add_reader, loop.remove_reader)
    )
    add(sock, ready.set)
    try:
        await ready.wait()
    finally:
        remove(sock)
