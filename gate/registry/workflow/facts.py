"""What the provider knows beside the filings: who accounts were verified as, who owns domains.

The provider's own systems report it (`PUT /v1/accounts/…`, `PUT /v1/domain-owners/…`); the rules
compare orders with it.
"""

from __future__ import annotations

from typing import Final

from pydantic import Field
from sqlalchemy import Connection, delete, func, insert, select

from gate.licence import ServiceKind
from gate.net.model import Model
from gate.registry.commands import SubjectKind, Text
from gate.registry.errors import RegistryError, Said
from gate.registry.fields import clean_identifier, clean_text, fileable_domain
from gate.registry.operations.transaction import Lookup
from gate.registry.operations.work import Work
from gate.registry.orders.entries import OrderEntry
from gate.registry.orders.rule_texts import Finding
from gate.registry.orders.rules import Checker, DomainOwner, Facts, VerifiedAccount
from gate.registry.schema import accounts, domain_owners, services, subjects
from gate.registry.workflow.classify import (
    Records,
    check_subject,
    look_up,
    order_type,
    province_of,
)
from gate.registry.workflow.record import Order


class AccountFacts(Model):
    """账号实名认证 / who an account was verified as."""

    name: Text = Field(description="实名认证名称 / verified name")
    verified_at: int = Field(ge=0, le=2**53, strict=True, description="Unix seconds")


class OwnerFacts(Model):
    """域名实名 / a domain's verified owner."""

    owner: Text = Field(description="实名所有者 / verified owner")
    verified_at: int = Field(ge=0, le=2**53, strict=True, description="Unix seconds")
    here: bool = Field(False, description="在本服务商注册 / registered with this provider")


_AHEAD_SECONDS: Final = 86_400
"""How far the clock of the provider's systems may be ahead."""
_LATEST: Final = 4_102_444_800
"""2100: times that were taken before they were looked at may be such that no calendar has."""

VERIFIED: Final = Lookup(
    accounts.c.account,
    accounts,
    lambda row: VerifiedAccount(row.name, min(row.verified_at, _LATEST)),
)
OWNER: Final = Lookup(
    domain_owners.c.domain,
    domain_owners,
    lambda row: DomainOwner(row.owner, min(row.verified_at, _LATEST), row.here),
)


def put_account(connection: Connection, account: str, known: AccountFacts, *, now: int) -> None:
    """Keep who an account was verified as. Raises RegistryError."""
    _not_ahead(known.verified_at, now)
    account = clean_identifier(account, field="account")
    name = clean_text(known.name, field="name")
    connection.execute(delete(accounts).where(accounts.c.account == account))
    connection.execute(
        insert(accounts).values(account=account, name=name, verified_at=known.verified_at)
    )


def put_owner(connection: Connection, domain: str, known: OwnerFacts, *, now: int) -> None:
    """Keep a domain's verified owner. Raises RegistryError."""
    _not_ahead(known.verified_at, now)
    domain = fileable_domain(domain)
    owner = clean_text(known.owner, field="owner")
    connection.execute(delete(domain_owners).where(domain_owners.c.domain == domain))
    connection.execute(
        insert(domain_owners).values(
            domain=domain, owner=owner, verified_at=known.verified_at, here=known.here
        )
    )


def _not_ahead(moment: int, now: int) -> None:
    if moment > now + _AHEAD_SECONDS:
        detail = Said(
            "时间在将来；应为秒，不是毫秒", "it is in the future; write seconds, not milliseconds"
        )
        raise RegistryError("field_invalid", field="verified_at", detail=detail)


def check_order(work: Work, order: Order) -> list[Finding]:
    """Return what the rules find in an order by the records of now.

    Raises RegistryError as `order_type` and `check_subject` do.

    Of one that is opened provisionally nothing is found: the records are what the pass has made.
    """
    if order.opened:
        return []
    records = look_up(work, order.account, order.entry)
    check_subject(work, order.account, order.entry, records)
    order.type = order_type(work, order.entry, records)
    facts = facts_of(work, order.account, order.entry, records)
    return checker(work, facts).check(order.entry, order.type, facts)


def checker(work: Work, facts: Facts) -> Checker:
    """Return the rules of now, for a subject's province."""
    policy = work.policy
    return Checker(policy.limits, policy.rulebook.of(facts.province), policy.days, work.now)


def facts_of(work: Work, account: str, entry: OrderEntry, records: Records) -> Facts:
    """Return what is known of an order's account, subject and domains."""
    one = work.transaction.one
    unnamed = _unnamed(work, entry, records)
    names = [domain for item in entry.items for domain in item.domains]
    names += [domain for more in unnamed.values() for domain in more]
    owners = {name: one(OWNER, name) for name in names}
    count, apps, kind, name = 0, frozenset[str](), None, None
    subject = records.subject
    if subject is not None:
        name = subject.name
        execute = work.reading.execute
        kind = execute(select(subjects.c.kind).where(subjects.c.id == subject.id)).scalar_one()
        live = (services.c.subject_id == subject.id, services.c.cancelled_at.is_(None))
        count = execute(select(func.count()).select_from(services).where(*live)).scalar_one()
        if any(item.kind is not ServiceKind.WEBSITE for item in entry.items):
            others = services.c.kind != ServiceKind.WEBSITE.value
            apps = frozenset(execute(select(services.c.name).where(*live, others)).scalars())
    return Facts(
        account=account,
        verified=one(VERIFIED, account),
        owners={name: owner for name, owner in owners.items() if owner is not None},
        subject_name=name,
        subject_kind=None if kind is None else SubjectKind(kind),
        province=province_of(entry, records),
        services=count,
        known=subject is not None,
        owned=subject is not None and subject.account == account,
        app_names=apps,
        websites={
            place: frozenset(work.domains_of(service))
            for place, (item, service) in enumerate(zip(entry.items, records.services, strict=True))
            if service is not None
            and service.kind is ServiceKind.WEBSITE
            and item.new_domains is not None
        },
        unnamed=unnamed,
    )


def _unnamed(work: Work, entry: OrderEntry, records: Records) -> dict[int, tuple[str, ...]]:
    """Return, of the items that name services on record by some domains, the other domains."""
    found: dict[int, tuple[str, ...]] = {}
    for place, (item, service) in enumerate(zip(entry.items, records.services, strict=True)):
        if service is not None and item.domains:
            more = sorted(set(work.domains_of(service)).difference(item.domains))
            if more:
                found[place] = tuple(more)
    return found
