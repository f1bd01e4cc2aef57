"""The database under the registry: SQLite by default, PostgreSQL by URL.

Synchronous SQLAlchemy on purpose. Every write takes the next revision of one log, so writes are
serial by nature: one writer connection, used by one thread of the service, is as fast as it gets,
and the async drivers for SQLite are threads underneath anyway. Reads run on connections of their
own and see the last commit (WAL; MVCC).

A commit is durable when it returns: SQLite with `synchronous=FULL`, PostgreSQL with its default.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import (
    ArgumentError,
    DatabaseError,
    DBAPIError,
    InterfaceError,
    OperationalError,
)
from sqlalchemy.exc import TimeoutError as PoolTimeout

from gate.files import PRIVATE
from gate.registry.errors import RegistryError

BUSY_SECONDS = 10
"""How long a write waits for another process that holds the database."""


class Database:
    """Connections to one registry database, by URL or by path of an SQLite file."""

    def __init__(self, where: str | Path, *, readers: int = 4, create: bool = True) -> None:
        """Open `where`, a path or URL; with `create` an SQLite file and its folder are made.

        Raises RegistryError `database_unavailable`, or `database_missing` without `create`.
        """
        self.url = database_url(where)
        self.embedded = self.url.get_backend_name() == "sqlite"
        self.shown = self.url.render_as_string(hide_password=True)
        """Which database it is, for people."""
        if self.embedded and self.url.database:
            self.shown = self.url.database
            _provide_file(Path(self.url.database), create=create)
        self._write_lock = Lock()
        self.writer = self._engine(1, begin="BEGIN IMMEDIATE")
        self.readers = self._engine(readers, begin="BEGIN")

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """One write transaction: committed at the end of the block, undone by an exception.

        Raises RegistryError `busy`, `database_unavailable` or `commit_unknown`.
        """
        with self._write_lock:
            committing = False
            try:
                with self.writer.connect() as connection:
                    transaction = connection.begin()
                    try:
                        yield connection
                        committing = True
                        transaction.commit()
                    finally:
                        # A connection that broke in mid-commit can't be rolled back either;
                        # closing it is enough then.
                        if transaction.is_active and not connection.invalidated:
                            transaction.rollback()
            except DBAPIError as error:
                if not is_database_at_fault(error):
                    raise
                raise _unavailable(error, committing=committing) from error

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """One read transaction, which sees one state of the database throughout.

        Raises RegistryError `busy` or `database_unavailable`.
        """
        try:
            with self.readers.connect() as connection, connection.begin():
                yield connection
        except PoolTimeout as error:  # all connections are in use
            raise RegistryError("busy") from error
        except DBAPIError as error:
            if not is_database_at_fault(error):
                raise
            raise _unavailable(error, committing=False) from error

    def close(self) -> None:
        """Close every connection."""
        self.writer.dispose()
        self.readers.dispose()

    def _engine(self, size: int, *, begin: str) -> Engine:
        if self.embedded:
            engine = create_engine(
                self.url,
                pool_size=size,
                max_overflow=0,
                connect_args={"timeout": BUSY_SECONDS, "check_same_thread": False},
            )
            event.listen(engine, "connect", _prepare_sqlite)
            event.listen(engine, "begin", lambda connection: connection.exec_driver_sql(begin))
            return engine
        return create_engine(
            self.url,
            pool_size=size,
            max_overflow=0,
            pool_pre_ping=True,
            isolation_level="REPEATABLE READ" if begin == "BEGIN" else "READ COMMITTED",
            connect_args={"options": f"-c lock_timeout={BUSY_SECONDS}s -c timezone=UTC"},
        )


def database_url(where: str | Path) -> URL:
    """Read a database setting: a path (SQLite), or a URL `sqlite:///…` or `postgresql://…`.

    Raises RegistryError `database_unavailable` when it is neither.
    """
    text = str(where)
    if "://" not in text:
        return URL.create("sqlite+pysqlite", database=text)
    try:
        url = make_url(text)
    except ArgumentError as error:
        raise RegistryError("database_unavailable", detail=f"{error}") from error
    drivers = {"sqlite": "sqlite+pysqlite", "postgresql": "postgresql+psycopg"}
    backend = "postgresql" if url.drivername == "postgres" else url.get_backend_name()
    if backend not in drivers:
        raise RegistryError(
            "database_unavailable",
            detail=f"{backend} is not offered; use sqlite:///PATH or postgresql://USER@HOST/NAME",
        )
    return url.set(drivername=drivers[backend])


def _provide_file(path: Path, *, create: bool) -> None:
    """Make an SQLite file, for its owner alone: it holds personal data."""
    if not create:
        if not path.exists():
            raise RegistryError("database_missing", where=path)
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        os.close(os.open(path, os.O_CREAT | os.O_RDWR | os.O_EXCL, PRIVATE))
    except FileExistsError:
        return
    except OSError as error:
        detail = f"can't make {path}: {error.strerror}"
        raise RegistryError("database_unavailable", detail=detail) from error


def _prepare_sqlite(connection: sqlite3.Connection, record: Any) -> None:
    connection.isolation_level = None  # transactions are begun by us, not by the driver
    for pragma in (
        "journal_mode=WAL",
        "synchronous=FULL",
        "foreign_keys=ON",
        "temp_store=MEMORY",
        "cache_size=-65536",  # KiB
        "journal_size_limit=67108864",
    ):
        connection.execute(f"PRAGMA {pragma}").close()


def is_database_at_fault(error: DBAPIError) -> bool:
    """Return whether it is no broken constraint or statement: those are faults of this program."""
    # The base class itself is what sqlite3 raises for a file that is no database.
    return isinstance(error, OperationalError | InterfaceError) or type(error) is DatabaseError


def _unavailable(error: DBAPIError, *, committing: bool) -> RegistryError:
    detail = str(error.orig).strip().splitlines()[0] if str(error.orig).strip() else "lost"
    if "locked" in detail or "lock timeout" in detail:
        return RegistryError("busy")
    if committing and error.connection_invalidated:
        return RegistryError("commit_unknown")
    return RegistryError("database_unavailable", detail=detail)
