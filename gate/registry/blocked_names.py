"""The table of blocked names: reports added up, lists, and its bounds.

A row is a name at one gate; lists sum the gates up. What nobody has asked for in `KEEP_SECONDS`
is forgotten, and of more than `MAX_ROWS` rows the ones with the fewest requests go first, so that
a flood of made-up names can't fill the database or push out the real ones.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from ipaddress import ip_address
from itertools import chain
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    Row,
    Select,
    case,
    cast,
    delete,
    func,
    or_,
    select,
    tuple_,
)
from sqlalchemy.dialects import postgresql, sqlite

from gate.names import InvalidName, NameFault, canonical, to_display
from gate.policy.verdict import REMINDED
from gate.registry.errors import RegistryError
from gate.registry.fields import clean_identifier
from gate.registry.gate_schema import unfiled
from gate.registry.unfiled import (
    MAX_DESTINATIONS,
    RefusedName,
    ReportTaken,
    Sort,
    UnfiledAtGate,
    UnfiledDestination,
    UnfiledName,
    UnfiledQuery,
    UnfiledReport,
    UnfiledView,
)

MAX_ROWS: Final = 200_000
KEEP_SECONDS: Final = 90 * 86_400
AHEAD_SECONDS: Final = 3_600
"""How far a gate's clock may be ahead."""

_ROOM: Final = 10  # of so many rows, one makes room
_MOST: Final = 10**12  # requests of one row: sums of all rows stay far within 64 bits
_PAGE: Final = 10_000  # each page sorts the whole table


def take(connection: Connection, report: UnfiledReport, *, now: int) -> ReportTaken:
    """Add a report's counts, in an open write transaction.

    A name that can't be taken is refused with the reason, the others are taken. Raises
    RegistryError `field_invalid` for the gate's id.
    """
    gate = clean_identifier(report.gate, field="gate")
    rows: dict[str, UnfiledName] = {}
    refused = []
    for item in report.names:
        fault = _fault(item, now)
        if fault is None and item.name in rows:
            fault = "the name stands in this report twice; sum it up"
        if fault is None:
            rows[item.name] = item
        else:
            refused.append(RefusedName(name=item.name, error=fault))
    if rows:
        _add(connection, gate, [rows[name] for name in sorted(rows)])
        _make_room(connection)
    return ReportTaken(taken=len(rows), refused=tuple(refused))


def _fault(item: UnfiledName, now: int) -> str | None:
    try:
        host = canonical(item.name.encode())
        if host.ip is not None:
            return "an IP address is no name"
        if host.name != item.name:
            raise InvalidName(NameFault.NOT_CANONICAL, f"write it {host.name}")
    except UnicodeEncodeError:
        return "not Unicode text"
    except InvalidName as error:
        return error.reason
    if item.reason not in REMINDED:
        return f"the reason is none of {', '.join(sorted(REMINDED))}"
    if item.first_seen > item.last_seen:
        return "first_seen is after last_seen"
    if item.last_seen > now + AHEAD_SECONDS:
        return "last_seen is in the future; check the gate's clock"
    for destination in item.destinations:
        if not _is_destination(destination.address):
            return f"the destination {destination.address!r} is not ADDRESS:PORT"
    return None


def _is_destination(text: str) -> bool:
    host, colon, port = text.rpartition(":")
    if host[:1] == "[" and host[-1:] == "]":
        host, version = host[1:-1], 6
    else:
        version = 4
    try:
        is_ip = ip_address(host).version == version
    except ValueError:
        return False
    return is_ip and bool(colon) and port.isascii() and port.isdigit() and 0 < int(port) < 65536


def _add(connection: Connection, gate: str, items: Sequence[UnfiledName]) -> None:
    """`items` are in order of name, so that two reports never wait for each other's rows."""
    dialect = sqlite if connection.dialect.name == "sqlite" else postgresql
    new = dialect.insert(unfiled)
    given, had = new.excluded, unfiled.c
    total = had.count + given.count
    known = _destinations_of(connection, gate, [item.name for item in items if item.destinations])
    connection.execute(
        new.on_conflict_do_update(
            index_elements=[had.name, had.gate],
            set_={
                "count": case((total > _MOST, _MOST), else_=total),
                "reason": case((given.last_seen >= had.last_seen, given.reason), else_=had.reason),
                "first_seen": case(
                    (given.first_seen < had.first_seen, given.first_seen), else_=had.first_seen
                ),
                "last_seen": case(
                    (given.last_seen > had.last_seen, given.last_seen), else_=had.last_seen
                ),
                "destinations": func.coalesce(given.destinations, had.destinations),
            },
        ),
        [
            item.model_dump(exclude={"destinations"})
            | {"gate": gate, "destinations": _written(item, known.get(item.name, ()))}
            for item in items
        ],
    )


def _destinations_of(
    connection: Connection, gate: str, names: Sequence[str]
) -> dict[str, tuple[UnfiledDestination, ...]]:
    """Return what is stored of some names at a gate."""
    rows = connection.execute(
        select(unfiled.c.name, unfiled.c.destinations).where(
            unfiled.c.gate == gate, unfiled.c.name.in_(names)
        )
    )
    return {row.name: read_destinations(row.destinations) for row in rows}


def _written(item: UnfiledName, before: Iterable[UnfiledDestination]) -> str | None:
    """Return what is stored of a name's destinations; None where its report tells of none."""
    if not item.destinations:
        return None
    found = most_asked(chain(before, item.destinations))
    return json.dumps([[each.address, each.count] for each in found], separators=(",", ":"))


def read_destinations(text: str | None) -> tuple[UnfiledDestination, ...]:
    """Return the destinations that a row has."""
    pairs = json.loads(text) if text else ()
    return tuple(UnfiledDestination(address=address, count=count) for address, count in pairs)


def most_asked(destinations: Iterable[UnfiledDestination]) -> tuple[UnfiledDestination, ...]:
    """Return the sums by address, of those that were asked most, in falling order."""
    sums = Counter[str]()
    for each in destinations:
        sums[each.address] += each.count
    return tuple(
        UnfiledDestination(address=address, count=min(count, _MOST))
        for address, count in sums.most_common(MAX_DESTINATIONS)
    )


def forget(connection: Connection, *, now: int) -> None:
    """Drop what nobody has asked for in a long time."""
    connection.execute(delete(unfiled).where(unfiled.c.last_seen < now - KEEP_SECONDS))


def _make_room(connection: Connection) -> None:
    count = connection.execute(select(func.count()).select_from(unfiled)).scalar_one()
    if count <= MAX_ROWS:
        return
    few = (
        select(unfiled.c.name, unfiled.c.gate)
        .order_by(unfiled.c.count, unfiled.c.last_seen)
        .limit(count - MAX_ROWS + MAX_ROWS // _ROOM)
    )
    connection.execute(delete(unfiled).where(tuple_(unfiled.c.name, unfiled.c.gate).in_(few)))


def find(
    connection: Connection, query: UnfiledQuery, *, after: tuple[int, str] | None, limit: int
) -> list[UnfiledView]:
    """Return a page of names, beyond the one whose `sort_key` is `after`."""
    total, last = cast(func.sum(unfiled.c.count), BigInteger), func.max(unfiled.c.last_seen)
    key: ColumnElement[int] | None = {Sort.COUNT: total, Sort.LAST_SEEN: last}.get(query.sort)
    page: Select[Any] = (
        select(
            unfiled.c.name,
            total.label("count"),
            func.min(unfiled.c.first_seen).label("first_seen"),
            last.label("last_seen"),
        )
        .where(*_conditions(query))
        .group_by(unfiled.c.name)
        .limit(limit)
    )
    if key is None:
        page = page.order_by(unfiled.c.name)
        if after is not None:
            page = page.where(unfiled.c.name > after[1])
    else:
        page = page.order_by(key.desc(), unfiled.c.name)
        if after is not None:
            page = page.having(or_(key < after[0], (key == after[0]) & (unfiled.c.name > after[1])))
    rows = connection.execute(page).all()
    at_gates = _at_gates(connection, query, [row.name for row in rows])
    return [_show(row, at_gates[row.name]) for row in rows]


def find_all(connection: Connection, query: UnfiledQuery) -> Iterator[UnfiledView]:
    """Yield every name that fits, in pages of one state of the database."""
    after: tuple[int, str] | None = None
    while rows := find(connection, query, after=after, limit=_PAGE):
        yield from rows
        after = sort_key(rows[-1], query.sort)


def sort_key(row: UnfiledView, sort: Sort) -> tuple[int, str]:
    """Return where a page goes on."""
    return {Sort.COUNT: row.count, Sort.LAST_SEEN: row.last_seen, Sort.NAME: 0}[sort], row.name


def read_key(text: str) -> tuple[int, str] | None:
    """Return the sort key in a cursor, None for none. Raises RegistryError `cursor_invalid`."""
    if not text:
        return None
    number, _, name = text.partition(" ")
    if not (number.isascii() and number.isdigit() and len(number) <= 18 and name):
        raise RegistryError("cursor_invalid", field="cursor")
    return int(number), name


def _conditions(query: UnfiledQuery) -> list[ColumnElement[bool]]:
    found: list[ColumnElement[bool]] = []
    if query.gate is not None:
        found.append(unfiled.c.gate == query.gate)
    if query.reason is not None:
        found.append(unfiled.c.reason == query.reason)
    if query.since is not None:
        found.append(unfiled.c.last_seen >= query.since)
    return found


def _at_gates(
    connection: Connection, query: UnfiledQuery, names: Sequence[str]
) -> dict[str, list[UnfiledAtGate]]:
    found: dict[str, list[UnfiledAtGate]] = {name: [] for name in names}
    rows = connection.execute(
        select(unfiled)
        .where(unfiled.c.name.in_(names), *_conditions(query))
        .order_by(unfiled.c.name, unfiled.c.gate)
    )
    for row in rows:
        values = dict(row._mapping)
        values["destinations"] = read_destinations(values["destinations"])
        found[values.pop("name")].append(UnfiledAtGate(**values))
    return found


def _show(row: Row[Any], gates: list[UnfiledAtGate]) -> UnfiledView:
    return UnfiledView(
        **row._mapping,
        display=to_display(row.name),
        reason=max(gates, key=lambda at: at.last_seen).reason,
        destinations=most_asked(each for at in gates for each in at.destinations),
        gates=tuple(gates),
    )
