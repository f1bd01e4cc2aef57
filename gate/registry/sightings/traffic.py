"""Which filed domains have traffic, as gates report it by the day, and which have none.

A gate tells a domain at most a few times a day, and nothing of who asked. That nobody asked for a
domain can be said only of days of which every gate has told all: each gate's row says since when it
has reported without a gap, and `watch` what that comes to for the fleet.
"""

from __future__ import annotations

from datetime import date, timedelta
from typing import Final

from sqlalchemy import ColumnElement, Connection, func, insert, select, tuple_, update

from gate.names import to_display
from gate.registry import log
from gate.registry.errors import RegistryError, Said
from gate.registry.fields import clean_identifier
from gate.registry.gate_schema import gate_standings, traffic_gates
from gate.registry.gates import GONE_SECONDS
from gate.registry.orders.working_days import china_date, china_midnight
from gate.registry.schema import FILED, domains, services, stirred, subjects
from gate.registry.sightings.views import IdleFiling, TrafficReport, TrafficTaken, Watch

_LATE_DAYS: Final = 7
"""How old a report's day may be: a registry that was away is told late."""
_DAY: Final = 86_400


def take_traffic(connection: Connection, report: TrafficReport, *, now: int) -> TrafficTaken:
    """Keep what a gate tells of a day, in an open write transaction. Told again it is the same.

    Raises RegistryError `field_invalid` for a day that can't be.
    """
    gate = clean_identifier(report.gate, field="gate")
    today = china_date(now)
    if not today - timedelta(_LATE_DAYS) <= report.day <= today + timedelta(1):
        detail = Said("日期不在近七天内", "not one of the last seven days; check the gate's clock")
        raise RegistryError("field_invalid", field="day", detail=detail)
    day = report.day.toordinal()
    log.head(connection, lock=True)  # others write these rows, too, in an order of their own
    _heard(connection, gate, day, lost=report.lost)
    named = domains.c.domain.in_(sorted(set(report.domains)))
    known = connection.execute(select(func.count()).select_from(domains).where(named)).scalar_one()
    seen = china_midnight(report.day)
    connection.execute(update(domains).where(named, domains.c.seen_at < seen).values(seen_at=seen))
    return TrafficTaken(taken=known)


def _heard(connection: Connection, gate: str, day: int, *, lost: bool) -> None:
    """Note that a gate has told of a day, and a gap if there is one since the day before."""
    table = traffic_gates
    row = connection.execute(select(table).where(table.c.gate == gate)).one_or_none()
    if row is None:
        since = day + 1  # of the day on which it began nobody knows all
        connection.execute(
            insert(table).values(gate=gate, first_day=since, whole_since=since, last_day=day)
        )
        return
    whole = row.whole_since
    if lost or day > row.last_day + 1:
        whole = max(whole, day + 1)
    values = {"whole_since": whole, "last_day": max(row.last_day, day)}
    connection.execute(update(table).where(table.c.gate == gate).values(**values))


def watch(connection: Connection, days: int, *, now: int) -> Watch:
    """Return how far the gates' word goes, for so many days without traffic."""
    today = china_date(now).toordinal()
    gates = connection.execute(select(traffic_gates)).all()
    first = min((row.first_day for row in gates), default=None)
    # Who joined later carried no traffic before; who was silent for a while may have.
    gaps = [row.whole_since for row in gates if row.whole_since > row.first_day]
    since = None if first is None else max([first, *gaps])
    reporting = {row.gate for row in gates if row.last_day >= today - 1}
    heard = gate_standings.c.seen_at >= now - GONE_SECONDS
    known = set(connection.execute(select(gate_standings.c.gate).where(heard)).scalars())
    silent = tuple(sorted(known - reporting))
    return Watch(
        days=days,
        since=None if since is None else date.fromordinal(since),
        silent=silent,
        sufficient=since is not None and since <= today - days and not silent,
    )


def find_idle(
    connection: Connection,
    days: int,
    *,
    now: int,
    after: str,
    limit: int,
    with_account: bool = False,
) -> list[IdleFiling]:
    """Return filed domains without traffic for `days`, longest first, beyond `after`.

    That is the `place` of the last one of the page before, and "" at the beginning. None while
    the gates' word does not go so far. A domain whose record has changed within these days is not
    among them: it may not have been open before. Raises RegistryError `cursor_invalid`.
    """
    if not watch(connection, days, now=now).sufficient:
        return []
    fits: list[ColumnElement[bool]] = [_is_idle(days, now)]
    if after:
        moment, domain = _read_place(after)
        # The first part is what SQLite looks up; the second is exact.
        fits += [stirred >= moment, tuple_(stirred, domains.c.domain) > (moment, domain)]
    if with_account:
        fits.append(subjects.c.account.is_not(None))
    rows = connection.execute(
        select(
            domains.c.domain,
            domains.c.licence,
            domains.c.changed_at,
            domains.c.seen_at,
            subjects.c.account,
            subjects.c.name,
        )
        .join(services, services.c.id == domains.c.service_id)
        .join(subjects, subjects.c.id == services.c.subject_id)
        .where(FILED, *fits)
        .order_by(stirred, domains.c.domain)
        .limit(limit)
    )
    return [
        IdleFiling(
            domain=row.domain,
            display=to_display(row.domain),
            licence=row.licence,
            account=row.account,
            subject=row.name,
            last_day=china_date(row.seen_at) if row.seen_at else None,
            changed_at=row.changed_at,
        )
        for row in rows
    ]


def count_idle(connection: Connection, days: int, *, now: int) -> int | None:
    """Return how many filed domains `find_idle` would list in all; None if that can't be said."""
    if not watch(connection, days, now=now).sufficient:
        return None
    query = select(func.count()).select_from(domains).where(FILED, _is_idle(days, now))
    return connection.execute(query).scalar_one()


def _is_idle(days: int, now: int) -> ColumnElement[bool]:
    # A midnight is so long ago just when its day is `days` before today, or earlier.
    return stirred <= now - days * _DAY


def place(filing: IdleFiling) -> str:
    """Return where the page after this filing begins, for `find_idle`."""
    seen = 0 if filing.last_day is None else china_midnight(filing.last_day)
    return f"{max(seen, filing.changed_at)} {filing.domain}"


def _read_place(text: str) -> tuple[int, str]:
    """Read what `place` wrote. Raises RegistryError `cursor_invalid`."""
    moment, _, domain = text.partition(" ")
    if not (moment.isascii() and moment.isdigit() and len(moment) <= 15):
        raise RegistryError("cursor_invalid", field="cursor")
    return int(moment), domain
