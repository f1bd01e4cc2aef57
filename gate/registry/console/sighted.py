"""The console's pages of what only gates know: blocked names, idle filings, hollow subjects."""

from __future__ import annotations

from typing import Final

from aiohttp import web

from gate.registry.commands import Grant, Role
from gate.registry.console.forms import FORM
from gate.registry.console.pages import ACTOR, PAGE, SERVICE, redirect, render
from gate.registry.errors import RegistryError
from gate.registry.orders.commands import NewOrder
from gate.registry.orders.states import Party
from gate.registry.sightings.hollow import find_hollow
from gate.registry.sightings.matching import find_matches, match_of
from gate.registry.sightings.traffic import find_idle, place, watch
from gate.registry.workflow.steps import PARTY_ROLES

_MOST_DAYS: Final = 3_650


async def blocked(request: web.Request) -> web.Response:
    """Return blocked domains that seem an account's: an owner's own, a clerk's all."""
    return await _blocked_page(request, None)


async def make_draft(request: web.Request) -> web.StreamResponse:
    """Make the order that a blocked domain lacks, as a draft."""
    service, actor = request.app[SERVICE], request[ACTOR]
    form = request[FORM]
    domain, account = str(form.get("domain", "")), str(form.get("account", ""))
    wanted = actor.account or "" if actor.role is Role.OWNER else account
    match = await service.read(match_of, domain, account=wanted)
    if match is None or match.draft is None:
        return await _blocked_page(request, RegistryError("path_unknown"))
    try:
        command = NewOrder(account=wanted, entry=match.draft)
        outcome, _ = await service.perform(command, actor, None)
    except RegistryError as error:
        return await _blocked_page(request, error)
    return redirect(f"/console/orders/{outcome.application}")


async def idle(request: web.Request) -> web.Response:
    """Return filed domains that no gate has seen traffic for, to clerks."""
    service, actor = request.app[SERVICE], request[ACTOR]
    actor.needs(Role.READER)
    registry = service.registry
    days, now = _days(request.query.get("days"), registry.policy.idle_days), registry.now()
    after = request.query.get("after", "")[:280]
    far = await service.read(watch, days, now=now)
    rows = await service.read(find_idle, days, now=now, after=after, limit=PAGE)
    following = place(rows[-1]) if len(rows) == PAGE else None
    return render("idle.html", request, {"watch": far, "rows": rows, "following": following})


async def hollow(request: web.Request) -> web.Response:
    """Return subjects on record without any service, to clerks."""
    service, actor = request.app[SERVICE], request[ACTOR]
    actor.needs(Role.READER)
    after = request.query.get("after", "")[:64]
    rows = await service.read(find_hollow, after=after, limit=PAGE)
    following = rows[-1].licence if len(rows) == PAGE else None
    return render("hollow.html", request, {"rows": rows, "following": following})


async def _blocked_page(request: web.Request, error: RegistryError | None) -> web.Response:
    service, actor = request.app[SERVICE], request[ACTOR]
    if actor.role is Role.OWNER:
        actor.needs_grant(Grant.VIEW)
    account = actor.account if actor.role is Role.OWNER else None
    after = request.query.get("after", "")[:253]
    rows = await service.read(find_matches, account=account, after=after, limit=PAGE)
    context = {
        "rows": rows,
        "may": actor.role in PARTY_ROLES[Party.OWNER],
        "following": rows[-1].domain if len(rows) == PAGE else None,
        "error": error,
    }
    return render("blocked.html", request, context, status=200 if error is None else error.status)


def _days(text: str | None, default: int) -> int:
    """Return the days that are asked for; the settings' where the text is no such number."""
    if text is None or not (text.isascii() and text.isdigit() and len(text) <= 4):
        return default
    return min(max(int(text), 1), _MOST_DAYS)


ROUTES: Final = [
    web.get("/blocked", blocked),
    web.post("/blocked", make_draft),
    web.get("/idle", idle),
    web.get("/hollow", hollow),
]
