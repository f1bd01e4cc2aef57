"""The registry inside `gate serve`: on SQLite in the state folder, for one machine.

`prepare` runs in the supervisor before it forks: it binds the port, makes keys and tokens, and
closes the database again. `run` is the child. The tokens stand in files that only their owner
may read, and `access.json` tells the command line where to find the registry.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
from dataclasses import dataclass
from pathlib import Path

from gate.registry.commands import Role
from gate.registry.errors import RegistryError
from gate.registry.opening import open_registry
from gate.registry.places import ACCESS_FILE, Places
from gate.registry.registry import LOCAL, Registry
from gate.registry.sealing import Sealer
from gate.registry.server import bind, make_service, prefer_latency, serve
from gate.registry.tokens import authenticate
from gate.settings import Registry as RegistrySettings


@dataclass(slots=True, frozen=True)
class Embedded:
    """A prepared registry: its socket, how to reach it, and the keys that gates trust."""

    places: Places
    settings: RegistrySettings
    listener: socket.socket
    url: str
    reader_token: str
    admin_token: str
    public_keys: Path

    @property
    def token_file(self) -> Path:
        """The file with the reader token."""
        return self.places.folder / f"{Role.READER}.token"


def prepare(
    settings: RegistrySettings, state_dir: Path, listener: socket.socket | None = None
) -> Embedded:
    """Make everything ready that a registry on this machine needs.

    `listener` is its socket, if the program before this one has left one.
    Raises OSError when the port is taken, RegistryError for the database, KeyStoreError for keys.
    """
    places = Places.of(settings, state_dir)
    listener = listener or bind(settings.listen.host, settings.listen.port)
    try:
        places.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        registry = open_registry(places, settings)
        try:
            reader = _token(registry, places.folder, Role.READER)
            admin = _token(registry, places.folder, Role.ADMIN)
        finally:
            registry.database.close()
        public = Sealer(places.keys_dir).public_path
        host, port = listener.getsockname()[:2]
        scheme = "http" if settings.tls is None else "https"
        url = f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"
        access = json.dumps({"url": url, "token": admin}) + "\n"
        _write_private(places.folder / ACCESS_FILE, access)
    except BaseException:
        listener.close()
        raise
    return Embedded(places, settings, listener, url, reader, admin, public)


def run(embedded: Embedded) -> None:
    """Serve a prepared registry in this process until TERM or INT.

    Raises RegistryError or KeyStoreError when it can't start.
    """

    async def main() -> None:
        await serve(make_service(embedded.places, embedded.settings), embedded.listener)

    prefer_latency()
    asyncio.run(main())


def _token(registry: Registry, folder: Path, role: Role) -> str:
    """The token for a role that is kept in the folder, made if there is none that works."""
    path = folder / f"{role}.token"
    if path.exists():
        text = path.read_text().strip()
        with registry.database.read() as connection:
            try:
                authenticate(connection, text, now=registry.now())
            except RegistryError:  # of another database; a new one is due
                pass
            else:
                return text
    _, text = registry.create_token(name=f"embedded {role}", role=role, actor=LOCAL)
    _write_private(path, text + "\n")
    return text


def _write_private(path: Path, text: str) -> None:
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
