"""What owners are told: an outbox in the database, and the messages that come of it.

A notice is an event that the owner is told of; its id is `order-N-E`, of order N and event E. It
is put into the outbox in the transaction of its event, once for each channel, and stays there until
the channel has taken it: at least once, in order for each order and channel. Who sends takes a
notice for a while (`LEASE_SECONDS`), so that two registries seldom send it twice; the id tells a
receiver when they have.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from pydantic import Field
from sqlalchemy import Connection, exists, or_, select, update

from gate.net.model import Model
from gate.registry.gates import GateInForce, in_force
from gate.registry.orders.kinds import OrderType
from gate.registry.orders.states import PARTY_NAMES, Event, OrderState, Party, next_steps
from gate.registry.orders.views import EventView, OrderView
from gate.registry.orders.working_days import CHINA
from gate.registry.schema import notices
from gate.registry.workflow.queries import events_of, order_view

_log = logging.getLogger(__name__)

LEASE_SECONDS: Final = 60
BATCH: Final = 50
_FIRST_WAIT: Final = 5
_LONGEST_WAIT: Final = 3_600
_FOR_GATES: Final = 60
"""How long the news that an order is done waits for the gates to have it in force."""


class NextStep(Model):
    """Who acts next, and how."""

    event: str
    party: str


class NoticeFault(Model):
    """What is wrong in which field, and what would be right."""

    field: str
    zh: str
    en: str
    suggestion: str = ""


class OrderNotice(Model):
    """备案通知 / what an owner is told. Times are Unix seconds."""

    id: str = Field(description="stable: a notice that comes again has the id of before")
    order: int
    account: str
    type: OrderType | None
    state: OrderState
    event: Event
    time: int
    domains: tuple[str, ...]
    title_zh: str
    title_en: str
    text_zh: str
    text_en: str
    reason: str = ""
    faults: tuple[NoticeFault, ...] = ()
    next: tuple[NextStep, ...] = ()
    due: int | None = Field(None, description="by when")
    estimate: bool = False
    licences: tuple[str, ...] = ()
    revision: int | None = Field(None, description="the change log's, of what is done")
    gates: tuple[GateInForce, ...] = Field((), description="where it is in force, since when")
    gates_known: int = 0


@dataclass(slots=True, frozen=True)
class Sending:
    """A notice that is to be sent through a channel now, for the nth time."""

    notice: OrderNotice
    channel: str
    tries: int


def claim(
    connection: Connection, channels: Sequence[str], *, now: int, epoch: str
) -> list[Sending]:
    """Take what is to be sent now, in an open write transaction; nobody else gets it for a while.

    Of the notices of one order a channel gets the next only when it has taken the one before.
    """
    earlier = notices.alias()
    before = exists().where(
        earlier.c.order_id == notices.c.order_id,
        earlier.c.channel == notices.c.channel,
        earlier.c.number < notices.c.number,
        earlier.c.taken_at.is_(None),
    )
    rows = connection.execute(
        select(notices)
        .where(
            notices.c.taken_at.is_(None),
            # One that waits for longer than any may wait was put down by a clock that was ahead.
            or_(notices.c.next_at <= now, notices.c.next_at > now + _LONGEST_WAIT),
            notices.c.channel.in_(list(channels)),
            ~before,
        )
        .order_by(notices.c.next_at)
        .limit(BATCH)
    ).all()
    found: list[Sending] = []
    for row in rows:
        view = order_view(connection, row.order_id, now=now)
        (event,) = events_of(connection, row.order_id, after=row.number - 1, limit=1)
        gates = in_force(connection, event.detail.get("revision"), epoch)
        try:
            made = message(view, event, gates)
        except Exception:  # one that can't be made keeps no other one waiting
            _log.exception("notice %d of order %d could not be made", row.number, row.order_id)
            _wait(connection, row.order_id, row.number, row.channel, now + _LONGEST_WAIT)
            continue
        waits = made.revision is not None and len(made.gates) < made.gates_known
        if waits and now < event.time + _FOR_GATES:
            _wait(connection, row.order_id, row.number, row.channel, now + 1)
            continue
        tries = row.tries + 1
        _wait(connection, row.order_id, row.number, row.channel, now + LEASE_SECONDS, tries)
        found.append(Sending(made, row.channel, tries))
    return found


def taken(connection: Connection, sending: Sending, now: int) -> None:
    """A channel has taken a notice."""
    _update(connection, sending, taken_at=now, error="")


def failed(connection: Connection, sending: Sending, error: str, now: int) -> None:
    """A channel has not; it is tried again, after longer and longer."""
    wait = min(_FIRST_WAIT * 2 ** (sending.tries - 1), _LONGEST_WAIT)
    _update(connection, sending, next_at=now + wait, error=error[:300])


def message(
    view: OrderView, event: EventView, gates: tuple[tuple[GateInForce, ...], int]
) -> OrderNotice:
    """Return what an owner is told of an event."""
    kind = Event(event.event)
    state = OrderState(event.state)
    detail = event.detail
    due = detail.get("due")
    by = None if due is None else int(due["at"])
    estimate = due is not None and "known_to" in due["rule"]
    licences = tuple(detail.get("licences", ()))
    faults = tuple(
        NoticeFault(**{name: fault.get(name, "") for name in NoticeFault.model_fields})
        for fault in detail.get("faults", ())
    )
    steps = next_steps(state)
    revision = detail.get("revision")
    name = view.type.zh if view.type is not None else "备案订单"
    name_en = view.type.en if view.type is not None else "order"
    said = _Text(detail, faults, steps, by, estimate, licences, revision, gates)
    return OrderNotice(
        id=f"order-{view.id}-{event.number}",
        order=view.id,
        account=view.account,
        type=view.type,
        state=state,
        event=kind,
        time=event.time,
        domains=view.domains,
        title_zh=f"{name}订单 {view.id}：{kind.zh}",
        title_en=f"{name_en}, order {view.id}: {kind.en}",
        text_zh=said.zh(view, state),
        text_en=said.en(view, state),
        reason=str(detail.get("reason", "")),
        faults=faults,
        next=tuple(NextStep(event=one.value, party=party.value) for one, party in steps),
        due=by,
        estimate=estimate,
        licences=licences,
        revision=revision,
        gates=gates[0],
        gates_known=gates[1],
    )


@dataclass(slots=True, frozen=True)
class _Text:
    """The sentences of a message, in both languages."""

    detail: dict[str, Any]
    faults: tuple[NoticeFault, ...]
    steps: Sequence[tuple[Event, Party]]
    """Of one party: no state waits for two."""
    by: int | None
    estimate: bool
    licences: tuple[str, ...]
    revision: int | None
    gates: tuple[tuple[GateInForce, ...], int]

    def zh(self, view: OrderView, state: OrderState) -> str:
        lines = [f"域名：{'、'.join(view.domains)}" if view.domains else "", f"状态：{state.zh}"]
        if "reason" in self.detail:
            lines.append(f"原因：{self.detail['reason']}")
        for fault in self.faults:
            more = f"；建议：{fault.suggestion}" if fault.suggestion else ""
            lines.append(f"{fault.field}：{fault.zh}{more}")
        if self.licences:
            lines.append(f"备案号：{'、'.join(self.licences)}")
        if self.steps:
            party, _ = PARTY_NAMES[self.steps[0][1]]
            lines.append(f"下一步（{party}）：" + "、".join(event.zh for event, _ in self.steps))
        if self.by is not None:
            lines.append(f"期限：{_day(self.by)}{'（预计）' if self.estimate else ''}")
        if self.revision is not None:
            there, known = self.gates
            lines.append(f"已在 {len(there)}/{known} 个网关生效")
            lines += [f"  {gate.gate}：自 {_day(gate.since)} 起" for gate in there]
        return "\n".join(line for line in lines if line)

    def en(self, view: OrderView, state: OrderState) -> str:
        lines = [
            f"domains: {', '.join(view.domains)}" if view.domains else "",
            f"state: {state.en}",
        ]
        if "reason" in self.detail:
            lines.append(f"reason: {self.detail['reason']}")
        for fault in self.faults:
            more = f"; suggestion: {fault.suggestion}" if fault.suggestion else ""
            lines.append(f"{fault.field}: {fault.en}{more}")
        if self.licences:
            lines.append(f"licence numbers: {', '.join(self.licences)}")
        if self.steps:
            _, party = PARTY_NAMES[self.steps[0][1]]
            lines.append(f"next, by {party}: " + ", ".join(event.value for event, _ in self.steps))
        if self.by is not None:
            lines.append(f"by: {_day(self.by)}{' (estimate)' if self.estimate else ''}")
        if self.revision is not None:
            there, known = self.gates
            lines.append(f"in force on {len(there)} of {known} gates")
            lines += [f"  {gate.gate}: since {_day(gate.since)}" for gate in there]
        return "\n".join(line for line in lines if line)


def _day(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, CHINA).strftime("%Y-%m-%d %H:%M")


def _wait(
    connection: Connection, order: int, number: int, channel: str, at: int, tries: int | None = None
) -> None:
    values: dict[str, Any] = {"next_at": at}
    if tries is not None:
        values["tries"] = tries
    connection.execute(
        update(notices)
        .where(
            notices.c.order_id == order,
            notices.c.number == number,
            notices.c.channel == channel,
        )
        .values(**values)
    )


def _update(connection: Connection, sending: Sending, **values: Any) -> None:
    _, order, number = sending.notice.id.split("-")
    connection.execute(
        update(notices)
        .where(
            notices.c.order_id == int(order),
            notices.c.number == int(number),
            notices.c.channel == sending.channel,
            notices.c.taken_at.is_(None),
        )
        .values(**values)
    )
