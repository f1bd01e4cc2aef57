"""When the certificates in use end: for the metrics, and in the log before it is too late."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from gate.settings import ClientTls, RegistryTls, ServerTls

_log = logging.getLogger(__name__)

WARN_DAYS: Final = 14
_DAY: Final = 86_400.0
_LOOK_SECONDS: Final = 3_600.0


class Certificates:
    """The certificates of some settings, by the setting's name; None for those without TLS."""

    def __init__(
        self,
        used: Mapping[str, ClientTls | ServerTls | RegistryTls | None],
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._files = {name: _files(tls) for name, tls in used.items() if tls is not None}
        self._clock = clock
        self._told: dict[tuple[str, Path], int] = {}  # with so many days to go

    def ends(self) -> list[tuple[str, float]]:
        """For each setting the Unix time at which the first of its certificates ends."""
        firsts = (
            (name, [end for path in paths if (end := expires_at(path)) is not None])
            for name, paths in self._files.items()
        )
        return [(name, min(ends)) for name, ends in firsts if ends]

    async def watch(self) -> None:
        """Tell the log once a day of each that ends within `WARN_DAYS`, until cancelled."""
        while True:
            self.look()
            await asyncio.sleep(_LOOK_SECONDS)

    def look(self) -> None:
        """Tell the log of those that end soon, unless it was told of them today."""
        for name, paths in self._files.items():
            for path in paths:
                end = expires_at(path)
                days = WARN_DAYS if end is None else int((end - self._clock()) // _DAY)
                if end is not None and days < WARN_DAYS and self._told.get((name, path)) != days:
                    _tell(name, path, end, days)
                self._told[name, path] = days


def _tell(name: str, path: Path, end: float, days: int) -> None:
    on = datetime.fromtimestamp(end, UTC).strftime("%Y-%m-%d %H:%M UTC")
    advice = "put a new one in its place, a restart is not needed"
    if days < 0:
        _log.error("%s: the certificate %s has ended on %s; %s", name, path, on, advice)
    else:
        _log.warning(
            "%s: the certificate %s ends in %d days, on %s; %s", name, path, days, on, advice
        )


def expires_at(path: Path) -> float | None:
    """Return when the first certificate in the file ends, in Unix time; None for no such file."""
    from cryptography import x509  # takes long to load, and most settings name no certificate

    with contextlib.suppress(OSError, ValueError):
        found = x509.load_pem_x509_certificates(path.read_bytes())
        return min(certificate.not_valid_after_utc.timestamp() for certificate in found)
    return None


def _files(tls: ClientTls | ServerTls | RegistryTls) -> list[Path]:
    ca = tls.ca if isinstance(tls, ClientTls) else tls.client_ca
    return [path for path in (tls.certificate, ca) if path is not None]
