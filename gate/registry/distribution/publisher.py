"""The registry publishes its change log to NATS JetStream, for any number of gates.

Where to go on is written in the stream itself (the last message's headers), and the server drops
what it has seen already (`Nats-Msg-Id` is epoch and revision), so a restart or a second registry
on the same database repeats nothing. While the broker is away the log simply waits.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import Final

from nats.aio.client import Client
from nats.js import JetStreamContext
from nats.js.api import Header, StorageType, StreamConfig
from nats.js.errors import BadRequestError, NotFoundError

from gate.changes.batch import Batch
from gate.changes.errors import Cause, SyncError
from gate.changes.stream import ALIVE_SECONDS, EPOCH_HEADER, REVISION_HEADER, alive_subject
from gate.net.backoff import Backoff
from gate.net.broker import connected
from gate.registry.distribution.log import Log
from gate.settings import Nats

_log = logging.getLogger(__name__)

_DUPLICATE_SECONDS: Final = 120.0
_MAX_AGE: Final = 7 * 86_400.0
_MAX_MESSAGES: Final = 1_000_000


@dataclass(slots=True)
class PublisherStatus:
    """Where publishing stands."""

    connected: bool = False
    epoch: str = ""
    revision: int = 0
    """The newest revision in the stream."""
    messages: int = 0
    last_error: str = ""


class Publisher:
    """Publishes one log to one stream."""

    def __init__(self, settings: Nats, log: Log) -> None:
        self._settings = settings
        self._log = log
        self.status = PublisherStatus()

    async def run(self) -> None:
        """Publish until cancelled; connect again whenever the connection is lost."""
        backoff = Backoff()
        while True:
            try:
                async with connected(self._settings, "registry") as (client, lost):
                    await self._publish(client, lost, backoff)
            except SyncError as error:
                if str(error) != self.status.last_error:
                    _log.warning("publishing waits: %s", error)
                self.status.last_error = str(error)
            finally:
                self.status.connected = False
            await asyncio.sleep(backoff.wait())

    async def _publish(self, client: Client, lost: asyncio.Event, backoff: Backoff) -> None:
        stream = client.jetstream()
        await self._ensure_stream(stream)
        status = self.status
        status.epoch, status.revision = await self._last(stream)
        status.connected, status.last_error = True, ""
        backoff.reset()
        _log.info("publishing to NATS from revision %d on", status.revision)
        while not lost.is_set():
            try:
                if status.epoch != self._log.epoch:
                    raise SyncError(Cause.NEW_EPOCH, "the stream holds another epoch, or nothing")
                batch = await self._log.batch_after(status.revision)
            except SyncError as error:
                if error.cause not in (Cause.COMPACTED, Cause.NEW_EPOCH):
                    raise
                # Gates fetch what lies before; the sign of life tells them so.
                status.epoch, status.revision = self._log.epoch, self._log.revision
                continue
            sealed = await self._log.seal(batch)
            if batch.changes:
                await stream.publish(
                    self._settings.subject,
                    sealed,
                    stream=self._settings.stream,
                    headers=_headers(batch),
                )
                status.revision = batch.to_revision
                status.messages += 1
            else:
                await client.publish(alive_subject(self._settings), sealed)
                await self._wait(lost)

    async def _wait(self, lost: asyncio.Event) -> None:
        """Until there is more to publish, the connection is lost, or a sign of life is due."""
        news = asyncio.create_task(self._log.wait_beyond(self.status.revision, ALIVE_SECONDS))
        end = asyncio.create_task(lost.wait())
        try:
            await asyncio.wait([news, end], return_when=asyncio.FIRST_COMPLETED)
        finally:
            news.cancel()
            end.cancel()

    async def _ensure_stream(self, stream: JetStreamContext) -> None:
        config = StreamConfig(
            name=self._settings.stream,
            subjects=[self._settings.subject],
            storage=StorageType.FILE,
            max_age=_MAX_AGE,
            max_msgs=_MAX_MESSAGES,
            duplicate_window=_DUPLICATE_SECONDS,
        )
        try:
            await stream.stream_info(self._settings.stream)
        except NotFoundError:
            try:
                await stream.add_stream(config)
            except BadRequestError as error:
                raise SyncError(
                    Cause.REFUSED,
                    f"NATS refuses the stream {self._settings.stream}: {error.description}",
                ) from error

    async def _last(self, stream: JetStreamContext) -> tuple[str, int]:
        """Epoch and revision of the newest message; none if there is none of the registry's."""
        try:
            message = await stream.get_last_msg(self._settings.stream, self._settings.subject)
            headers = message.headers or {}
            return headers[EPOCH_HEADER], int(headers[REVISION_HEADER])
        except (NotFoundError, KeyError, ValueError):
            return "", 0


def _headers(batch: Batch) -> dict[str, str]:
    return {
        Header.MSG_ID.value: f"{batch.epoch}:{batch.to_revision}",
        EPOCH_HEADER: batch.epoch,
        REVISION_HEADER: str(batch.to_revision),
    }
