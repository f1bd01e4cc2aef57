"""The registry on its database, for the command line: the same calls as `gate.registry.client`."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import TypeVar

from gate.registry import blocked_names, log, queries, tokens
from gate.registry.bulk.clerks import TakenList, plain_form, write_list
from gate.registry.bulk.exporting import export_filings
from gate.registry.bulk.files import FileFormat
from gate.registry.bulk.importing import import_file
from gate.registry.bulk.previewing import Preview, preview_file
from gate.registry.commands import Command, Outcome, Role
from gate.registry.errors import RegistryError
from gate.registry.gates import GateInForce, GateStanding, in_force, standings
from gate.registry.history import history
from gate.registry.import_modes import ImportMode
from gate.registry.orders.commands import Step, VerifyPerson
from gate.registry.orders.rule_texts import Finding
from gate.registry.orders.states import OrderState
from gate.registry.orders.views import (
    EventView,
    OrderQuery,
    OrderSummary,
    OrderView,
)
from gate.registry.queries import FilingQuery
from gate.registry.registry import LOCAL, Registry
from gate.registry.sightings.hollow import find_hollow
from gate.registry.sightings.matching import find_matches
from gate.registry.sightings.networks import find_networks
from gate.registry.sightings.traffic import find_idle, watch
from gate.registry.sightings.views import (
    BlockedMatch,
    HollowSubject,
    IdleFiling,
    NetworkOwner,
    Watch,
)
from gate.registry.unfiled import UnfiledQuery, UnfiledView
from gate.registry.views import (
    ApplicationView,
    AuditView,
    FilingView,
    FleetOverrideView,
    HeadView,
    HistoryView,
    ImportView,
    PreviewView,
    RefusalView,
    SubjectDetail,
    TokenView,
)
from gate.registry.workflow.queries import events_of, find_orders, order_view

R = TypeVar("R")

_PAGE = 1000
_PREVIEW_LINES = 1_000_000


@contextmanager
def _as_read(
    path: Path, said: FileFormat | None, registrable: bool
) -> Iterator[tuple[Path, TakenList]]:
    """A file as an import reads it, while the block lasts, and what it is."""
    form = plain_form(path, said)
    if form is not None:
        yield path, TakenList(form)
        return
    with tempfile.NamedTemporaryFile(prefix="gate-list-") as file:
        taken = write_list(path, file.file, registrable=registrable)
        file.flush()
        yield Path(file.name), taken


class Local:
    """A registry on this machine, worked on directly; a service may run on it meanwhile."""

    def __init__(self, registry: Registry) -> None:
        self.registry = registry

    def perform(self, command: Command) -> Outcome:
        """Carry out an operation. Raises RegistryError."""
        return self.registry.perform(command, actor=LOCAL)[0]

    def preview(self, command: Command) -> Outcome:
        """Return what an operation would do."""
        return self.registry.preview(command, actor=LOCAL)

    def step(self, step: Step) -> OrderView:
        """Take a step of an order; the order after it. Raises RegistryError."""
        outcome = self.perform(step)
        while outcome.state == OrderState.SMS and self.registry.sweep_some([]).more:
            pass  # codes are sent
        found = self.order(outcome.application or 0)
        if not outcome.accepted and isinstance(step, VerifyPerson):
            wrong = found.people[step.person - 1].wrong
            left = max(self.registry.policy.sms_tries - wrong, 0)
            raise RegistryError("code_wrong", field="code", left=left)
        return found

    def order(self, number: int) -> OrderView:
        """Return one order."""
        with self.registry.database.read() as connection:
            return order_view(connection, number, now=self.registry.now())

    def check_order(self, number: int) -> list[Finding]:
        """Return what the rules find in an order now."""
        with self.registry.database.read() as connection:
            return self.registry.check_order(connection, number, actor=LOCAL)

    def orders(self, query: OrderQuery, *, limit: int) -> Iterator[OrderSummary]:
        """Return orders that fit, the newest first, up to `limit`."""

        def page(after: int, size: int) -> list[OrderSummary]:
            with self.registry.database.read() as connection:
                now = self.registry.now()
                return find_orders(connection, query, now=now, after=after, limit=size)

        return _pages(page, lambda row: row.id, 0, limit)

    def order_events(self, number: int) -> Iterator[EventView]:
        """Return what happened to an order, in order."""
        self.order(number)

        def page(after: int, size: int) -> list[EventView]:
            with self.registry.database.read() as connection:
                return events_of(connection, number, after=after, limit=size)

        return _pages(page, lambda row: row.number, 0, None)

    def gates(self) -> list[GateStanding]:
        """Return the gates, and how far each is behind."""
        with self.registry.database.read() as connection:
            head = log.head(connection)
            return standings(connection, epoch=head.epoch, revision=head.revision)

    def in_force(self, revision: int, wait: float) -> tuple[list[GateInForce], int]:
        """Return the gates that enforce a revision, and how many are known.

        Waits up to `wait` seconds.
        """
        end = time.monotonic() + wait
        while True:
            with self.registry.database.read() as connection:
                there, known = in_force(connection, revision, log.head(connection).epoch)
            if len(there) >= max(known, 1) or time.monotonic() >= end:
                return list(there), known
            time.sleep(0.2)

    def filing(self, domain: str) -> FilingView:
        """Return the record of a domain."""
        with self.registry.database.read() as connection:
            return queries.filing(connection, domain)

    def history(self, domain: str) -> HistoryView:
        """Return what became of a domain."""
        with self.registry.database.read() as connection:
            return history(connection, domain)

    def audit(self, text: str | None, *, limit: int) -> Iterator[AuditView]:
        """Return lines of the audit trail, the newest first, up to `limit`."""
        query = queries.AuditFilter(text=text, newest=True)

        def page(after: int, size: int) -> list[AuditView]:
            with self.registry.database.read() as connection:
                return queries.find_audit(connection, query, after=after, limit=size)

        return _pages(page, lambda row: row.id, 0, limit)

    def overrides(self) -> list[FleetOverrideView]:
        """Return what operators decided for every gate."""
        with self.registry.database.read() as connection:
            return queries.fleet_overrides(connection)

    def subject(self, licence: str) -> SubjectDetail:
        """Return a subject with its services."""
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
        """Return where the log stands."""
        with self.registry.database.read() as connection:
            at = log.head(connection)
            return HeadView(
                epoch=at.epoch,
                revision=at.revision,
                oldest=at.oldest,
                domains=queries.count_domains(connection),
                filed=queries.count_filed(connection),
            )

    def accept_set(self, reason: str) -> None:
        """Have the set given out as it is, although it has shrunk."""
        self.registry.accept_set(reason=reason, actor=LOCAL)

    def import_file(
        self,
        path: Path,
        said: FileFormat | None = None,
        *,
        mode: ImportMode,
        max_shrink: float,
        registrable: bool = False,
    ) -> Iterator[ImportView]:
        """Import a file, and tell how far it is. Raises RegistryError, OSError."""
        with _as_read(path, said, registrable) as (read, taken):
            states = import_file(
                self.registry,
                read,
                actor=LOCAL,
                form=taken.form,
                name=path.name,
                mode=mode,
                max_shrink=max_shrink,
            )
            told = {"read_as": taken.read_as, "remarks": taken.remarks}
            yield next(states).model_copy(update=told)
            yield from states

    def preview_import(
        self,
        path: Path,
        said: FileFormat | None = None,
        *,
        mode: ImportMode,
        registrable: bool = False,
    ) -> PreviewView:
        """Return what an import would do. Raises RegistryError, OSError."""
        preview = Preview(_PREVIEW_LINES)
        with _as_read(path, said, registrable) as (read, taken):
            for _ in preview_file(
                self.registry, read, actor=LOCAL, form=taken.form, mode=mode, preview=preview
            ):
                pass
        told = {"read_as": taken.read_as, "remarks": taken.remarks}
        return preview.view().model_copy(update=told)

    def refusals(self, digest: str) -> Iterator[RefusalView]:
        """Return the lines that an import refused."""

        def page(after: int, size: int) -> list[RefusalView]:
            with self.registry.database.read() as connection:
                return queries.find_refusals(connection, digest, after=after, limit=size)

        return _pages(page, lambda row: row.line, 0, None)

    def export(self, form: FileFormat) -> Generator[bytes]:
        """Return every filing, in pieces."""
        return export_filings(self.registry.database, form)

    def blocked(
        self, account: str | None, domain: str | None = None, *, limit: int | None
    ) -> Iterator[BlockedMatch]:
        """Return blocked domains that seem an account's; only one, with `domain`."""

        def page(after: str, size: int) -> list[BlockedMatch]:
            with self.registry.database.read() as connection:
                return find_matches(
                    connection, account=account, domain=domain, after=after, limit=size
                )

        return _pages(page, lambda row: row.domain, "", limit)

    def idle(self, days: int | None, *, limit: int) -> tuple[Watch, list[IdleFiling]]:
        """Return how far the gates' word on traffic goes, and filed domains without any."""
        days, now = days or self.registry.policy.idle_days, self.registry.now()
        with self.registry.database.read() as connection:
            found = find_idle(connection, days, now=now, after="", limit=limit)
            return watch(connection, days, now=now), found

    def hollow(self, *, limit: int | None) -> Iterator[HollowSubject]:
        """Return subjects without services."""

        def page(after: str, size: int) -> list[HollowSubject]:
            with self.registry.database.read() as connection:
                return find_hollow(connection, after=after, limit=size)

        return _pages(page, lambda row: row.licence, "", limit)

    def put_networks(self, owners: Sequence[NetworkOwner]) -> None:
        """Say whose hosts are in which networks."""
        self.registry.put_networks(owners, actor=LOCAL)

    def networks(self, *, limit: int | None) -> Iterator[NetworkOwner]:
        """Return whose hosts are in which networks."""

        def page(after: str, size: int) -> list[NetworkOwner]:
            with self.registry.database.read() as connection:
                return find_networks(connection, after=after, limit=size)

        return _pages(page, lambda row: row.network, "", limit)

    def unfiled(self, query: UnfiledQuery, *, limit: int | None) -> Iterator[UnfiledView]:
        """Blocked names that gates report, up to `limit`."""
        with self.registry.database.read() as connection:
            yield from islice(blocked_names.find_all(connection, query), limit)

    def make_token(
        self, *, name: str, role: Role, lifetime: int | None, account: str | None = None
    ) -> tuple[TokenView, str]:
        """Make a token; gives back what is known of it, and its text."""
        info, text = self.registry.tokens.create(
            name=name, role=role, lifetime=lifetime, actor=LOCAL, account=account
        )
        return info, text

    def tokens(self) -> list[TokenView]:
        """Return all tokens."""
        with self.registry.database.read() as connection:
            return tokens.list_tokens(connection)

    def revoke_token(self, token: str) -> None:
        """End a token."""
        self.registry.tokens.revoke(token, actor=LOCAL)

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
