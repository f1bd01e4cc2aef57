"""Tokens and the audit trail: for administrators."""

from __future__ import annotations

from aiohttp import web
from pydantic import Field

from gate.net.model import Model
from gate.registry import queries, tokens
from gate.registry.api.endpoint import RegistryCall, RegistryEndpoint
from gate.registry.api.pages import PageQuery, next_cursor
from gate.registry.commands import Account, Role, Text
from gate.registry.views import AuditView, TokenView


class NewToken(Model):
    """A token to make."""

    name: Text = Field(description="用途 / what it is for")
    role: Role
    account: Account | None = Field(
        None, description="owner 令牌的账号 / an owner's account, for no other role"
    )
    lifetime: int | None = Field(
        None, ge=60, le=10 * 366 * 86400, description="有效秒数 / seconds; for good, if not given"
    )


class TokenMade(Model):
    """A token; `token` is shown this once."""

    token: str
    info: TokenView


class TokenList(Model):
    """All tokens."""

    items: tuple[TokenView, ...]


class AuditPage(Model):
    """A page of the audit trail, oldest first."""

    items: tuple[AuditView, ...]
    next: str | None


async def make_token(call: RegistryCall) -> TokenMade:
    """Make a token."""
    asked: NewToken = call.body
    info, text = await call.service.write(
        lambda: call.service.registry.tokens.create(
            name=asked.name,
            role=asked.role,
            lifetime=asked.lifetime,
            actor=call.caller,
            account=asked.account,
        )
    )
    return TokenMade(token=text, info=info)


async def list_tokens(call: RegistryCall) -> TokenList:
    """Return all tokens, without their secrets."""
    found = await call.service.read(tokens.list_tokens)
    return TokenList(items=tuple(found))


async def revoke_token(call: RegistryCall) -> web.Response:
    """End a token at once."""
    token = call.path["token"]
    await call.service.write(lambda: call.service.registry.tokens.revoke(token, actor=call.caller))
    return web.Response(status=204)


class TrailQuery(PageQuery):
    """Which lines."""

    q: str | None = Field(
        None,
        min_length=1,
        max_length=300,
        description="操作、对象、操作人或内容的一部分 / part of what was done, to what, by whom",
    )
    newest: bool = Field(False, description="最新的在前 / the newest first")


async def show_audit(call: RegistryCall) -> AuditPage:
    """Return the audit trail."""
    asked: TrailQuery = call.query
    rows = await call.service.read(
        queries.find_audit,
        queries.AuditFilter(text=asked.q, newest=asked.newest),
        after=asked.after_number(),
        limit=asked.limit,
    )
    return AuditPage(items=tuple(rows), next=next_cursor(rows, asked.limit, lambda row: row.id))


ENDPOINTS = (
    RegistryEndpoint(
        "POST",
        "/v1/tokens",
        "makeToken",
        "新建令牌 / make a token",
        make_token,
        Role.ADMIN,
        body=NewToken,
        answer=TokenMade,
        status=201,
    ),
    RegistryEndpoint(
        "GET",
        "/v1/tokens",
        "listTokens",
        "令牌列表 / all tokens",
        list_tokens,
        Role.ADMIN,
        answer=TokenList,
    ),
    RegistryEndpoint(
        "DELETE",
        "/v1/tokens/{token}",
        "revokeToken",
        "撤销令牌 / end a token",
        revoke_token,
        Role.ADMIN,
        status=204,
    ),
    RegistryEndpoint(
        "GET",
        "/v1/audit",
        "showAudit",
        "审计记录 / the audit trail",
        show_audit,
        Role.ADMIN,
        query=TrailQuery,
        answer=AuditPage,
    ),
)
