"""A private PostgreSQL server for the tests: made in a temporary folder, gone with it."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

_APT = "apt-get install postgresql"


def _program(name: str) -> str:
    """The path of one of PostgreSQL's programs; Debian keeps them out of PATH."""
    found = shutil.which(name)
    if found is None:
        places = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
        found = str(places[-1]) if places else None
    if found is None:
        pytest.fail(f"{name} is not installed; run: {_APT}")
    return os.path.realpath(found)


class PostgresServer:
    """A running server, reached over a Unix socket in its own folder only."""

    def __init__(self, folder: Path, networks: Sequence[str] = ()) -> None:
        """`networks` may reach it over TCP, at the default port; nobody else may."""
        self.folder = folder
        self._networks = networks
        self.data = folder / "data"
        self._count = 0

    def url(self, name: str = "postgres") -> str:
        """The URL of one of its databases."""
        return f"postgresql://gate@/{name}?host={self.folder}"

    def new_database(self) -> str:
        """Make an empty database; gives back its URL."""
        self._count += 1
        name = f"test{self._count}"
        with psycopg.connect(self.url(), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}".encode())
        return self.url(name)

    def start(self) -> None:
        """Start the server, and wait until it answers."""
        addresses = "*" if self._networks else ""
        self._control("start", "-o", f"-c listen_addresses='{addresses}' -k {self.folder} -F")

    def stop(self, mode: str = "fast") -> None:
        """Stop the server: `fast` cuts sessions, `immediate` is a crash."""
        self._control("stop", "-m", mode)

    def initialise(self) -> None:
        """Make the server's files."""
        self._run(
            _program("initdb"),
            *("-D", self.data, "-U", "gate", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8"),
            "--no-sync",
        )
        with (self.data / "pg_hba.conf").open("a") as rules:
            rules.writelines(f"host all all {network} trust\n" for network in self._networks)

    def _control(self, *args: str) -> None:
        log = self.folder / "log"
        self._run(_program("pg_ctl"), "-D", self.data, "-w", "-s", "-l", log, *args)

    def _run(self, *args: str | Path) -> None:
        command = [str(arg) for arg in args]
        if os.geteuid() == 0:
            # PostgreSQL does not run as root.
            command = ["runuser", "-u", _unprivileged(), "--", *command]
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            pytest.fail(f"{command} failed: {done.stderr or done.stdout}")


def _unprivileged() -> str:
    for name in ("postgres", "nobody"):
        try:
            pwd.getpwnam(name)
        except KeyError:
            continue
        return name
    pytest.fail("PostgreSQL needs a user other than root; add one called nobody")


@contextmanager
def running_server(networks: Sequence[str] = ()) -> Iterator[PostgresServer]:
    """Make and start a server, and remove it at the end."""
    _program("initdb")
    # A short path: a Unix socket's may have 107 characters.
    folder = Path(tempfile.mkdtemp(prefix="gate-pg-"))
    try:
        if os.geteuid() == 0:
            shutil.chown(folder, _unprivileged())
        server = PostgresServer(folder, networks)
        server.initialise()
        server.start()
        try:
            yield server
        finally:
            server.stop("immediate")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
