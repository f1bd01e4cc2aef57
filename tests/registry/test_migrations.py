"""The schema and its migrations, on both databases."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext

from gate.registry import log
from gate.registry.database import Database, database_url
from gate.registry.errors import RegistryError
from gate.registry.migrations import migrate
from gate.registry.schema import metadata
from tests.registry.postgres import PostgresServer


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database without a schema."""
    if request.param == "sqlite":
        return str(tmp_path / "new" / "registry.db")
    server: PostgresServer = request.getfixturevalue("postgres")
    return server.new_database()


@pytest.fixture
def empty(empty_url: str) -> Iterator[Database]:
    """Its connections."""
    database = Database(empty_url)
    yield database
    database.close()


def test_the_migrations_make_the_schema_that_the_program_knows(empty: Database) -> None:
    migrate(empty)
    with empty.read() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []


def test_migrating_again_changes_nothing(empty: Database) -> None:
    revision = migrate(empty)
    with empty.read() as connection:
        head = log.head(connection)
    assert migrate(empty) == revision
    with empty.read() as connection:
        assert log.head(connection) == head


def test_processes_that_start_together_take_turns(empty_url: str) -> None:
    def start(number: int) -> str:
        database = Database(empty_url)
        try:
            migrate(database)
            with database.read() as connection:
                return log.head(connection).epoch
        finally:
            database.close()

    with ThreadPoolExecutor(4) as threads:
        assert len(set(threads.map(start, range(4)))) == 1


def test_a_newer_schema_is_left_alone(empty: Database) -> None:
    migrate(empty)
    with empty.write() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(RegistryError) as caught:
        migrate(empty)
    assert (caught.value.code, "9999" in caught.value.en) == ("schema_unknown", True)


@pytest.mark.parametrize("where", ["mysql://x/y", "oracle://x", "nonsense://", "://"])
def test_another_sort_of_database_is_refused_with_what_is_offered(where: str) -> None:
    with pytest.raises(RegistryError) as caught:
        database_url(where)
    assert caught.value.code == "database_unavailable"


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "registry.db"
    path.write_bytes(b"this is no database\n" * 500)
    database = Database(str(path))
    with pytest.raises(RegistryError) as caught:
        migrate(database)
    assert caught.value.code == "database_unavailable"
    database.close()
    assert path.read_bytes().startswith(b"this is no database")


def test_sqlite_is_durable_and_lets_readers_be(tmp_path: Path) -> None:
    database = Database(str(tmp_path / "registry.db"))
    with database.read() as connection:
        found = [
            connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys")
        ]
    assert found == ["wal", 2, 1]
    database.close()
