"""TLS between registry and gates, with certificates that may be replaced while it runs.

A server keeps one context for its listeners. Each handshake looks whether a file has changed and
is then given the newest context, through the SNI callback: the certificate, the key and the CA
that clients are checked against all come from it. There are no session tickets: a resumed session
would not be checked against the new CA. A client asks for its context with each connection.

Files that don't fit together, say in the middle of a replacement, are reported and leave the last
good ones in force.
"""

from __future__ import annotations

import logging
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Final

from gate.net.errors import NetError
from gate.settings import ClientTls

_log = logging.getLogger(__name__)

_Stamp = tuple[tuple[int, int, int], ...]


class TlsError(NetError):
    """A certificate, key or CA file can't be used; says which, and what to do."""


class _Reloading:
    """A context made from files, made anew when one of them has changed."""

    def __init__(self, files: tuple[Path, ...], make: Callable[[], ssl.SSLContext]) -> None:
        self._files: Final = files
        self._make = make
        self._complaint = ""
        self._stamp = self._look()
        self.context = self._build()

    def current(self) -> ssl.SSLContext:
        """Return the context of the files as they are now."""
        try:
            stamp = self._look()
            if stamp != self._stamp:
                self.context = self._build()
                self._stamp = stamp
                self._complaint = ""
                _log.info("new certificates are in force: %s", ", ".join(map(str, self._files)))
        except TlsError as error:
            if str(error) != self._complaint:
                _log.error("the certificates in force so far stay: %s", error)
            self._complaint = str(error)
        return self.context

    def _look(self) -> _Stamp:
        try:
            found = [path.stat() for path in self._files]
        except OSError as error:
            raise TlsError(
                f"can't read {error.filename}: {error.strerror}; `gate certs init` makes "
                "certificates to try"
            ) from error
        return tuple((item.st_mtime_ns, item.st_size, item.st_ino) for item in found)

    def _build(self) -> ssl.SSLContext:
        try:
            return self._make()
        except (OSError, ValueError) as error:  # an SSLError is an OSError
            names = ", ".join(map(str, self._files))
            raise TlsError(f"{names} can't be used together: {error}") from error


class ServerContext(_Reloading):
    """The TLS of a port. `client_ca` None asks clients for no certificate."""

    def __init__(self, certificate: Path, key: Path, client_ca: Path | None) -> None:
        """Raises TlsError."""

        def make() -> ssl.SSLContext:
            context = _tls13(ssl.PROTOCOL_TLS_SERVER)
            context.num_tickets = 0
            context.load_cert_chain(certificate, key)
            if client_ca is not None:
                context.verify_mode = ssl.CERT_REQUIRED
                context.load_verify_locations(client_ca)
            return context

        files = (certificate, key) if client_ca is None else (certificate, key, client_ca)
        super().__init__(files, make)
        self.listening = self.context
        """The context for the listeners, good for as long as they live."""
        self.listening.sni_callback = self._take_newest

    def _take_newest(
        self, connection: ssl.SSLObject, name: str | None, context: ssl.SSLContext
    ) -> None:
        newest = self.current()
        if newest is not context:
            connection.context = newest


class ClientContext(_Reloading):
    """The TLS of connections that this side opens."""

    def __init__(self, tls: ClientTls) -> None:
        """Raises TlsError."""

        def make() -> ssl.SSLContext:
            context = _tls13(ssl.PROTOCOL_TLS_CLIENT)
            context.load_verify_locations(tls.ca)
            if tls.certificate is not None:
                context.load_cert_chain(tls.certificate, tls.key)
            return context

        files = tuple(path for path in (tls.ca, tls.certificate, tls.key) if path is not None)
        super().__init__(files, make)


def _tls13(protocol: ssl._SSLMethod) -> ssl.SSLContext:
    context = ssl.SSLContext(protocol)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    return context
