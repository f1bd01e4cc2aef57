"""What an operator decides for every gate: an exemption or a suspension of a name, for a time.

It lies over the records, which stay what they are: while it is in force the change log, and so
every gate, has `filed` or `suspended` for the domain, whatever happens to its filing meanwhile.
At its end they get what the records say by then. To an old gate it is a change as any other, and
its end another one, which `sweep` sends; one of today reads when it is over, and what the domain is
then, from the text beside the status (`gate.replica.endings`), so that it ends also where the
registry is not heard.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from sqlalchemy import bindparam, delete, insert, select, update

from gate.filings import Change, OverrideKind, Status
from gate.names import registrable
from gate.registry.commands import EndOverride, ExemptDomain, SuspendDomain
from gate.registry.errors import RegistryError
from gate.registry.fields import clean_text, fileable_domain
from gate.registry.operations.transaction import Lookup
from gate.registry.operations.work import DOMAIN, HeldDomain, Work
from gate.registry.schema import domains, overrides
from gate.replica.endings import Ending


@dataclass(slots=True, frozen=True)
class FleetOverride:
    """A decision that is in force. Times are Unix seconds; `until` None has no end."""

    domain: str
    kind: OverrideKind
    until: int | None

    def over(self, change: Change) -> Change:
        """Return what gates are told in place of a change of the records."""
        exempt = self.kind is OverrideKind.EXEMPT
        status = Status.FILED if exempt else Status.SUSPENDED
        if change.status is status or (exempt and self.until is None):
            return change
        text = change.licence
        if self.until is not None:
            text = Ending(self.until, change.status, change.licence).beside(status)
        return Change(change.domain, status, text, change.time)


IN_FORCE: Final[Lookup[tuple[FleetOverride, ...]]] = Lookup(
    overrides.c.kind,
    (overrides.c.domain, overrides.c.kind, overrides.c.until),
    lambda row: (FleetOverride(row.domain, OverrideKind(row.kind), row.until),),
    joined=True,
)
"""All decisions of a kind: there are few."""

_TOLD: Final = (
    update(overrides)
    .where(overrides.c.domain == bindparam("name"))
    .values(
        status=bindparam("new_status"),
        licence=bindparam("new_licence"),
        revision=bindparam("new_revision"),
        changed_at=bindparam("new_changed_at"),
    )
)


def exempt(work: Work, command: ExemptDomain) -> str:
    """Let a domain and what is below it pass at every gate, for a time. Raises RegistryError."""
    return _put(work, command.domain, OverrideKind.EXEMPT, command.seconds, command.reason)


def suspend_domain(work: Work, command: SuspendDomain) -> str:
    """Block a domain and what is below it at every gate. Raises RegistryError."""
    return _put(work, command.domain, OverrideKind.SUSPENDED, command.seconds, command.reason)


def end_override(work: Work, command: EndOverride) -> str:
    """End an exemption or a suspension. Raises RegistryError `override_unknown`."""
    domain = fileable_domain(command.domain)
    if not any(one.domain == domain for one in _all(work)):
        raise RegistryError("override_unknown", field="domain", domain=domain)
    return end(work, domain)


def end(work: Work, domain: str) -> str:
    """Forget a decision; gates get what the records say of the domain."""
    work.connection.execute(delete(overrides).where(overrides.c.domain == domain))
    return _tell(work, domain)


def ended(work: Work) -> list[str]:
    """Return the domains whose exemption or suspension is over by now."""
    query = select(overrides.c.domain).where(overrides.c.until <= work.now)
    return list(work.reading.execute(query.order_by(overrides.c.until)).scalars())


def cover(work: Work) -> None:
    """Put the decisions in force over the changes of a transaction, before it is logged."""
    if not work.changes:
        return
    found = {one.domain: one for one in _all(work)}
    told = []
    for place, change in enumerate(work.changes):
        override = found.get(change.domain)
        if override is None:
            continue
        work.changes[place] = shown = override.over(change)
        told.append(
            {
                "name": shown.domain,
                "new_status": shown.status.value,
                "new_licence": shown.licence,
                "new_revision": work.head.revision + place + 1,
                "new_changed_at": shown.time,
            }
        )
    for row in told:
        work.connection.execute(_TOLD, row)


def _all(work: Work) -> list[FleetOverride]:
    return [
        one for kind in OverrideKind for one in work.transaction.one(IN_FORCE, kind.value) or ()
    ]


def _put(work: Work, text: str, kind: OverrideKind, seconds: int | None, reason: str) -> str:
    domain = fileable_domain(text)
    held = work.transaction.one(DOMAIN, domain)
    above = registrable(domain)
    if above is not None and above != domain and (held is None or held.service is None):
        # A gate goes by the nearest name that it knows: at the end, what is filed above this one
        # would not count for it any more.
        raise RegistryError("override_below", field="domain", domain=domain, registrable=above)
    row = {
        "domain": domain,
        "kind": kind.value,
        "until": None if seconds is None else work.now + seconds,
        "reason": clean_text(reason, field="reason"),
        "made_by": work.actor,
        "since": work.now,
        "status": "",
        "licence": "",
        "revision": 0,
        "changed_at": work.now,
    }
    work.connection.execute(delete(overrides).where(overrides.c.domain == domain))
    work.connection.execute(insert(overrides), row)
    return _tell(work, domain)


def _tell(work: Work, domain: str) -> str:
    """Have gates told of a domain anew; gives back its licence number."""
    held = work.transaction.one(DOMAIN, domain)
    status = Status.ABSENT if held is None else Status(held.status)
    licence = "" if held is None else held.licence
    work.changes.append(Change(domain, status, licence, work.now))
    revision = work.head.revision + len(work.changes)
    service = None if held is None else held.service
    told = HeldDomain(status.value, licence, service, work.now, revision)
    if held is None:
        row = told.values() | {"domain": domain, "never_filed": True}
        work.connection.execute(insert(domains), row)
    else:
        work.connection.execute(
            update(domains).where(domains.c.domain == domain).values(**told.values())
        )
    return licence
