"""The registry as a gate sees it over HTTP: changes by long poll, and snapshots."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import logging
from collections.abc import AsyncIterator, Callable, Mapping, Set
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Final, Self

import aiohttp

from gate.changes.batch import MAX_ENVELOPE, Batch
from gate.changes.errors import Cause, SyncError, Unacceptable
from gate.changes.position import GatePosition, position_path
from gate.changes.snapshot import MANIFEST_HEADER, Manifest
from gate.changes.verifier import Verifier
from gate.filings import Position
from gate.net.backoff import Backoff
from gate.net.tls import ClientContext, TlsError
from gate.net.unreachable import reason
from gate.settings import ClientTls

_log = logging.getLogger(__name__)

_CONNECT_SECONDS: Final = 10.0
_SILENCE_SECONDS: Final = 60.0  # without a byte of an answer that has begun
_SNAPSHOT_WAIT: Final = 600.0  # a registry of many millions makes its first snapshot
_GRACE: Final = 15.0  # beyond the time that a long poll was asked to wait
_PROBLEM_BYTES: Final = 4096
_ANSWER_BYTES: Final = 1 << 21  # a thousand names, each refused with a reason
_REPORTS: Final = "/v1/reports/unfiled"
_TRAFFIC: Final = "/v1/reports/traffic"
_KEY: Final = "Idempotency-Key"

RESUMES: Final = 5
"""How often a snapshot that broke off is gone on with."""
_BROKEN: Final = {Cause.TRUNCATED, Cause.UNREACHABLE}
_WHOLE: Final = frozenset({200})
_TAKEN: Final = frozenset({204})
_CHANGED: Final = frozenset({412, 416})  # the file is another one now, or a shorter one
_PARTIAL: Final = _WHOLE | _CHANGED | {206}


@dataclass(slots=True, frozen=True)
class _Ahead:
    """The batch after a place (epoch, revision), while it is fetched."""

    place: tuple[str, int]
    task: asyncio.Task[Batch]


@dataclass(slots=True)
class _Part:
    """What has come of a snapshot so far: `size` bytes of the file that `etag` names."""

    manifest: Manifest | None = None
    etag: str = ""
    size: int = 0

    def begin(self, manifest: Manifest | None, etag: str) -> None:
        self.manifest, self.size = manifest, 0
        self.etag = "" if etag.startswith("W/") else etag

    def headers(self) -> dict[str, str]:
        """Return how to ask for the rest; empty if there is only the whole to ask for."""
        if not self.size or not self.etag:
            return {}
        return {"Range": f"bytes={self.size}-", "If-Match": self.etag}

    def fits(self, manifest: Manifest, response: aiohttp.ClientResponse) -> bool:
        """Return whether the answer's body goes on where this part ends."""
        begins = response.headers.get("Content-Range", "").startswith(f"bytes {self.size}-")
        return manifest == self.manifest and (begins or response.status == 200)


class Source:
    """A connection to one registry. Use as an asynchronous context manager."""

    def __init__(
        self,
        url: str,
        verifier: Verifier,
        *,
        token_file: Path | None,
        tls: ClientTls | None,
        told: Callable[[], Mapping[str, str]] = dict,
    ) -> None:
        """`told` are headers that tell the registry what this gate enforces.

        Raises SyncError(refused) for certificates that can't be used.
        """
        self._told = told
        self.url = url
        self._verifier = verifier
        self._token_file = token_file
        try:
            self._tls = None if tls is None else ClientContext(tls)
        except TlsError as error:
            raise SyncError(Cause.REFUSED, str(error)) from error
        self._shown = None if tls is None else tls.certificate
        self._session: aiohttp.ClientSession | None = None
        self._ahead: _Ahead | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            auto_decompress=False,
            read_bufsize=1 << 18,
            timeout=aiohttp.ClientTimeout(total=None, connect=_CONNECT_SECONDS),
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await _drop(self._ahead)
        if self._session is not None:
            await self._session.close()

    async def changes(self, since: Position, *, wait: float) -> Batch:
        """The next batch after a position; an empty one if there was none for `wait` seconds.

        Raises SyncError; `compacted` when a snapshot is due instead.
        """
        place, ahead, self._ahead = (since.epoch, since.revision), self._ahead, None
        if ahead is not None and ahead.place == place:
            batch = await ahead.task
        else:
            await _drop(ahead)
            batch = await self._changes(place, wait)
        if batch.changes and batch.to_revision < batch.head:
            # Far behind: the next batch comes while this one is applied.
            place = batch.epoch, batch.to_revision
            self._ahead = _Ahead(place, asyncio.create_task(self._changes(place, 0.0)))
        return batch

    async def _changes(self, place: tuple[str, int], wait: float) -> Batch:
        query = {"since": str(place[1]), "epoch": place[0], "wait": f"{wait:g}"}
        async with self._get("/v1/changes", query, wait + _GRACE, self._told()) as response:
            sealed = await self._read(response, MAX_ENVELOPE)
        return self._verifier.batch(sealed)

    async def snapshot(self, spool: Path, check: Callable[[Manifest], None]) -> Manifest:
        """Fetch the newest snapshot into the file `spool`; gives its verified manifest.

        `check` sees the manifest before the body is read; what it raises ends the download.

        A download that breaks off goes on where it stopped, up to `RESUMES` times, if the
        registry still has the same snapshot; otherwise it begins again within these times.
        The file's content is still to be checked against the manifest (`read_filings` does).
        Raises SyncError.
        """
        part = _Part()
        backoff = Backoff()
        for left in reversed(range(RESUMES + 1)):
            try:
                return await self._download(spool, part, check)
            except SyncError as error:
                if not left or part.manifest is None or error.cause not in _BROKEN:
                    raise
                _log.info("%s; the snapshot goes on after %d bytes", error, part.size)
            await asyncio.sleep(backoff.wait())
        raise AssertionError("unreachable")

    async def _download(
        self, spool: Path, part: _Part, check: Callable[[Manifest], None]
    ) -> Manifest:
        headers = part.headers()
        good = _PARTIAL if headers else _WHOLE
        async with self._get("/v1/snapshot", {}, _SNAPSHOT_WAIT, headers, good) as response:
            if response.status not in _CHANGED:
                manifest = self._manifest(response)
                check(manifest)
                if response.status != 206:
                    part.begin(manifest, response.headers.get("ETag", ""))
                if part.fits(manifest, response):
                    await _spool(response, spool, part)
                    return manifest
        part.begin(None, "")  # another snapshot by now
        return await self._download(spool, part, check)

    def _manifest(self, response: aiohttp.ClientResponse) -> Manifest:
        try:
            sealed = base64.b64decode(response.headers[MANIFEST_HEADER], validate=True)
        except (KeyError, ValueError) as error:
            raise SyncError(
                Cause.MALFORMED, f"the snapshot of {self.url} comes without a manifest"
            ) from error
        return self._verifier.manifest(sealed)

    async def report_unfiled(self, report: Mapping[str, object], key: str) -> tuple[int, int]:
        """Tell the registry of blocked names; how many it took, and how many it refused.

        Told again under the same `key`, a report counts once. Raises SyncError; Unacceptable when
        telling it again is of no use.
        """
        async with self._ask("POST", _REPORTS, {}, _GRACE, report, {_KEY: key}) as response:
            answer = await self._read(response, _ANSWER_BYTES)
        try:
            fields = json.loads(answer)
            return int(fields["taken"]), len(fields["refused"])
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise SyncError(
                Cause.MALFORMED, f"the answer of {self.url} to a report can't be read: {error!r}"
            ) from error

    async def report_traffic(self, report: Mapping[str, object]) -> None:
        """Tell the registry which filed domains had traffic; told again it is the same.

        Raises SyncError; Unacceptable when telling it again is of no use.
        """
        async with self._ask("POST", _TRAFFIC, {}, _GRACE, report):
            pass

    async def tell_position(self, gate: str, position: GatePosition) -> None:
        """Tell the registry what this gate enforces, where no pull does. Raises SyncError."""
        path, told = position_path(gate), position.model_dump()
        async with self._ask("POST", path, {}, _GRACE, told, good=_TAKEN):
            pass

    def _get(
        self,
        path: str,
        query: dict[str, str],
        seconds: float,
        headers: Mapping[str, str] = MappingProxyType({}),
        good: Set[int] = _WHOLE,
    ) -> contextlib.AbstractAsyncContextManager[aiohttp.ClientResponse]:
        return self._ask("GET", path, query, seconds, None, headers, good)

    @contextlib.asynccontextmanager
    async def _ask(
        self,
        method: str,
        path: str,
        query: dict[str, str],
        seconds: float,
        body: object = None,
        headers: Mapping[str, str] = MappingProxyType({}),
        good: Set[int] = _WHOLE,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """A good answer, begun within `seconds`."""
        if self._session is None:
            raise RuntimeError("a Source is an asynchronous context manager")
        try:
            async with asyncio.timeout(seconds):
                response = await self._session.request(
                    method,
                    self.url + path,
                    params=query,
                    json=body,
                    headers=self._headers() | dict(headers),
                    ssl=True if self._tls is None else self._tls.current(),
                    allow_redirects=False,
                )
            async with response:
                if response.status not in good:
                    raise await self._refusal(response)
                yield response
        except TimeoutError as error:
            raise SyncError(
                Cause.UNREACHABLE, f"the registry at {self.url} did not answer in time"
            ) from error
        except aiohttp.ClientPayloadError as error:
            raise SyncError(
                Cause.TRUNCATED, f"the answer of {self.url} broke off: {error}"
            ) from error
        except aiohttp.ClientError as error:
            why = reason(error, shown=self._shown)
            raise SyncError(
                Cause.UNREACHABLE, f"the registry at {self.url} can't be reached: {why}"
            ) from error

    def _headers(self) -> dict[str, str]:
        if self._token_file is None:
            return {}
        try:
            token = self._token_file.read_text().strip()
        except (OSError, ValueError) as error:
            raise SyncError(
                Cause.REFUSED, f"can't read the registry's token in {self._token_file}: {error}"
            ) from error
        return {"Authorization": f"Bearer {token}"}

    async def _read(self, response: aiohttp.ClientResponse, limit: int) -> bytes:
        body = bytearray()
        async for piece in _pieces(response):
            body += piece
            if len(body) > limit:
                raise SyncError(
                    Cause.OVERSIZE, f"the answer of {self.url} is longer than {limit} bytes"
                )
        return bytes(body)

    async def _refusal(self, response: aiohttp.ClientResponse) -> SyncError:
        """Return what an answer other than 200 means."""
        text = await response.content.read(_PROBLEM_BYTES)
        field = ""
        try:
            problem = json.loads(text)
            field = str(problem.get("field", ""))
            reason = str(problem["en"])
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            reason = response.reason or ""
        message = f"the registry at {self.url} answered {response.status}: {reason}"
        match response.status:
            case 400 | 409 | 413 | 415 | 422:
                return Unacceptable(message, too_large=response.status == 413, field=field)
            case 410:
                cause = Cause.COMPACTED
            case 401 | 403:
                cause = Cause.REFUSED
                message += "; give this gate a reader token of the registry (sync.token_file)"
            case 429 | 500 | 502 | 503 | 504:
                cause = Cause.UNREACHABLE
            case _:
                cause = Cause.REFUSED
        return SyncError(cause, message)


async def _drop(ahead: _Ahead | None) -> None:
    if ahead is not None:
        ahead.task.cancel()
        await asyncio.gather(ahead.task, return_exceptions=True)


async def _spool(response: aiohttp.ClientResponse, spool: Path, part: _Part) -> None:
    """Write the answer's body to the file, after what is there already."""
    try:
        with spool.open("r+b" if part.size else "wb") as file:
            file.seek(part.size)
            async for piece in _pieces(response):
                await asyncio.to_thread(file.write, piece)
                part.size += len(piece)
    except OSError as error:
        if isinstance(error, aiohttp.ClientError):
            raise
        raise SyncError(
            Cause.STORAGE, f"can't keep the snapshot in {spool}: {error.strerror}"
        ) from error


async def _pieces(response: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    """Yield the body, as it comes. Raises TimeoutError when nothing comes for too long."""
    while True:
        async with asyncio.timeout(_SILENCE_SECONDS):
            piece = await response.content.readany()
        if not piece:
            return
        yield piece
