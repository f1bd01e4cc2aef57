"""Opening a registry's database, with its schema up to date."""

from __future__ import annotations

from gate.registry.database import Database
from gate.registry.migrations import check_schema, migrate
from gate.registry.orders.provider_terms import OrderPolicy
from gate.registry.places import Places
from gate.registry.registry import Registry
from gate.settings import RegistrySettings


def open_registry(
    places: Places, settings: RegistrySettings, *, readers: int = 2, create: bool = True
) -> Registry:
    """Open the database. With `create` it is made if there is none, and its schema brought up to
    date; without, it must be there just so.

    Raises RegistryError `settings_unusable`, `database_unavailable`, `busy` or `schema_unknown`;
    without `create` also `database_missing`, `schema_missing` or `schema_old`.
    """
    policy = OrderPolicy.of(settings.orders)
    database = Database(places.database, readers=readers, create=create)
    try:
        migrate(database) if create else check_schema(database)
    except BaseException:
        database.close()
        raise
    return Registry(database, provider=settings.provider, policy=policy)
