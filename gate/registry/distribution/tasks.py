"""Sending the change log on from this process: pushed to gates, and published to NATS."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any

from gate.registry.distribution.pusher import GateStatus, Pusher
from gate.registry.distribution.signed_log import SignedLog
from gate.settings import Nats, RegistrySettings

if TYPE_CHECKING:
    from gate.registry.distribution.publisher import Publisher, PublisherStatus

_log = logging.getLogger(__name__)


def _new_publisher(settings: Nats, log: SignedLog) -> Publisher:
    from gate.registry.distribution.publisher import Publisher  # with NATS's client

    return Publisher(settings, log)


class Distribution:
    """The pusher and the publisher that the settings ask for."""

    def __init__(self, settings: RegistrySettings, log: SignedLog) -> None:
        """Raises TlsError for certificates that can't be used."""
        self._pusher = Pusher(settings.push, log, tls=settings.push_tls) if settings.push else None
        self._publisher = None if settings.nats is None else _new_publisher(settings.nats, log)
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def gates(self) -> list[GateStatus]:
        """What is known of the gates that are pushed to."""
        return [] if self._pusher is None else self._pusher.gates

    @property
    def published(self) -> PublisherStatus | None:
        """Where publishing stands; None if nothing is published."""
        return None if self._publisher is None else self._publisher.status

    def start(self) -> None:
        """Begin to push and publish."""
        if self._pusher is not None:
            self._begin(self._pusher.run(), "pushing")
        if self._publisher is not None:
            self._begin(self._publisher.run(), "publishing")

    async def close(self) -> None:
        """Stop at once: gates fetch by themselves what they lack."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _begin(self, work: Coroutine[Any, Any, None], name: str) -> None:
        task = asyncio.create_task(work, name=name)
        task.add_done_callback(_tell)
        self._tasks.append(task)


def _tell(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and task.exception() is not None:
        _log.error(
            "%s ended by a fault of this program", task.get_name(), exc_info=task.exception()
        )
