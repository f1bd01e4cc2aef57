"""Why the other side can't be reached, in words that are the same each time.

aiohttp writes the TLS context's address in memory into its own, so that no two are alike, and who
logs an error only once would log each of them.
"""

from __future__ import annotations

from pathlib import Path

import aiohttp


def reason(error: Exception, *, shown: Path | None) -> str:
    """Return what to say of an error of aiohttp's client.

    `shown` is the certificate that it showed.
    """
    match error:
        case aiohttp.ClientConnectorCertificateError():
            return str(error.certificate_error)
        case aiohttp.ClientConnectorError():
            return error.os_error.strerror or str(error.os_error)
        case aiohttp.ServerDisconnectedError() if shown is not None:
            # In TLS 1.3 the server judges it when the client's handshake is over already.
            return (
                f"{error}; if it refuses {shown}: is that in date by the clock there, and of a CA "
                "that is trusted there?"
            )
        case _:
            return str(error) or type(error).__name__
