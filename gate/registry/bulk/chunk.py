"""Some thousand filings put on record at once, by the same rules as one at a time.

The records that a chunk could touch are read with a few queries, the rules are applied in memory
line by line, and what is new is written with a few more. The log's lock keeps everybody else out
meanwhile.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import (
    ARRAY,
    ColumnElement,
    any_,
    bindparam,
    func,
    insert,
    literal,
    select,
    update,
)

from gate.registry.bulk.record import FilingRecord
from gate.registry.errors import RegistryError, Said
from gate.registry.licence import ServiceKind, ServiceNumber
from gate.registry.operations import Work
from gate.registry.rules import MAX_DOMAINS, domain_status
from gate.registry.schema import accesses, domains, reservations, services, subjects
from gate.replica import Change


@dataclass(slots=True)
class _Site:
    """A live service: on record, or new in this chunk."""

    id: int
    number: ServiceNumber
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
    sites: dict[tuple[ServiceKind, int], _Site] = field(default_factory=dict)


class Chunk:
    """The records around some filings, and what the filings add to them."""

    def __init__(self, work: Work, records: Sequence[FilingRecord]) -> None:
        self._work = work
        self._owners: dict[str, _Owner] = {}
        self._accounts: dict[str, str] = {}
        self._certificates: dict[str, str] = {}
        # Domains that are held: the number, and the service if it is known here.
        self._holders: dict[str, tuple[str, _Site | None]] = {}
        self._reserved: dict[str, int] = {}
        self._read(records)
        self._next_subject = work.new_id(subjects)
        self._next_service = work.new_id(services)
        self._new_subjects: list[dict[str, Any]] = []
        self._new_services: list[dict[str, Any]] = []
        self._new_accesses: list[dict[str, Any]] = []
        self._bound: list[dict[str, Any]] = []
        self._touched: dict[str, _Site] = {}

    def add(self, record: FilingRecord) -> bool:
        """Take one filing; False if it is on record already, just so.

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
        self._check_owner(record, owner, licence)
        if site is not None:  # on record already, under this very number
            bound = self._bind(owner, record.account)
            return self._join(site, record) or bound
        if owner is not None:
            site = owner.sites.get((number.kind, number.site))
        if site is not None:
            _check_room(site)
        if owner is None:
            owner = self._new_owner(record, licence)
        self._bind(owner, record.account)
        if site is None:
            site = self._new_site(owner, record)
        self._join(site, record)
        site.domains.append(record.domain)
        self._holders[record.domain] = (str(number), site)
        self._touched[record.domain] = site
        return True

    def write(self) -> None:
        """Write what was taken, and add the changes to the unit of work."""
        connection = self._work.connection
        for table, rows in (
            (subjects, self._new_subjects),
            (services, self._new_services),
            (accesses, self._new_accesses),
        ):
            if rows:
                connection.execute(insert(table), rows)
        if self._bound:
            connection.execute(
                update(subjects)
                .where(subjects.c.id == bindparam("subject"))
                .values(account=bindparam("given"), changed_at=self._work.now),
                self._bound,
            )
        self._write_domains()

    def _write_domains(self) -> None:
        work = self._work
        rows = self._select(domains.c.domain, self._touched, domains.c.status, domains.c.licence)
        known = {row.domain: (row.status, row.licence) for row in rows}
        added: list[dict[str, Any]] = []
        changed: list[dict[str, Any]] = []
        for domain, site in self._touched.items():
            status = domain_status(
                accessed=work.provider in site.providers, suspended=site.suspended
            )
            licence = str(site.number)
            if known.get(domain) == (status.value, licence):
                continue
            work.changes.append(Change(domain, status, licence, work.now))
            (changed if domain in known else added).append(
                {
                    "name": domain,
                    "new_status": status.value,
                    "new_licence": licence,
                    "new_revision": work.head.revision + len(work.changes),
                    "service": site.id,
                }
            )
        values: dict[Any, Any] = {
            domains.c.status: bindparam("new_status"),
            domains.c.licence: bindparam("new_licence"),
            domains.c.revision: bindparam("new_revision"),
            domains.c.service_id: bindparam("service"),
            domains.c.changed_at: work.now,
        }
        if added:
            work.connection.execute(
                insert(domains).values({domains.c.domain: bindparam("name"), **values}), added
            )
        if changed:
            work.connection.execute(
                update(domains).where(domains.c.domain == bindparam("name")).values(values),
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

    def _new_owner(self, record: FilingRecord, licence: str) -> _Owner:
        owner = _Owner(self._next_subject, licence, record.subject, record.account)
        self._next_subject += 1
        self._owners[licence] = owner
        if record.account is not None:
            self._accounts[record.account] = licence
        if record.certificate is not None:
            self._certificates[record.certificate] = licence
        self._new_subjects.append(
            {
                "id": owner.id,
                "licence": licence,
                "province": record.number.subject.province,
                "name": record.subject,
                "kind": record.subject_kind.value,
                "account": record.account,
                "certificate": record.certificate,
                "created_at": self._work.now,
                "changed_at": self._work.now,
            }
        )
        return owner

    def _bind(self, owner: _Owner | None, account: str | None) -> bool:
        """Give a subject its account if it has none; True if it was given."""
        if owner is None or account is None or owner.account is not None:
            return False
        owner.account = account
        self._accounts[account] = owner.licence
        self._bound.append({"subject": owner.id, "given": account})
        return True

    def _new_site(self, owner: _Owner, record: FilingRecord) -> _Site:
        number = record.number
        site = _Site(self._next_service, number, record.suspended)
        self._next_service += 1
        owner.sites[(number.kind, number.site)] = site
        self._new_services.append(
            {
                "id": site.id,
                "subject_id": owner.id,
                "kind": number.kind.value,
                "site": number.site,
                "name": record.service,
                "suspended": record.suspended,
                "created_at": self._work.now,
                "changed_at": self._work.now,
            }
        )
        return site

    def _join(self, site: _Site, record: FilingRecord) -> bool:
        """Add the access filings that are new; True if there are any."""
        added = [name for name in record.providers if name not in site.providers]
        for name in added:
            site.providers.add(name)
            self._new_accesses.append(
                {"service_id": site.id, "provider": name, "since": self._work.now}
            )
        if self._work.provider in added:
            self._touched.update(dict.fromkeys(site.domains, site))
        return bool(added)

    def _read(self, records: Sequence[FilingRecord]) -> None:
        """Read the records that these filings could touch."""
        names = {record.domain for record in records}
        held = self._select(domains.c.domain, names, domains.c.licence, domains.c.service_id)
        waiting = self._select(reservations.c.domain, names, reservations.c.application_id)
        self._reserved = dict(tuple(row) for row in waiting)
        self._read_owners(records)
        sites = {site.id: site for owner in self._owners.values() for site in owner.sites.values()}
        for domain, licence, service in held:
            if service is not None:
                # A holder that is none of this chunk's subjects is only named in a refusal.
                self._holders[domain] = (licence, sites.get(service))
        for service, domain in self._select(domains.c.service_id, sites, domains.c.domain):
            sites[service].domains.append(domain)
        for service, provider in self._select(accesses.c.service_id, sites, accesses.c.provider):
            sites[service].providers.add(provider)

    def _read_owners(self, records: Sequence[FilingRecord]) -> None:
        columns = (subjects.c.id, subjects.c.name, subjects.c.account)
        live = subjects.c.cancelled_at.is_(None)
        licences = {str(record.number.subject): record.number.subject for record in records}
        found: dict[int, _Owner] = {}
        for row in self._select(subjects.c.licence, licences, *columns, where=live):
            owner = _Owner(row.id, row.licence, row.name, row.account)
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
            services.c.suspended,
            where=services.c.cancelled_at.is_(None),
        ):
            owner = found[row.subject_id]
            kind = ServiceKind(row.kind)
            number = ServiceNumber(licences[owner.licence], kind, row.site)
            owner.sites[(kind, row.site)] = _Site(row.id, number, row.suspended)

    def _select(
        self,
        key: ColumnElement[Any],
        keys: Iterable[Any],
        *columns: ColumnElement[Any],
        where: ColumnElement[bool] | None = None,
    ) -> Sequence[Any]:
        """Rows of `key` and `columns` for the keys given, which travel as one parameter."""
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


def _check_room(site: _Site) -> None:
    if site.number.kind is ServiceKind.WEBSITE and site.domains:
        raise RegistryError(
            "website_has_domain", field="domain", licence=site.number, domain=site.domains[0]
        )
    if len(site.domains) >= MAX_DOMAINS:
        raise RegistryError(
            "field_invalid",
            field="domain",
            detail=Said(
                f"App 最多 {MAX_DOMAINS} 个域名", f"an app has {MAX_DOMAINS} domains at most"
            ),
        )
