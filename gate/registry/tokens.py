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

from gate.registry.commands import Role
from gate.registry.errors import RegistryError
from gate.registry.rules import clean_text
from gate.registry.schema import tokens
from gate.registry.views import TokenView

_ID = re.compile(r"[0-9a-f]{12}").fullmatch
_TOKEN = re.compile(r"gate_([0-9a-f]{12})_([0-9A-Za-z_-]{43})").fullmatch


@dataclass(slots=True, frozen=True)
class Actor:
    """Who acts, and with which role."""

    name: str
    role: Role

    def needs(self, role: Role) -> None:
        """Raise RegistryError `role_insufficient` unless the actor's role includes `role`."""
        if not self.role.includes(role):
            raise RegistryError("role_insufficient", needed=role, role=self.role)


def create_token(
    connection: Connection, *, name: str, role: Role, now: int, expires_at: int | None = None
) -> tuple[TokenView, str]:
    """Make a token; its text is given here once and never again.

    Raises RegistryError `text_invalid`.
    """
    info = TokenView(
        id=secrets.token_hex(6),
        name=clean_text(name, field="name", limit=64),
        role=role,
        created_at=now,
        expires_at=expires_at,
        revoked_at=None,
    )
    secret = secrets.token_urlsafe(32)
    connection.execute(
        insert(tokens).values(
            id=info.id,
            name=info.name,
            role=role.value,
            digest=_digest(secret),
            created_at=now,
            expires_at=expires_at,
        )
    )
    return info, f"gate_{info.id}_{secret}"


def revoke_token(connection: Connection, token: str, *, now: int) -> None:
    """End a token by its id. Raises RegistryError `token_unknown`."""
    if _ID(token) is None:
        raise RegistryError("token_unknown", field="token", token=token[:20])
    done = connection.execute(
        update(tokens)
        .where(tokens.c.id == token, tokens.c.revoked_at.is_(None))
        .values(revoked_at=now)
    )
    if done.rowcount == 0:
        raise RegistryError("token_unknown", field="token", token=token)


def list_tokens(connection: Connection) -> list[TokenView]:
    """All tokens, the newest last."""
    rows = connection.execute(
        select(
            tokens.c.id,
            tokens.c.name,
            tokens.c.role,
            tokens.c.created_at,
            tokens.c.expires_at,
            tokens.c.revoked_at,
        ).order_by(tokens.c.created_at, tokens.c.id)
    )
    return [TokenView(**row._mapping) for row in rows]


def authenticate(connection: Connection, text: str, *, now: int) -> Actor:
    """Who holds this token. Raises RegistryError `token_invalid`."""
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
    return Actor(f"{row.name} ({row.id})", Role(row.role))


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()
