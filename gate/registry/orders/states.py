"""The states of an order, as a table.

::

                 abandon                                approve
       ┌──────────────> abandoned          ┌──────────────────────────> done
       │                                   │
     draft ──submit──> provider_review ──pass──> sms ──all──> authority_review
       ↑  │               ↑      │                │                  │
       │  │ 30 days       │      │ return         │ 24 h, 5 wrong    │ return
       │  └─> stale       │      ↓                ↓                  │
       │     (abandon)    └── returned <──────────────────────────────
       │                  submit  │  └──withdraw──> withdrawn
       └──────────────────────────┘
                45 days

One order is in one state; `TABLE` has every move that there is, and whatever it lacks is refused.
A move names the party that may make it, the state that it leads to, and its effects; `CLOCKS`
has what runs while an order waits. The provider's and the authority's clocks only show when
something is due; they move no order. The persons' and the owner's do.

This module knows no database: the tests take their cases from these tables, and so do the API's
list of next steps, the console and the documentation.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final, NamedTuple

from gate.registry.errors import RegistryFailure


class OrderState(StrEnum):
    """Where an order stands."""

    DRAFT = "draft"
    STALE = "stale"
    """A draft that nobody touched in its time: it can only be abandoned."""
    PROVIDER_REVIEW = "provider_review"
    RETURNED = "returned"
    SMS = "sms"
    AUTHORITY_REVIEW = "authority_review"
    DONE = "done"
    WITHDRAWN = "withdrawn"
    ABANDONED = "abandoned"

    @property
    def zh(self) -> str:
        """Its Chinese name."""
        return STATE_NAMES[self][0]

    @property
    def en(self) -> str:
        """Its English name."""
        return STATE_NAMES[self][1]


STATE_NAMES: Final[dict[OrderState, tuple[str, str]]] = {
    OrderState.DRAFT: ("草稿", "draft"),
    OrderState.STALE: ("草稿已过期", "draft, too old"),
    OrderState.PROVIDER_REVIEW: ("初审", "provider's review"),
    OrderState.RETURNED: ("驳回", "returned"),
    OrderState.SMS: ("短信核验", "verification by SMS"),
    OrderState.AUTHORITY_REVIEW: ("管局审核", "authority's review"),
    OrderState.DONE: ("完成", "done"),
    OrderState.WITHDRAWN: ("已撤回", "withdrawn"),
    OrderState.ABANDONED: ("已放弃", "abandoned"),
}

END_STATES: Final = frozenset({OrderState.DONE, OrderState.WITHDRAWN, OrderState.ABANDONED})
"""An order in one of them never moves again."""

HOLDING_STATES: Final = frozenset(
    {OrderState.PROVIDER_REVIEW, OrderState.RETURNED, OrderState.SMS, OrderState.AUTHORITY_REVIEW}
)
"""The order's domains are held for it: nobody else may ask for them."""


class Party(StrEnum):
    """Who acts."""

    OWNER = "owner"
    REVIEWER = "reviewer"
    PERSONS = "persons"
    AUTHORITY = "authority"
    CLOCK = "clock"


PARTY_NAMES: Final[dict[Party, tuple[str, str]]] = {
    Party.OWNER: ("备案申请人", "the owner"),
    Party.REVIEWER: ("接入商审核员", "the provider's reviewer"),
    Party.PERSONS: ("订单中的负责人", "the persons named in the order"),
    Party.AUTHORITY: ("通信管理局", "the authority"),
    Party.CLOCK: ("系统", "the clock"),
}


class Event(StrEnum):
    """What happens to an order."""

    CREATE = "create"
    UPDATE = "update"
    SUBMIT = "submit"
    ABANDON = "abandon"
    PASS = "pass"  # noqa: S105 - no password
    RETURN = "return"
    WITHDRAW = "withdraw"
    VERIFY = "verify"
    WRONG_CODE = "wrong_code"
    ALL_VERIFIED = "all_verified"
    SMS_FAILED = "sms_failed"
    SMS_EXPIRED = "sms_expired"
    APPROVE = "approve"
    REMIND = "remind"
    GROW_STALE = "grow_stale"
    LAPSE = "lapse"
    RECKON = "reckon"
    """A due time that was an estimate is computed anew."""

    @property
    def zh(self) -> str:
        """Its Chinese name."""
        return EVENT_NAMES[self][0]

    @property
    def en(self) -> str:
        """Its English name."""
        return EVENT_NAMES[self][1]


EVENT_NAMES: Final[dict[Event, tuple[str, str]]] = {
    Event.CREATE: ("新建", "created"),
    Event.UPDATE: ("修改", "changed"),
    Event.SUBMIT: ("提交", "submitted"),
    Event.ABANDON: ("放弃", "abandoned"),
    Event.PASS: ("初审通过", "passed the provider's review"),
    Event.RETURN: ("驳回", "returned"),
    Event.WITHDRAW: ("撤回", "withdrawn"),
    Event.VERIFY: ("短信核验通过", "a person is verified"),
    Event.WRONG_CODE: ("验证码错误", "a wrong code"),
    Event.ALL_VERIFIED: ("全部核验通过，已提交管局", "all verified; sent to the authority"),
    Event.SMS_FAILED: ("短信核验失败", "verification failed"),
    Event.SMS_EXPIRED: ("短信核验超时", "verification took too long"),
    Event.APPROVE: ("管局通过", "approved by the authority"),
    Event.REMIND: ("提醒", "reminded"),
    Event.GROW_STALE: ("草稿过期", "the draft grew too old"),
    Event.LAPSE: ("逾期退回草稿", "back to draft after its time"),
    Event.RECKON: ("重新计算期限", "due time computed anew"),
}


class Effect(StrEnum):
    """What a move does beside changing the state, in the same transaction."""

    CHECK = "check"
    """The rules are checked; one that refuses keeps the order where it is."""
    HOLD = "hold"
    """The order's domains are held for it."""
    RELEASE = "release"
    """They are free again."""
    SEND_CODES = "send_codes"
    """Each person is sent a code."""
    OPEN = "open"
    """With `access_opens: provider_pass`, an access filing opens at the gates."""
    CLOSE = "close"
    """What was opened so closes."""
    FILE = "file"
    """The filing operations run: what was asked for is on record and in the change log."""
    TELL = "tell"
    """The owner is told."""


class Move(NamedTuple):
    """One row of the table: who may make the move, where it leads, and what it does."""

    party: Party
    to: OrderState
    effects: tuple[Effect, ...] = ()
    without_sms: OrderState | None = None
    """Where it leads for a type whose persons need not verify themselves."""


_BACK: Final = (Effect.CLOSE, Effect.TELL)
_END: Final = (Effect.CLOSE, Effect.RELEASE)

TABLE: Final[dict[OrderState, dict[Event, Move]]] = {
    OrderState.DRAFT: {
        Event.UPDATE: Move(Party.OWNER, OrderState.DRAFT),
        Event.SUBMIT: Move(Party.OWNER, OrderState.PROVIDER_REVIEW, (Effect.CHECK, Effect.HOLD)),
        Event.ABANDON: Move(Party.OWNER, OrderState.ABANDONED, (Effect.RELEASE,)),
        Event.GROW_STALE: Move(Party.CLOCK, OrderState.STALE, (Effect.TELL,)),
    },
    OrderState.STALE: {
        Event.ABANDON: Move(Party.OWNER, OrderState.ABANDONED, (Effect.RELEASE,)),
    },
    OrderState.PROVIDER_REVIEW: {
        Event.PASS: Move(
            Party.REVIEWER,
            OrderState.SMS,
            (Effect.CHECK, Effect.OPEN, Effect.SEND_CODES, Effect.TELL),
            without_sms=OrderState.AUTHORITY_REVIEW,
        ),
        Event.RETURN: Move(Party.REVIEWER, OrderState.RETURNED, _BACK),
    },
    OrderState.RETURNED: {
        Event.UPDATE: Move(Party.OWNER, OrderState.RETURNED),
        Event.SUBMIT: Move(Party.OWNER, OrderState.PROVIDER_REVIEW, (Effect.CHECK, Effect.HOLD)),
        Event.WITHDRAW: Move(Party.OWNER, OrderState.WITHDRAWN, _END),
        Event.REMIND: Move(Party.CLOCK, OrderState.RETURNED, (Effect.TELL,)),
        Event.LAPSE: Move(
            Party.CLOCK, OrderState.DRAFT, (Effect.CLOSE, Effect.RELEASE, Effect.TELL)
        ),
    },
    OrderState.SMS: {
        Event.VERIFY: Move(Party.PERSONS, OrderState.SMS),
        Event.WRONG_CODE: Move(Party.PERSONS, OrderState.SMS),
        Event.ALL_VERIFIED: Move(
            Party.PERSONS, OrderState.AUTHORITY_REVIEW, (Effect.CHECK, Effect.TELL)
        ),
        Event.SMS_FAILED: Move(Party.PERSONS, OrderState.RETURNED, _BACK),
        Event.SMS_EXPIRED: Move(Party.CLOCK, OrderState.RETURNED, _BACK),
        Event.LAPSE: Move(
            Party.CLOCK, OrderState.DRAFT, (Effect.CLOSE, Effect.RELEASE, Effect.TELL)
        ),
    },
    OrderState.AUTHORITY_REVIEW: {
        Event.APPROVE: Move(
            Party.AUTHORITY,
            OrderState.DONE,
            (Effect.CHECK, Effect.RELEASE, Effect.FILE, Effect.TELL),
        ),
        Event.RETURN: Move(Party.AUTHORITY, OrderState.RETURNED, _BACK),
    },
    OrderState.DONE: {},
    OrderState.WITHDRAWN: {},
    OrderState.ABANDONED: {},
}


class Unit(StrEnum):
    """What a clock counts."""

    HOURS = "hours"
    NATURAL_DAYS = "natural_days"
    WORKING_DAYS = "working_days"


class Clock(NamedTuple):
    """What runs while an order is in a state.

    `term` names its length in `gate.registry.orders.clocks.Terms`. `event` happens at its end;
    without one it only says when something is due.
    """

    term: str
    unit: Unit
    event: Event | None = None


CLOCKS: Final[dict[OrderState, tuple[Clock, ...]]] = {
    OrderState.DRAFT: (Clock("draft_days", Unit.NATURAL_DAYS, Event.GROW_STALE),),
    OrderState.STALE: (),
    OrderState.PROVIDER_REVIEW: (Clock("provider_days", Unit.WORKING_DAYS),),
    OrderState.RETURNED: (
        Clock("reminders", Unit.NATURAL_DAYS, Event.REMIND),
        Clock("owner_days", Unit.NATURAL_DAYS, Event.LAPSE),
    ),
    OrderState.SMS: (
        Clock("sms_hours", Unit.HOURS, Event.SMS_EXPIRED),
        Clock("owner_days", Unit.NATURAL_DAYS, Event.LAPSE),
    ),
    OrderState.AUTHORITY_REVIEW: (Clock("authority_days", Unit.WORKING_DAYS),),
    OrderState.DONE: (),
    OrderState.WITHDRAWN: (),
    OrderState.ABANDONED: (),
}

OUTCOMES: Final = frozenset({Event.WRONG_CODE, Event.ALL_VERIFIED, Event.SMS_FAILED})
"""Moves that follow of a step, or of what a gateway reports: nobody takes them."""

RESTARTS: Final = frozenset({(OrderState.DRAFT, Event.UPDATE)})
"""Moves that stay in their state, and begin its clocks anew."""


class WrongState(RegistryFailure):
    """A move that the table does not have."""

    def __init__(self, state: OrderState, event: Event) -> None:
        super().__init__(f"an order that is {state.value} can't be: {event.value}")
        self.state = state
        self.event = event


def move(state: OrderState, event: Event) -> Move:
    """Return the row of the table. Raises WrongState when there is none."""
    found = TABLE[state].get(event)
    if found is None:
        raise WrongState(state, event)
    return found


def target(found: Move, *, needs_sms: bool) -> OrderState:
    """Return the state that a move leads to, for a type that needs SMS or does not."""
    return found.to if needs_sms or found.without_sms is None else found.without_sms


def next_steps(state: OrderState) -> list[tuple[Event, Party]]:
    """Return what people may do now, and who: for lists, notices and the console."""
    return [
        (event, row.party)
        for event, row in TABLE[state].items()
        if row.party != Party.CLOCK and event not in OUTCOMES
    ]
