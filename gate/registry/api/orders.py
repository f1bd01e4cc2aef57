"""备案订单: orders, one endpoint for each step, their history, and an account's sub-users."""

from __future__ import annotations

from typing import Any, cast

from aiohttp import web
from pydantic import Field, create_model

from gate.net.model import Model
from gate.registry import tokens
from gate.registry.api.administration import TokenList, TokenMade
from gate.registry.api.endpoint import (
    KEY_HEADER,
    RegistryCall,
    RegistryEndpoint,
    idempotency_key,
)
from gate.registry.api.pages import PageQuery, next_cursor
from gate.registry.commands import Account, Grant, Role, Text
from gate.registry.errors import RegistryError
from gate.registry.orders.commands import (
    ORDER_STEPS,
    NewOrder,
    OrderStep,
    ReportPerson,
    Step,
    VerifyPerson,
)
from gate.registry.orders.kinds import OrderType
from gate.registry.orders.rule_texts import Finding
from gate.registry.orders.states import OrderState
from gate.registry.orders.views import (
    EventView,
    OrderAfterStep,
    OrderQuery,
    OrderSummary,
    OrderTaken,
    OrderView,
    WaitingPerson,
)
from gate.registry.tokens import Actor
from gate.registry.workflow import queries
from gate.registry.workflow.facts import AccountFacts, OwnerFacts

_ORDER = r"/v1/orders/{order:[1-9]\d{0,14}}"


class OrdersQuery(PageQuery):
    """Which orders; every part that is given must fit. An owner is shown its own only."""

    account: Account | None = None
    state: OrderState | None = None
    type: OrderType | None = None
    target: str | None = Field(
        None,
        min_length=1,
        max_length=300,
        description="域名或备案号 / a domain, or a licence number of a subject or service",
    )
    overdue: bool | None = Field(None, description="已超期 / due, and not done")
    open: bool | None = Field(None, description="未完成 / not at its end")


class OrderPage(Model):
    """A page of orders, the newest first."""

    items: tuple[OrderSummary, ...]
    next: str | None


class EventPage(Model):
    """A page of an order's history, in order."""

    items: tuple[EventView, ...]
    next: str | None


class WaitingPage(Model):
    """A page of persons whose verification is due."""

    items: tuple[WaitingPerson, ...]
    next: str | None


class Findings(Model):
    """What the rules find, those that refuse first."""

    rules: str = Field(description="version of the rules")
    items: tuple[Finding, ...]


class NewSubUser(Model):
    """子账号 / a sub-user of the token's account, and what it may do."""

    name: Text
    grants: tuple[Grant, ...] = Field(min_length=1, max_length=len(Grant))
    lifetime: int | None = Field(
        None, ge=60, le=10 * 366 * 86400, description="有效秒数 / seconds; for good, if not given"
    )


async def create(call: RegistryCall) -> web.Response:
    """Make an order."""
    return await _take(call, call.body, status=201)


async def find(call: RegistryCall) -> OrderPage:
    """Return orders that fit."""
    asked: OrdersQuery = call.query
    account = visible(call.caller) or asked.account
    if asked.account is not None and account != asked.account:
        return OrderPage(items=(), next=None)
    rows = await call.service.read(
        queries.find_orders,
        OrderQuery(
            account=account,
            state=asked.state,
            type=asked.type,
            target=asked.target,
            overdue=asked.overdue,
            open=asked.open,
        ),
        now=call.service.registry.now(),
        after=asked.after_number(),
        limit=asked.limit,
    )
    return OrderPage(items=tuple(rows), next=next_cursor(rows, asked.limit, lambda row: row.id))


async def show(call: RegistryCall) -> OrderView:
    """Return one order."""
    return await _view(call, int(call.path["order"]))


async def history(call: RegistryCall) -> EventPage:
    """Return what happened to an order."""
    asked: PageQuery = call.query
    number = int(call.path["order"])
    await _view(call, number)
    rows = await call.service.read(
        queries.events_of, number, after=asked.after_number(), limit=asked.limit
    )
    return EventPage(items=tuple(rows), next=next_cursor(rows, asked.limit, lambda row: row.number))


async def check(call: RegistryCall) -> Findings:
    """Return what the rules find in an order now; nothing is changed."""
    number = int(call.path["order"])
    await _view(call, number)
    registry = call.service.registry
    items = await call.service.read(registry.check_order, number, actor=call.caller)
    return Findings(rules=registry.policy.rulebook.version, items=tuple(items))


async def put_account(call: RegistryCall) -> web.Response:
    """Keep who an account was verified as."""
    known: AccountFacts = call.body
    registry, account = call.service.registry, call.path["account"]
    await call.service.write(lambda: registry.put_account(account, known, actor=call.caller))
    return web.Response(status=204)


async def put_owner(call: RegistryCall) -> web.Response:
    """Keep a domain's verified owner."""
    known: OwnerFacts = call.body
    registry, domain = call.service.registry, call.path["domain"]
    await call.service.write(lambda: registry.put_owner(domain, known, actor=call.caller))
    return web.Response(status=204)


async def waiting(call: RegistryCall) -> WaitingPage:
    """Return persons whose verification is due, for the provider's SMS gateway."""
    asked: PageQuery = call.query
    rows = await call.service.read(
        queries.waiting_persons, after=asked.after_number(), limit=asked.limit
    )
    # A page is of orders; the persons of one are never on two.
    last = rows[-1].order if rows else 0
    orders = len({row.order for row in rows})
    following = next_cursor([last] * orders, asked.limit, lambda row: row)
    return WaitingPage(items=tuple(rows), next=following)


async def add_sub_user(call: RegistryCall) -> TokenMade:
    """Make a token for a sub-user of the caller's account."""
    asked: NewSubUser = call.body
    _main(call.caller)
    info, text = await call.service.write(
        lambda: call.service.registry.tokens.create(
            name=asked.name,
            role=Role.OWNER,
            lifetime=asked.lifetime,
            actor=call.caller,
            grants=frozenset(asked.grants),
        )
    )
    return TokenMade(token=text, info=info)


async def sub_users(call: RegistryCall) -> TokenList:
    """Return the tokens of the caller's account."""
    account = _main(call.caller)
    found = await call.service.read(tokens.list_tokens, account=account)
    return TokenList(items=tuple(found))


async def end_sub_user(call: RegistryCall) -> web.Response:
    """End a sub-user's token at once."""
    _main(call.caller)
    token = call.path["token"]
    await call.service.write(lambda: call.service.registry.tokens.revoke(token, actor=call.caller))
    return web.Response(status=204)


def visible(actor: Actor) -> str | None:
    """Return the account whose orders alone the actor may see; None for all.

    Raises RegistryError `grant_missing`.
    """
    if actor.role is not Role.OWNER:
        return None
    actor.needs_grant(Grant.VIEW)
    return actor.account


def _main(actor: Actor) -> str:
    """Return the account of an owner's main token. Raises RegistryError `role_insufficient`."""
    if actor.role is not Role.OWNER or actor.account is None or not actor.is_main:
        raise RegistryError("role_insufficient", needed=Role.OWNER, role=actor.role)
    return actor.account


async def _view(call: RegistryCall, number: int) -> OrderView:
    return await call.service.read(
        queries.order_view,
        number,
        now=call.service.registry.now(),
        account=visible(call.caller),
    )


async def _step(call: RegistryCall) -> web.Response:
    step = _STEP_OF[call.path["way"]]
    given = dict(call.body) if call.body is not None else {}
    return await _take(call, step(order=int(call.path["order"]), **given))


async def _take(call: RegistryCall, step: Step, *, status: int = 200) -> web.Response:
    """Take a step; the answer is the order after it, or its state alone (see `OrderAfterStep`)."""
    service = call.service
    outcome, repeat = await service.perform(step, call.caller, idempotency_key(call.request))
    number = cast(int, outcome.application)
    found = await service.read(queries.order_view, number, now=service.registry.now())
    if not outcome.accepted and isinstance(step, VerifyPerson):
        # Of a repeat: the order may name other persons by now.
        people = found.people[step.person - 1 : step.person]
        wrong = people[0].wrong if people else 0
        left = max(service.registry.policy.sms_tries - wrong, 0)
        raise RegistryError("code_wrong", field="code", left=left)
    taken: Model = found
    # A gateway's token may see no order, and a sub-user only with the grant.
    if not (call.caller.role.includes(Role.OWNER) and call.caller.may(Grant.VIEW)):
        taken = OrderTaken(id=found.id, state=found.state, state_zh=found.state_zh)
    headers = {"Idempotent-Replay": "true"} if repeat else {}
    return web.Response(
        text=taken.model_dump_json(),
        status=status,
        content_type="application/json",
        headers=headers,
    )


def _body(step: type[OrderStep]) -> type[Model] | None:
    """Return what a step's request carries beside the order's number."""
    fields: dict[str, Any] = {
        name: (field.annotation, field)
        for name, field in step.model_fields.items()
        if name != "order"
    }
    if not fields:
        return None
    return create_model(f"{step.__name__}Body", __base__=Model, __doc__=step.__doc__, **fields)


def _endpoint(step: type[OrderStep]) -> RegistryEndpoint:
    first, second = step.operation.split("_")
    return RegistryEndpoint(
        "POST",
        f"{_ORDER}/{{way:{step.way}}}",
        f"{first}{second.capitalize()}",
        step.title,
        _step,
        Role.VERIFIER if step is ReportPerson else Role.OWNER,
        body=_body(step),
        answer=OrderAfterStep,
        headers=KEY_HEADER,
    )


_STEP_OF = {step.way: step for step in ORDER_STEPS}

ENDPOINTS = (
    RegistryEndpoint(
        "POST",
        "/v1/orders",
        "orderCreate",
        NewOrder.title,
        create,
        Role.OWNER,
        body=NewOrder,
        answer=OrderAfterStep,
        status=201,
        headers=KEY_HEADER,
    ),
    RegistryEndpoint(
        "GET",
        "/v1/orders",
        "findOrders",
        "备案订单 / orders",
        find,
        Role.OWNER,
        query=OrdersQuery,
        answer=OrderPage,
    ),
    RegistryEndpoint(
        "GET", _ORDER, "showOrder", "一个订单 / one order", show, Role.OWNER, answer=OrderView
    ),
    RegistryEndpoint(
        "GET",
        f"{_ORDER}/events",
        "orderHistory",
        "订单记录，可作为证据导出 / an order's history, as evidence",
        history,
        Role.OWNER,
        query=PageQuery,
        answer=EventPage,
    ),
    RegistryEndpoint(
        "GET",
        f"{_ORDER}/check",
        "checkOrder",
        "按规则检查订单 / check an order by the rules",
        check,
        Role.OWNER,
        answer=Findings,
    ),
    *map(_endpoint, ORDER_STEPS),
    RegistryEndpoint(
        "PUT",
        "/v1/accounts/{account}",
        "putAccount",
        "上报账号实名认证 / report an account's verification",
        put_account,
        Role.REGISTRAR,
        body=AccountFacts,
        status=204,
    ),
    RegistryEndpoint(
        "PUT",
        "/v1/domain-owners/{domain}",
        "putDomainOwner",
        "上报域名实名 / report a domain's verified owner",
        put_owner,
        Role.REGISTRAR,
        body=OwnerFacts,
        status=204,
    ),
    RegistryEndpoint(
        "GET",
        "/v1/verifications",
        "findVerifications",
        "待短信核验的负责人，供短信网关 / persons to verify, for the SMS gateway",
        waiting,
        Role.VERIFIER,
        query=PageQuery,
        answer=WaitingPage,
    ),
    RegistryEndpoint(
        "POST",
        "/v1/account/users",
        "addSubUser",
        "新建子账号令牌 / make a sub-user's token",
        add_sub_user,
        Role.OWNER,
        body=NewSubUser,
        answer=TokenMade,
        status=201,
    ),
    RegistryEndpoint(
        "GET",
        "/v1/account/users",
        "findSubUsers",
        "本账号的令牌 / the tokens of the account",
        sub_users,
        Role.OWNER,
        answer=TokenList,
    ),
    RegistryEndpoint(
        "DELETE",
        "/v1/account/users/{token}",
        "endSubUser",
        "撤销子账号令牌 / end a sub-user's token",
        end_sub_user,
        Role.OWNER,
        status=204,
    ),
)
