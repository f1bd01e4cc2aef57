"""A connection to NATS, for registry and gates."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from typing import Any, Final

import nats
from nats.aio.client import Client
from nats.errors import Error as NatsError
from nkeys import NkeysError

from gate.changes.errors import Cause, SyncError
from gate.net.tls import ClientContext, TlsError
from gate.settings import Nats

_CONNECT_SECONDS: Final = 5

_log = logging.getLogger(__name__)


@contextlib.asynccontextmanager
async def connected(settings: Nats, name: str) -> AsyncIterator[tuple[Client, asyncio.Event]]:
    """A connection, and an event that is set when it is lost; it is not made again by itself.

    Errors of NATS inside the block become SyncError(unreachable), too.
    """
    lost = asyncio.Event()

    async def closed() -> None:
        lost.set()

    async def complain(error: Exception) -> None:
        if isinstance(error, NatsError | OSError | TimeoutError):
            _log.debug("NATS: %s", error)
        else:
            _log.error("a message from NATS met a fault of this program", exc_info=error)

    options: dict[str, Any] = {}
    try:
        if settings.credentials is not None:
            options["user_credentials"] = str(settings.credentials)
        if settings.tls is not None:
            options["tls"] = ClientContext(settings.tls).context
        client = await nats.connect(
            servers=list(settings.servers),
            name=name,
            allow_reconnect=False,
            connect_timeout=_CONNECT_SECONDS,
            closed_cb=closed,
            disconnected_cb=closed,
            error_cb=complain,
            **options,
        )
    except (NatsError, TlsError, OSError, TimeoutError) as error:
        raise _unreachable(settings, error) from error
    except (NkeysError, TypeError, ValueError) as error:  # whatever is in the file
        if settings.credentials is None:
            raise
        raise SyncError(
            Cause.REFUSED,
            f"{settings.credentials} is no NATS credentials file ({error}); it holds a user's JWT "
            "and NKEY seed, as `nsc generate creds` writes them",
        ) from error
    try:
        yield client, lost
    except (NatsError, TimeoutError) as error:
        raise _unreachable(settings, error) from error
    finally:
        with contextlib.suppress(NatsError, OSError, TimeoutError):
            await client.close()


def _unreachable(settings: Nats, error: Exception) -> SyncError:
    what = str(error) or type(error).__name__
    return SyncError(
        Cause.UNREACHABLE, f"NATS at {', '.join(settings.servers)} does not work: {what}"
    )
