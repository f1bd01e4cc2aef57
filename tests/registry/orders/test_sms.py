"""短信核验: codes of six digits, five wrong ones, 24 hours; and a provider's own gateway."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gate.registry.errors import RegistryError
from gate.registry.orders.commands import (
    PassOrder,
    ReportPerson,
    ResendCode,
    SubmitOrder,
    UpdateOrder,
    VerifyPerson,
)
from gate.registry.orders.entries import OrderEntry
from gate.registry.orders.provider_terms import OrderPolicy
from gate.registry.orders.states import OrderState
from gate.registry.orders.views import WaitingPerson
from gate.registry.registry import Registry
from gate.registry.workflow.queries import waiting_persons
from gate.registry.workflow.sms import SmsCode
from gate.settings import Sms
from tests.registry.conftest import Clock
from tests.registry.orders.steps import (
    CLERK,
    LI,
    REVIEWER,
    VERIFIER,
    WANG,
    codes_in,
    history,
    owner,
    refused,
    show,
    site,
    subject,
    submitted,
    take,
)


class Phones:
    """What takes codes to telephones, and keeps them for the test."""

    def __init__(self) -> None:
        self.sent: list[SmsCode] = []

    def send(self, code: SmsCode) -> None:
        """Keep a code."""
        self.sent.append(code)


TWO = OrderEntry(subject=subject(principal=LI), items=(site("a.cn", principal=WANG),))


@pytest.fixture
def phones(registry: Registry) -> Phones:
    """Where the codes go."""
    made = Phones()
    registry.sms_gateway = made
    return made


def passed(registry: Registry) -> int:
    """An order whose two persons wait for their codes."""
    number = submitted(registry, TWO)
    take(registry, PassOrder(order=number), REVIEWER)
    registry.sweep()
    return number


def waiting(registry: Registry) -> list[WaitingPerson]:
    """Whom the gateway is to verify."""
    with registry.database.read() as connection:
        return waiting_persons(connection, after=0, limit=100)


def wrong(code: str) -> str:
    """Any other code."""
    return f"{(int(code) + 1) % 10**6:06}"


def test_everybody_named_is_sent_a_code_and_all_must_enter_theirs(
    registry: Registry, phones: Phones
) -> None:
    number = passed(registry)
    assert [(c.name, c.phone) for c in phones.sent] == [
        (LI.name, LI.phone),
        (WANG.name, WANG.phone),
    ]
    assert all(len(c.code) == 6 and c.code.isdigit() for c in phones.sent)
    first, second = phones.sent
    step = VerifyPerson(order=number, person=1, code=first.code)
    assert take(registry, step, owner()).state is OrderState.SMS
    assert refused(registry, step, owner()).code == "person_verified"
    step = VerifyPerson(order=number, person=2, code=second.code)
    assert take(registry, step, owner()).state is OrderState.AUTHORITY_REVIEW
    registry.sweep()
    assert len(phones.sent) == 2


def test_a_code_is_of_one_person(registry: Registry, phones: Phones) -> None:
    number = passed(registry)
    first, second = phones.sent
    if first.code != second.code:
        done, _ = registry.perform(
            VerifyPerson(order=number, person=2, code=first.code), actor=owner()
        )
        assert not done.accepted


def test_codes_are_not_in_the_database(registry: Registry, phones: Phones) -> None:
    passed(registry)
    with registry.database.read() as connection:
        text = str(connection.exec_driver_sql("SELECT people FROM orders").all())
    assert not any(f'"{sent.code}"' in text for sent in phones.sent)
    assert all(sent.code not in repr(sent) for sent in phones.sent)


def test_five_wrong_codes_return_the_order(registry: Registry, phones: Phones) -> None:
    number = passed(registry)
    step = VerifyPerson(order=number, person=1, code=wrong(phones.sent[0].code))
    for tries in range(1, 5):
        done, _ = registry.perform(step, actor=owner())
        assert (done.accepted, done.state) == (False, "sms")
        assert show(registry, number).people[0].wrong == tries
    done, _ = registry.perform(step, actor=owner())
    assert (done.accepted, done.state) == (False, "returned")
    found = show(registry, number)
    assert [fault.field for fault in found.faults] == ["people.1"]
    assert "5" in found.faults[0].zh
    # The right code is too late now; a new round has new codes and all its tries.
    step = VerifyPerson(order=number, person=1, code=phones.sent[0].code)
    assert refused(registry, step, owner()).code == "order_state"
    take(registry, SubmitOrder(order=number), owner())
    take(registry, PassOrder(order=number), REVIEWER)
    registry.sweep()
    assert [person.wrong for person in show(registry, number).people] == [0, 0]
    assert len(phones.sent) == 4


def test_a_round_is_over_after_24_hours(registry: Registry, phones: Phones, clock: Clock) -> None:
    number = passed(registry)
    clock.now += 24 * 3_600 - 1
    registry.sweep()
    assert show(registry, number).state is OrderState.SMS
    clock.now += 1
    registry.sweep()
    assert show(registry, number).state is OrderState.RETURNED


def test_a_new_code_takes_the_place_of_the_one_before_once_a_minute(
    registry: Registry, phones: Phones, clock: Clock
) -> None:
    number = passed(registry)
    step = ResendCode(order=number, person=1)
    clock.now += 59
    error = refused(registry, step, owner())
    assert (error.code, error.details["seconds"]) == ("code_too_soon", 1)
    clock.now += 1
    take(registry, step, owner())
    old = phones.sent[0].code
    not_sent = VerifyPerson(order=number, person=1, code=old)
    assert refused(registry, not_sent, owner()).code == "code_not_sent"
    registry.sweep()
    new = phones.sent[-1]
    assert (new.person, len(phones.sent)) == (1, 3)
    if new.code != old:
        done, _ = registry.perform(not_sent, actor=owner())
        assert not done.accepted
    take(registry, VerifyPerson(order=number, person=1, code=new.code), owner())


def test_a_new_code_gives_no_new_tries(registry: Registry, phones: Phones, clock: Clock) -> None:
    number = passed(registry)
    for _ in range(5):
        guess = wrong(phones.sent[-2 if len(phones.sent) == 2 else -1].code)
        done, _ = registry.perform(VerifyPerson(order=number, person=1, code=guess), actor=owner())
        clock.now += 60
        if done.state == "sms":
            take(registry, ResendCode(order=number, person=1), owner())
            registry.sweep()
    assert show(registry, number).state is OrderState.RETURNED


@pytest.mark.parametrize("verified", [True, False])
def test_a_provider_s_gateway_reports_each_person(
    registry: Registry, phones: Phones, verified: bool
) -> None:
    registry.policy = replace(OrderPolicy(), sms=Sms.REPORTED)
    number = passed(registry)
    assert phones.sent == []
    code = VerifyPerson(order=number, person=1, code="123456")
    assert refused(registry, code, owner()).code == "codes_elsewhere"
    report = ReportPerson(order=number, person=1, verified=verified, reason="号码为空号")
    for actor in (owner(), CLERK, REVIEWER):
        with pytest.raises(RegistryError) as caught:
            registry.perform(report, actor=actor)
        assert caught.value.code == "role_insufficient"
    found = take(registry, report, VERIFIER)
    if not verified:
        assert (found.state, found.reason) == (OrderState.RETURNED, "负责人李四：号码为空号")
        return
    assert found.state is OrderState.SMS
    unknown = ReportPerson(order=number, person=3, verified=True)
    assert refused(registry, unknown, VERIFIER).code == "person_unknown"
    found = take(registry, ReportPerson(order=number, person=2, verified=True), VERIFIER)
    assert found.state is OrderState.AUTHORITY_REVIEW
    assert history(registry, number)[-3:] == ["verify", "verify", "all_verified"]


@pytest.mark.parametrize("verified", [True, False])
def test_a_report_that_comes_late_says_nothing_of_the_next_round(
    registry: Registry, verified: bool
) -> None:
    """The first round's person 1 is Li; the owner names Wang in his place for the second."""
    registry.policy = replace(OrderPolicy(), sms=Sms.REPORTED)
    number = passed(registry)
    (first, _) = waiting(registry)
    assert (first.name, first.round) == (LI.name, 3)
    failed = ReportPerson(order=number, person=2, verified=False, round=first.round)
    take(registry, failed, VERIFIER)
    other = TWO.model_copy(update={"subject": subject(principal=WANG), "items": (site("a.cn"),)})
    take(registry, UpdateOrder(order=number, entry=other), owner())
    take(registry, SubmitOrder(order=number), owner())
    take(registry, PassOrder(order=number), REVIEWER)
    (second,) = waiting(registry)
    assert (second.name, second.person, second.round) == (WANG.name, 1, 7)
    late = ReportPerson(order=number, person=1, verified=verified, round=first.round)
    assert refused(registry, late, VERIFIER).code == "round_over"
    now = ReportPerson(order=number, person=1, verified=True, round=second.round)
    assert take(registry, now, VERIFIER).state is OrderState.AUTHORITY_REVIEW
    assert refused(registry, now, VERIFIER).code == "order_state"


def test_what_a_gateway_says_is_kept_as_one_clean_line(registry: Registry) -> None:
    registry.policy = replace(OrderPolicy(), sms=Sms.REPORTED)
    number = passed(registry)
    for reason in ("a\u202eb", "a\x07b", "a\u200bb"):
        report = ReportPerson(order=number, person=1, verified=False, reason=reason)
        error = refused(registry, report, VERIFIER)
        assert (error.code, error.field) == ("text_invalid", "reason")
    report = ReportPerson(order=number, person=1, verified=False, reason=" 空号\r\n(err 7)\n")
    assert take(registry, report, VERIFIER).reason == "负责人李四：空号 (err 7)"


def test_a_clock_that_goes_back_keeps_nobody_from_a_new_code(
    registry: Registry, phones: Phones, clock: Clock
) -> None:
    number = passed(registry)
    clock.now -= 7_200
    take(registry, ResendCode(order=number, person=1), owner())
    registry.sweep()
    assert len(phones.sent) == 3


def test_the_log_gateway_writes_codes_and_no_whole_number(
    registry: Registry, caplog: pytest.LogCaptureFixture
) -> None:
    number = passed(registry)
    codes = codes_in(caplog.text)
    assert len(codes) == 2
    assert LI.phone not in caplog.text
    take(registry, VerifyPerson(order=number, person=1, code=codes[0]), owner())
