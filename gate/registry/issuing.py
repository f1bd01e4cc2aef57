"""Tokens are given out, taken in and ended, each with its line in the audit trail."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager

from gate.registry import tokens
from gate.registry.audit import record
from gate.registry.commands import Grant, Role
from gate.registry.operations import Work
from gate.registry.tokens import Actor
from gate.registry.views import TokenView


class TokenIssuer:
    """The tokens of one registry."""

    def __init__(self, writing: Callable[[Actor], AbstractContextManager[Work]]) -> None:
        """`writing` begins a unit of work."""
        self._writing = writing

    def create(
        self,
        *,
        name: str,
        role: Role,
        actor: Actor,
        lifetime: int | None = None,
        account: str | None = None,
        grants: frozenset[Grant] | None = None,
    ) -> tuple[TokenView, str]:
        """Make a token, which lives `lifetime` seconds or for good.

        Needs the role admin, or for a sub-user's the account's own token.
        """
        if actor.role is Role.OWNER and actor.is_main and grants is not None:
            role, account = Role.OWNER, actor.account
        else:
            actor.needs(Role.ADMIN)
        with self._writing(actor) as work:
            expires = None if lifetime is None else work.now + lifetime
            info, text = tokens.create_token(
                work.connection,
                name=name,
                role=role,
                now=work.now,
                expires_at=expires,
                account=account,
                grants=grants,
            )
            record(work, "create_token", info.id, {"name": info.name, "role": role.value})
        return info, text

    def adopt(self, text: str, *, name: str, role: Role, actor: Actor) -> tuple[TokenView, bool]:
        """Take in a token that was made elsewhere; return it, and whether it is new here.

        Needs the role admin. Raises RegistryError `token_form`, `token_differs`.
        """
        actor.needs(Role.ADMIN)
        with self._writing(actor) as work:
            info, new = tokens.adopt_token(
                work.connection, text, name=name, role=role, now=work.now
            )
            if new:
                record(work, "adopt_token", info.id, {"name": info.name, "role": role.value})
        return info, new

    def revoke(self, token: str, *, actor: Actor) -> None:
        """End a token at once. Raises RegistryError `token_unknown`.

        Needs the role admin, or for a sub-user's the account's own token.
        """
        account = actor.account if actor.role is Role.OWNER and actor.is_main else None
        if account is None:
            actor.needs(Role.ADMIN)
        with self._writing(actor) as work:
            tokens.revoke_token(work.connection, token, now=work.now, account=account)
            record(work, "revoke_token", token, {})
