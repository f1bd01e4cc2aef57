"""Bringing a database to the schema that this program knows, with Alembic.

The revisions are in `versions/`. They run at start, and by `gate registry migrate`; each is one
transaction, so that a database is never left between two of them.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

from alembic.command import upgrade
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

from gate.registry.database import Database
from gate.registry.errors import RegistryError
from gate.registry.log import begin_epoch


def check_schema(database: Database) -> None:
    """Make sure that the database holds a registry of just this schema.

    Raises RegistryError `schema_missing`, `schema_old` or `schema_unknown`.
    """
    scripts = _scripts()
    newest = scripts.get_current_head() or ""
    with database.read() as connection:
        found = MigrationContext.configure(connection).get_current_revision()
    if found is None:
        raise RegistryError("schema_missing", where=database.shown)
    if found != newest:
        known = found in {script.revision for script in scripts.walk_revisions()}
        code = "schema_old" if known else "schema_unknown"
        raise RegistryError(code, found=found, newest=newest)


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    return config


@cache
def _scripts() -> ScriptDirectory:
    return ScriptDirectory.from_config(_config())


def migrate(database: Database) -> str:
    """Bring the schema up to date, and begin the first epoch of a new log.

    Gives back the schema's revision. Processes that do it at the same time take turns.
    Raises RegistryError `schema_unknown` when the database is newer than this program.
    """
    scripts = _scripts()
    newest = scripts.get_current_head() or ""
    with database.write() as connection:
        if not database.embedded:
            connection.exec_driver_sql("SELECT pg_advisory_xact_lock(7235163)")
        found = MigrationContext.configure(connection).get_current_revision()
        if found == newest:
            return newest
        if found is not None and found not in {
            script.revision for script in scripts.walk_revisions()
        }:
            raise RegistryError("schema_unknown", found=found)
        config = _config()
        config.attributes["connection"] = connection
        upgrade(config, "head")
        if found is None:
            begin_epoch(connection)
    return newest
