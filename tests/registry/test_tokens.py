"""Tokens: made once, stored hashed, checked by role, ended at once."""

from __future__ import annotations

import pytest
from sqlalchemy import select

from gate.registry.commands import Role
from gate.registry.errors import RegistryError
from gate.registry.registry import LOCAL, Registry
from gate.registry.schema import tokens
from gate.registry.tokens import Actor, authenticate
from tests.registry.conftest import Clock
from tests.registry.filings import first_filing


def who(registry: Registry, text: str) -> Actor:
    with registry.database.read() as connection:
        return authenticate(connection, text, now=registry.now())


def test_a_token_says_who_and_with_which_role(registry: Registry) -> None:
    info, text = registry.tokens.create(name="ops", role=Role.REGISTRAR, actor=LOCAL)
    assert who(registry, text) == Actor(f"ops ({info.id})", Role.REGISTRAR)


def test_the_secret_is_not_in_the_database(registry: Registry) -> None:
    _, text = registry.tokens.create(name="ops", role=Role.ADMIN, actor=LOCAL)
    secret = text.split("_", 2)[2].encode()
    with registry.database.read() as connection:
        row = connection.execute(select(tokens)).one()
    assert not any(secret in str(value).encode() for value in row)
    assert row.digest != secret


@pytest.mark.parametrize(
    "change",
    [
        lambda text: "",
        lambda text: text[:-1],
        lambda text: text[:-1] + ("A" if text[-1] != "A" else "B"),
        lambda text: text.replace("gate_", "gate_0", 1)[:-1],
        lambda text: "gate_" + "0" * 12 + "_" + text.split("_", 2)[2],
        lambda text: text + "\n",
        lambda text: "gate_' OR 1=1 --_" + "A" * 43,
        lambda text: text.upper(),
    ],
)
def test_any_other_text_is_refused(registry: Registry, change: object) -> None:
    _, text = registry.tokens.create(name="ops", role=Role.ADMIN, actor=LOCAL)
    with pytest.raises(RegistryError) as caught:
        who(registry, change(text))  # type: ignore[operator]
    assert caught.value.code == "token_invalid"


def test_a_token_ends_at_its_time_or_at_once(registry: Registry, clock: Clock) -> None:
    info, revoked = registry.tokens.create(name="a", role=Role.READER, actor=LOCAL)
    _, short = registry.tokens.create(name="b", role=Role.READER, actor=LOCAL, lifetime=60)
    registry.tokens.revoke(info.id, actor=LOCAL)
    with pytest.raises(RegistryError, match="revoked"):
        who(registry, revoked)
    clock.now += 59
    assert who(registry, short).role is Role.READER
    clock.now += 1
    with pytest.raises(RegistryError, match="expired"):
        who(registry, short)


@pytest.mark.parametrize("token", ["", "0" * 12, "x" * 12, "0" * 13, "\x00", "' OR 1=1 --"])
def test_an_unknown_token_can_not_be_ended(registry: Registry, token: str) -> None:
    with pytest.raises(RegistryError) as caught:
        registry.tokens.revoke(token, actor=LOCAL)
    assert caught.value.code == "token_unknown"


@pytest.mark.parametrize(
    ("role", "allowed"),
    [
        (Role.OWNER, {Role.OWNER}),
        (Role.VERIFIER, {Role.VERIFIER}),
        (Role.READER, {Role.OWNER, Role.READER}),
        (Role.REGISTRAR, {Role.OWNER, Role.READER, Role.REGISTRAR}),
        (Role.REVIEWER, {Role.OWNER, Role.READER, Role.REVIEWER}),
        (Role.AUTHORITY, {Role.OWNER, Role.READER, Role.AUTHORITY}),
        (Role.ADMIN, set(Role)),
    ],
)
def test_a_role_includes_the_lesser_ones(role: Role, allowed: set[Role]) -> None:
    assert {needed for needed in Role if role.includes(needed)} == allowed


def test_an_operation_is_refused_to_a_lesser_role(registry: Registry) -> None:
    with pytest.raises(RegistryError) as caught:
        registry.perform(first_filing("a.cn"), actor=Actor("r", Role.READER))
    assert (caught.value.code, caught.value.status) == ("role_insufficient", 403)
    with pytest.raises(RegistryError):
        registry.tokens.create(name="x", role=Role.READER, actor=Actor("r", Role.REGISTRAR))
