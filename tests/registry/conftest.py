"""Registries to test: on SQLite and on PostgreSQL."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp_jinja2
import jinja2
import pytest
from aiohttp import ClientSession
from aiohttp.test_utils import TestServer
from jinja2.bccache import Bucket
from multidict import CIMultiDictProxy
from sqlalchemy import text
from yarl import URL

from gate.registry.api.app import make_app
from gate.registry.commands import Command, Role
from gate.registry.database import Database
from gate.registry.log import begin_epoch
from gate.registry.orders.provider_terms import OrderPolicy
from gate.registry.places import Places
from gate.registry.registry import LOCAL, Registry
from gate.registry.schema import metadata
from gate.registry.service import CONNECTIONS, RegistryService
from gate.registry.verifying import verify
from gate.settings import RegistrySettings
from tests.harness.new_registry import filled, migrated
from tests.harness.postgres import PostgresServer, running_server


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """One PostgreSQL server for the whole run."""
    with running_server() as server:
        yield server


@pytest.fixture(scope="session")
def emptied(postgres: PostgresServer) -> Iterator[Database]:
    """A database on PostgreSQL with the schema, for who empties it."""
    database = migrated(postgres.new_database())
    yield database
    database.close()


@pytest.fixture
def postgres_database(emptied: Database) -> Iterator[str]:
    """The URL of a database on PostgreSQL with nothing on record."""
    yield emptied.url.render_as_string(hide_password=False)
    names = [table.name for table in metadata.sorted_tables]
    with emptied.write() as connection:
        # To truncate this many tables takes a hundred times as long as to delete a few rows.
        large = connection.execute(_LARGE, {"names": names, "bytes": 1 << 20}).scalar()
        connection.exec_driver_sql(
            f"TRUNCATE {', '.join(names)}"
            if large
            else "; ".join(f"DELETE FROM {name}" for name in reversed(names))
        )
        begin_epoch(connection)


_LARGE = text(
    "SELECT count(*) FROM pg_class "
    "WHERE relkind = 'r' AND relname = ANY(:names) AND pg_relation_size(oid) > :bytes"
)


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.programs)])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database of each sort with nothing on record."""
    if request.param == "sqlite":
        return str(tmp_path / "registry.db")
    url: str = request.getfixturevalue("postgres_database")
    return url


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
    database = migrated(url)
    try:
        made = Registry(database, clock=clock)
        yield made
        with database.read() as connection:
            assert list(verify(connection, made.provider)) == []
    finally:
        database.close()


@dataclass(slots=True, frozen=True)
class Answer:
    """A response, read to its end."""

    status: int
    headers: CIMultiDictProxy[str]
    content_type: str
    body: bytes

    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


@dataclass(slots=True)
class Api:
    """A served registry, and a client for each role."""

    service: RegistryService
    server: TestServer
    tokens: dict[Role, str]
    session: ClientSession

    async def call(
        self,
        method: str,
        path: str,
        *,
        role: Role | None = Role.ADMIN,
        headers: dict[str, str] | None = None,
        **more: Any,
    ) -> Answer:
        """One request."""
        sent = dict(headers or {})
        if role is not None:
            sent.setdefault("Authorization", f"Bearer {self.tokens[role]}")
        url = self.server.make_url("/").join(URL(path, encoded="%" in path))
        async with self.session.request(method, url, headers=sent, **more) as response:
            body = await response.read()
        return Answer(response.status, response.headers, response.content_type, body)

    async def do(self, command: Command, **more: Any) -> dict[str, Any]:
        """Carry out an operation that must succeed."""
        path = f"/v1/operations/{command.operation.replace('_', '-')}"
        response = await self.call("POST", path, json=command.model_dump(mode="json"), **more)
        outcome: dict[str, Any] = response.json()
        assert response.status == 200, outcome
        return outcome


class _Templates(jinja2.BytecodeCache):
    """The console's pages as they were compiled for the first test that looked at them."""

    def __init__(self) -> None:
        self._kept: dict[str, bytes] = {}

    def load_bytecode(self, bucket: Bucket) -> None:
        if bucket.key in self._kept:
            bucket.bytecode_from_string(self._kept[bucket.key])

    def dump_bytecode(self, bucket: Bucket) -> None:
        self._kept[bucket.key] = bucket.bytecode_to_string()


_TEMPLATES = _Templates()


@asynccontextmanager
async def serving(url: str, folder: Path, **settings: Any) -> AsyncIterator[Api]:
    """Serve a registry in this event loop."""
    database = migrated(url, CONNECTIONS)
    made_settings = RegistrySettings(**settings)
    registry = Registry(database, policy=OrderPolicy.of(made_settings.orders))

    def tokens() -> dict[Role, str]:
        return {
            role: registry.tokens.create(
                name=role.value,
                role=role,
                actor=LOCAL,
                account="a1" if role is Role.OWNER else None,
            )[1]
            for role in Role
        }

    made = filled(database, "a token for each role", tokens)
    places = Places(url, folder / "keys", folder / "work")
    service = RegistryService(registry, made_settings, places)
    app = make_app(service)
    for part in app._subapps:
        aiohttp_jinja2.get_env(part).bytecode_cache = _TEMPLATES
    server = TestServer(app)
    async with server, ClientSession() as session:
        yield Api(service, server, made, session)
        service.feed.stop()


@pytest.fixture
async def api(database_url: str, tmp_path: Path) -> AsyncIterator[Api]:
    """The API of a new registry on each sort of database."""
    async with serving(database_url, tmp_path) as api:
        yield api


@pytest.fixture
async def lite_api(tmp_path: Path) -> AsyncIterator[Api]:
    """The API of a new registry on SQLite."""
    async with serving(str(tmp_path / "registry.db"), tmp_path) as api:
        yield api
