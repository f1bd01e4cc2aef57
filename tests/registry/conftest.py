"""Registries to test: on SQLite and on PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gate.registry.database import Database
from gate.registry.log import begin_epoch
from gate.registry.migrations import migrate
from gate.registry.registry import Registry
from gate.registry.schema import metadata
from gate.registry.verifying import verify
from tests.registry.postgres import PostgresServer, running_server


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """One PostgreSQL server for the whole run."""
    with running_server() as server:
        yield server


@pytest.fixture(scope="session")
def postgres_database(postgres: PostgresServer) -> str:
    """The URL of a database with the schema, which the tests empty after use."""
    url = postgres.new_database()
    database = Database(url)
    migrate(database)
    database.close()
    return url


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A database of each sort with nothing on record."""
    if request.param == "sqlite":
        yield str(tmp_path / "registry.db")
        return
    url: str = request.getfixturevalue("postgres_database")
    yield url
    _empty(url)


def _empty(url: str) -> None:
    database = Database(url)
    tables = ", ".join(table.name for table in metadata.sorted_tables)
    with database.write() as connection:
        connection.exec_driver_sql(f"TRUNCATE {tables}")
        begin_epoch(connection)
    database.close()


class Clock:
    """A clock that the test turns."""

    def __init__(self) -> None:
        self.now = 1_790_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    """The time, in the test's hands."""
    return Clock()


@pytest.fixture
def registry(database_url: str, clock: Clock) -> Iterator[Registry]:
    """A new registry on each sort of database; sound at the end, whatever the test did."""
    yield from _registry(database_url, clock)


@pytest.fixture
def lite(tmp_path: Path, clock: Clock) -> Iterator[Registry]:
    """A new registry on SQLite, for what does not differ between databases."""
    yield from _registry(str(tmp_path / "registry.db"), clock)


def _registry(url: str, clock: Callable[[], float]) -> Iterator[Registry]:
    database = Database(url)
    try:
        migrate(database)
        made = Registry(database, clock=clock)
        yield made
        with database.read() as connection:
            assert list(verify(connection, made.provider)) == []
    finally:
        database.close()
