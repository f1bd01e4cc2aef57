"""The form of an order: what an owner types, as the entry that it means, and back.

A field is named by its path in the entry (`subject.principal.name`, `items.0.domains`), as refusals
name it. What is left empty was not given; a service of which nothing was given is none.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from aiohttp import web
from pydantic import ValidationError

from gate.licence import PROVINCES, ServiceKind
from gate.registry.commands import Grant, Role, SubjectKind
from gate.registry.console.forms import FORM
from gate.registry.console.pages import ACTOR, SERVICE, redirect, render
from gate.registry.errors import RegistryError
from gate.registry.orders.commands import NewOrder, Step, UpdateOrder
from gate.registry.orders.entries import OrderEntry
from gate.registry.orders.kinds import Purpose
from gate.registry.orders.states import Event
from gate.registry.shapes import invalid
from gate.registry.tokens import Actor
from gate.registry.workflow.queries import order_view

MOST_ITEMS: Final = 10

_SUBJECT: Final = (
    "name",
    "kind",
    "certificate",
    "certificate_province",
    "certificate_until",
    "province",
    "licence",
    "legal_representative",
    "principal_born",
)
_CHECKED: Final = ("authorised", "residence_proof")
_ITEM: Final = ("kind", "name", "licence", "domain_until", "approval", "remark")
_LISTS: Final = ("domains", "new_domains", "matters")
_PERSON: Final = ("name", "phone")
# What a form always sends: by itself it gives nothing.
_ALWAYS: Final = frozenset({"kind"})


@dataclass(slots=True)
class OrderForm:
    """What stands in the form's fields, by their names."""

    values: dict[str, str] = field(default_factory=dict)
    items: int = 1
    """Services that there is room for."""

    def __getitem__(self, name: str) -> str:
        """Return what stands in a field."""
        return self.values.get(name, "")


async def new_order(request: web.Request) -> web.Response:
    """Return an empty form."""
    _may_edit(request[ACTOR])
    return _page(request, OrderForm(), None, None)


async def make_order(request: web.Request) -> web.StreamResponse:
    """Make an order of what was typed, or show the form again with what is wrong."""
    actor = request[ACTOR]
    _may_edit(actor)
    return await _take(request, None)


async def edit_order(request: web.Request) -> web.Response:
    """Return the form with what stands in an order."""
    actor, service = request[ACTOR], request.app[SERVICE]
    _may_edit(actor)
    actor.needs_grant(Grant.VIEW)  # the form shows what stands in the order
    number = int(request.match_info["order"])
    account = actor.account if actor.role is Role.OWNER else None
    now = service.registry.now()
    view = await service.read(order_view, number, now=now, account=account)
    if not any(step.event == Event.UPDATE for step in view.next):
        return redirect(f"/console/orders/{number}")
    return _page(request, form_of(view.entry), number, None)


async def change_order(request: web.Request) -> web.StreamResponse:
    """Change an order to what was typed."""
    _may_edit(request[ACTOR])
    return await _take(request, int(request.match_info["order"]))


async def _take(request: web.Request, number: int | None) -> web.StreamResponse:
    sent = request[FORM]
    form = OrderForm(sent, _rows(sent))
    if "more" in sent:  # room for one service more; nothing is kept yet
        form.items = min(form.items + 1, MOST_ITEMS)
        return _page(request, form, number, None)
    service, actor = request.app[SERVICE], request[ACTOR]
    try:
        outcome, _ = await service.perform(_command(sent, number, actor), actor, None)
    except RegistryError as error:
        if error.code == "order_unknown":
            raise
        return _page(request, form, number, error)
    return redirect(f"/console/orders/{outcome.application}")


def read_form(form: Mapping[str, str]) -> dict[str, Any]:
    """Return the entry that a form means, before it is checked."""
    subject = _part(form, "subject", _SUBJECT)
    subject |= {name: True for name in _CHECKED if form.get(f"subject.{name}")}
    subject |= _person(form, "subject")
    items = []
    for row in range(MOST_ITEMS):
        at = f"items.{row}"
        item = _part(form, at, _ITEM) | _person(form, at)
        for name in _LISTS:
            text = form.get(f"{at}.{name}", "").replace(",", " ").replace("，", " ")
            if words := text.replace("、", " ").split():
                item[name] = words
        if item.keys() - _ALWAYS:
            items.append(item)
    entry: dict[str, Any] = {"subject": subject, "items": items}
    return entry | {name: form[name] for name in ("purpose", "remark") if form.get(name)}


def form_of(entry: OrderEntry) -> OrderForm:
    """Return the form as it stands for an entry; `read_form` gives that entry again."""
    values: dict[str, str] = {"purpose": entry.purpose.value, "remark": entry.remark}
    parts: list[tuple[str, dict[str, Any]]] = [
        ("subject", entry.subject.model_dump(mode="json", exclude_none=True)),
        *(
            (f"items.{row}", item.model_dump(mode="json", exclude_none=True))
            for row, item in enumerate(entry.items)
        ),
    ]
    for at, part in parts:
        for name, value in part.items():
            if isinstance(value, dict):
                values |= {f"{at}.{name}.{key}": text for key, text in value.items()}
            elif isinstance(value, list | tuple):
                values[f"{at}.{name}"] = " ".join(value)
            elif value is not False:
                values[f"{at}.{name}"] = str(value)
    return OrderForm(values, max(len(entry.items), 1))


def _part(form: Mapping[str, str], at: str, names: tuple[str, ...]) -> dict[str, Any]:
    found = {name: form.get(f"{at}.{name}", "").strip() for name in names}
    return {name: text for name, text in found.items() if text}


def _person(form: Mapping[str, str], at: str) -> dict[str, Any]:
    person = _part(form, f"{at}.principal", _PERSON)
    return {"principal": person} if person else {}


def _rows(form: Mapping[str, str]) -> int:
    """Return how many services a form has room for."""
    there = (row for row in range(MOST_ITEMS) if f"items.{row}.kind" in form)
    return max(there, default=0) + 1


def _command(form: Mapping[str, str], number: int | None, actor: Actor) -> Step:
    given: dict[str, Any] = {"entry": read_form(form)}
    if number is not None:
        given["order"] = number
    elif actor.role is not Role.OWNER:
        given["account"] = form.get("account", "").strip() or None
    command = NewOrder if number is None else UpdateOrder
    try:
        return command.model_validate(given)
    except ValidationError as error:
        raise invalid(error) from error


def _may_edit(actor: Actor) -> None:
    if actor.role not in (Role.OWNER, Role.REGISTRAR, Role.ADMIN):
        raise RegistryError("role_insufficient", needed=Role.OWNER, role=actor.role)
    actor.needs_grant(Grant.EDIT)


def _page(
    request: web.Request, form: OrderForm, number: int | None, error: RegistryError | None
) -> web.Response:
    context = {
        "form": form,
        "number": number,
        "error": error,
        "wrong": "" if error is None else error.field,
        "provinces": PROVINCES,
        "purposes": _PURPOSES,
        "kinds": _KINDS,
        "subject_kinds": _SUBJECT_KINDS,
        "most_items": MOST_ITEMS,
    }
    status = 200 if error is None else error.status
    return render("entry.html", request, context, status=status)


_PURPOSES: Final = {
    Purpose.FILE.value: "备案（首次、新增、接入） File",
    Purpose.CHANGE.value: "变更 Change",
    Purpose.CANCEL.value: "注销 Cancel",
    Purpose.END_ACCESS.value: "取消接入 End access",
}
_KINDS: Final = dict(
    zip(
        (kind.value for kind in ServiceKind),
        ("网站 Website", "App", "小程序 Mini-program", "快应用 Quick app"),
        strict=True,
    )
)
_SUBJECT_KINDS: Final = {
    SubjectKind.UNIT.value: "单位 Unit",
    SubjectKind.PERSON.value: "个人 Person",
}

ROUTES: Final = [
    web.get("/orders/new", new_order),
    web.post("/orders/new", make_order),
    web.get(r"/orders/{order:[1-9]\d{0,14}}/edit", edit_order),
    web.post(r"/orders/{order:[1-9]\d{0,14}}/edit", change_order),
]
