"""The console's pages: the queue, an order with its steps, search, and why a name is blocked."""

from __future__ import annotations

import contextlib
from collections import defaultdict
from collections.abc import Mapping
from typing import Any, Final

import aiohttp_jinja2
from aiohttp import web
from pydantic import ValidationError
from sqlalchemy import Connection

from gate.registry import queries
from gate.registry.commands import Grant, Role
from gate.registry.console.explaining import explain_name
from gate.registry.console.forms import FORM
from gate.registry.errors import RegistryError
from gate.registry.fields import clean_text
from gate.registry.orders.commands import (
    ORDER_STEPS,
    ApproveOrder,
    OrderStep,
    ResendCode,
    ReturnOrder,
    VerifyPerson,
)
from gate.registry.orders.kinds import NUMBERED
from gate.registry.orders.states import END_STATES, STATE_NAMES, OrderState, Party
from gate.registry.orders.views import OrderQuery, OrderSummary, OrderView
from gate.registry.queries import FilingQuery
from gate.registry.service import RegistryService
from gate.registry.shapes import invalid
from gate.registry.tokens import Actor
from gate.registry.workflow.queries import (
    count_by_state,
    events_of,
    find_orders,
    order_view,
    queue,
)
from gate.registry.workflow.steps import PARTY_ROLES

SERVICE: Final = web.AppKey("service", RegistryService)
ACTOR: Final = web.RequestKey("console_actor", Actor)
CSRF: Final = web.RequestKey("console_csrf", str)

PAGE: Final = 50
FAULT_ROWS: Final = 5

_QUEUE: Final = (
    OrderState.PROVIDER_REVIEW,
    OrderState.AUTHORITY_REVIEW,
    OrderState.SMS,
    OrderState.RETURNED,
    OrderState.DRAFT,
)
_STEP_OF: Final = {step.way: step for step in ORDER_STEPS}


async def home(request: web.Request) -> web.StreamResponse:
    """To the queue of a clerk, or an owner's orders."""
    return redirect("/console/orders")


async def orders(request: web.Request) -> web.Response:
    """Return the queue by state and due date; an owner's orders."""
    service, actor = request.app[SERVICE], request[ACTOR]
    now = service.registry.now()
    if actor.role is Role.OWNER:
        actor.needs_grant(Grant.VIEW)
        mine = OrderQuery(account=actor.account)
        found = await service.read(find_orders, mine, now=now, after=0, limit=PAGE)
        return render("mine.html", request, {"orders": found})
    state = _state(request.query.get("state"), actor)
    after = _after(request.query.get("after"))
    found, counts = await service.read(_queue, state, now=now, after=after)
    last = found[-1] if len(found) == PAGE else None
    context = {
        "orders": found,
        "state": state,
        "states": [(one, STATE_NAMES[one], counts.get(one.value, 0)) for one in _QUEUE],
        "following": _cursor(last) if last is not None else None,
        "begins": after == (0, 0),
    }
    return render("queue.html", request, context)


async def order(request: web.Request) -> web.Response:
    """Return one order with its history, and the steps that this person may take."""
    return await _order_page(request, None, {})


async def take_step(request: web.Request) -> web.StreamResponse:
    """Take a step that a form asks for; a refusal is told above the order."""
    service, actor = request.app[SERVICE], request[ACTOR]
    number = int(request.match_info["order"])
    step = _STEP_OF.get(request.match_info["way"])
    if step is None:
        raise RegistryError("path_unknown")
    form = request[FORM]
    try:
        outcome, _ = await service.perform(_command(step, number, form), actor, None)
    except RegistryError as error:
        if error.code == "order_unknown":
            raise
        return await _order_page(request, error, form)
    if not outcome.accepted:
        return await _order_page(request, RegistryError("code_refused", field="code"), form)
    return redirect(f"/console/orders/{number}")


async def search(request: web.Request) -> web.Response:
    """Filings and orders by name, number or account."""
    service, actor = request.app[SERVICE], request[ACTOR]
    actor.needs(Role.READER)
    text = request.query.get("q", "").strip()
    filings: list[Any] = []
    found: list[OrderSummary] = []
    if text:
        try:
            text = clean_text(text, field="q", limit=300)
        except RegistryError as error:
            context = {"q": text, "filings": [], "orders": [], "error": error}
            return render("search.html", request, context, status=error.status)
        now = service.registry.now()
        filings = await _filings(service, text)
        for query in (OrderQuery(target=text), OrderQuery(account=text)):
            found = found or await service.read(find_orders, query, now=now, after=0, limit=PAGE)
    context = {"q": text, "filings": filings, "orders": found, "error": None}
    return render("search.html", request, context)


async def why(request: web.Request) -> web.Response:
    """Return why a name is blocked at the gates now, and the step that would unblock it."""
    service, actor = request.app[SERVICE], request[ACTOR]
    if actor.role is Role.OWNER:
        actor.needs_grant(Grant.VIEW)
    name = request.query.get("name", "").strip()
    told = None
    if name:
        account = actor.account if actor.role is Role.OWNER else None
        now = service.registry.now()
        epoch = service.feed.head.epoch
        try:
            told = await service.read(explain_name, name, account=account, now=now, epoch=epoch)
        except RegistryError as error:
            if error.code != "domain_invalid":
                raise
            context = {"name": name, "told": None, "error": error}
            return render("why.html", request, context, status=error.status)
    return render("why.html", request, {"name": name, "told": told, "error": None})


def redirect(path: str) -> web.Response:
    """Send the browser to another page of the console."""
    return web.Response(status=303, headers={"Location": path})


def render(
    template: str, request: web.Request, context: Mapping[str, Any], *, status: int = 200
) -> web.Response:
    """Return a page, for whoever is signed in."""
    actor = request.get(ACTOR)
    shared = {"actor": actor, "csrf": request.get(CSRF, ""), "is_owner": _is_owner(actor)}
    return aiohttp_jinja2.render_template(template, request, {**shared, **context}, status=status)


async def _order_page(
    request: web.Request, error: RegistryError | None, form: Mapping[str, str]
) -> web.Response:
    """Return an order's page; `form` is what was typed for a step that was refused."""
    service, actor = request.app[SERVICE], request[ACTOR]
    number = int(request.match_info["order"])
    if actor.role is Role.OWNER:
        actor.needs_grant(Grant.VIEW)
    account = actor.account if actor.role is Role.OWNER else None
    now = service.registry.now()
    view = await service.read(order_view, number, now=now, account=account)
    events = await service.read(events_of, number)
    context = {
        "order": view,
        "events": events,
        "may": _may(actor, view),
        "error": error,
        "fault_rows": range(FAULT_ROWS),
        "typed": defaultdict(str, form, way=request.match_info.get("way", "")),
        "wrong": "" if error is None else _wrong(error.field, form),
        "codes": service.registry.policy.sms == "log",
        "numbered": view.type in NUMBERED,
    }
    return render("order.html", request, context, status=200 if error is None else error.status)


def _may(actor: Actor, view: OrderView) -> frozenset[str]:
    """Return the steps that the actor may take of this order."""
    return frozenset(
        step.event for step in view.next if actor.role in PARTY_ROLES[Party(step.party)]
    )


def _command(step: type[OrderStep], number: int, form: Mapping[str, str]) -> OrderStep:
    """Return what a form asks for. Raises RegistryError `field_invalid` by the models' checks."""
    given: dict[str, Any] = {"order": number}
    if step is ReturnOrder:
        given["reason"] = form.get("reason", "")
        given["faults"] = [
            {
                "field": form.get(f"field{row}", "").strip() or "-",
                "fault": form[f"fault{row}"].strip(),
                "suggestion": form.get(f"suggestion{row}", "").strip(),
            }
            for row in _fault_rows(form)
        ]
    elif step is ApproveOrder:
        given["licences"] = tuple(form.get("licences", "").split())
        given["generate"] = form.get("generate") == "on"
    elif step in (VerifyPerson, ResendCode):
        given["person"] = form.get("person", "")
        if step is VerifyPerson:
            given["code"] = form.get("code", "").strip()
    try:
        return step.model_validate(given)
    except ValidationError as error:
        raise invalid(error) from error


def _fault_rows(form: Mapping[str, str]) -> list[int]:
    """Return the rows of a return's form in which a fault stands."""
    return [row for row in range(FAULT_ROWS) if form.get(f"fault{row}", "").strip()]


def _wrong(field: str, form: Mapping[str, str]) -> str:
    """Return the id of the control that a refused step's field is."""
    match field.split("."):
        case ["code" | "person"]:
            return f"code{form.get('person', '')}"
        case ["faults", place, name]:
            rows = _fault_rows(form)
            return f"{name}{rows[int(place)]}" if int(place) < len(rows) else ""
        case [name, *_]:
            return name
    return ""


def _queue(
    connection: Connection, state: OrderState, *, now: int, after: tuple[int, int]
) -> tuple[list[OrderSummary], dict[str, int]]:
    found = queue(connection, [state], now=now, after=after, limit=PAGE)
    return found, count_by_state(connection, _QUEUE)


async def _filings(service: RegistryService, text: str) -> list[Any]:
    # An account first: it is found at once, and a part of a name is looked for in every name.
    for query in (FilingQuery(account=text), FilingQuery(text=text)):
        with contextlib.suppress(RegistryError):
            found = await service.read(queries.find_filings, query, after="", limit=PAGE)
            if found:
                return list(found)
    return []


def _state(text: str | None, actor: Actor) -> OrderState:
    """Return the state asked for, or the one that waits for this person."""
    if text in set(OrderState) - END_STATES:
        return OrderState(text)
    return (
        OrderState.AUTHORITY_REVIEW if actor.role is Role.AUTHORITY else OrderState.PROVIDER_REVIEW
    )


def _after(text: str | None) -> tuple[int, int]:
    parts = (text or "0-0").split("-")
    if len(parts) != 2 or not all(part.isascii() and part.isdigit() for part in parts):
        return 0, 0
    return int(parts[0][:15]), int(parts[1][:15])


def _cursor(last: OrderSummary) -> str:
    return f"{last.due.at if last.due is not None else 0}-{last.id}"


def _is_owner(actor: Actor | None) -> bool:
    return actor is not None and actor.role is Role.OWNER


ROUTES: Final = [
    web.get("/", home),
    web.get("/orders", orders),
    web.get(r"/orders/{order:[1-9]\d{0,14}}", order),
    web.post(r"/orders/{order:[1-9]\d{0,14}}/{way:[a-z]+}", take_step),
    web.get("/search", search),
    web.get("/why", why),
]
