"""Blocked names that visitors ask for, matched to the accounts whose they seem to be.

A look takes the names that were asked for most and puts what it finds into a table of its own, so
that an owner's page costs one read. It knows no more than the registry does: filings, verified
owners, orders, and the networks that the provider has said are an account's.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, delete, func, insert, select

from gate.filings import Status
from gate.licence import ServiceKind
from gate.names import registrable, to_display
from gate.registry import log
from gate.registry.blocked_names import read_destinations
from gate.registry.database import Database
from gate.registry.fields import fileable_domain
from gate.registry.gate_schema import blocked_matches, unfiled
from gate.registry.orders.entries import ItemEntry, OrderEntry, SubjectEntry
from gate.registry.orders.states import END_STATES
from gate.registry.schema import (
    accounts,
    domain_owners,
    domains,
    order_items,
    orders,
    reservations,
    services,
    subjects,
)
from gate.registry.sightings.networks import accounts_of
from gate.registry.sightings.views import BlockedMatch, Evidence

MOST_NAMES: Final = 20_000
"""Names of a look, those that were asked for most."""
RECENT_SECONDS: Final = 30 * 86_400
"""How long ago a name may have been asked for last."""
_PART: Final = 500


@dataclass(slots=True)
class _BlockedDomain:
    """A registrable domain, and what was asked for at or below it."""

    reason: str
    requests: int
    first_seen: int
    last_seen: int
    addresses: set[str]


def match_all(database: Database, *, now: int) -> int:
    """Look at what is blocked, and keep whose it seems; give back how many domains those are."""
    with database.read() as connection:
        asked = _asked(connection, now)
        found = dict(_match(connection, asked))
    rows = [
        {
            "domain": name,
            "account": account,
            "evidence": evidence.value,
            "reason": asked[name].reason,
            "requests": asked[name].requests,
            "first_seen": asked[name].first_seen,
            "last_seen": asked[name].last_seen,
        }
        for name, (account, evidence) in sorted(found.items())
    ]
    with database.write() as connection:
        log.head(connection, lock=True)  # two registries on one database take turns
        connection.execute(delete(blocked_matches))
        if rows:
            connection.execute(insert(blocked_matches), rows)
    return len(rows)


def find_matches(
    connection: Connection,
    *,
    account: str | None,
    domain: str | None = None,
    after: str,
    limit: int,
) -> list[BlockedMatch]:
    """Return blocked domains that seem an account's (any's, if none is given), beyond `after`.

    With `domain`, only that one, or the one above it. Raises RegistryError `domain_invalid`.
    """
    table = blocked_matches
    query = select(table).where(table.c.domain > after).order_by(table.c.domain).limit(limit)
    if account is not None:
        query = query.where(table.c.account == account)
    if domain is not None:
        query = query.where(table.c.domain == registrable(fileable_domain(domain)))
    return _with_drafts(connection, connection.execute(query).all())


def match_of(connection: Connection, domain: str, *, account: str) -> BlockedMatch | None:
    """Return a blocked domain that seems an account's; None if it does not."""
    table = blocked_matches
    query = select(table).where(table.c.domain == domain, table.c.account == account)
    found = _with_drafts(connection, connection.execute(query).all())
    return found[0] if found else None


def _with_drafts(connection: Connection, rows: Sequence[Any]) -> list[BlockedMatch]:
    names = [row.domain for row in rows]
    filed = _filings(connection, names)
    open_orders = _open_orders(connection, names)
    return [
        BlockedMatch(
            **row._mapping,
            display=to_display(row.domain),
            order=(number := open_orders.get((row.domain, row.account))),
            draft=(
                _draft(connection, row.domain, row.account, filed.get(row.domain))
                if number is None
                else None
            ),
        )
        for row in rows
    ]


def _asked(connection: Connection, now: int) -> dict[str, _BlockedDomain]:
    """Return the registrable domains of what was asked for most."""
    total = func.sum(unfiled.c.count).label("requests")
    rows = connection.execute(
        select(
            unfiled.c.name,
            total,
            func.min(unfiled.c.first_seen).label("first_seen"),
            func.max(unfiled.c.last_seen).label("last_seen"),
            func.max(unfiled.c.reason).label("reason"),
        )
        .where(unfiled.c.last_seen >= now - RECENT_SECONDS)
        .group_by(unfiled.c.name)
        .order_by(total.desc(), unfiled.c.name)
        .limit(MOST_NAMES)
    ).all()
    addresses = _addresses(connection, [row.name for row in rows])
    found: dict[str, _BlockedDomain] = {}
    for row in rows:
        domain = registrable(row.name)
        if domain is None:
            continue
        had = found.get(domain)
        if had is None:
            found[domain] = had = _BlockedDomain(
                row.reason, 0, row.first_seen, row.last_seen, set()
            )
        had.requests += int(row.requests)
        had.first_seen = min(had.first_seen, row.first_seen)
        had.last_seen = max(had.last_seen, row.last_seen)
        had.addresses |= addresses.get(row.name, set())
    return found


def _addresses(connection: Connection, names: Sequence[str]) -> Mapping[str, set[str]]:
    found: dict[str, set[str]] = defaultdict(set)
    for some in _parts(names):
        told = select(unfiled.c.name, unfiled.c.destinations).where(
            unfiled.c.name.in_(some), unfiled.c.destinations.is_not(None)
        )
        for name, text in connection.execute(told):
            found[name].update(each.address for each in read_destinations(text))
    return found


def _match(
    connection: Connection, asked: Mapping[str, _BlockedDomain]
) -> Iterator[tuple[str, tuple[str, Evidence]]]:
    """Yield whose domains seem; of several signs the strongest counts."""
    for some in _parts(sorted(asked)):
        filed = {
            name: row.account
            for name, row in _filings(connection, some).items()
            if row.account is not None
        }
        owned = _owned(connection, some)
        named = _named(connection, some)
        hosts = accounts_of(
            connection, {address for name in some for address in asked[name].addresses}
        )
        for name in some:
            at = sorted({hosts[one] for one in asked[name].addresses if one in hosts})
            signs = (
                (filed.get(name), Evidence.FILING),
                (owned.get(name), Evidence.OWNER),
                (named.get(name), Evidence.ORDER),
                (at[0] if len(at) == 1 else None, Evidence.ADDRESS),  # of two it is nobody's
            )
            for account, evidence in signs:
                if account is not None:
                    yield name, (account, evidence)
                    break


def _filings(connection: Connection, names: Sequence[str]) -> dict[str, Any]:
    """Return what is on record of domains, with the service and the subject."""
    rows = connection.execute(
        select(
            domains.c.domain,
            domains.c.status,
            services.c.name.label("service"),
            services.c.kind,
            subjects.c.licence,
            subjects.c.name.label("subject"),
            subjects.c.account,
        )
        .join(services, services.c.id == domains.c.service_id)
        .join(subjects, subjects.c.id == services.c.subject_id)
        .where(domains.c.domain.in_(names))
    )
    return {row.domain: row for row in rows}


def _owned(connection: Connection, names: Sequence[str]) -> dict[str, str]:
    """Return the account that was verified as a domain's owner; none if several were."""
    owners = {
        row.domain: row.owner
        for row in connection.execute(
            select(domain_owners.c.domain, domain_owners.c.owner).where(
                domain_owners.c.domain.in_(names)
            )
        )
    }
    if not owners:
        return {}
    of: dict[str, set[str]] = defaultdict(set)
    wanted = sorted(set(owners.values()))
    verified = select(accounts.c.name, accounts.c.account).where(accounts.c.name.in_(wanted))
    on_record = select(subjects.c.name, subjects.c.account).where(
        subjects.c.name.in_(wanted),
        subjects.c.cancelled_at.is_(None),
        subjects.c.account.is_not(None),
    )
    for query in (verified, on_record):
        for name, account in connection.execute(query):
            of[name].add(account)
    return {
        domain: next(iter(of[owner])) for domain, owner in owners.items() if len(of[owner]) == 1
    }


def _named(connection: Connection, names: Sequence[str]) -> dict[str, str]:
    """Return the account whose order holds a domain, else the only one that has named it.

    Anybody may write any name into a draft: that takes it from nobody.
    """
    holding = (
        select(reservations.c.domain, orders.c.account)
        .join(orders, orders.c.id == reservations.c.order_id)
        .where(reservations.c.domain.in_(names))
    )
    held = {row.domain: row.account for row in connection.execute(holding)}
    naming = (
        select(order_items.c.target, orders.c.account)
        .join(orders, orders.c.id == order_items.c.order_id)
        .where(order_items.c.target.in_(names))
        .distinct()
    )
    of: dict[str, set[str]] = defaultdict(set)
    for row in connection.execute(naming):
        of[row.target].add(row.account)
    return {name: next(iter(told)) for name, told in of.items() if len(told) == 1} | held


def _open_orders(connection: Connection, names: Sequence[str]) -> dict[tuple[str, str], int]:
    ended = [state.value for state in END_STATES]
    rows = connection.execute(
        select(order_items.c.target, orders.c.account, orders.c.id)
        .join(orders, orders.c.id == order_items.c.order_id)
        .where(order_items.c.target.in_(names), orders.c.state.not_in(ended))
        .order_by(orders.c.id)
    )
    return {(row.target, row.account): row.id for row in rows}


def _draft(connection: Connection, domain: str, account: str, filed: Any) -> OrderEntry | None:
    """Return what an order for a blocked domain would name; None where no order opens it."""
    if filed is not None and filed.status != Status.FILED_ELSEWHERE.value:
        return None  # suspended: not for an owner to mend
    subject = _subject_of(connection, account, filed)
    item = ItemEntry(domains=(domain,))
    if filed is not None:
        item = ItemEntry(kind=ServiceKind(filed.kind), name=filed.service, domains=(domain,))
    return OrderEntry(subject=subject, items=(item,))


def _subject_of(connection: Connection, account: str, filed: Any) -> SubjectEntry:
    if filed is not None:
        return SubjectEntry(name=filed.subject, licence=filed.licence)
    row = connection.execute(
        select(subjects.c.licence, subjects.c.name).where(
            subjects.c.account == account, subjects.c.cancelled_at.is_(None)
        )
    ).one_or_none()
    if row is not None:
        return SubjectEntry(name=row.name, licence=row.licence)
    name = connection.execute(
        select(accounts.c.name).where(accounts.c.account == account)
    ).scalar_one_or_none()
    return SubjectEntry(name=name)


def _parts(items: Sequence[str]) -> Iterable[Sequence[str]]:
    return (items[start : start + _PART] for start in range(0, len(items), _PART))
