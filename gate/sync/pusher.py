"""The registry pushes its change log to the gates it is told of, all at the same time.

Each gate has a task of its own, so that a slow one keeps nobody waiting. The gate's answer says
where it stands: in force (200), or what it has (409); the next batch goes on from there. A gate
whose position the log no longer covers is sent a sign of life, and fetches a snapshot by itself.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import aiohttp

from gate.settings import ClientTls, PushTarget
from gate.sync.backoff import Backoff
from gate.sync.batch import MAX_REVISION, Batch
from gate.sync.errors import Cause, SyncError
from gate.sync.log import Log
from gate.sync.receiver import PATH
from gate.sync.tls import ClientContext, TlsError
from gate.sync.unreachable import reason

_log = logging.getLogger(__name__)

_ALIVE_SECONDS: Final = 10.0
_ANSWER_SECONDS: Final = 60.0  # a gate that loads a snapshot answers after it
_CATCH_UP_SECONDS: Final = 1.0  # between two looks at a gate that fetches a snapshot
_ANSWER_BYTES: Final = 16_384


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


class Pusher:
    """Pushes one log to a list of gates."""

    def __init__(
        self,
        targets: Sequence[PushTarget],
        log: Log,
        *,
        tls: ClientTls | None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Raises TlsError for certificates that can't be used."""
        self._log = log
        self._tls = None if tls is None else ClientContext(tls)
        self._shown = None if tls is None else tls.certificate
        self._clock = clock
        self.gates = [GateStatus(target.name, target.url) for target in targets]
        """The state of every gate, for reports."""

    async def run(self) -> None:
        """Push until cancelled."""
        connector = aiohttp.TCPConnector(limit=0)
        timeout = aiohttp.ClientTimeout(total=_ANSWER_SECONDS, connect=10.0)
        async with (
            aiohttp.ClientSession(connector=connector, timeout=timeout) as session,
            asyncio.TaskGroup() as group,
        ):
            for gate in self.gates:
                group.create_task(self._follow(gate, session))

    async def _follow(self, gate: GateStatus, session: aiohttp.ClientSession) -> None:
        backoff = Backoff()
        have: int | None = None
        while True:
            try:
                have = await self._step(gate, session, have)
                backoff.reset()
            except (SyncError, TlsError) as error:
                gate.failures += 1
                if str(error) != gate.last_error:
                    _log.warning("gate %s: %s", gate.name, error)
                gate.last_error = str(error)
                have = None
                await asyncio.sleep(backoff.wait())

    async def _step(
        self, gate: GateStatus, session: aiohttp.ClientSession, have: int | None
    ) -> int | None:
        """One push; gives what the gate has then, None if it has to fetch something first."""
        batch = await self._next(have)
        began = time.monotonic()
        answer = await self._post(gate, session, await self._log.seal(batch))
        gate.pushes += 1
        revision = _revision(answer.get("revision"))
        if revision is None:
            behind = _revision(answer.get("have"))
            if behind is None or behind == have:
                await asyncio.sleep(_CATCH_UP_SECONDS)
            return behind
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
        """What to send to a gate that has `have`; a sign of life if that is not known."""
        if have is not None:
            try:
                return await self._log.batch_after(have)
            except SyncError as error:
                if error.cause is not Cause.COMPACTED:
                    raise
        return await self._log.batch_after(self._log.revision)

    async def _post(
        self, gate: GateStatus, session: aiohttp.ClientSession, sealed: bytes
    ) -> dict[str, Any]:
        """Send an envelope; the answer's fields for 200 and 409. Raises SyncError."""
        try:
            response = await session.post(
                gate.url + PATH,
                data=sealed,
                ssl=True if self._tls is None else self._tls.current(),
                headers={"Content-Type": "application/json"},
                allow_redirects=False,
            )
            async with response:
                text = await response.content.read(_ANSWER_BYTES)
                answer = _fields(text)
                if response.status in (200, 409) and answer.keys() & {"revision", "have"}:
                    return answer
        except (aiohttp.ClientError, TimeoutError) as error:
            why = reason(error, shown=self._shown)
            raise SyncError(Cause.UNREACHABLE, f"{gate.url} can't be reached: {why}") from error
        raise SyncError(
            Cause.REFUSED,
            f"{gate.url} answered {response.status}: "
            f"{answer.get('message', text[:200].decode(errors='replace'))}",
        )


def _fields(text: bytes) -> dict[str, Any]:
    """The fields of an answer; none if it is something else."""
    try:
        answer = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return answer if isinstance(answer, dict) else {}


def _revision(value: object) -> int | None:
    """A revision in an answer; None if it is something else."""
    return value if type(value) is int and 0 <= value <= MAX_REVISION else None
