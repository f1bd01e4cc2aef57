"""One write transaction: what it knows of the records already, and what it has yet to write.

A group of operations shares a transaction (`grouped`). Each is one `part`, done wholly or not at
all. What they look up by key is read once, for all of them ahead where that can be told (`ahead`),
and what they write stays here until the end, or until somebody needs it in the tables: a row
costs a share of one statement then, and not a way to the database and back.

Statements of any other sort go through `reading`, which writes first what is due, or through
`connection`, which opens a savepoint, too, and forgets what was read. So whoever knows nothing of
this finds the database as it must be. A transaction that is not grouped keeps nothing back.

What is kept back of parts that are done may fail to be written, by a fault of this program, in the
midst of a later part. That is no failure of the later part: the transaction is `broken`, and
nothing of it may be committed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final, Generic, TypeVar

from sqlalchemy import (
    ColumnElement,
    Connection,
    NestedTransaction,
    Row,
    Select,
    Table,
    bindparam,
    delete,
    func,
    insert,
    select,
    update,
)
from sqlalchemy.exc import DBAPIError

from gate.registry.database import is_database_at_fault
from gate.registry.schema import (
    accesses,
    answers,
    audit,
    domains,
    log,
    log_head,
    notices,
    order_events,
    order_items,
    orders,
    reservations,
    services,
    subjects,
)

T = TypeVar("T")
Values = dict[str, Any]

# As foreign keys ask for it.
_BEFORE_ORDERS: Final = (subjects, services, accesses)
_AFTER_ORDERS: Final = (order_events, notices, audit, log, answers)

# Made once: composing a statement costs more than sending it.
_INSERT: Final = {
    table: insert(table)
    for table in (*_BEFORE_ORDERS, *_AFTER_ORDERS, domains, orders, order_items, reservations)
}
_SAVE_ORDER: Final = update(orders).where(orders.c.id == bindparam("number"))
_SAVE_DOMAIN: Final = update(domains).where(domains.c.domain == bindparam("name"))
_DROP_ITEMS: Final = delete(order_items).where(
    order_items.c.order_id.in_(bindparam("numbers", expanding=True))
)
_RELEASE: Final = delete(reservations).where(
    reservations.c.order_id.in_(bindparam("numbers", expanding=True))
)


class Lookup(Generic[T]):
    """A record by its key, in one statement for one key or for many."""

    def __init__(
        self,
        key: ColumnElement[Any],
        columns: Sequence[ColumnElement[Any]] | Table,
        read: Callable[[Row[Any]], T],
        *conditions: ColumnElement[bool],
        joined: bool = False,
    ) -> None:
        """`joined` adds up (`+`) what the rows of one key read as."""
        found = columns.c if isinstance(columns, Table) else columns
        self.query: Select[Any] = select(key.label("its_key"), *found).where(
            key.in_(bindparam("keys", expanding=True)), *conditions
        )
        self.read = read
        self.joined = joined


HELD_BY: Final = Lookup[int](
    reservations.c.domain, (reservations.c.order_id,), lambda row: int(row.order_id)
)
"""The order that holds a domain."""


@dataclass(slots=True)
class _Writes:
    """Rows that are to be written."""

    inserts: dict[Table, list[Values]] = field(default_factory=dict)
    orders: dict[int, Callable[[], Values]] = field(default_factory=dict)
    new_orders: set[int] = field(default_factory=set)
    domains: dict[str, Values] = field(default_factory=dict)
    new_domains: set[str] = field(default_factory=set)
    items: dict[int, list[Values]] = field(default_factory=dict)
    released: set[int] = field(default_factory=set)
    holds: dict[str, int] = field(default_factory=dict)
    head: Values | None = None

    def release(self, order: int) -> None:
        self.released.add(order)
        self.holds = {name: by for name, by in self.holds.items() if by != order}

    def add(self, other: _Writes) -> None:
        """Take in what was to be written after this."""
        for table, rows in other.inserts.items():
            self.inserts.setdefault(table, []).extend(rows)
        self.orders |= other.orders
        self.new_orders |= other.new_orders
        self.domains |= other.domains
        self.new_domains |= other.new_domains
        self.items |= other.items
        for order in other.released:
            self.release(order)
        self.holds |= other.holds
        self.head = other.head or self.head

    def write(self, connection: Connection) -> None:
        """Write everything."""
        self._insert(connection, _BEFORE_ORDERS)
        self._write_domains(connection)
        self._write_orders(connection)
        if self.released:
            connection.execute(_RELEASE, {"numbers": sorted(self.released)})
        if self.holds:
            rows = [{"domain": name, "order_id": order} for name, order in self.holds.items()]
            connection.execute(_INSERT[reservations], rows)
        if before := sorted(self.items.keys() - self.new_orders):
            connection.execute(_DROP_ITEMS, {"numbers": before})
        if items := [row for rows in self.items.values() for row in rows]:
            connection.execute(_INSERT[order_items], items)
        self._insert(connection, _AFTER_ORDERS)
        if self.head is not None:
            connection.execute(update(log_head).values(**self.head))

    def _insert(self, connection: Connection, tables: Iterable[Table]) -> None:
        for table in tables:
            if rows := self.inserts.get(table):
                connection.execute(_INSERT[table], rows)

    def _write_domains(self, connection: Connection) -> None:
        new = [v | {"domain": d} for d, v in self.domains.items() if d in self.new_domains]
        old = [v | {"name": d} for d, v in self.domains.items() if d not in self.new_domains]
        if old:
            connection.execute(_SAVE_DOMAIN, old)
        if new:
            connection.execute(_INSERT[domains], new)

    def _write_orders(self, connection: Connection) -> None:
        new = [make() | {"id": n} for n, make in self.orders.items() if n in self.new_orders]
        old = [
            make() | {"number": n} for n, make in self.orders.items() if n not in self.new_orders
        ]
        if old:  # first: an account's order may have ended before its next one was made
            connection.execute(_SAVE_ORDER, old)
        if new:
            connection.execute(_INSERT[orders], new)


class Transaction:
    """An open write transaction, in the parts of a group or in one."""

    def __init__(self, connection: Connection, *, grouped: bool = False) -> None:
        self._connection = connection
        self._grouped = grouped
        self._known: dict[Lookup[Any], dict[Any, Any]] = {}
        self._highest: dict[str, Any] = {}
        self._given: set[str] = set()
        """What numbers were given of before the highest one was asked for."""
        self.broken = False
        """Something of a part that was done could not be written: undo the whole transaction."""
        self._before, self._own = _Writes(), _Writes()
        self._savepoint: NestedTransaction | None = None
        self._bare = not grouped
        """Nothing is remembered: something may have been written that is not known of here."""

    @property
    def connection(self) -> Connection:
        """The database, as this part has it, for whatever statement."""
        if self._grouped:
            self._open_savepoint()
            self.flush()
            self._forget()
            self._bare = True
        return self._connection

    @property
    def reading(self) -> Connection:
        """The database, as this part has it, for statements that only read."""
        self.flush()
        return self._connection

    @contextmanager
    def part(self) -> Iterator[None]:
        """One part, which is done wholly or, by an exception, not at all."""
        self._bare = not self._grouped
        if not self._grouped:  # nothing is kept back: what is written goes to the database at once
            self._savepoint = self._connection.begin_nested()
        try:
            yield
            if self._bare:
                self.flush()  # the next part remembers nothing of it, and looks into the tables
            if self._savepoint is not None:
                self._savepoint.commit()
            self._before.add(self._own)
        except Exception as error:
            if self.is_lost(error):
                raise  # and the savepoint with it
            if self._savepoint is not None:
                self._savepoint.rollback()
            self._forget()
            self._own = _Writes()
            self._savepoint = None
            self.flush()
            raise
        finally:
            self._own, self._savepoint = _Writes(), None

    def is_lost(self, error: Exception) -> bool:
        """Return whether an error in a part is the end of the whole transaction."""
        return self.broken or (isinstance(error, DBAPIError) and is_database_at_fault(error))

    def flush(self) -> None:
        """Write what is kept back."""
        if not self._grouped:
            return
        if self._savepoint is None:
            self._write_before()
        if self._own != _Writes():
            self._open_savepoint()
            own, self._own = self._own, _Writes()
            own.write(self._connection)

    def one(self, lookup: Lookup[T], key: Any) -> T | None:
        """Return the record with a key, if there is one."""
        if self._bare:
            self.flush()
            return self._fetch(lookup, [key]).get(key)
        known = self._known.setdefault(lookup, {})
        if key not in known:
            known[key] = self._fetch(lookup, [key]).get(key)
        found: T | None = known[key]
        return found

    def ahead(self, lookup: Lookup[T], keys: Iterable[Any]) -> list[T]:
        """Read the records with these keys, so that they are at hand; gives back what there is."""
        if not self._grouped:
            return []
        known = self._known.setdefault(lookup, {})
        wanted = dict.fromkeys(keys)
        if missing := [key for key in wanted if key not in known]:
            known |= dict.fromkeys(missing) | self._fetch(lookup, missing)
        return [known[key] for key in wanted if known[key] is not None]

    def know(self, lookup: Lookup[T], key: Any, value: T) -> None:
        """Keep in mind what is being written."""
        if not self._bare:
            self._known.setdefault(lookup, {})[key] = value

    def highest(self, what: str, query: Callable[[], Select[Any]]) -> Any:
        """Return the highest number given so far, or None: as the query, or `given`, says."""
        if not self._bare and what in self._highest:
            return self._highest[what]
        if self._bare or what in self._given:
            self.flush()
        found = self._connection.execute(query()).scalar()
        if not self._bare:
            self._highest[what] = found
        return found

    def given(self, what: str, number: Any) -> None:
        """Tell that a number is given now."""
        if what in self._highest:
            highest = self._highest[what]
            self._highest[what] = number if highest is None else max(number, highest)
        else:
            self._given.add(what)

    def next_id(self, table: Table) -> int:
        """Return the next id of a table; safe, for the log's lock keeps other writers out."""
        highest = self.highest(table.name, lambda: select(func.max(table.c.id)))
        number = int(highest or 0) + 1
        self.given(table.name, number)
        return number

    def insert(self, table: Table, *rows: Values) -> None:
        """Add rows, all with the same columns as the others of the table."""
        self._own.inserts.setdefault(table, []).extend(rows)
        self._wrote()

    def put_order(self, number: int, values: Callable[[], Values], *, new: bool = False) -> None:
        """Write an order's row, as `values` has it when it is written."""
        self._own.orders[number] = values
        if new:
            self._own.new_orders.add(number)
        self._wrote()

    def put_domain(self, domain: str, values: Values, *, new: bool) -> None:
        """Write a domain's row."""
        self._own.domains[domain] = values
        if new:
            self._own.new_domains.add(domain)
        self._wrote()

    def put_head(self, **values: Any) -> None:
        """Write the log's head."""
        self._own.head = values
        self._wrote()

    def set_items(self, order: int, rows: list[Values]) -> None:
        """Give an order these items in place of those that it has."""
        self._own.items[order] = rows
        self._wrote()

    def hold(self, order: int, names: Iterable[str]) -> None:
        """Keep domains, which nobody else holds, for an order."""
        for name in names:
            self._own.holds[name] = order
            self.know(HELD_BY, name, order)
        self._wrote()

    def release(self, order: int) -> None:
        """Let every domain go that an order holds."""
        self._own.release(order)
        known = self._known.get(HELD_BY, {})
        for name in [name for name, by in known.items() if by == order]:
            known[name] = None
        self._wrote()

    def held_by(self, domain: str) -> int | None:
        """Return the order that holds a domain."""
        found = self.one(HELD_BY, domain)
        if found in self._own.released | self._before.released and not any(
            domain in writes.holds for writes in (self._own, self._before)
        ):
            found = None  # the row is still there, and goes with the other writes
            self._known.get(HELD_BY, {})[domain] = None
        return found

    def _wrote(self) -> None:
        if not self._grouped:
            own, self._own = self._own, _Writes()
            own.write(self._connection)

    def _open_savepoint(self) -> None:
        if self._grouped and self._savepoint is None:
            self._write_before()
            self._savepoint = self._connection.begin_nested()

    def _write_before(self) -> None:
        before, self._before = self._before, _Writes()
        try:
            before.write(self._connection)
        except Exception:
            self.broken = True
            raise

    def _forget(self) -> None:
        self._known.clear()
        self._highest.clear()

    def _fetch(self, lookup: Lookup[T], keys: list[Any]) -> dict[Any, T]:
        rows = self._connection.execute(lookup.query, {"keys": keys})
        if not lookup.joined:
            return {row.its_key: lookup.read(row) for row in rows}
        found: dict[Any, Any] = {}
        for row in rows:
            read: Any = lookup.read(row)
            found[row.its_key] = found[row.its_key] + read if row.its_key in found else read
        return found
