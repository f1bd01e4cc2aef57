"""Bearer tokens: `gate_<id>_<secret>`, stored as the SHA-256 of the secret.

The secret has 256 random bits, so a plain digest is enough; it is compared in constant time. The
id is no secret: it finds the row, and names the token in lists and in the audit trail.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass

from sqlalchemy import Connection, insert, select, update

from gate.registry.commands import Grant, Role
from gate.registry.errors import RegistryError
from gate.registry.fields import clean_identifier, clean_text
from gate.registry.schema import tokens
from gate.registry.views import TokenView

_ID = re.compile(r"[0-9a-f]{12}").fullmatch
_TOKEN = re.compile(r"gate_([0-9a-f]{12})_([0-9A-Za-z_-]{43})").fullmatch


@dataclass(slots=True, frozen=True)
class Actor:
    """Who acts, and with which role.

    An owner acts for its `account`; one with `grants` is a sub-user, who may do no more.
    """

    name: str
    role: Role
    account: str | None = None
    grants: frozenset[Grant] | None = None

    @property
    def is_main(self) -> bool:
        """Whether it is no sub-user."""
        return self.grants is None

    def needs(self, role: Role) -> None:
        """Raise RegistryError `role_insufficient` unless the actor's role includes `role`."""
        if not self.role.includes(role):
            raise RegistryError("role_insufficient", needed=role, role=self.role)

    def may(self, grant: Grant) -> bool:
        """Return whether it is no sub-user, or one with `grant`."""
        return self.grants is None or grant in self.grants

    def needs_grant(self, grant: Grant) -> None:
        """Raise RegistryError `grant_missing` for a sub-user without `grant`."""
        if not self.may(grant):
            raise RegistryError("grant_missing", grant=grant)


def create_token(
    connection: Connection,
    *,
    name: str,
    role: Role,
    now: int,
    expires_at: int | None = None,
    account: str | None = None,
    grants: frozenset[Grant] | None = None,
) -> tuple[TokenView, str]:
    """Make a token; its text is given here once and never again.

    An owner's names its `account`, and with `grants` it is a sub-user's.
    Raises RegistryError `text_invalid`, `field_invalid` or `account_needed`.
    """
    if (role is Role.OWNER) != (account is not None):
        raise RegistryError("account_needed", field="account")
    if account is not None:
        account = clean_identifier(account, field="account")
    info = TokenView(
        id=secrets.token_hex(6),
        name=clean_text(name, field="name", limit=64),
        role=role,
        created_at=now,
        expires_at=expires_at,
        revoked_at=None,
        account=account,
        grants=None if grants is None else tuple(sorted(grants)),
    )
    secret = secrets.token_urlsafe(32)
    _insert(connection, info, secret)
    return info, f"gate_{info.id}_{secret}"


def random_token() -> str:
    """Return the text of a token that no registry knows yet, for `adopt_token`."""
    return f"gate_{secrets.token_hex(6)}_{secrets.token_urlsafe(32)}"


def adopt_token(
    connection: Connection, text: str, *, name: str, role: Role, now: int
) -> tuple[TokenView, bool]:
    """Take in a token that was made elsewhere; return it, and whether it is new here.

    Doing it again changes nothing. Raises RegistryError `token_form` (not a token's text),
    `token_differs` (its id is taken by another secret, role or a token that was revoked),
    `account_needed` (an owner's, which belongs to an account), or `text_invalid`.
    """
    match = _TOKEN(text)
    if match is None:
        raise RegistryError("token_form", field="token")
    if role is Role.OWNER:
        raise RegistryError("account_needed", field="account")
    known = next((token for token in list_tokens(connection) if token.id == match[1]), None)
    if known is not None:
        digest = connection.execute(
            select(tokens.c.digest).where(tokens.c.id == known.id)
        ).scalar_one()
        same = hmac.compare_digest(_digest(match[2]), digest)
        if not same or known.role != role or known.revoked_at is not None:
            raise RegistryError("token_differs", field="token", token=known.id)
        return known, False
    info = TokenView(
        id=match[1],
        name=clean_text(name, field="name", limit=64),
        role=role,
        created_at=now,
        expires_at=None,
        revoked_at=None,
    )
    _insert(connection, info, match[2])
    return info, True


def _insert(connection: Connection, info: TokenView, secret: str) -> None:
    connection.execute(
        insert(tokens).values(
            id=info.id,
            name=info.name,
            role=info.role.value,
            digest=_digest(secret),
            created_at=info.created_at,
            expires_at=info.expires_at,
            account=info.account,
            grants=None if info.grants is None else " ".join(info.grants),
        )
    )


def revoke_token(
    connection: Connection, token: str, *, now: int, account: str | None = None
) -> None:
    """End a token by its id; with `account`, only a sub-user's of it.

    Raises RegistryError `token_unknown`.
    """
    if _ID(token) is None:
        raise RegistryError("token_unknown", field="token", token=token[:20])
    ended = update(tokens).where(tokens.c.id == token, tokens.c.revoked_at.is_(None))
    if account is not None:
        ended = ended.where(tokens.c.account == account, tokens.c.grants.is_not(None))
    done = connection.execute(ended.values(revoked_at=now))
    if done.rowcount == 0:
        raise RegistryError("token_unknown", field="token", token=token)


def list_tokens(connection: Connection, *, account: str | None = None) -> list[TokenView]:
    """Return all tokens, or an account's, the newest last."""
    query = select(
        tokens.c.id,
        tokens.c.name,
        tokens.c.role,
        tokens.c.created_at,
        tokens.c.expires_at,
        tokens.c.revoked_at,
        tokens.c.account,
        tokens.c.grants,
    ).order_by(tokens.c.created_at, tokens.c.id)
    if account is not None:
        query = query.where(tokens.c.account == account)
    found = []
    for row in connection.execute(query):
        values = dict(row._mapping)
        values["grants"] = None if row.grants is None else tuple(row.grants.split())
        found.append(TokenView(**values))
    return found


def authenticate(connection: Connection, text: str, *, now: int) -> Actor:
    """Return who holds this token. Raises RegistryError `token_invalid`."""
    match = _TOKEN(text)
    if match is None:
        raise RegistryError("token_invalid")
    row = connection.execute(select(tokens).where(tokens.c.id == match[1])).one_or_none()
    known = row.digest if row is not None else bytes(32)
    good = hmac.compare_digest(_digest(match[2]), known)
    if row is None or not good or row.revoked_at is not None:
        raise RegistryError("token_invalid")
    if row.expires_at is not None and row.expires_at <= now:
        raise RegistryError("token_invalid")
    grants = None if row.grants is None else frozenset(map(Grant, row.grants.split()))
    return Actor(f"{row.name} ({row.id})", Role(row.role), row.account, grants)


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()
