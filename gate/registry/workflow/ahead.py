"""What a group of steps will look up, read ahead: one statement for each sort of record.

Only a matter of speed. What is not read here, or changes on the way, is read when it is needed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence, Set
from typing import Any

from gate.registry.commands import Command
from gate.registry.operations.transaction import HELD_BY, Lookup, Transaction
from gate.registry.operations.work import (
    ACCESSES,
    DOMAIN,
    SERVICE,
    SUBJECT_BY_ACCOUNT,
    SUBJECT_BY_CERTIFICATE,
    SUBJECT_BY_NUMBER,
)
from gate.registry.orders.commands import (
    ApproveOrder,
    NewOrder,
    OrderStep,
    PassOrder,
    ReportPerson,
    SubmitOrder,
    UpdateOrder,
    VerifyPerson,
)
from gate.registry.orders.entries import OrderEntry
from gate.registry.workflow.facts import OWNER, VERIFIED
from gate.registry.workflow.record import OPEN_ORDERS, ORDER, Order

_CHECKED = (SubmitOrder, PassOrder, VerifyPerson, ReportPerson, ApproveOrder)
"""Steps that check the order by the records of now."""


def read_ahead(transaction: Transaction, commands: Sequence[Command]) -> None:
    """Read what these commands will need, as far as they are steps of orders."""
    steps = [command for command in commands if isinstance(command, OrderStep)]
    orders = {order.id: order for order in read_orders(transaction, (one.order for one in steps))}
    entries: list[tuple[str | None, OrderEntry]] = []
    ends: set[str] = set()
    for command in commands:
        if isinstance(command, NewOrder):
            entries.append((command.account, command.entry))
            ends.add(command.account or "")
        elif isinstance(command, OrderStep) and command.order in orders:
            order = orders[command.order]
            if isinstance(command, UpdateOrder):
                entries.append((order.account, command.entry))
            elif isinstance(command, _CHECKED):
                entries.append((order.account, order.entry))
            if isinstance(command, ApproveOrder):
                ends.add(order.account)
    _read_records(transaction, entries)
    _read(transaction, OPEN_ORDERS, ends)


def read_orders(transaction: Transaction, numbers: Iterable[int]) -> list[Order]:
    """Read orders by their numbers."""
    found = set(numbers)
    return transaction.ahead(ORDER, found) if found else []


def _read_records(
    transaction: Transaction, entries: Sequence[tuple[str | None, OrderEntry]]
) -> None:
    accounts = {account for account, _ in entries if account is not None}
    subjects = [entry.subject for _, entry in entries]
    items = [item for _, entry in entries for item in entry.items]
    names = {name for item in items for name in (*item.domains, *(item.new_domains or ()))}
    _read(transaction, SUBJECT_BY_ACCOUNT, accounts)
    _read(transaction, VERIFIED, accounts)
    _read(transaction, SUBJECT_BY_NUMBER, {one.licence for one in subjects if one.licence})
    _read(
        transaction,
        SUBJECT_BY_CERTIFICATE,
        {one.certificate for one in subjects if one.certificate},
    )
    _read(transaction, OWNER, names)
    _read(transaction, HELD_BY, names)
    if names:
        held = {held.service for held in transaction.ahead(DOMAIN, sorted(names))} - {None}
        _read(transaction, SERVICE, held)
        _read(transaction, ACCESSES, held)


def _read(transaction: Transaction, lookup: Lookup[Any], keys: Set[Any]) -> None:
    if keys:
        transaction.ahead(lookup, keys)
