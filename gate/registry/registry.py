"""The registry as the API and the command line use it: every write goes through here.

Synchronous and safe to call from any thread; a write holds one transaction from its first look
at the records to its batch in the log.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, delete, func, insert, select
from sqlalchemy.exc import DBAPIError

from gate.registry import log, reports, tokens
from gate.registry.commands import Command, Outcome, Role
from gate.registry.database import Database, is_database_at_fault
from gate.registry.errors import RegistryError
from gate.registry.log import Head
from gate.registry.operations import Work, carry_out
from gate.registry.rules import clean_identifier
from gate.registry.schema import answers, audit
from gate.registry.tokens import Actor
from gate.registry.unfiled import ReportTaken, UnfiledReport
from gate.registry.views import TokenView
from gate.replica import Change

LOCAL = Actor("local", Role.ADMIN)
"""Who works on the database file directly."""

KEY_SECONDS = 24 * 3600
"""How long an answer is kept under its Idempotency-Key."""


@dataclass(slots=True, frozen=True)
class Request:
    """An operation, who asks for it, and the caller's Idempotency-Key."""

    command: Command
    actor: Actor
    key: str | None = None


class Registry:
    """The filing registry on one database.

    `provider` is this registry's own id among access providers. `on_change` is called with the
    log's head after each commit, on the thread that committed, and with the changes that led
    there, or none if they are not at hand.
    """

    def __init__(
        self,
        database: Database,
        *,
        provider: str = "gate",
        clock: Callable[[], float] = time.time,
        on_change: Callable[[Head, Sequence[Change]], None] | None = None,
    ) -> None:
        self.database = database
        self.provider = clean_identifier(provider, field="provider")
        self.clock = clock
        self.on_change = on_change

    def now(self) -> int:
        """The time in whole Unix seconds."""
        return int(self.clock())

    def head(self) -> Head:
        """Where the log stands. Raises RegistryError `database_unavailable`."""
        with self.database.read() as connection:
            return log.head(connection)

    def perform(
        self, command: Command, *, actor: Actor, key: str | None = None
    ) -> tuple[Outcome, bool]:
        """Carry out one operation; give back its outcome, and whether that is a repeat.

        `key` is the caller's Idempotency-Key: within a day the same actor gets the same answer
        for the same request, without it being done twice.
        Raises RegistryError for whatever the command breaks; nothing is changed then.
        """
        (done,) = self.perform_all([Request(command, actor, key)])
        if isinstance(done, Exception):
            raise done
        return done

    def perform_all(self, requests: Sequence[Request]) -> list[tuple[Outcome, bool] | Exception]:
        """Carry out operations in one transaction, so that many wait for one write to the disk.

        Each is done wholly or not at all, as if it were alone: its outcome as by `perform`, or
        its error. Raises RegistryError when the transaction as a whole comes to nothing.
        """
        found: list[tuple[Outcome, bool] | Exception] = []
        works: list[Work] = []
        with self.database.write() as connection:
            for request in requests:
                savepoint = connection.begin_nested()
                try:
                    work = self.begin(connection, request.actor)
                    found.append(self._perform(work, request))
                    savepoint.commit()
                    works.append(work)
                except Exception as error:
                    if isinstance(error, DBAPIError) and is_database_at_fault(error):
                        raise  # the transaction is lost, and the savepoint with it
                    savepoint.rollback()
                    found.append(error)  # of this request alone; the others go on
        changes = [change for work in works for change in work.changes]
        if works and changes:
            self.committed(works[0], works[0].head.revision + len(changes), changes)
        return found

    def _perform(self, work: Work, request: Request) -> tuple[Outcome, bool]:
        command, actor, key = request.command, request.actor, request.key
        actor.needs(command.role)
        connection = work.connection
        digest = hashlib.sha256(
            f"{command.operation}\n{command.model_dump_json()}".encode()
        ).digest()
        if key is not None:
            answer = self._answered(connection, actor, key, digest, work.now)
            if answer is not None:
                return Outcome.model_validate_json(answer), True
        outcome = carry_out(work, command)
        record(work, command.operation, command.target, _public(command), revision=outcome.revision)
        if key is not None:
            answer = outcome.model_dump_json()
            _keep_answer(connection, actor, key, digest, answer, work.now)
        return outcome, False

    def begin(self, connection: Connection, actor: Actor) -> Work:
        """Lock the log and begin a unit of work in an open write transaction."""
        at = log.head(connection, lock=True)
        return Work(connection, at, self.provider, self.now(), actor.name)

    def committed(self, work: Work, revision: int, changes: Sequence[Change] = ()) -> None:
        """Tell who listens, after a commit, if the log grew; `changes` are those up to
        `revision`, if they are at hand."""
        if revision != work.head.revision and self.on_change is not None:
            self.on_change(Head(work.head.epoch, revision, work.head.oldest), changes)

    def create_token(
        self, *, name: str, role: Role, actor: Actor, lifetime: int | None = None
    ) -> tuple[TokenView, str]:
        """Make a token, which lives `lifetime` seconds or for good. Needs the role admin."""
        actor.needs(Role.ADMIN)
        with self.database.write() as connection:
            work = self.begin(connection, actor)
            expires = None if lifetime is None else work.now + lifetime
            info, text = tokens.create_token(
                connection, name=name, role=role, now=work.now, expires_at=expires
            )
            record(work, "create_token", info.id, {"name": info.name, "role": role.value})
        return info, text

    def revoke_token(self, token: str, *, actor: Actor) -> None:
        """End a token at once. Needs the role admin. Raises RegistryError `token_unknown`."""
        actor.needs(Role.ADMIN)
        with self.database.write() as connection:
            work = self.begin(connection, actor)
            tokens.revoke_token(connection, token, now=work.now)
            record(work, "revoke_token", token, {})

    def renew_epoch(self, *, actor: Actor) -> Head:
        """Begin a new epoch, after a backup was restored. Needs the role admin."""
        actor.needs(Role.ADMIN)
        with self.database.write() as connection:
            work = self.begin(connection, actor)
            head = log.begin_epoch(connection, now=self.clock())
            record(work, "renew_epoch", head.epoch, {})
        if self.on_change is not None:
            self.on_change(head, ())
        return head

    def report_unfiled(
        self, report: UnfiledReport, *, actor: Actor, key: str | None = None
    ) -> ReportTaken:
        """Add what a gate has counted of blocked names; `key` as for `perform`."""
        actor.needs(Role.READER)
        request = hashlib.sha256(b"report\n" + report.model_dump_json().encode()).digest()
        now = self.now()
        with self.database.write() as connection:
            if key is not None:
                answer = self._answered(connection, actor, key, request, now)
                if answer is not None:
                    return ReportTaken.model_validate_json(answer)
            taken = reports.take(connection, report, now=now)
            if key is not None:
                _keep_answer(connection, actor, key, request, taken.model_dump_json(), now)
        return taken

    def tidy(self, *, keep: int) -> int:
        """Compact the log to its last `keep` changes, and forget old answers and reports.

        Gives back how many batches were dropped.
        """
        with self.database.write() as connection:
            dropped = log.compact(connection, keep=keep)
            connection.execute(delete(answers).where(answers.c.time < self.now() - KEY_SECONDS))
            reports.forget(connection, now=self.now())
            head = log.head(connection)
        if dropped and self.on_change is not None:
            self.on_change(head, ())
        return dropped

    def _answered(
        self, connection: Connection, actor: Actor, key: str, request: bytes, now: int
    ) -> str | None:
        row = connection.execute(
            select(answers.c.request, answers.c.answer, answers.c.time).where(
                answers.c.actor == actor.name, answers.c.key == key
            )
        ).one_or_none()
        if row is None:
            return None
        if row.time < now - KEY_SECONDS:
            connection.execute(
                delete(answers).where(answers.c.actor == actor.name, answers.c.key == key)
            )
            return None
        if row.request != request:
            raise RegistryError("key_reused", field="Idempotency-Key")
        return str(row.answer)


def _keep_answer(
    connection: Connection, actor: Actor, key: str, request: bytes, answer: str, now: int
) -> None:
    connection.execute(
        insert(answers).values(actor=actor.name, key=key, request=request, answer=answer, time=now)
    )


def record(
    work: Work, operation: str, target: str, detail: dict[str, Any], *, revision: int | None = None
) -> None:
    """Write one line of the audit trail, in the transaction that it tells of."""
    highest: int | None = work.connection.execute(select(func.max(audit.c.id))).scalar()
    work.connection.execute(
        insert(audit).values(
            id=(highest or 0) + 1,
            time=work.now,
            actor=work.actor,
            operation=operation,
            target=target,
            detail=json.dumps(detail, ensure_ascii=False),
            revision=work.head.revision if revision is None else revision,
        )
    )


def _public(command: Command) -> dict[str, Any]:
    """A command for the audit trail, without certificate numbers (personal data)."""

    def mask(value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        return {
            key: "…" + str(item)[-4:] if key == "certificate" else mask(item)
            for key, item in value.items()
        }

    masked: dict[str, Any] = mask(command.model_dump(mode="json", exclude_none=True))
    return masked
