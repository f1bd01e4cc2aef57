"""The control process's end of the control socket: all workers of this gate.

What `invalidate` and `refresh` promise is the heart of the gate's promise: when they return,
the change is in force in every worker. They return when each worker connected at the call has
answered or has gone, and each worker number, and each worker that a reload has replaced and that
is still busy, has a connection whose `welcome` was answered: a worker that came since dropped
all that it had cached, on the committed replica.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import sys
from collections.abc import AsyncIterator, Callable, Sequence, Set
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from gate.control.errors import ControlError
from gate.ipc import messages as lines

_log = logging.getLogger(__name__)

DOMAINS_PER_MESSAGE = 2000
# The path is the supervisor's: the next control process listens there on the same socket.
_KEEP_PATH: dict[str, Any] = {"cleanup_socket": False} if sys.version_info >= (3, 13) else {}
_POLL_SECONDS = 0.02  # a process that ends, and so needs no link, tells nobody here


class Unconfirmed(ControlError):
    """Not every worker confirmed in time; the change may not be in force everywhere."""


class _LinkLost(Exception):
    """The worker went away before it answered."""


@dataclass(slots=True, eq=False)
class Link:
    """One connected worker process."""

    worker: int
    pid: int
    born: int
    writer: asyncio.StreamWriter
    welcomed: bool = False
    _ids: count[int] = field(default_factory=count)
    _waiting: dict[int, asyncio.Future[lines.Message]] = field(default_factory=dict)

    async def call(self, kind: str, **fields: object) -> lines.Message:
        """Ask the worker; its reply. Raises _LinkLost, or Unconfirmed for a refusal."""
        number = next(self._ids)
        future = asyncio.get_running_loop().create_future()
        self._waiting[number] = future
        try:
            self.writer.write(lines.encode({"id": number, "type": kind, **fields}))
            reply: lines.Message = await future
        finally:
            self._waiting.pop(number, None)
        if "error" in reply:
            raise Unconfirmed(f"worker {self.worker} could not do {kind!r}: {reply['error']}")
        return reply

    def answered(self, reply: lines.Message) -> None:
        """Hands a reply to its caller."""
        future = self._waiting.get(reply.get("id", -1))
        if future is not None and not future.done():
            future.set_result(reply)

    def lost(self) -> None:
        """Fails all that wait for this worker."""
        for future in self._waiting.values():
            if not future.done():
                future.set_exception(_LinkLost)


class Workers:
    """The workers 0..count-1, through their links."""

    def __init__(
        self,
        count: int,
        *,
        replaced: Callable[[], Set[int]] = frozenset,
        on_lost: Callable[[Link], None] = lambda link: None,
        on_farewell: Callable[[Link, lines.Message], None] = lambda link, words: None,
        greeting: Callable[[], lines.Message] = dict,
    ) -> None:
        """`replaced` gives the process ids of the workers that a reload has replaced and that are
        busy, `greeting` the fields of `welcome`: what was changed while the gate runs."""
        self.count = count
        self.links: set[Link] = set()
        self._replaced = replaced
        self._on_lost = on_lost
        self._on_farewell = on_farewell
        self._greeting = greeting
        self._server: asyncio.Server | None = None
        self._talks: dict[asyncio.Task[None], asyncio.StreamWriter] = {}

    async def start(self, sock: socket.socket) -> None:
        """Take connections on the listening Unix socket `sock`."""
        self._server = await asyncio.start_unix_server(
            self._accept, sock=sock, limit=lines.LINE_BYTES, **_KEEP_PATH
        )

    async def close(self) -> None:
        """End all links."""
        if self._server is not None:
            self._server.close()
        for writer in self._talks.values():
            writer.close()  # the reader sees the end, and the task ends by itself
        await asyncio.gather(*self._talks)

    @property
    def missing(self) -> list[int]:
        """The worker numbers that have no link in order."""
        there = {link.worker for link in self.links if link.welcomed}
        return [number for number in range(self.count) if number not in there]

    async def invalidate(
        self,
        domains: Sequence[str],
        revoked: Sequence[str] = (),
        *,
        revision: int = 0,
        seconds: float = 10.0,
    ) -> None:
        """Have every worker drop its verdicts at or below `domains`, and end what is open for
        `revoked`. Raises Unconfirmed when not all have done so after `seconds`."""
        gone = set(revoked)
        async with _deadline(seconds, f"revision {revision}" if revision else "the change"):
            for first in range(0, len(domains), DOMAINS_PER_MESSAGE):
                part = list(domains[first : first + DOMAINS_PER_MESSAGE])
                await self._all(
                    "invalidate",
                    domains=part,
                    revoked=[domain for domain in part if domain in gone],
                    revision=revision,
                )
            await self._complete()

    async def refresh(self, *, seconds: float = 10.0) -> None:
        """Have every worker drop all verdicts and judge again what is open, after a whole new
        set. Raises Unconfirmed when not all have done so after `seconds`."""
        async with _deadline(seconds, "the new set"):
            await self._all("clear")
            await self._complete()

    async def order(self, kind: str, fields: lines.Message, *, seconds: float = 10.0) -> None:
        """Have every worker do what `kind` says; one that comes later learns it by its greeting.

        Raises Unconfirmed when not all have done so after `seconds`.
        """
        try:
            async with asyncio.timeout(seconds):
                await self._all(kind, **fields)
                await self._complete()
        except TimeoutError:
            raise Unconfirmed(
                f"not every worker confirmed the new {kind} within {seconds:g} s; those that "
                "come back take it up"
            ) from None

    async def take_up(self, kind: str, fields: lines.Message, *, seconds: float = 10.0) -> None:
        """Ask every worker again and again, until each answers that it is `done`.

        Raises Unconfirmed when not all are after `seconds`.
        """
        try:
            async with asyncio.timeout(seconds):
                while not await self._all_done(kind, fields):  # noqa: ASYNC110
                    await asyncio.sleep(_POLL_SECONDS)  # they read in turns
        except TimeoutError:
            raise Unconfirmed(
                f"not every worker confirmed the new {kind} within {seconds:g} s; they are written "
                "down, and each worker takes them up as it comes to it or starts again"
            ) from None

    async def _all_done(self, kind: str, fields: lines.Message) -> bool:
        await self._complete()

        async def one(link: Link) -> bool:
            with contextlib.suppress(_LinkLost):
                return bool((await link.call(kind, **fields)).get("done"))
            return False

        return all(await asyncio.gather(*map(one, list(self.links))))

    async def ask(
        self,
        kind: str,
        *,
        seconds: float = 1.0,
        fields: Callable[[Link], lines.Message] = lambda link: {},
    ) -> dict[Link, lines.Message]:
        """Ask every worker, each with its own fields; the replies of those in time."""

        async def one(link: Link) -> tuple[Link, lines.Message] | None:
            with contextlib.suppress(_LinkLost, Unconfirmed, TimeoutError):
                async with asyncio.timeout(seconds):
                    return link, await link.call(kind, **fields(link))
            return None

        answers = await asyncio.gather(*map(one, list(self.links)))
        return dict(answer for answer in answers if answer is not None)

    async def _all(self, kind: str, **fields: object) -> None:
        async def one(link: Link) -> None:
            with contextlib.suppress(_LinkLost):
                await link.call(kind, **fields)

        await asyncio.gather(*map(one, list(self.links)))

    async def _complete(self) -> None:
        """Wait until every worker number, and every replaced worker, has a link in order."""
        while self.missing or not self._replaced() <= {  # noqa: ASYNC110 - see _POLL_SECONDS
            link.pid for link in self.links if link.welcomed
        }:
            await asyncio.sleep(_POLL_SECONDS)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is None:  # pragma: no cover - asyncio runs this in a task
            return
        self._talks[task] = writer
        try:
            first = await lines.read(reader)
            if first is None:
                return
            if first["type"] == "refresh":  # `gate import` has written a new set
                await self._refresh_for(writer)
                return
            await self._serve_worker(first, reader, writer)
        except lines.MessageError as error:
            _log.warning("control link closed: %s", error)
        except OSError as error:  # the process has ended, which the supervisor tells of
            _log.debug("control link closed: %s", error)
        finally:
            del self._talks[task]
            writer.close()

    async def _refresh_for(self, writer: asyncio.StreamWriter) -> None:
        reply: lines.Message = {"type": "reply"}
        try:
            await self.refresh()
        except Unconfirmed as error:
            reply["error"] = str(error)
        writer.write(lines.encode(reply))
        await writer.drain()

    async def _serve_worker(
        self, hello: lines.Message, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        worker, pid, born = (hello.get(key) for key in ("worker", "pid", "born"))
        if hello["type"] != "hello" or not (
            isinstance(worker, int) and isinstance(pid, int) and isinstance(born, int)
        ):
            raise lines.MessageError(f"no hello: {hello!r:.80}")
        link = Link(worker, pid, born, writer)
        self.links.add(link)
        welcome = asyncio.create_task(self._welcome(link))
        try:
            while (message := await lines.read(reader)) is not None:
                if message["type"] == "farewell":
                    self._on_farewell(link, message)
                else:
                    link.answered(message)
        finally:
            self.links.discard(link)
            link.lost()
            await welcome
            self._on_lost(link)

    async def _welcome(self, link: Link) -> None:
        try:
            await link.call("welcome", **self._greeting())
        except _LinkLost:
            return
        except Unconfirmed as error:
            _log.warning("worker %d (process %d): no welcome: %s", link.worker, link.pid, error)
            link.writer.close()
            return
        link.welcomed = True


@contextlib.asynccontextmanager
async def _deadline(seconds: float, what: str) -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError:
        raise Unconfirmed(
            f"{what} was not confirmed by every worker within {seconds:g} s; "
            "it is stored, and each worker takes it up as it answers or starts again"
        ) from None
