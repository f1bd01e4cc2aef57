"""The registry as the API and the command line use it: every write goes through here.

Synchronous and safe to call from any thread; a write holds one transaction from its first look
at the records to its batch in the log.
"""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from gate.changes.position import GatePosition
from gate.filings import Change
from gate.registry import blocked_names, log
from gate.registry.answers import ANSWERS, forget_answers, given_answer, keep_answer
from gate.registry.audit import public, record
from gate.registry.commands import Command, Outcome, Role
from gate.registry.database import Database
from gate.registry.dispatch import carry_out
from gate.registry.errors import RegistryError
from gate.registry.fields import clean_identifier, clean_text
from gate.registry.gates import forget_positions, rename_pushed, take_position
from gate.registry.issuing import TokenIssuer
from gate.registry.log import Head
from gate.registry.operations import Work, overriding
from gate.registry.operations.transaction import Transaction
from gate.registry.orders.commands import Step
from gate.registry.orders.provider_terms import OrderPolicy
from gate.registry.orders.rule_texts import Finding
from gate.registry.provider import ProviderMove, move, own
from gate.registry.sightings import reminding
from gate.registry.sightings.hollow import count_hollow
from gate.registry.sightings.matching import match_all
from gate.registry.sightings.networks import put_networks
from gate.registry.sightings.reminding import AccountSending
from gate.registry.sightings.traffic import count_idle, take_traffic
from gate.registry.sightings.views import Look, NetworkOwner, TrafficReport, TrafficTaken
from gate.registry.tokens import Actor
from gate.registry.unfiled import ReportTaken, UnfiledReport
from gate.registry.workflow import notices
from gate.registry.workflow.ahead import read_ahead
from gate.registry.workflow.facts import (
    AccountFacts,
    OwnerFacts,
    check_order,
    put_account,
    put_owner,
)
from gate.registry.workflow.notices import Sending
from gate.registry.workflow.record import load
from gate.registry.workflow.sms import LogGateway, SmsGateway
from gate.registry.workflow.sweep import CLOCK, Swept, sweep

_log = logging.getLogger(__name__)

Listener = Callable[[Head, Sequence[Change]], None]

LOCAL = Actor("local", Role.ADMIN)
"""Who works on the database file directly."""


@dataclass(slots=True, frozen=True)
class Request:
    """An operation, who asks for it, and the caller's Idempotency-Key."""

    command: Command
    actor: Actor
    key: str | None = None
    dry_run: bool = False
    """Find out what it would do, and undo it."""


class _Undo(Exception):
    """The part of a transaction that says this is only to be looked at."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__()
        self.outcome = outcome


class Registry:
    """The filing registry on one database.

    `provider` is this registry's own id among access providers, `policy` what it has set for
    orders.
    """

    def __init__(
        self,
        database: Database,
        *,
        provider: str = "gate",
        policy: OrderPolicy | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.database = database
        self.provider = clean_identifier(provider, field="provider")
        self.policy = policy or OrderPolicy()
        self.clock = clock
        self._listeners: list[Listener] = []
        self.sms_gateway: SmsGateway = LogGateway()
        self.tokens = TokenIssuer(self._writing)
        self._reminder = reminding.Reminder()

    def now(self) -> int:
        """Return the time in whole Unix seconds."""
        return int(self.clock())

    def head(self) -> Head:
        """Return where the log stands. Raises RegistryError `database_unavailable`."""
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

    def preview(self, command: Command, *, actor: Actor) -> Outcome:
        """Return what an operation would do, and change nothing.

        Raises RegistryError like `perform`.
        """
        (done,) = self.perform_all([Request(command, actor, dry_run=True)])
        if isinstance(done, Exception):
            raise done
        return done[0]

    def perform_all(self, requests: Sequence[Request]) -> list[tuple[Outcome, bool] | Exception]:
        """Carry out operations in one transaction, so that many wait for one write to the disk.

        Each is done wholly or not at all, as if it were alone: its outcome as by `perform`, or
        its error. Raises RegistryError when the transaction as a whole comes to nothing.
        """
        try:
            found, works = self._perform_group(requests)
        except DBAPIError as error:
            # What was written at the end of the group broke a constraint, which no check above
            # it has seen: a fault of this program, and of one of the group. Alone, it harms no one.
            if len(requests) == 1:
                return [error]
            _log.exception("operations are carried out one by one")
            return [self._alone(request) for request in requests]
        changes = [change for work in works for change in work.changes]
        if works and changes:
            self.committed(works[0], works[0].head.revision + len(changes), changes)
        return found

    def _alone(self, request: Request) -> tuple[Outcome, bool] | Exception:
        try:
            return self.perform_all([request])[0]
        except RegistryError as error:
            return error

    def _perform_group(
        self, requests: Sequence[Request]
    ) -> tuple[list[tuple[Outcome, bool] | Exception], list[Work]]:
        found: list[tuple[Outcome, bool] | Exception] = []
        works: list[Work] = []
        with self.database.write() as connection:
            at = log.head(connection, lock=True)
            own(connection, self.provider)
            transaction = Transaction(connection, grouped=len(requests) > 1)
            if len(requests) > 1:
                read_ahead(transaction, [request.command for request in requests])
                transaction.ahead(ANSWERS, [one.key for one in requests if one.key is not None])
            for request in requests:
                work = self._work(transaction, at, request.actor)
                try:
                    with transaction.part():
                        done = self._perform(work, request)
                        if request.dry_run:
                            raise _Undo(done[0])
                    found.append(done)
                except _Undo as undone:
                    found.append((undone.outcome.model_copy(update={"dry_run": True}), False))
                except Exception as error:
                    if transaction.is_lost(error):
                        raise
                    found.append(error)  # of this request alone; the others go on
                else:
                    works.append(work)
                    at = replace(at, revision=at.revision + len(work.changes))
            transaction.flush()
        return found, works

    def _perform(self, work: Work, request: Request) -> tuple[Outcome, bool]:
        command, actor = request.command, request.actor
        key = None if request.dry_run else request.key
        actor.needs(command.role)
        digest = b""
        if key is not None:
            text = f"{command.operation}\n{command.model_dump_json()}"
            digest = hashlib.sha256(text.encode()).digest()
            answer = given_answer(work.transaction, actor, key, digest, work.now)
            if answer is not None:
                return Outcome.model_validate_json(answer), True
        outcome = carry_out(work, command)
        if not isinstance(command, Step) or work.changes:
            # An order's own events tell of every step; what changed filings stands here, too.
            record(
                work, command.operation, command.target, public(command), revision=outcome.revision
            )
        if key is not None:
            answer = outcome.model_dump_json()
            keep_answer(work.transaction, actor, key, digest, answer, work.now)
        return outcome, False

    def begin(self, connection: Connection, actor: Actor) -> Work:
        """Lock the log and begin a unit of work in an open write transaction."""
        return self._work(Transaction(connection), log.head(connection, lock=True), actor)

    def _work(self, transaction: Transaction, at: Head, actor: Actor) -> Work:
        return Work(transaction, at, self.provider, self.now(), actor, self.policy)

    @contextmanager
    def _writing(self, actor: Actor) -> Iterator[Work]:
        """A unit of work in a transaction of its own; see `begin`."""
        with self.database.write() as connection:
            yield self.begin(connection, actor)

    def begin_change(self, connection: Connection, actor: Actor) -> Work:
        """Begin a unit of work that changes filings, in this provider's name; see `begin`.

        Raises RegistryError `provider_differs` where the database is another provider's.
        """
        work = self.begin(connection, actor)
        own(connection, self.provider)
        return work

    def committed(self, work: Work, revision: int, changes: Sequence[Change] = ()) -> None:
        """Tell who listens, after a commit, if the log grew; `changes` are those up to
        `revision`, if they are at hand."""
        if revision != work.head.revision:
            self._tell(Head(work.head.epoch, revision, work.head.oldest), changes)

    def listen(self, listener: Listener) -> None:
        """Have a listener called after each commit, on the thread that committed.

        It is told the log's head, and the changes that led there, or none if they are not at hand.
        """
        self._listeners.append(listener)

    def listen_no_more(self, listener: Listener) -> None:
        """Have one that listens called no more."""
        self._listeners.remove(listener)

    def _tell(self, head: Head, changes: Sequence[Change]) -> None:
        for listener in self._listeners:
            listener(head, changes)

    def renew_epoch(self, *, actor: Actor) -> Head:
        """Begin a new epoch, after a backup was restored. Needs the role admin."""
        actor.needs(Role.ADMIN)
        with self._writing(actor) as work:
            head = log.begin_epoch(work.connection, now=self.clock())
            record(work, "renew_epoch", head.epoch, {})
        self._tell(head, ())
        return head

    def accept_set(self, *, reason: str, actor: Actor) -> Head:
        """Give out the set as it is, although it has shrunk unexplained. Needs the role admin."""
        actor.needs(Role.ADMIN)
        reason = clean_text(reason, field="reason")
        with self._writing(actor) as work:
            log.accept(work.connection, work.head)
            record(work, "accept_set", work.head.epoch, {"reason": reason})
        return work.head

    def claim(self) -> None:
        """Make sure that the database is this provider's, before it is served.

        Raises RegistryError `provider_differs`.
        """
        with self.database.write() as connection:
            log.head(connection, lock=True)
            own(connection, self.provider)

    def change_provider(
        self, provider: str, *, actor: Actor, dry_run: bool = False
    ) -> ProviderMove:
        """Make the database another provider's, and each domain what it is in its eyes.

        Needs the role admin. Return what changes; with `dry_run` nothing does.
        """
        actor.needs(Role.ADMIN)
        provider = clean_identifier(provider, field="provider")
        with self.database.write() as connection:
            work = self.begin_change(connection, actor)
            savepoint = connection.begin_nested()
            moved = move(work, provider)
            if dry_run:
                savepoint.rollback()
                return moved
            head = log.head(connection)
            detail = {"from": self.provider, "opening": moved.opening, "closing": moved.closing}
            record(work, "change_provider", provider, detail, revision=head.revision)
        self.provider = provider
        self.committed(work, head.revision)
        return moved

    def report_unfiled(
        self, report: UnfiledReport, *, actor: Actor, key: str | None = None
    ) -> ReportTaken:
        """Add what a gate has counted of blocked names; `key` as for `perform`."""
        actor.needs(Role.READER)
        request = hashlib.sha256(
            b"report\n" + report.model_dump_json(exclude_defaults=True).encode()
        ).digest()
        now = self.now()
        with self.database.write() as connection:
            transaction = Transaction(connection)
            if key is not None:
                answer = given_answer(transaction, actor, key, request, now)
                if answer is not None:
                    return ReportTaken.model_validate_json(answer)
            taken = blocked_names.take(connection, report, now=now)
            if key is not None:
                keep_answer(transaction, actor, key, request, taken.model_dump_json(), now)
        return taken

    def tidy(self, *, keep: int) -> int:
        """Compact the log to its last `keep` changes, and forget old answers and reports.

        Gives back how many batches were dropped.
        """
        with self.database.write() as connection:
            dropped = log.compact(connection, keep=keep)
            forget_answers(connection, self.now())
            blocked_names.forget(connection, now=self.now())
            forget_positions(connection, self.now())
            head = log.head(connection)
        if dropped:
            self._tell(head, ())
        return dropped

    def check_order(self, connection: Connection, number: int, *, actor: Actor) -> list[Finding]:
        """What the rules find in an order now. Raises RegistryError `order_unknown`, or that the
        type of the order can't be told."""
        work = self._looking(connection, actor)
        return check_order(work, load(work, number))

    @contextmanager
    def reading(self) -> Iterator[Work]:
        """A unit of work that only looks, in one state of the database."""
        with self.database.read() as connection:
            yield self._looking(connection, LOCAL)

    def _looking(self, connection: Connection, actor: Actor) -> Work:
        return self._work(Transaction(connection), log.head(connection), actor)

    def put_account(self, account: str, known: AccountFacts, *, actor: Actor) -> None:
        """Keep who an account was verified as. Needs the role registrar."""
        actor.needs(Role.REGISTRAR)
        with self._writing(actor) as work:
            put_account(work.connection, account, known, now=work.now)
            record(work, "put_account", account, known.model_dump())

    def put_owner(self, domain: str, known: OwnerFacts, *, actor: Actor) -> None:
        """Keep a domain's verified owner. Needs the role registrar."""
        actor.needs(Role.REGISTRAR)
        with self._writing(actor) as work:
            put_owner(work.connection, domain, known, now=work.now)
            record(work, "put_owner", domain, known.model_dump())

    def put_networks(self, owners: Sequence[NetworkOwner], *, actor: Actor) -> None:
        """Keep whose hosts are in which networks. Needs the role registrar."""
        actor.needs(Role.REGISTRAR)
        with self._writing(actor) as work:
            put_networks(work.connection, owners, now=work.now)
            record(work, "put_networks", owners[0].network, {"networks": len(owners)})

    def take_traffic(self, report: TrafficReport, *, actor: Actor) -> TrafficTaken:
        """Keep which filed domains had traffic at a gate on a day."""
        actor.needs(Role.READER)
        with self.database.write() as connection:
            return take_traffic(connection, report, now=self.now())

    def look_around(self) -> Look:
        """Put what gates have seen beside the records, and have accounts told of it."""
        now = self.now()
        blocked = match_all(self.database, now=now)
        made = sum(
            self._reminder.look(self.database, self.policy, kind, now=now)
            for kind in self.policy.told_of
        )
        with self.database.read() as connection:
            return Look(
                blocked=blocked,
                idle=count_idle(connection, self.policy.idle_days, now=now),
                hollow=count_hollow(connection),
                notices=made,
            )

    def claim_notices(self, channel: str | None = None) -> list[Sending]:
        """Take the notices of orders that are to be sent now, through one channel or any."""
        channels = self.policy.channels if channel is None else (channel,)
        with self.database.write() as connection:
            head = log.head(connection, lock=True)
            return notices.claim(connection, channels, now=self.now(), epoch=head.epoch)

    def claim_account_notices(self, channel: str | None = None) -> list[AccountSending]:
        """Take the notices of what gates have seen that are to be sent now; as `claim_notices`."""
        channels = self.policy.channels if channel is None else (channel,)
        with self.database.write() as connection:
            log.head(connection, lock=True)
            return reminding.claim(connection, channels, now=self.now())

    def settle_notice(self, sending: Sending | AccountSending, error: str | None) -> None:
        """Put down that a channel has taken a notice, or why not."""
        with self.database.write() as connection:
            if isinstance(sending, AccountSending):
                reminding.settle(connection, sending, error, self.now())
            elif error is None:
                notices.taken(connection, sending, self.now())
            else:
                notices.failed(connection, sending, error, self.now())

    def take_positions(
        self, told: Mapping[str, GatePosition], renamed: Mapping[str, str] | None = None
    ) -> None:
        """Keep the words of gates about what they enforce; `renamed` have told their own names."""
        with self.database.write() as connection:
            log.head(connection, lock=True)
            for old, new in sorted((renamed or {}).items()):
                rename_pushed(connection, old, new)
            for gate, position in sorted(told.items()):
                take_position(connection, gate, position, self.now())

    def sweep(self) -> tuple[int, list[int]]:
        """Do what the clocks of orders have come to, each thing once.

        Gives back how many orders moved, and those that could not be: they are in the log, and
        tried again by the next sweep. Raises RegistryError when the database can't be used.
        """
        moved = 0
        failed: list[int] = []
        more = True
        while more:
            found = self.sweep_some(failed)
            moved, more = moved + found.moved, found.more
        return moved, failed

    def sweep_some(self, failed: list[int]) -> Swept:
        """Do what is due for the next orders, in one transaction; see `sweep`.

        `failed` has those that could not be moved before, and gets those of now.
        """
        with self.database.write() as connection:
            transaction = Transaction(connection, grouped=True)
            work = self._work(transaction, log.head(connection, lock=True), CLOCK)
            own(connection, self.provider)
            found = sweep(work, failed)
            with transaction.part():
                for domain in overriding.ended(work):
                    overriding.end(work, domain)
                    record(work, "end_override", domain, {})
                overriding.cover(work)
            transaction.flush()
            head = log.append(connection, work.head, "sweep", work.changes, work.now)
        self.committed(work, head.revision, work.changes)
        for code in found.codes:
            self.sms_gateway.send(code)
        return found
