"""Why a name is blocked at the gates now, and the step that would unblock it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, select

from gate.names import InvalidName, canonical, to_display
from gate.registry.blocked_names import most_asked, read_destinations
from gate.registry.errors import RegistryError, Said
from gate.registry.gate_schema import blocked_matches, unfiled
from gate.registry.gates import GateInForce, in_force
from gate.registry.orders.states import END_STATES, PARTY_NAMES, Party, next_steps
from gate.registry.orders.views import OrderView
from gate.registry.orders.working_days import CHINA
from gate.registry.schema import domains, order_items, orders, overrides
from gate.registry.unfiled import UnfiledDestination
from gate.registry.workflow.queries import order_view


@dataclass(slots=True, frozen=True)
class NameTold:
    """What is known of a name: whether it passes, why, and what to do."""

    name: str
    display: str
    passes: bool
    reason: Said
    step: Said
    licence: str = ""
    order: OrderView | None = None
    requests: int = 0
    last_seen: int | None = None
    destinations: tuple[UnfiledDestination, ...] = ()
    gates: tuple[GateInForce, ...] = ()
    known: int = 0


def explain_name(
    connection: Connection, text: str, *, account: str | None, now: int, epoch: str
) -> NameTold:
    """Return what the records say of a name. With `account`, only that one's order is shown.

    Raises RegistryError `domain_invalid` for what is no name.
    """
    try:
        host = canonical(text.encode())
    except (InvalidName, UnicodeEncodeError) as error:
        said = Said("不是有效的域名", "it is no name")
        raise RegistryError(
            "domain_invalid", field="name", domain=text[:100], detail=said
        ) from error
    labels = host.name.split(".")
    above = [".".join(labels[place:]) for place in range(len(labels))] if host.ip is None else []
    rows = connection.execute(select(domains).where(domains.c.domain.in_(above))).all()
    filed = max(rows, key=lambda row: len(row.domain), default=None)
    found = _open_order(connection, above, account, now)
    status = "absent" if filed is None else filed.status
    over = connection.execute(select(overrides).where(overrides.c.domain.in_(above))).first()
    if over is not None:
        status = over.status
    own = account is None or _seems_of(connection, above, account)
    reason, step = _told(status, known=filed is not None, order=found, ip=host.ip is not None)
    seen = connection.execute(
        select(
            unfiled.c.count.label("requests"), unfiled.c.last_seen, unfiled.c.destinations
        ).where(unfiled.c.name == host.name)
    ).all()
    hosts = most_asked(each for row in seen for each in read_destinations(row.destinations))
    if over is not None:
        reason, step = _decided(over.kind, over.until)
    told = filed if over is None else over
    revision = told.revision if told is not None else None
    there, known = in_force(connection, revision, epoch)
    return NameTold(
        name=host.name,
        display=to_display(host.name),
        passes=status == "filed",
        reason=reason,
        step=step,
        licence="" if filed is None else filed.licence,
        order=found,
        # How often another's name is asked for is not for whoever has an account.
        requests=sum(row.requests for row in seen) if own else 0,
        last_seen=max((row.last_seen for row in seen), default=None) if own else None,
        # Whose host it is only the provider is to know, not whoever has an account.
        destinations=hosts if account is None else (),
        gates=there,
        known=known,
    )


def _seems_of(connection: Connection, names: list[str], account: str) -> bool:
    """Return whether one of the names is the account's, as far as the registry knows."""
    match = select(blocked_matches.c.domain).where(
        blocked_matches.c.domain.in_(names), blocked_matches.c.account == account
    )
    return connection.execute(match.limit(1)).first() is not None


def _open_order(
    connection: Connection, names: list[str], account: str | None, now: int
) -> OrderView | None:
    ended = [state.value for state in END_STATES]
    query = (
        select(orders.c.id)
        .join(order_items, order_items.c.order_id == orders.c.id)
        .where(order_items.c.target.in_(names), orders.c.state.not_in(ended))
        .order_by(orders.c.id.desc())
        .limit(1)
    )
    if account is not None:
        query = query.where(orders.c.account == account)
    number = connection.execute(query).scalar()
    return None if number is None else order_view(connection, number, now=now)


def _decided(kind: str, until: int | None) -> tuple[Said, Said]:
    """Return what an operator decided for every gate, and when it ends."""
    zh, en = "直到解除", "until it is ended"
    if until is not None:
        end = datetime.fromtimestamp(until, CHINA).strftime("%Y-%m-%d %H:%M")
        zh, en = f"至 {end}（北京时间）", f"until {end} (China)"
    if kind == "exempt":
        step = Said("到期前请完成备案", "file it before that time")
        return Said(f"运营人员临时放行，{zh}", f"let through by an operator, {en}"), step
    step = Said("请联系服务商", "ask the provider")
    return Said(f"已被运营人员封禁，{zh}", f"blocked by an operator, {en}"), step


def _told(status: str, *, known: bool, order: OrderView | None, ip: bool) -> tuple[Said, Said]:
    """Return the reason, and the step that would change it."""
    if ip:
        return (
            Said("这是 IP 地址", "this is an IP address"),
            Said("IP 地址不能备案，请使用域名", "an address can't be filed; use a name"),
        )
    reasons = {
        "filed": Said("已备案，并已在本服务商接入", "filed, and accessed here: it passes"),
        "filed_elsewhere": Said(
            "已备案，但未在本服务商接入", "filed, but not accessed with this provider"
        ),
        "suspended": Said("已被暂停服务", "suspended by order of the authority"),
        "absent": Said("备案已注销，或临时放行已到期", "a filing, or an exemption, has ended")
        if known
        else Said("没有备案", "no filing is on record"),
    }
    if status == "filed":
        return reasons[status], Said("无需操作", "nothing is to be done")
    if order is not None:
        steps = next_steps(order.state)
        party = steps[0][1] if steps else Party.OWNER
        zh, en = PARTY_NAMES[party]
        return reasons[status], Said(
            f"订单 {order.id} 处于“{order.state.zh}”，等待{zh}",
            f"order {order.id} ({order.state.en}) waits for {en}",
        )
    due = {
        "filed_elsewhere": Said("请提交接入备案", "make an order for an access filing"),
        "suspended": Said("请联系通信管理局", "ask the authority"),
        "absent": Said("请提交备案订单", "make an order to file it"),
    }
    return reasons[status], due[status]
