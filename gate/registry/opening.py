"""Opening a registry's database, with its schema up to date."""

from __future__ import annotations

from gate.registry.database import Database
from gate.registry.migrations import migrate
from gate.registry.places import Places
from gate.registry.registry import Registry
from gate.settings import Registry as RegistrySettings


def open_registry(places: Places, settings: RegistrySettings, *, readers: int = 2) -> Registry:
    """Open the database, and bring its schema up to date.

    Raises RegistryError `database_unavailable`, `busy` or `schema_unknown`.
    """
    database = Database(places.database, readers=readers)
    try:
        migrate(database)
    except BaseException:
        database.close()
        raise
    return Registry(database, provider=settings.provider)
