"""What accounts are told of that gates have seen: an outbox beside that of orders.

A matter is told when it is found and on the days of `reminders` after it began, as a returned order
is; what a later day has overtaken is not told, and what has ended is told no more. A notice is
put down once for each channel and stays until the channel has taken it. Its id is
`KIND-SINCE-DAY-TARGET`.

A look goes through so many matters of a kind at most, and the next one goes on from there: however
many there are, each has its turn.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal, NamedTuple

from sqlalchemy import Connection, func, or_, select, tuple_, update
from sqlalchemy.dialects import postgresql, sqlite

from gate.registry.database import Database
from gate.registry.gate_schema import account_notices
from gate.registry.orders.provider_terms import OrderPolicy
from gate.registry.orders.working_days import china_midnight
from gate.registry.sightings.hollow import find_hollow
from gate.registry.sightings.matching import find_matches
from gate.registry.sightings.traffic import find_idle, place
from gate.registry.sightings.views import AccountNotice, BlockedMatch, HollowSubject, IdleFiling

LEASE_SECONDS: Final = 60
BATCH: Final = 50
_DAY: Final = 86_400
_PAGE: Final = 500
MOST: Final = 10_000
"""Matters of one kind and one look."""
_FIRST_WAIT: Final = 5
_LONGEST_WAIT: Final = 3_600

Kind = Literal["blocked", "idle", "hollow"]


class _Matter(NamedTuple):
    """Something that an account is to be told of, since when."""

    account: str
    target: str
    since: int
    title_zh: str
    title_en: str
    text_zh: str
    text_en: str


@dataclass(slots=True, frozen=True)
class AccountSending:
    """A notice that is to be sent through a channel now, for the nth time."""

    notice: AccountNotice
    channel: str
    tries: int


class _Page(NamedTuple):
    """Some matters, and where the page after them begins; "" after the last."""

    matters: list[_Matter]
    following: str


@dataclass(slots=True)
class Reminder:
    """Puts what is to be told into the outbox, each thing once, and knows where it was."""

    most: int = MOST
    _places: dict[str, str] = field(default_factory=dict)

    def look(self, database: Database, policy: OrderPolicy, kind: str, *, now: int) -> int:
        """Look at the next `most` matters of a kind; return how many notices were put down."""
        made = 0
        after = self._places.get(kind, "")
        with database.read() as reading:
            for _ in range(self.most // _PAGE):
                matters, after = _PAGES[kind](reading, policy, now, after)
                rows = [
                    _row(kind, matter, day, channel, now)
                    for matter in matters
                    if (day := _day(matter.since, policy.terms.reminders, now)) is not None
                    for channel in policy.channels
                ]
                if rows:
                    with database.write() as connection:
                        made += _put(connection, rows)
                self._places[kind] = after
                if not after:
                    break
        return made


def claim(connection: Connection, channels: Sequence[str], *, now: int) -> list[AccountSending]:
    """Take what is to be sent now, in an open write transaction; nobody else gets it meanwhile."""
    table = account_notices
    rows = connection.execute(
        select(table)
        .where(
            table.c.taken_at.is_(None),
            # One that waits for longer than any may wait was put down by a clock that was ahead.
            or_(table.c.next_at <= now, table.c.next_at > now + _LONGEST_WAIT),
            table.c.channel.in_(list(channels)),
        )
        .order_by(table.c.next_at)
        .limit(BATCH)
    ).all()
    found = []
    for row in rows:
        notice = AccountNotice.model_validate_json(row.notice)
        sending = AccountSending(notice, row.channel, row.tries + 1)
        _update(connection, sending, next_at=now + LEASE_SECONDS, tries=row.tries + 1)
        found.append(sending)
    return found


def settle(connection: Connection, sending: AccountSending, error: str | None, now: int) -> None:
    """Put down that a channel has taken a notice, or why not; then it is tried again later."""
    if error is None:
        _update(connection, sending, taken_at=now, error="")
        return
    wait = min(_FIRST_WAIT * 2 ** (sending.tries - 1), _LONGEST_WAIT)
    _update(connection, sending, next_at=now + wait, error=error[:300])


def _day(since: int, reminders: Sequence[int], now: int) -> int | None:
    """Return the day that a matter is told on now: the last that has come; None for none."""
    past = [day for day in (0, *sorted(reminders)) if since + day * _DAY <= now]
    return past[-1] if past else None


def _row(kind: str, matter: _Matter, day: int, channel: str, now: int) -> dict[str, object]:
    notice = AccountNotice.model_validate(
        {
            "id": f"{kind}-{matter.since}-{day}-{matter.target}",
            "kind": kind,
            "day": day,
            **matter._asdict(),
        }
    )
    return {
        "kind": kind,
        "target": matter.target,
        "since": matter.since,
        "day": day,
        "channel": channel,
        "account": matter.account,
        "made_at": now,
        "notice": notice.model_dump_json(),
        "next_at": now,
        "tries": 0,
        "error": "",
    }


def _put(connection: Connection, rows: list[dict[str, object]]) -> int:
    """Put down what is not there yet."""
    table = account_notices
    key = (table.c.kind, table.c.target, table.c.since, table.c.day, table.c.channel)
    names = [column.name for column in key]
    wanted = [tuple(row[name] for name in names) for row in rows]
    query = select(func.count()).select_from(table).where(tuple_(*key).in_(wanted))
    had: int = connection.execute(query).scalar_one()
    dialect = sqlite if connection.dialect.name == "sqlite" else postgresql
    connection.execute(dialect.insert(table).on_conflict_do_nothing(), rows)
    return len(rows) - had


def _update(connection: Connection, sending: AccountSending, **values: object) -> None:
    notice, table = sending.notice, account_notices
    connection.execute(
        update(table)
        .where(
            table.c.kind == notice.kind,
            table.c.target == notice.target,
            table.c.since == notice.since,
            table.c.day == notice.day,
            table.c.channel == sending.channel,
            table.c.taken_at.is_(None),
        )
        .values(**values)
    )


def _blocked(connection: Connection, policy: OrderPolicy, now: int, after: str) -> _Page:
    """Blocked domains with no order under way: who files one is told by that."""
    page = find_matches(connection, account=None, after=after, limit=_PAGE)
    matters = [_of_blocked(one) for one in page if one.order is None and one.draft is not None]
    return _Page(matters, page[-1].domain if len(page) == _PAGE else "")


def _of_blocked(one: BlockedMatch) -> _Matter:
    return _Matter(
        account=one.account,
        target=one.domain,
        since=one.first_seen,
        title_zh=f"域名 {one.display} 未备案，访问被拦截",
        title_en=f"{one.display} is blocked: it is not filed here",
        text_zh=f"网关拦截了对 {one.display} 的 {one.requests} 次访问。依据：{one.evidence.zh}。"
        "系统已为您准备备案草稿，补全后即可提交。",
        text_en=f"The gates have blocked {one.requests} requests for {one.display}, which seems "
        f"yours ({one.evidence.en}). A draft order is prepared; complete and submit it.",
    )


def _idle(connection: Connection, policy: OrderPolicy, now: int, after: str) -> _Page:
    days = policy.idle_days
    page = find_idle(connection, days, now=now, after=after, limit=_PAGE, with_account=True)
    matters = [_of_idle(one, days) for one in page]
    return _Page(matters, place(page[-1]) if len(page) == _PAGE else "")


def _of_idle(one: IdleFiling, days: int) -> _Matter:
    # Of one without any traffic: since its record stood for so many days.
    since = one.changed_at if one.last_day is None else china_midnight(one.last_day) + _DAY
    return _Matter(
        account=one.account or "",
        target=one.domain,
        since=since + days * _DAY,
        title_zh=f"备案域名 {one.display} 已 {days} 天无访问",
        title_en=f"{one.display} has had no traffic for {days} days",
        text_zh=f"{one.display}（{one.licence}）已连续 {days} 天没有访问。"
        "若网站已停用，请注销服务或取消接入。",
        text_en=f"No gate has seen traffic for {one.display} ({one.licence}) for {days} days. "
        "If it is no longer used, cancel the service or its access.",
    )


def _hollow(connection: Connection, policy: OrderPolicy, now: int, after: str) -> _Page:
    page = find_hollow(connection, after=after, limit=_PAGE, with_account=True)
    return _Page(list(map(_of_hollow, page)), page[-1].licence if len(page) == _PAGE else "")


def _of_hollow(one: HollowSubject) -> _Matter:
    return _Matter(
        account=one.account or "",
        target=one.licence,
        since=one.since,
        title_zh=f"主体 {one.licence} 已无任何服务（空壳主体）",
        title_en=f"The subject {one.licence} is left without services",
        text_zh=f"主体 {one.name}（{one.licence}）名下已没有网站或应用。"
        "请新增服务，或注销主体，以免被管局作为空壳主体注销。",
        text_en=f"The subject {one.name} ({one.licence}) has no website or app on record. File a "
        "new service, or cancel the subject before the authority does.",
    )


_PAGES: Final[dict[str, Callable[[Connection, OrderPolicy, int, str], _Page]]] = {
    "blocked": _blocked,
    "idle": _idle,
    "hollow": _hollow,
}
