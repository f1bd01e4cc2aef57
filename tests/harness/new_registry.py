"""Databases of new registries, for which the migrations run once and not for each."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from sqlalchemy import delete

from gate.registry.database import Database
from gate.registry.log import begin_epoch
from gate.registry.migrations import migrate
from gate.registry.schema import log_head


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


def migrated(url: str, readers: int = 4) -> Database:
    """A database with the schema, new or as it is."""
    new = "://" not in url and not Path(url).exists()
    if new:
        Path(url).touch(0o600)
        Path(url).write_bytes(_new_sqlite())
    database = Database(url, readers=readers)
    if new:
        with database.write() as connection:
            begin_epoch(connection)
    else:
        migrate(database)
    return database
