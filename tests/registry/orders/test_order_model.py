"""Random steps, a clock that jumps, and gates that lag, against a model that a person can read.

The model knows an order's state and when it entered it, and which names pass; nothing of tables.
Whatever happens, the registry agrees; no order is in two states; no clock runs twice; and no gate,
however far behind, lets a name pass that did not pass at its revision.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import groupby
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import func, select

from gate.registry import log
from gate.registry.commands import (
    Approve,
    CancelAccess,
    FirstFiling,
    Outcome,
    ServiceData,
    SubjectData,
)
from gate.registry.errors import RegistryError
from gate.registry.orders.commands import (
    AbandonOrder,
    ApproveOrder,
    NewOrder,
    PassOrder,
    ReportPerson,
    ReturnOrder,
    Step,
    SubmitOrder,
    UpdateOrder,
    WithdrawOrder,
)
from gate.registry.orders.entries import OrderEntry
from gate.registry.orders.kinds import Purpose
from gate.registry.orders.provider_terms import OrderPolicy
from gate.registry.registry import LOCAL, Registry
from gate.registry.schema import orders
from gate.registry.tokens import Actor
from gate.registry.verifying import verify
from gate.registry.workflow.queries import events_of
from tests.harness.new_registry import migrated
from tests.registry.orders.steps import (
    AUTHORITY,
    REVIEWER,
    VERIFIER,
    change,
    china,
    filing,
    owner,
    site,
)

DAY = 86_400
ACCOUNTS = ["a0", "a1", "a2"]
accounts = st.sampled_from(ACCOUNTS)
ENDED = {"done", "withdrawn", "abandoned"}


def end_of_day_in_china(seconds: int, days: int) -> int:
    """When the nth day after a time ends in China, computed without the program."""
    local = datetime.fromtimestamp(seconds, UTC) + timedelta(hours=8)
    day = datetime(local.year, local.month, local.day) + timedelta(days=days + 1)
    return int((day - datetime(1970, 1, 1)).total_seconds()) - 8 * 3_600


@dataclass
class Modelled:
    """An order as the model sees it."""

    account: str
    purpose: Purpose
    domain: str
    state: str
    since: int

    @property
    def runs_out(self) -> int | None:
        """When its clock moves it."""
        match self.state:
            case "draft":
                return end_of_day_in_china(self.since, 30)
            case "returned":
                return end_of_day_in_china(self.since, 45)
            case "sms":
                return self.since + DAY
        return None


@dataclass
class Gate:
    """A gate's replica, as far as it has come."""

    revision: int = 0
    passes: set[str] = field(default_factory=set)


REACHED: Counter[str] = Counter()
"""How often the runs of this process came to what they are about."""


class Workflow(RuleBasedStateMachine):
    """Orders of three accounts, right and wrong steps, in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.database = migrated(str(Path(self.folder.name) / "registry.db"))
        self.now = float(china("2026-03-02 09:00"))
        self.registry = Registry(self.database, clock=lambda: self.now)
        self.model: dict[int, Modelled] = {}
        self.passing: set[str] = set()
        self.cancelled: set[str] = set()
        self.passed_at: dict[int, set[str]] = {0: set()}
        self.gates = [Gate(), Gate(), Gate()]
        self.early = False

    def teardown(self) -> None:
        with self.database.read() as connection:
            assert list(verify(connection, "gate")) == []
        self.no_clock_ran_twice()
        REACHED.update(order.state for order in self.model.values())
        REACHED["gates that have seen a change"] += sum(gate.revision > 0 for gate in self.gates)
        self.database.close()
        self.folder.cleanup()

    @initialize(early=st.booleans())
    def prepare(self, early: bool) -> None:
        """Each account may have a name that another provider filed; access may open early."""
        self.early = early
        self.registry.policy = OrderPolicy(access_opens_at_pass=early)
        for number, account in enumerate(ACCOUNTS):
            command = FirstFiling(
                account=f"{account}x",
                province="京",
                subject=SubjectData(name="某某网络公司"),
                service=ServiceData(name="网站", domains=(f"old-{account}.cn",)),
            )
            made = self.registry.perform(command, actor=LOCAL)[0].application
            assert made is not None
            licence = f"京ICP备1000000{number}号-1"
            self.registry.perform(Approve(application=made, licence=licence), actor=LOCAL)
            self.registry.perform(CancelAccess(domain=f"old-{account}.cn"), actor=LOCAL)
        with self.database.write() as connection:
            connection.exec_driver_sql("UPDATE subjects SET account = NULL")
        self.noted()

    def noted(self) -> None:
        """Remember what passes at the log's head."""
        self.passed_at[self.registry.head().revision] = set(self.passing)

    def take(self, step: Step, actor: Actor) -> Outcome | None:
        """The outcome, or None for a refusal, which changes nothing."""
        before = self.registry.head()
        try:
            return self.registry.perform(step, actor=actor)[0]
        except RegistryError:
            assert self.registry.head() == before
            return None

    def of(self, account: str, *states: str) -> list[int]:
        """The account's orders in some states."""
        return [
            number
            for number, order in self.model.items()
            if order.account == account and order.state in states
        ]

    def enter(self, number: int, state: str) -> None:
        order = self.model[number]
        order.state, order.since = state, int(self.now)

    def entry(self, account: str, purpose: Purpose, domain: str) -> OrderEntry:
        if purpose is not Purpose.FILE:
            return change(site(domain), purpose=purpose)
        number = ACCOUNTS.index(account)
        if domain.startswith("old-"):
            own = {"licence": f"京ICP备1000000{number}号", "certificate": None}
            return filing(domain, **own)
        return filing(domain, certificate=account)

    @rule(
        account=accounts,
        purpose=st.sampled_from([Purpose.FILE, Purpose.FILE, Purpose.CANCEL]),
        old=st.booleans(),
    )
    def make(self, account: str, purpose: Purpose, old: bool) -> None:
        """An account has one open order."""
        domain = f"{'old' if old else 'new'}-{account}.cn"
        waits = [n for n, o in self.model.items() if o.account == account and o.state not in ENDED]
        done = self.take(NewOrder(entry=self.entry(account, purpose, domain)), owner(account))
        if waits:
            assert done is None
        if done is not None:
            assert done.application is not None
            made = Modelled(account, purpose, domain, "draft", int(self.now))
            self.model[done.application] = made

    @rule(account=accounts)
    def update(self, account: str) -> None:
        """An update begins a draft's days anew, and a returned order's not."""
        for number in self.of(account, "draft", "returned"):
            order = self.model[number]
            entry = self.entry(account, order.purpose, order.domain)
            done = self.take(UpdateOrder(order=number, entry=entry), owner(account))
            if done is not None and order.state == "draft":
                order.since = int(self.now)

    @rule(account=accounts)
    def submit(self, account: str) -> None:
        """Only drafts and returned orders are submitted."""
        for number, order in self.model.items():
            if order.account != account:
                continue
            done = self.take(SubmitOrder(order=number), owner(account))
            if done is not None:
                assert order.state in {"draft", "returned"}
                self.enter(number, "provider_review")

    @rule(number=st.integers(1, 12), thief=accounts)
    def reach_for_another_s(self, number: int, thief: str) -> None:
        """Nobody moves another account's order."""
        order = self.model.get(number)
        if order is not None and order.account != thief:
            for step in (SubmitOrder, AbandonOrder, WithdrawOrder):
                assert self.take(step(order=number), owner(thief)) is None

    @rule(account=accounts)
    def pass_or_refuse(self, account: str) -> None:
        """The provider's pass; an access opens then, if the provider has set so."""
        for number in self.of(account, "provider_review"):
            done = self.take(PassOrder(order=number), REVIEWER)
            if done is not None:
                self.enter(number, "sms")
                if self.early and self.is_access(number):
                    self.passing.add(self.model[number].domain)

    def is_access(self, number: int) -> bool:
        """Whether another provider has filed the name; what was cancelled is filed anew.

        A new filing is in force at the authority's word only, never at the provider's pass.
        """
        order = self.model[number]
        elsewhere = order.domain.startswith("old-") and order.domain not in self.cancelled
        return order.purpose is Purpose.FILE and elsewhere

    def close(self, number: int) -> None:
        """What was opened early closes."""
        if self.early and self.is_access(number):
            REACHED["closed early"] += self.model[number].domain in self.passing
            self.passing.discard(self.model[number].domain)

    @rule(account=accounts)
    def give_back(self, account: str) -> None:
        """Either reviewer may return what waits for it."""
        for number in self.of(account, "provider_review", "authority_review"):
            by = REVIEWER if self.model[number].state == "provider_review" else AUTHORITY
            other = AUTHORITY if by is REVIEWER else REVIEWER
            assert self.take(ReturnOrder(order=number, reason="x"), other) is None
            assert self.take(ReturnOrder(order=number, reason="x"), by) is not None
            self.enter(number, "returned")
            self.close(number)

    @rule(account=accounts, verified=st.booleans())
    def report(self, account: str, verified: bool) -> None:
        """The person is verified, or not."""
        for number in self.of(account, "sms"):
            step = ReportPerson(order=number, person=1, verified=verified)
            assert self.take(step, VERIFIER) is not None
            self.enter(number, "authority_review" if verified else "returned")
            if not verified:
                self.close(number)

    @rule(account=accounts)
    def approve(self, account: str) -> None:
        """What is done passes, or passes no more."""
        for number, order in self.model.items():
            if order.account != account:
                continue
            done = self.take(ApproveOrder(order=number, generate=True), AUTHORITY)
            if done is None:
                assert order.state != "authority_review" or order.purpose is not Purpose.FILE
                continue
            assert order.state == "authority_review"
            self.enter(number, "done")
            if order.purpose is Purpose.FILE:
                self.passing.add(order.domain)
            else:
                self.passing.discard(order.domain)
                self.cancelled.add(order.domain)
                REACHED["cancelled"] += 1

    @rule(account=accounts, steps=st.integers(1, 6), old=st.booleans())
    def go_on(self, account: str, steps: int, old: bool) -> None:
        """The way that an order takes when nobody objects, or a piece of it."""
        for _ in range(steps):
            waits = [
                o for o in self.model.values() if o.account == account and o.state not in ENDED
            ]
            if not waits:
                purpose = Purpose.FILE
                if any(name.endswith(f"-{account}.cn") for name in self.passing):
                    purpose = Purpose.CANCEL
                self.make(account, purpose, old)
                continue
            match waits[0].state:
                case "draft" | "returned":
                    self.submit(account)
                case "provider_review":
                    self.pass_or_refuse(account)
                case "sms":
                    self.report(account, True)
                case "authority_review":
                    self.approve(account)

    @rule(account=accounts, truly=st.integers(0, 4))
    def give_up(self, account: str, truly: int) -> None:
        """A draft is abandoned, a returned order withdrawn."""
        if truly:
            return
        for number in self.of(account, "draft", "stale", "returned"):
            state = self.model[number].state
            step: Step = AbandonOrder(order=number)
            if state == "returned":
                assert self.take(step, owner(account)) is None
                step = WithdrawOrder(order=number)
            assert self.take(step, owner(account)) is not None
            self.enter(number, "withdrawn" if state == "returned" else "abandoned")

    @rule(seconds=st.sampled_from([60, DAY // 2, DAY, 5 * DAY, 16 * DAY, 31 * DAY, 60 * DAY]))
    def let_time_pass(self, seconds: int) -> None:
        """The clock jumps; nobody looks."""
        self.now += seconds

    @rule(seconds=st.sampled_from([60, 3 * DAY]))
    def set_the_clock_back(self, seconds: int) -> None:
        """A clock that was ahead is set; what has run does not run again."""
        self.now -= seconds

    @rule()
    def sweep(self) -> None:
        """What has run out moves, once."""
        assert self.registry.sweep()[1] == []
        for number, order in self.model.items():
            end = order.runs_out
            if end is None or self.now < end:
                continue
            to = {"draft": "stale", "returned": "draft", "sms": "returned"}[order.state]
            self.close(number)
            self.enter(number, to)
        before = self.registry.head()
        assert self.registry.sweep() == (0, [])
        assert self.registry.head() == before

    @rule(which=st.integers(0, 2), steps=st.integers(1, 4))
    def a_gate_catches_up(self, which: int, steps: int) -> None:
        """A gate takes some batches, and stands there."""
        self.noted()
        gate = self.gates[which]
        with self.database.read() as connection:
            for _ in range(steps):
                changes = log.read_after(connection, gate.revision, limit=1)
                for one in changes:
                    gate.passes.discard(one.domain)
                    if one.status.value == "filed":
                        gate.passes.add(one.domain)
                gate.revision += len(changes)

    @invariant()
    def no_gate_lets_pass_what_did_not_pass_at_its_revision(self) -> None:
        """Whatever a gate has, it is what the model had then."""
        self.noted()
        for gate in self.gates:
            if gate.revision in self.passed_at:
                known = self.passed_at[gate.revision]
                assert {name for name in gate.passes if name.endswith(".cn")} == known

    @invariant()
    def every_order_is_in_the_state_that_the_model_has(self) -> None:
        """And in one only: the last event says so, too."""
        with self.database.read() as connection:
            rows = connection.execute(
                select(orders.c.id, orders.c.state, orders.c.events).where(
                    orders.c.origin == "order"
                )
            ).all()
            for row in rows:
                events = events_of(connection, row.id)
                assert [event.number for event in events] == list(range(1, row.events + 1))
                assert events[-1].state == row.state
            open_ = connection.execute(
                select(func.count())
                .where(orders.c.origin == "order", orders.c.state.not_in(ENDED))
                .group_by(orders.c.account)
            ).scalars()
            assert set(open_) <= {1}
        assert {row.id: row.state for row in rows} == {
            number: order.state for number, order in self.model.items()
        }

    def no_clock_ran_twice(self) -> None:
        """Within one stay in a state each reminder is put down once, and each end once."""
        with self.database.read() as connection:
            for number in self.model:
                events = events_of(connection, number)
                for _, stay in groupby(events, key=lambda event: event.state):
                    days = [e.detail["day"] for e in list(stay) if e.event == "remind"]
                    assert len(days) == len(set(days))


def test_whatever_happens_registry_and_gates_are_as_the_model_says() -> None:
    REACHED.clear()
    run_state_machine_as_test(
        Workflow,
        settings=settings(
            max_examples=15,
            stateful_step_count=40,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
        ),
    )
    print(dict(REACHED))
    for what in ("done", "gates that have seen a change"):
        assert REACHED[what] > 0, REACHED


def test_a_name_that_was_cancelled_opens_at_no_pass() -> None:
    """An access opens early; the same name, cancelled and filed anew, waits for the authority."""
    workflow = Workflow()
    try:
        workflow.prepare(early=True)
        passed = []
        for _ in range(15):
            workflow.go_on("a1", 1, True)
            workflow.every_order_is_in_the_state_that_the_model_has()
            workflow.a_gate_catches_up(0, 4)
            workflow.a_gate_catches_up(0, 4)
            workflow.no_gate_lets_pass_what_did_not_pass_at_its_revision()
            last = list(workflow.model.values())[-1]
            passed.append((last.purpose, last.state, "old-a1.cn" in workflow.gates[0].passes))
        assert (Purpose.FILE, "sms", True) in passed[:5]
        assert passed[9] == (Purpose.CANCEL, "done", False)
        assert passed[12:] == [
            (Purpose.FILE, "sms", False),
            (Purpose.FILE, "authority_review", False),
            (Purpose.FILE, "done", True),
        ]
    finally:
        workflow.teardown()
