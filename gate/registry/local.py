"""The registry on its database, for the command line: the same calls as `gate.registry.client`."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from itertools import islice
from pathlib import Path
from typing import TypeVar

from gate.registry import log, queries, reports, tokens
from gate.registry.bulk.exporting import export_filings
from gate.registry.bulk.files import FileFormat
from gate.registry.bulk.importing import import_file
from gate.registry.commands import Command, Outcome, Role
from gate.registry.errors import RegistryError
from gate.registry.queries import FilingQuery
from gate.registry.registry import LOCAL, Registry
from gate.registry.unfiled import UnfiledQuery, UnfiledView
from gate.registry.views import (
    ApplicationView,
    FilingView,
    HeadView,
    ImportView,
    RefusalView,
    SubjectDetail,
    TokenView,
)

R = TypeVar("R")

_PAGE = 1000


class Local:
    """A registry on this machine, worked on directly; a service may run on it meanwhile."""

    def __init__(self, registry: Registry) -> None:
        self.registry = registry

    def perform(self, command: Command) -> Outcome:
        """Carry out an operation. Raises RegistryError, also `provider_differs`."""
        self._check_provider()
        return self.registry.perform(command, actor=LOCAL)[0]

    def _check_provider(self) -> None:
        """In another provider's name a change would close what is filed."""
        with self.registry.database.read() as connection:
            providers = queries.providers_of_filed(connection)
        if providers and self.registry.provider not in providers:
            raise RegistryError(
                "provider_differs",
                field="provider",
                provider=self.registry.provider,
                found=" / ".join(providers),
            )

    def filing(self, domain: str) -> FilingView:
        """The record of a domain."""
        with self.registry.database.read() as connection:
            return queries.filing(connection, domain)

    def subject(self, licence: str) -> SubjectDetail:
        """A subject with its services."""
        with self.registry.database.read() as connection:
            return queries.subject(connection, licence)

    def search(
        self, *, limit: int, status: str | None = None, q: str | None = None
    ) -> Iterator[FilingView]:
        """Filings that fit, up to `limit`."""
        query = FilingQuery(status=status, text=q)

        def page(after: str, size: int) -> list[FilingView]:
            with self.registry.database.read() as connection:
                return queries.find_filings(connection, query, after=after, limit=size)

        return _pages(page, lambda row: row.domain, "", limit)

    def applications(self, *, limit: int, state: str | None) -> Iterator[ApplicationView]:
        """Applications, up to `limit`."""

        def page(after: int, size: int) -> list[ApplicationView]:
            with self.registry.database.read() as connection:
                return queries.find_applications(connection, state=state, after=after, limit=size)

        return _pages(page, lambda row: row.id, 0, limit)

    def head(self) -> HeadView:
        """Where the log stands."""
        with self.registry.database.read() as connection:
            at = log.head(connection)
            count = queries.count_domains(connection)
        return HeadView(epoch=at.epoch, revision=at.revision, oldest=at.oldest, domains=count)

    def import_file(self, path: Path, form: FileFormat) -> Iterator[ImportView]:
        """Import a file, and tell how far it is. Raises RegistryError, also `provider_differs`."""
        self._check_provider()
        return import_file(self.registry, path, actor=LOCAL, form=form)

    def refusals(self, digest: str) -> Iterator[RefusalView]:
        """The lines that an import refused."""

        def page(after: int, size: int) -> list[RefusalView]:
            with self.registry.database.read() as connection:
                return queries.find_refusals(connection, digest, after=after, limit=size)

        return _pages(page, lambda row: row.line, 0, None)

    def export(self, form: FileFormat) -> Generator[bytes]:
        """Every filing, in pieces."""
        return export_filings(self.registry.database, form)

    def unfiled(self, query: UnfiledQuery, *, limit: int | None) -> Iterator[UnfiledView]:
        """Blocked names that gates report, up to `limit`."""
        with self.registry.database.read() as connection:
            yield from islice(reports.find_all(connection, query), limit)

    def make_token(self, *, name: str, role: Role, lifetime: int | None) -> tuple[TokenView, str]:
        """Make a token; gives back what is known of it, and its text."""
        info, text = self.registry.create_token(
            name=name, role=role, lifetime=lifetime, actor=LOCAL
        )
        return info, text

    def tokens(self) -> list[TokenView]:
        """All tokens."""
        with self.registry.database.read() as connection:
            return tokens.list_tokens(connection)

    def revoke_token(self, token: str) -> None:
        """End a token."""
        self.registry.revoke_token(token, actor=LOCAL)

    def close(self) -> None:
        """Close the database."""
        self.registry.database.close()


K = TypeVar("K")


def _pages(
    page: Callable[[K, int], list[R]], key: Callable[[R], K], after: K, limit: int | None
) -> Iterator[R]:
    left = limit
    while left is None or left > 0:
        size = _PAGE if left is None else min(left, _PAGE)
        rows = page(after, size)
        yield from rows
        if len(rows) < size:
            return
        after = key(rows[-1])
        left = None if left is None else left - len(rows)
