"""A gate follows the registry through NATS JetStream, from its own revision on.

The stream's messages are found by binary search over their headers; from there an ordered
consumer delivers. Where the stream can't help (not far enough back, wiped, a gap), the batch is
refused by the applier and the agent fetches what is missing from the registry.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js import JetStreamContext
from nats.js.api import ConsumerConfig, DeliverPolicy, StreamInfo
from nats.js.errors import NotFoundError

from gate.changes.errors import Cause, SyncError
from gate.changes.stream import EPOCH_HEADER, REVISION_HEADER, alive_subject
from gate.filings import Position
from gate.net.backoff import Backoff
from gate.net.broker import connected
from gate.settings import Nats

_log = logging.getLogger(__name__)

_LOOK_SECONDS: Final = 5.0
_POSITION_SECONDS: Final = 0.1
_MEND_SECONDS: Final = 10.0


class Follower:
    """The NATS side of one gate's sync agent."""

    def __init__(
        self,
        settings: Nats,
        take: Callable[[bytes], Awaitable[int]],
        position: Callable[[], Position | None],
        *,
        trouble: Callable[[SyncError], None],
    ) -> None:
        """`take` has an envelope applied or raises SyncError; `position` is the replica's.

        `trouble` hears of every lost or failed connection.
        """
        self._settings = settings
        self._take = take
        self._position = position
        self._trouble = trouble
        self._delivered = 0
        self.connected = False

    async def run(self) -> None:
        """Follow until cancelled; connect again whenever the connection is lost."""
        backoff = Backoff()
        while True:
            try:
                async with connected(self._settings, "gate") as (client, lost):
                    await self._follow(client, lost, backoff)
            except SyncError as error:
                self.connected = False
                self._trouble(error)
            finally:
                self.connected = False
            await asyncio.sleep(backoff.wait())

    async def _follow(self, client: Client, lost: asyncio.Event, backoff: Backoff) -> None:
        """Follow one connection as long as it and the stream last. Raises SyncError."""
        while (position := self._position()) is None:
            await self._pause(lost, _POSITION_SECONDS)
        stream = client.jetstream()
        info = await self._look(stream)
        start = await self._find_start(stream, info, position)
        self._delivered = start - 1
        await client.subscribe(alive_subject(self._settings), cb=self._alive)
        await stream.subscribe(
            self._settings.subject,
            stream=self._settings.stream,
            ordered_consumer=True,
            config=ConsumerConfig(
                deliver_policy=DeliverPolicy.BY_START_SEQUENCE, opt_start_seq=start
            ),
            cb=self._message,
        )
        self.connected = True
        backoff.reset()
        _log.info("following NATS stream %s from message %d", self._settings.stream, start)
        behind, delivered = False, self._delivered
        while True:
            await self._pause(lost, _LOOK_SECONDS)
            now = await self._look(stream)
            # A consumer that lost its place, and a stream that is not the one it was.
            was_behind, behind = behind, now.state.last_seq > self._delivered
            still, delivered = delivered == self._delivered, self._delivered
            if (
                now.created != info.created
                or now.state.last_seq < self._delivered
                or (behind and was_behind and still)
            ):
                raise SyncError(
                    Cause.GAP,
                    f"the NATS stream {self._settings.stream} is at message {now.state.last_seq} "
                    f"and this gate had {self._delivered}; following it anew",
                )

    async def _look(self, stream: JetStreamContext) -> StreamInfo:
        try:
            return await stream.stream_info(self._settings.stream)
        except NotFoundError as error:
            raise SyncError(
                Cause.UNREACHABLE,
                f"NATS has no stream {self._settings.stream}; the registry makes it when its "
                "setting registry.nats is set",
            ) from error

    async def _find_start(
        self, stream: JetStreamContext, info: StreamInfo, position: Position
    ) -> int:
        """Return the first message that holds something this gate does not have."""
        low, high = max(info.state.first_seq, 1), info.state.last_seq + 1
        while low < high:
            middle = (low + high) // 2
            if await self._is_old(stream, middle, position):
                low = middle + 1
            else:
                high = middle
        return low

    async def _is_old(self, stream: JetStreamContext, number: int, position: Position) -> bool:
        try:
            headers = (await stream.get_msg(self._settings.stream, seq=number)).headers or {}
            there = headers[EPOCH_HEADER], int(headers[REVISION_HEADER])
        except (NotFoundError, KeyError, ValueError):
            return True  # deleted, or not the registry's
        return there <= (position.epoch, position.revision)

    async def _message(self, message: Msg) -> None:
        """One message of the stream. What can't be taken is left to the agent's pull."""
        number = message.metadata.sequence.stream
        deadline = asyncio.get_running_loop().time() + _MEND_SECONDS
        while True:
            try:
                await self._take(message.data)
            except SyncError as error:
                missing = error.cause in (Cause.GAP, Cause.NEW_EPOCH)
                if missing and asyncio.get_running_loop().time() < deadline:
                    await self._mended()
                    continue
            break
        self._delivered = number

    async def _mended(self) -> None:
        """Wait until the replica has moved, but not for long."""
        before = self._position()
        for _ in range(10):
            await asyncio.sleep(_POSITION_SECONDS)
            if self._position() != before:
                return

    async def _alive(self, message: Msg) -> None:
        try:
            await self._take(message.data)
        except SyncError:
            return  # counted, and the agent fetches what is missing

    @staticmethod
    async def _pause(lost: asyncio.Event, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await lost.wait()
        except TimeoutError:
            return
        raise SyncError(Cause.UNREACHABLE, "the connection to NATS was lost; it is made again")
