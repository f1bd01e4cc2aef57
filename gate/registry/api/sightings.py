"""What only gates know: traffic, blocked domains with accounts, idle filings, hollow subjects."""

from __future__ import annotations

from functools import partial

from aiohttp import web
from pydantic import Field

from gate.net.model import Model
from gate.registry.api.endpoint import RegistryCall, RegistryEndpoint
from gate.registry.api.pages import PageQuery, next_cursor
from gate.registry.commands import Grant, Role
from gate.registry.sightings.hollow import find_hollow
from gate.registry.sightings.matching import find_matches
from gate.registry.sightings.networks import find_networks
from gate.registry.sightings.traffic import find_idle, place, watch
from gate.registry.sightings.views import (
    BlockedMatch,
    HollowSubject,
    IdleFiling,
    NetworkOwner,
    NetworkOwners,
    TrafficReport,
    TrafficTaken,
    Watch,
)


class MatchQuery(PageQuery):
    """Whose blocked domains; an owner sees its own."""

    account: str | None = Field(None, max_length=64, description="账号 / of this account only")
    domain: str | None = Field(None, max_length=1024, description="域名 / this domain only")


class MatchPage(Model):
    """A page of blocked domains with accounts."""

    items: tuple[BlockedMatch, ...]
    next: str | None


class IdleQuery(PageQuery):
    """How many days without traffic."""

    days: int | None = Field(
        None, ge=1, le=3_650, description="天数 / days; as `sightings.idle_days` says, if not given"
    )


class IdlePage(Model):
    """A page of filed domains without traffic, and how far that can be said."""

    watch: Watch
    items: tuple[IdleFiling, ...]
    next: str | None


class HollowPage(Model):
    """A page of subjects without services."""

    items: tuple[HollowSubject, ...]
    next: str | None


class NetworkPage(Model):
    """A page of networks."""

    items: tuple[NetworkOwner, ...]
    next: str | None


async def take_traffic(call: RegistryCall) -> TrafficTaken:
    """Keep which filed domains had traffic at a gate."""
    told: TrafficReport = call.body
    return await call.service.write(
        partial(call.service.registry.take_traffic, told, actor=call.caller)
    )


async def blocked(call: RegistryCall) -> MatchPage:
    """Return blocked domains that seem an account's, each with a draft of the order that is due."""
    asked: MatchQuery = call.query
    account = asked.account
    if call.caller.role is Role.OWNER:
        call.caller.needs_grant(Grant.VIEW)
        account = call.caller.account
    rows = await call.service.read(
        find_matches,
        account=account,
        domain=asked.domain,
        after=asked.after_text(),
        limit=asked.limit,
    )
    return MatchPage(items=tuple(rows), next=next_cursor(rows, asked.limit, lambda row: row.domain))


async def idle(call: RegistryCall) -> IdlePage:
    """Return filed domains that no gate has seen traffic for."""
    asked: IdleQuery = call.query
    registry = call.service.registry
    days, now = asked.days or registry.policy.idle_days, registry.now()
    rows = await call.service.read(
        find_idle, days, now=now, after=asked.after_text(), limit=asked.limit
    )
    return IdlePage(
        watch=await call.service.read(watch, days, now=now),
        items=tuple(rows),
        next=next_cursor(rows, asked.limit, place),
    )


async def hollow(call: RegistryCall) -> HollowPage:
    """Return subjects on record without any service."""
    asked: PageQuery = call.query
    rows = await call.service.read(find_hollow, after=asked.after_text(), limit=asked.limit)
    return HollowPage(
        items=tuple(rows), next=next_cursor(rows, asked.limit, lambda row: row.licence)
    )


async def put_networks(call: RegistryCall) -> web.Response:
    """Keep whose hosts are where."""
    told: NetworkOwners = call.body
    await call.service.write(
        partial(call.service.registry.put_networks, told.networks, actor=call.caller)
    )
    return web.Response(status=204)


async def networks(call: RegistryCall) -> NetworkPage:
    """Return whose hosts are where."""
    asked: PageQuery = call.query
    rows = await call.service.read(find_networks, after=asked.after_text(), limit=asked.limit)
    return NetworkPage(
        items=tuple(rows), next=next_cursor(rows, asked.limit, lambda row: row.network)
    )


ENDPOINTS = (
    RegistryEndpoint(
        "POST",
        "/v1/reports/traffic",
        "reportTraffic",
        "上报有访问的备案域名 / report filed domains that had traffic on a day",
        take_traffic,
        Role.READER,
        body=TrafficReport,
        answer=TrafficTaken,
    ),
    RegistryEndpoint(
        "GET",
        "/v1/blocked",
        "findBlocked",
        "被拦截的域名、所属账号与草稿 / blocked domains, whose they seem, and a draft order",
        blocked,
        Role.OWNER,
        query=MatchQuery,
        answer=MatchPage,
    ),
    RegistryEndpoint(
        "GET",
        "/v1/idle",
        "findIdle",
        "长期无访问的备案 / filed domains without traffic",
        idle,
        Role.READER,
        query=IdleQuery,
        answer=IdlePage,
    ),
    RegistryEndpoint(
        "GET",
        "/v1/hollow",
        "findHollow",
        "空壳主体 / subjects without services",
        hollow,
        Role.READER,
        query=PageQuery,
        answer=HollowPage,
    ),
    RegistryEndpoint(
        "PUT",
        "/v1/networks",
        "putNetworks",
        "上报主机网段所属账号 / say whose hosts are in which networks",
        put_networks,
        Role.REGISTRAR,
        body=NetworkOwners,
        status=204,
    ),
    RegistryEndpoint(
        "GET",
        "/v1/networks",
        "findNetworks",
        "主机网段所属账号 / whose hosts are in which networks",
        networks,
        Role.READER,
        query=PageQuery,
        answer=NetworkPage,
    ),
)
