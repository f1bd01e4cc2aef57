"""Tokens and the audit trail: for administrators."""

from __future__ import annotations

from aiohttp import web
from pydantic import Field

from gate.registry import queries, tokens
from gate.registry.api.endpoint import Call, Endpoint
from gate.registry.api.pages import PageQuery, next_cursor
from gate.registry.commands import Model, Role, Text
from gate.registry.views import AuditView, TokenView


class NewToken(Model):
    """A token to make."""

    name: Text = Field(description="用途 / what it is for")
    role: Role
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


async def make_token(call: Call) -> TokenMade:
    """Make a token."""
    asked: NewToken = call.body
    info, text = await call.service.write(
        lambda: call.service.registry.create_token(
            name=asked.name, role=asked.role, lifetime=asked.lifetime, actor=call.actor
        )
    )
    return TokenMade(token=text, info=info)


async def list_tokens(call: Call) -> TokenList:
    """All tokens, without their secrets."""
    found = await call.service.read(tokens.list_tokens)
    return TokenList(items=tuple(found))


async def revoke_token(call: Call) -> web.Response:
    """End a token at once."""
    token = call.path["token"]
    await call.service.write(lambda: call.service.registry.revoke_token(token, actor=call.actor))
    return web.Response(status=204)


async def show_audit(call: Call) -> AuditPage:
    """The audit trail."""
    asked: PageQuery = call.query
    rows = await call.service.read(
        queries.find_audit, after=asked.after_number(), limit=asked.limit
    )
    return AuditPage(items=tuple(rows), next=next_cursor(rows, asked.limit, lambda row: row.id))


ENDPOINTS = (
    Endpoint(
        "POST",
        "/v1/tokens",
        "makeToken",
        "新建令牌 / make a token",
        make_token,
        role=Role.ADMIN,
        body=NewToken,
        answer=TokenMade,
        status=201,
    ),
    Endpoint(
        "GET",
        "/v1/tokens",
        "listTokens",
        "令牌列表 / all tokens",
        list_tokens,
        role=Role.ADMIN,
        answer=TokenList,
    ),
    Endpoint(
        "DELETE",
        "/v1/tokens/{token}",
        "revokeToken",
        "撤销令牌 / end a token",
        revoke_token,
        role=Role.ADMIN,
        status=204,
    ),
    Endpoint(
        "GET",
        "/v1/audit",
        "showAudit",
        "审计记录 / the audit trail",
        show_audit,
        role=Role.ADMIN,
        query=PageQuery,
        answer=AuditPage,
    ),
)
