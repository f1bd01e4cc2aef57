"""Answers kept under their Idempotency-Key: a request that comes again gets the same one.

The key is the caller's own; nobody else's request meets it.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from sqlalchemy import Connection, delete

from gate.registry.errors import RegistryError
from gate.registry.operations.transaction import Lookup, Transaction
from gate.registry.schema import answers
from gate.registry.tokens import Actor

KEY_SECONDS: Final = 24 * 3600
"""How long an answer is kept under its Idempotency-Key."""


class _Given(NamedTuple):
    """An answer that was given under a key."""

    actor: str
    request: bytes
    answer: str
    time: int


ANSWERS: Final = Lookup[tuple[_Given, ...]](
    answers.c.key,
    (answers.c.actor, answers.c.request, answers.c.answer, answers.c.time),
    lambda row: (_Given(*tuple(row)[1:]),),
    joined=True,
)
"""What was answered to anybody under a key."""


def given_answer(
    transaction: Transaction, actor: Actor, key: str, request: bytes, now: int
) -> str | None:
    """Return what was answered to `actor` under a key, if that is still kept.

    `request` is the request's digest. Raises RegistryError `key_reused` where it is another one.
    """
    under_key = transaction.one(ANSWERS, key) or ()
    given = next((one for one in under_key if one.actor == actor.name), None)
    if given is None:
        return None
    if given.time < now - KEY_SECONDS:
        transaction.connection.execute(
            delete(answers).where(answers.c.actor == actor.name, answers.c.key == key)
        )
        return None
    if given.request != request:
        raise RegistryError("key_reused", field="Idempotency-Key")
    return given.answer


def keep_answer(
    transaction: Transaction, actor: Actor, key: str, request: bytes, answer: str, now: int
) -> None:
    """Keep an answer, in the transaction that did what it tells of."""
    given = _Given(actor.name, request, answer, now)
    transaction.insert(answers, given._asdict() | {"key": key})
    transaction.know(ANSWERS, key, (*(transaction.one(ANSWERS, key) or ()), given))


def forget_answers(connection: Connection, now: int) -> None:
    """Drop the answers that are too old to be given again."""
    connection.execute(delete(answers).where(answers.c.time < now - KEY_SECONDS))
