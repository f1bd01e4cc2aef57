"""The name that OpenSSL, as a server, finds in a client's first bytes.

Most servers behind a gate are OpenSSL or a close relative of it. What the gate reads in a stream
must be what they act on, or the gate must have refused it.
"""

from __future__ import annotations

import ssl
from contextlib import suppress
from typing import Final

NOT_ASKED: Final = "(not asked)"
"""OpenSSL did not get as far as a name: it refused the stream, or waits for more of it."""


class _Server:
    """An OpenSSL server that takes whatever old or new TLS it can, and stops at the name."""

    def __init__(self) -> None:
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
        self._context.set_ciphers("ALL:@SECLEVEL=0")
        self._context.sni_callback = self._take_name
        self._name: str | None = NOT_ASKED

    def _take_name(self, _: ssl.SSLObject, name: str | None, __: ssl.SSLContext) -> int:
        self._name = name
        return ssl.ALERT_DESCRIPTION_HANDSHAKE_FAILURE  # no handshake is wanted

    def name_in(self, data: bytes) -> str | None:
        """The name; None if the client sent none; NOT_ASKED."""
        self._name = NOT_ASKED
        incoming = ssl.MemoryBIO()
        incoming.write(data)
        server = self._context.wrap_bio(incoming, ssl.MemoryBIO(), server_side=True)
        with suppress(ssl.SSLError):
            server.do_handshake()
        return self._name


name_in = _Server().name_in


def agrees(data: bytes, sni: bytes | None) -> bool:
    """Whether OpenSSL finds the name `sni` in the stream, or refuses the stream."""
    if sni is None:
        return name_in(data) in (None, NOT_ASKED)
    # Python's binding cannot hand on a name that is no ASCII.
    return not sni.isascii() or name_in(data) in (sni.decode(), NOT_ASKED)
