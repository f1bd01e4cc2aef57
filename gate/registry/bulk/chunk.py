"""Some thousand filings put on record at once, by the same rules as one at a time.

The records that a chunk could touch are read with a few queries, the rules are applied in memory
line by line, and what is new is written with a few more. The log's lock keeps everybody else out
meanwhile.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

from sqlalchemy import (
    ARRAY,
    ColumnElement,
    any_,
    bindparam,
    func,
    literal,
    select,
    update,
)

from gate.filings import Change
from gate.licence import ServiceKind, ServiceNumber
from gate.registry.bulk.fast_insert import insert_rows
from gate.registry.bulk.filing_row import FilingRecord
from gate.registry.errors import RegistryError
from gate.registry.fields import check_count, domain_status, folded
from gate.registry.operations import Work
from gate.registry.operations.hollowing import hollow_no_more
from gate.registry.orders.kinds import OrderType
from gate.registry.schema import (
    accesses,
    domains,
    order_items,
    orders,
    reservations,
    services,
    subjects,
)

_SUBJECT: Final = (
    *("id", "licence", "province", "name", "folded", "kind", "account", "certificate"),
    *("created_at", "changed_at"),
)
_SERVICE: Final = (
    *("id", "subject_id", "kind", "site", "name", "suspended"),
    *("created_at", "changed_at"),
)
_ACCESS: Final = ("service_id", "provider", "since")
_DOMAIN: Final = ("domain", "status", "licence", "changed_at", "revision", "service_id")


@dataclass(slots=True)
class _Site:
    """A live service: on record, or new in this chunk."""

    id: int
    number: ServiceNumber
    name: str
    suspended: bool
    domains: list[str] = field(default_factory=list)
    providers: set[str] = field(default_factory=set)


@dataclass(slots=True)
class _Owner:
    """A live subject: on record, or new in this chunk."""

    id: int
    licence: str
    name: str
    account: str | None
    certificate: str | None
    hollow: bool = False
    sites: dict[tuple[ServiceKind, int], _Site] = field(default_factory=dict)


class RowOutcome(StrEnum):
    """What taking a filing changed."""

    NEW = "new"
    REVIVED = "revived"
    """Filed again: it had been cancelled."""
    FURTHER = "further"
    """New, and another domain of a website: as some are on record from before 2019."""
    UNCHANGED = "unchanged"


class Chunk:
    """The records around some filings, and what the filings add to them.

    A domain that was cancelled is filed again with `revive` only: a list that is older than the
    cancellation would open it.
    """

    def __init__(
        self, work: Work, records: Sequence[FilingRecord], *, revive: bool = False
    ) -> None:
        self._work = work
        self._revive = revive
        self._cancelled: dict[str, int] = {}  # domain -> when
        self._owners: dict[str, _Owner] = {}
        self._accounts: dict[str, str] = {}
        self._certificates: dict[str, str] = {}
        # Domains that are held: the number, and the service if it is known here.
        self._holders: dict[str, tuple[str, _Site | None]] = {}
        self._reserved: dict[str, int] = {}
        # Websites whose names an open order sets: the number, and the order.
        self._changing: dict[str, int] = {}
        self._read(records)
        self._next_subject = work.new_id(subjects)
        self._next_service = work.new_id(services)
        self._new_subjects: list[tuple[Any, ...]] = []
        self._new_services: list[tuple[Any, ...]] = []
        self._new_accesses: list[tuple[Any, ...]] = []
        self._bound: dict[int, _Owner] = {}
        self._filled: list[int] = []
        self._named: dict[int, _Site] = {}
        self._touched: dict[str, _Site] = {}

    def add(self, record: FilingRecord) -> RowOutcome:
        """Take one filing.

        Raises RegistryError for the rule that it breaks; nothing of it is taken then.
        """
        number = record.number
        licence = str(number.subject)
        owner = self._owners.get(licence)
        held, site = self._holders.get(record.domain, (None, None))
        if held is not None and held != str(number):
            raise RegistryError("domain_filed", field="domain", domain=record.domain, licence=held)
        waiting = self._reserved.get(record.domain)
        if waiting is not None:
            raise RegistryError(
                "domain_pending", field="domain", domain=record.domain, application=waiting
            )
        cancelled_at = self._cancelled.get(record.domain) if site is None else None
        if cancelled_at is not None and not self._revive:
            raise RegistryError(
                "domain_cancelled", field="domain", domain=record.domain, date=day(cancelled_at)
            )
        self._check_owner(record, owner, licence)
        on_record = site or (owner and owner.sites.get((number.kind, number.site)))
        if on_record and record.suspended and not on_record.suspended:
            raise RegistryError("import_suspends", field="status", licence=number)
        if site is not None:  # on record already, under this very number
            bound = owner is not None and self._bind(owner, record)
            return RowOutcome.NEW if self._join(site, record) or bound else RowOutcome.UNCHANGED
        if owner is not None:
            site = owner.sites.get((number.kind, number.site))
        further = site is not None and site.number.kind is ServiceKind.WEBSITE
        if site is not None:
            self._check_fits(record, site)
            if str(number) in self._changing:  # it would take off whatever it does not know of
                raise RegistryError(
                    "website_changing",
                    field="licence",
                    licence=number,
                    application=self._changing[str(number)],
                )
        if owner is None:
            owner = self._new_owner(record, licence)
        else:
            self._bind(owner, record)
        if site is None:
            site = self._new_site(owner, record)
        self._join(site, record)
        self._name(site, record)
        site.domains.append(record.domain)
        self._holders[record.domain] = (str(number), site)
        self._touched[record.domain] = site
        if cancelled_at is not None:
            return RowOutcome.REVIVED
        return RowOutcome.FURTHER if further else RowOutcome.NEW

    def further(self, record: FilingRecord) -> RegistryError:
        """Return a note on a domain that a website has beside others."""
        site = self._holders[record.domain][1]
        others = site.domains if site is not None else ()
        other = min(name for name in others if name != record.domain)
        return RegistryError(
            "domain_further",
            field="domain",
            domain=record.domain,
            licence=record.number,
            other=other,
        )

    def revival(self, domain: str) -> RegistryError:
        """Return a note on a domain that was filed again."""
        date = day(self._cancelled[domain])
        return RegistryError("domain_revived", field="domain", domain=domain, date=date)

    def write(self) -> None:
        """Write what was taken, and add the changes to the unit of work."""
        connection = self._work.connection
        insert_rows(connection, subjects, _SUBJECT, self._new_subjects)
        insert_rows(connection, services, _SERVICE, self._new_services)
        insert_rows(connection, accesses, _ACCESS, self._new_accesses)
        if self._filled:
            hollow_no_more(connection, self._filled)
        if self._named:
            connection.execute(
                update(services)
                .where(services.c.id == bindparam("service"))
                .values(name=bindparam("new_name"), changed_at=self._work.now),
                [{"service": site.id, "new_name": site.name} for site in self._named.values()],
            )
        if self._bound:
            connection.execute(
                update(subjects)
                .where(subjects.c.id == bindparam("subject"))
                .values(
                    account=bindparam("of_account"),
                    certificate=bindparam("of_certificate"),
                    changed_at=self._work.now,
                ),
                [
                    {
                        "subject": owner.id,
                        "of_account": owner.account,
                        "of_certificate": owner.certificate,
                    }
                    for owner in self._bound.values()
                ],
            )
        self._write_domains()

    def _write_domains(self) -> None:
        work = self._work
        rows = self._select(domains.c.domain, self._touched, domains.c.status, domains.c.licence)
        known = {row.domain: (row.status, row.licence) for row in rows}
        added: list[tuple[Any, ...]] = []
        changed: list[dict[str, Any]] = []
        for domain, site in self._touched.items():
            status = domain_status(
                accessed=work.provider in site.providers, suspended=site.suspended
            )
            licence = str(site.number)
            if known.get(domain) == (status.value, licence):
                continue
            work.changes.append(Change(domain, status, licence, work.now))
            revision = work.head.revision + len(work.changes)
            if domain in known:
                changed.append(
                    {
                        "name": domain,
                        "new_status": status.value,
                        "new_licence": licence,
                        "new_revision": revision,
                        "service": site.id,
                    }
                )
            else:
                added.append((domain, status.value, licence, work.now, revision, site.id))
        insert_rows(work.connection, domains, _DOMAIN, added)
        if changed:
            work.connection.execute(
                update(domains)
                .where(domains.c.domain == bindparam("name"))
                .values(
                    status=bindparam("new_status"),
                    licence=bindparam("new_licence"),
                    revision=bindparam("new_revision"),
                    service_id=bindparam("service"),
                    never_filed=False,
                    changed_at=work.now,
                ),
                changed,
            )

    def _check_owner(self, record: FilingRecord, owner: _Owner | None, licence: str) -> None:
        """The rules about subject, account and certificate number."""
        if owner is not None and owner.name != record.subject:
            raise RegistryError("subject_name_differs", field="subject", licence=licence)
        if record.account is not None:
            holder = self._accounts.get(record.account)
            if holder is not None and holder != licence:
                raise RegistryError(
                    "account_taken", field="account", account=record.account, licence=holder
                )
            if owner is not None and owner.account not in (None, record.account):
                raise RegistryError("subject_other_account", field="account", licence=licence)
        if record.certificate is not None:
            holder = self._certificates.get(record.certificate)
            if holder is not None and holder != licence:
                raise RegistryError("certificate_taken", field="certificate", licence=holder)
            if owner is not None and owner.certificate not in (None, record.certificate):
                raise RegistryError("certificate_differs", field="certificate", licence=licence)

    def _new_owner(self, record: FilingRecord, licence: str) -> _Owner:
        owner = _Owner(
            self._next_subject, licence, record.subject, record.account, record.certificate
        )
        self._next_subject += 1
        self._owners[licence] = owner
        if record.account is not None:
            self._accounts[record.account] = licence
        if record.certificate is not None:
            self._certificates[record.certificate] = licence
        self._new_subjects.append(
            (
                owner.id,
                licence,
                record.number.subject.province,
                record.subject,
                folded(record.subject),
                record.subject_kind.value,
                record.account,
                record.certificate,
                self._work.now,
                self._work.now,
            )
        )
        return owner

    def _bind(self, owner: _Owner, record: FilingRecord) -> bool:
        """Give a subject the account and certificate that it lacks; True if there was any."""
        before = (owner.account, owner.certificate)
        if owner.account is None and record.account is not None:
            owner.account = record.account
            self._accounts[record.account] = owner.licence
        if owner.certificate is None and record.certificate is not None:
            owner.certificate = record.certificate
            self._certificates[record.certificate] = owner.licence
        if before == (owner.account, owner.certificate):
            return False
        self._bound[owner.id] = owner
        return True

    def _new_site(self, owner: _Owner, record: FilingRecord) -> _Site:
        number = record.number
        site = _Site(self._next_service, number, record.service, record.suspended)
        self._next_service += 1
        owner.sites[(number.kind, number.site)] = site
        if owner.hollow:
            owner.hollow = False
            self._filled.append(owner.id)
        self._new_services.append(
            (
                site.id,
                owner.id,
                number.kind.value,
                number.site,
                record.service,
                record.suspended,
                self._work.now,
                self._work.now,
            )
        )
        return site

    def _check_fits(self, record: FilingRecord, site: _Site) -> None:
        """A domain that a service gets beside others is what the service is.

        Name, access and suspension are the service's: a row that says otherwise of a further
        domain names the wrong number, or would open what it says is not open.
        """
        number = site.number
        own = self._work.provider
        theirs = domain_status(accessed=own in site.providers, suspended=site.suspended)
        if record.status(own) is not theirs:
            raise RegistryError(
                "service_status_differs",
                field="status",
                licence=number,
                status=theirs.value,
                given=record.status(own).value,
            )
        if record.service not in (record.domain, site.name) and site.name not in site.domains:
            raise RegistryError(
                "service_name_differs", field="service", licence=number, name=site.name
            )
        check_count(len(site.domains) + 1, number.kind, field="domain")

    def _name(self, site: _Site, record: FilingRecord) -> None:
        """Give a service the name that it lacks: without one it has its first domain's."""
        if record.service != record.domain and site.name in site.domains:
            site.name = record.service
            self._named[site.id] = site

    def _join(self, site: _Site, record: FilingRecord) -> bool:
        """Add the access filings that are new; True if there are any."""
        added = [name for name in record.providers if name not in site.providers]
        for name in added:
            site.providers.add(name)
            self._new_accesses.append((site.id, name, self._work.now))
        if self._work.provider in added:
            self._touched.update(dict.fromkeys(site.domains, site))
        return bool(added)

    def _read(self, records: Sequence[FilingRecord]) -> None:
        """Read the records that these filings could touch."""
        names = {record.domain for record in records}
        held = self._select(
            domains.c.domain,
            names,
            domains.c.licence,
            domains.c.service_id,
            domains.c.changed_at,
            domains.c.never_filed,
        )
        waiting = self._select(reservations.c.domain, names, reservations.c.order_id)
        self._reserved = dict(tuple(row) for row in waiting)
        changing = self._select(
            order_items.c.target,
            {str(record.number) for record in records},
            order_items.c.order_id,
            where=(
                select(orders.c.id)
                .join(reservations, reservations.c.order_id == orders.c.id)
                .where(
                    orders.c.id == order_items.c.order_id,
                    orders.c.type == OrderType.CHANGE_SERVICE,
                )
                .exists()
            ),
        )
        self._changing = dict(tuple(row) for row in changing)
        self._read_owners(records)
        sites = {site.id: site for owner in self._owners.values() for site in owner.sites.values()}
        for domain, licence, service, changed_at, never_filed in held:
            if never_filed:
                continue
            if service is None:
                self._cancelled[domain] = changed_at
            else:
                # A holder that is none of this chunk's subjects is only named in a refusal.
                self._holders[domain] = (licence, sites.get(service))
        for service, domain in self._select(domains.c.service_id, sites, domains.c.domain):
            sites[service].domains.append(domain)
        for service, provider in self._select(accesses.c.service_id, sites, accesses.c.provider):
            sites[service].providers.add(provider)

    def _read_owners(self, records: Sequence[FilingRecord]) -> None:
        columns = (
            subjects.c.id,
            subjects.c.name,
            subjects.c.account,
            subjects.c.certificate,
            subjects.c.hollow_since,
        )
        live = subjects.c.cancelled_at.is_(None)
        licences = {str(record.number.subject): record.number.subject for record in records}
        found: dict[int, _Owner] = {}
        for row in self._select(subjects.c.licence, licences, *columns, where=live):
            hollow = row.hollow_since is not None
            owner = _Owner(row.id, row.licence, row.name, row.account, row.certificate, hollow)
            self._owners[owner.licence] = found[owner.id] = owner
        for column, holders, keys in (
            (subjects.c.account, self._accounts, {record.account for record in records}),
            (subjects.c.certificate, self._certificates, {r.certificate for r in records}),
        ):
            for key, licence in self._select(column, keys - {None}, subjects.c.licence, where=live):
                holders[key] = licence
        for row in self._select(
            services.c.subject_id,
            found,
            services.c.id,
            services.c.kind,
            services.c.site,
            services.c.name,
            services.c.suspended,
            where=services.c.cancelled_at.is_(None),
        ):
            owner = found[row.subject_id]
            kind = ServiceKind(row.kind)
            number = ServiceNumber(licences[owner.licence], kind, row.site)
            owner.sites[(kind, row.site)] = _Site(row.id, number, row.name, row.suspended)

    def _select(
        self,
        key: ColumnElement[Any],
        keys: Iterable[Any],
        *columns: ColumnElement[Any],
        where: ColumnElement[bool] | None = None,
    ) -> Sequence[Any]:
        """Return rows of `key` and `columns` for the keys given, which travel as one parameter."""
        wanted = list(keys)
        if not wanted:
            return []
        if self._work.connection.dialect.name == "sqlite":
            listed = select(func.json_each(json.dumps(wanted)).table_valued("value").c.value)
            query = select(key, *columns).where(key.in_(listed))
        else:
            query = select(key, *columns).where(key == any_(literal(wanted, ARRAY(key.type))))
        if where is not None:
            query = query.where(where)
        return self._work.connection.execute(query).all()


def day(moment: int) -> str:
    """Return the date of a moment in China, where the filing system keeps time."""
    return time.strftime("%Y-%m-%d", time.gmtime(moment + 8 * 3600))
