"""The embedded registry of `gate serve`: on SQLite in the state folder, for one machine.

`prepare` runs in the supervisor before it forks: it binds the port, and at the first start makes
keys and tokens. `run` is the child, which looks after them from then on. The tokens stand in files
that only their owner may read, and `access.json` tells the command line where to find the registry.

The database and the API take long to load, so both functions load them when they need them.
"""

from __future__ import annotations

import asyncio
import json
import logging
import socket
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from gate.changes.files import PUBLIC
from gate.files import replace_file
from gate.net.bind import listen
from gate.registry.errors import RegistryError, RegistryFailure
from gate.registry.places import ACCESS_FILE, Places
from gate.settings import RegistrySettings

if TYPE_CHECKING:
    from gate.registry.commands import Role
    from gate.registry.registry import Registry

_READER: Final = "reader.token"
_ADMIN: Final = "admin.token"


class CannotRun(RegistryFailure):
    """The embedded registry can't be run; says why and what to do."""


@dataclass(slots=True, frozen=True)
class Embedded:
    """A prepared registry: its socket, and how to reach it."""

    places: Places
    settings: RegistrySettings
    listener: socket.socket

    @property
    def url(self) -> str:
        """Where it answers."""
        host, port = self.listener.getsockname()[:2]
        scheme = "http" if self.settings.tls is None else "https"
        return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"

    @property
    def token_file(self) -> Path:
        """The file with the reader token."""
        return self.places.folder / _READER

    @property
    def admin_token_file(self) -> Path:
        """The file with the admin token."""
        return self.places.folder / _ADMIN

    @property
    def public_keys(self) -> Path:
        """The keys that gates trust."""
        return self.places.keys_dir / PUBLIC


def prepare(
    settings: RegistrySettings, state_dir: Path, listener: socket.socket | None = None
) -> Embedded:
    """Make everything ready that a registry on this machine needs.

    `listener` is a socket that listens on its port already.

    Raises BindError when the port is taken, CannotRun for the database or the keys.
    """
    places = Places.of(settings, state_dir)
    listener = listener or listen(settings.listen, "registry.listen")
    embedded = Embedded(places, settings, listener)
    try:
        if not _is_provided(embedded):
            _provide(embedded)
    except BaseException:
        listener.close()
        raise
    return embedded


def load() -> None:
    """Load what `run` needs."""
    logging.getLogger("alembic").setLevel(logging.WARNING)  # it tells of itself when it is loaded
    import gate.registry.server  # noqa: F401 - loaded, and taken by `run`


def run(
    embedded: Embedded, *, beside: Callable[[], Coroutine[Any, Any, None]] | None = None
) -> None:
    """Serve a prepared registry in this process until TERM or INT.

    `beside` runs in the same event loop while it serves. Raises CannotRun when it can't start.
    """
    from gate.changes.keys import KeyStoreError
    from gate.net.tls import TlsError
    from gate.registry.server import make_service, prefer_latency, serve

    async def main() -> None:
        service = make_service(embedded.places, embedded.settings)
        task = None if beside is None else asyncio.create_task(beside())
        try:
            await serve(service, embedded.listener)
        finally:
            if task is not None:
                task.cancel()

    _provide(embedded)
    prefer_latency()
    try:
        asyncio.run(main())
    except (RegistryError, KeyStoreError, TlsError, OSError) as error:
        raise CannotRun(str(error)) from error


def _is_provided(embedded: Embedded) -> bool:
    """Is there what an earlier start has made? Then the child will see whether it still fits."""
    files = [embedded.token_file, embedded.admin_token_file, embedded.public_keys]
    database = embedded.places.database
    if "://" not in database:
        files.append(Path(database))
    return all(path.exists() for path in files)


def _provide(embedded: Embedded) -> None:
    """Bring the database up to date, and make the keys, tokens and notes that are missing."""
    load()
    from gate.changes.keys import KeyStoreError
    from gate.registry.commands import Role
    from gate.registry.distribution.sealing import Sealer
    from gate.registry.opening import open_registry

    places = embedded.places
    try:
        places.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        registry = open_registry(places, embedded.settings)
        try:
            _token(registry, embedded.token_file, Role.READER)
            admin = _token(registry, embedded.admin_token_file, Role.ADMIN)
        finally:
            registry.database.close()
        Sealer(places.keys_dir)
    except (RegistryError, KeyStoreError) as error:
        raise CannotRun(str(error)) from error
    access = json.dumps({"url": embedded.url, "token": admin}) + "\n"
    replace_file(places.folder / ACCESS_FILE, access)


def _token(registry: Registry, path: Path, role: Role) -> str:
    """Return the token for a role that is kept in a file, made if there is none that works."""
    from gate.registry.registry import LOCAL
    from gate.registry.tokens import authenticate

    if path.exists():
        text = path.read_text(encoding="utf-8", errors="replace").strip()  # damaged: no token
        with registry.database.read() as connection:
            try:
                authenticate(connection, text, now=registry.now())
            except RegistryError:  # of another database; a new one is due
                pass
            else:
                return text
    _, text = registry.tokens.create(name=f"embedded {role}", role=role, actor=LOCAL)
    replace_file(path, text + "\n")
    return text
