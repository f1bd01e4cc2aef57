"""The registry pushes its change log to the gates it is told of, all at the same time.

Each gate has a task of its own, so that a slow one keeps nobody waiting. The gate's answer says
where it stands: in force (200), or what it has (409); the next batch goes on from there. A gate
whose position the log no longer covers is sent a sign of life, and fetches a snapshot by itself.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final

import aiohttp

from gate.changes.batch import Batch
from gate.changes.errors import Cause, SyncError
from gate.changes.position import NAME_HEADER
from gate.changes.push import MAX_ANSWER, PUSH_PATH, PushAnswer
from gate.net.backoff import Backoff
from gate.net.tls import ClientContext, TlsError
from gate.net.unreachable import reason
from gate.registry.distribution.log import Log
from gate.registry.errors import RegistryError
from gate.registry.fields import clean_identifier
from gate.settings import ClientTls, PushTarget

_log = logging.getLogger(__name__)

_ALIVE_SECONDS: Final = 10.0
_ANSWER_SECONDS: Final = 60.0  # a gate that loads a snapshot answers after it
# A gate that is down is asked again at least this often, so that one that comes up has its first
# change within a second; one that refuses is left alone for longer and longer.
_DOWN_SECONDS: Final = 0.7
_CONNECT_SECONDS: Final = 2.0  # TCP only
_CATCH_UP_SECONDS: Final = 1.0  # between two looks at a gate that fetches a snapshot


@dataclass(slots=True)
class GateStatus:
    """What the registry knows of one gate. Times are Unix seconds, 0 for never."""

    name: str
    url: str
    revision: int | None = None
    """The newest revision that the gate has acknowledged: in force in all its workers."""
    acknowledged_at: float = 0.0
    seconds: float = 0.0
    """From sending to acknowledgement, for the last batch with changes."""
    pushes: int = 0
    failures: int = 0
    last_error: str = ""
    calls_itself: str | None = None
    """Its own name (`sync.gate`), by its last answer; None if that did not say."""


class Pusher:
    """Pushes one log to a list of gates."""

    def __init__(
        self,
        targets: Sequence[PushTarget],
        log: Log,
        *,
        tls: ClientTls | None,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """Raises TlsError for certificates that can't be used."""
        self._log = log
        self._tls = None if tls is None else ClientContext(tls)
        self._shown = None if tls is None else tls.certificate
        self._clock = clock
        self._sleep = sleep
        self.gates = [GateStatus(target.name, target.url) for target in targets]
        """The state of every gate, for reports."""

    async def run(self) -> None:
        """Push until cancelled."""
        connector = aiohttp.TCPConnector(limit=0)
        timeout = aiohttp.ClientTimeout(
            total=_ANSWER_SECONDS, connect=10.0, sock_connect=_CONNECT_SECONDS
        )
        async with (
            aiohttp.ClientSession(connector=connector, timeout=timeout) as session,
            asyncio.TaskGroup() as group,
        ):
            for gate in self.gates:
                group.create_task(self._follow(gate, session))

    async def _follow(self, gate: GateStatus, session: aiohttp.ClientSession) -> None:
        down, refused = Backoff(longest=_DOWN_SECONDS), Backoff()
        have: int | None = None
        while True:
            try:
                have = await self._step(gate, session, have)
                down.reset()
                refused.reset()
            except (SyncError, TlsError) as error:
                gate.failures += 1
                if str(error) != gate.last_error:
                    _log.warning("gate %s: %s", gate.name, error)
                gate.last_error = str(error)
                have = None
                unreachable = isinstance(error, SyncError) and error.cause is Cause.UNREACHABLE
                await self._sleep((down if unreachable else refused).wait())

    async def _step(
        self, gate: GateStatus, session: aiohttp.ClientSession, have: int | None
    ) -> int | None:
        """Push once; return what the gate has then, None if it has to fetch something first."""
        batch = await self._next(have)
        began = time.monotonic()
        answer = await self._post(gate, session, await self._log.seal(batch))
        gate.pushes += 1
        revision = answer.revision
        if revision is None:
            if answer.have is None or answer.have == have:
                await self._sleep(_CATCH_UP_SECONDS)
            return answer.have
        gate.revision = revision
        gate.acknowledged_at = self._clock()
        gate.last_error = (
            f"has revision {revision}, and this registry's log ends at {batch.head}; was it "
            "restored from a backup? begin a new epoch: gate registry renew-epoch"
            if revision > batch.head
            else ""
        )
        if batch.changes:
            gate.seconds = time.monotonic() - began
        await self._log.wait_beyond(revision, _ALIVE_SECONDS)
        return revision

    async def _next(self, have: int | None) -> Batch:
        """Return what to send to a gate that has `have`; a sign of life if that is not known."""
        if have is not None:
            try:
                return await self._log.batch_after(have)
            except SyncError as error:
                if error.cause is not Cause.COMPACTED:
                    raise
        return await self._log.batch_after(self._log.revision)

    async def _post(
        self, gate: GateStatus, session: aiohttp.ClientSession, sealed: bytes
    ) -> PushAnswer:
        """Send an envelope, and return the answer. Raises SyncError."""
        try:
            response = await session.post(
                gate.url + PUSH_PATH,
                data=sealed,
                ssl=True if self._tls is None else self._tls.current(),
                headers={"Content-Type": "application/json"},
                allow_redirects=False,
            )
            async with response:
                answer = PushAnswer.read(response.status, await response.content.read(MAX_ANSWER))
                gate.calls_itself = _name(response.headers.get(NAME_HEADER))
                return answer
        except (aiohttp.ClientError, TimeoutError) as error:
            why = reason(error, shown=self._shown)
            raise SyncError(Cause.UNREACHABLE, f"{gate.url} can't be reached: {why}") from error
        except SyncError as error:
            raise SyncError(error.cause, f"{gate.url} {error}") from error


def _name(text: str | None) -> str | None:
    """Return the name in an answer; None for none, or for what can be no gate's name."""
    if text is None:
        return None
    try:
        return clean_identifier(text, field=NAME_HEADER)
    except RegistryError:
        return None
