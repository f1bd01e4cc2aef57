"""Databases of new registries, for which the migrations run once and not for each."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

from sqlalchemy import Engine, Table, delete, event, insert, select, update

from gate.registry.database import Database
from gate.registry.log import begin_epoch
from gate.registry.migrations import migrate
from gate.registry.schema import audit, log_head, metadata

T = TypeVar("T")


@cache
def _new_sqlite() -> bytes:
    """A database with the schema and no log yet: made once, as every migration runs for it."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "registry.db"
        database = Database(str(path))
        migrate(database)
        with database.write() as connection:
            connection.execute(delete(log_head))
        database.close()
        return path.read_bytes()


_migrated: set[str] = set()
"""Where this process has seen that the schema is there."""

_first: dict[str, Engine] = {}
"""For each sort of database, an engine that has connected."""


def share_statements(database: Database) -> None:
    """Have a statement compiled once for all databases of a sort, and not for each test again.

    An engine keeps what it has compiled for itself, by its dialect.
    """
    first = _first.get(database.url.drivername)
    if first is not None:
        for engine in (database.writer, database.readers):
            engine.dialect = first.dialect
            engine._compiled_cache = first._compiled_cache


def _sync_never(connection: sqlite3.Connection, _record: object) -> None:
    connection.execute("PRAGMA synchronous=OFF").close()


def migrated(url: str, readers: int = 4) -> Database:
    """A database with the schema, new or as it is.

    This process does not wait for the disk: if the machine went down, so would the test.
    """
    new = "://" not in url and not Path(url).exists()
    if new:
        Path(url).touch(0o600)
        Path(url).write_bytes(_new_sqlite())
    database = Database(url, readers=readers)
    share_statements(database)
    if database.embedded:
        for engine in (database.writer, database.readers):
            event.listen(engine, "connect", _sync_never)
    if new:
        with database.write() as connection:
            begin_epoch(connection)
    elif url not in _migrated:
        migrate(database)
        _migrated.add(url)
    _first.setdefault(database.url.drivername, database.writer)
    return database


_filled: dict[str, tuple[object, dict[Table, list[dict[str, Any]]]]] = {}


def filled(database: Database, name: str, fill: Callable[[], T]) -> T:
    """Have `fill` put its records into a new registry; a second time, what it put there the first.

    Gives back what `fill` did. It is known by `name`, and does the same at whatever time. Where
    something was done already, it adds to that.
    """
    with database.read() as connection:
        if connection.execute(select(audit.c.id).limit(1)).first() is not None:
            return fill()
    sort = f"{name} on {database.url.drivername}"
    if sort not in _filled:
        done = fill()
        with database.read() as connection:
            rows = {
                table: [dict(row) for row in connection.execute(select(table)).mappings()]
                for table in metadata.sorted_tables
            }
        _filled[sort] = (done, rows)
        return done
    done, rows = _filled[sort]  # type: ignore[assignment]
    with database.write() as connection:
        for table, some in rows.items():
            if table is log_head:  # the epoch is the new database's own
                (head,) = some
                connection.execute(update(table).values(head | {"epoch": table.c.epoch}))
            elif some:
                connection.execute(insert(table), some)
    return done
