"""Orders step by step: who may, what becomes of them, and of the names at the gates."""

from __future__ import annotations

import pytest
from sqlalchemy import select

from gate.licence import ServiceKind
from gate.registry.commands import (
    AccessFiling,
    Approve,
    CancelAccess,
    FirstFiling,
    Grant,
    Reject,
    ServiceData,
    SubjectData,
)
from gate.registry.errors import RegistryError
from gate.registry.orders.commands import (
    AbandonOrder,
    ApproveOrder,
    FaultEntry,
    NewOrder,
    PassOrder,
    ReportPerson,
    ReturnOrder,
    SubmitOrder,
    UpdateOrder,
    WithdrawOrder,
)
from gate.registry.orders.entries import ItemEntry, OrderEntry, PersonEntry, SubjectEntry
from gate.registry.orders.kinds import OrderType, Purpose
from gate.registry.orders.provider_terms import OrderPolicy
from gate.registry.orders.states import OrderState
from gate.registry.registry import LOCAL, Registry
from gate.registry.schema import order_events
from tests.registry.conftest import Clock
from tests.registry.filings import changes, do, status
from tests.registry.orders.steps import (
    AUTHORITY,
    CLERK,
    LI,
    READER,
    REVIEWER,
    VERIFIER,
    at_authority,
    change,
    china,
    done,
    draft,
    filing,
    history,
    owner,
    refused,
    returned,
    show,
    site,
    subject,
    submitted,
    take,
    verify_all,
)


def elsewhere(registry: Registry, domain: str, licence: str = "京ICP备12345678号-1") -> None:
    """A filing that another provider made, of a subject that has no account here."""
    account = "elsewhere"
    command = FirstFiling(
        account=account,
        province="京",
        subject=SubjectData(name="某某网络公司"),
        service=ServiceData(name="网站", domains=(domain,)),
    )
    made = do(registry, command)
    assert made.application is not None
    do(registry, Approve(application=made.application, licence=licence))
    do(registry, CancelAccess(domain=domain))
    with registry.database.write() as connection:
        connection.exec_driver_sql("UPDATE subjects SET account = NULL WHERE account = 'elsewhere'")


def passes(registry: Registry, domain: str) -> bool:
    """Whether the gates let a name pass, by the log."""
    last = [change for change in changes(registry) if change.domain == domain]
    return bool(last) and last[-1].status.value == "filed"


def test_a_first_filing_from_draft_to_a_name_that_passes(registry: Registry) -> None:
    number = draft(registry, filing("dnspod.cn"))
    found = show(registry, number)
    assert (found.state, found.type) == (OrderState.DRAFT, OrderType.FIRST_FILING)
    assert take(registry, SubmitOrder(order=number), owner()).state is OrderState.PROVIDER_REVIEW
    found = take(registry, PassOrder(order=number), REVIEWER)
    assert (found.state, [p.name for p in found.people]) == (OrderState.SMS, ["张三"])
    assert verify_all(registry, number).state is OrderState.AUTHORITY_REVIEW
    assert changes(registry) == []
    step = ApproveOrder(order=number, licences=("鲁ICP备09090609号-2",))
    found = take(registry, step, AUTHORITY)
    assert (found.state, found.licence) == (OrderState.DONE, "鲁ICP备09090609号-2")
    assert found.revision == registry.head().revision == 1
    assert passes(registry, "dnspod.cn")
    assert history(registry, number) == [
        *("create", "submit", "pass", "verify", "all_verified", "approve"),
    ]


def test_ten_websites_of_one_order_come_on_record_in_one_batch(registry: Registry) -> None:
    names = [f"d{number}.cn" for number in range(10)]
    found = done(registry, filing(*names))
    assert len(found.licence.split()) == 10
    assert all(passes(registry, name) for name in names)
    with registry.database.read() as connection:
        rows = connection.exec_driver_sql("SELECT from_revision, to_revision FROM log").all()
    assert [tuple(row) for row in rows] == [(0, 10)]


def test_no_number_is_made_up_unless_that_is_asked_for(registry: Registry) -> None:
    """What the authority has not given must not be shown as a licence number."""
    number = at_authority(registry, filing("a.cn", "b.cn"))
    error = refused(registry, ApproveOrder(order=number), AUTHORITY)
    assert (error.code, error.field) == ("licences_required", "licences")
    for text in ("2", "generate", "鲁ICP备09090609号-2"):
        assert text in error.zh
        assert text in error.en
    both = ApproveOrder(order=number, licences=("鲁ICP备09090609号-1",) * 2, generate=True)
    assert refused(registry, both, AUTHORITY).code == "licences_or_generate"
    assert not passes(registry, "a.cn")
    found = take(registry, ApproveOrder(order=number, generate=True), AUTHORITY)
    assert len(found.licence.split()) == 2
    assert passes(registry, "a.cn")


def test_a_new_service_s_number_is_the_authority_s_too(registry: Registry) -> None:
    done(registry, filing("a.cn"), "鲁ICP备09090609号-1")
    own = {"licence": "鲁ICP备09090609号"}
    number = at_authority(registry, filing("b.cn", **own))
    error = refused(registry, ApproveOrder(order=number), AUTHORITY)
    assert error.code == "licences_required"
    step = ApproveOrder(order=number, licences=("鲁ICP备09090609号-9",))
    assert take(registry, step, AUTHORITY).licence == "鲁ICP备09090609号-9"


def test_the_authority_gives_one_number_for_each_service(registry: Registry) -> None:
    number = at_authority(registry, filing("a.cn", "b.cn"))
    step = ApproveOrder(order=number, licences=("鲁ICP备09090609号-1",))
    assert refused(registry, step, AUTHORITY).code == "licences_count"
    both = ("鲁ICP备09090609号-1", "鲁ICP备09090609号-7")
    found = take(registry, ApproveOrder(order=number, licences=both), AUTHORITY)
    assert found.licence == " ".join(both)


def test_the_type_follows_the_records(registry: Registry) -> None:
    elsewhere(registry, "old.cn")
    assert show(registry, draft(registry, filing("new.cn"), "a9")).type is OrderType.FIRST_FILING
    own = {"licence": "京ICP备12345678号", "certificate": None}
    new = draft(registry, filing("new.cn", **own))
    assert show(registry, new).type is OrderType.NEW_SERVICE_ELSEWHERE
    take(registry, AbandonOrder(order=new), owner())
    access = done(registry, filing("old.cn", **own))
    assert access.type is OrderType.ACCESS_FILING
    assert show(registry, draft(registry, filing("new.cn"))).type is OrderType.NEW_SERVICE_HERE


def test_a_second_name_of_a_subject_accessed_here_is_the_short_form(registry: Registry) -> None:
    elsewhere(registry, "old.cn")
    own = {"licence": "京ICP备12345678号", "certificate": None}
    done(registry, filing("old.cn", **own))
    do(registry, CancelAccess(domain="old.cn"))
    assert show(registry, draft(registry, filing("old.cn"))).type is OrderType.ACCESS_SITE


@pytest.mark.parametrize("later", ["made", "submitted", "approved"])
def test_a_domain_of_another_subject_is_a_conflict_with_the_holder_s_number(
    registry: Registry, later: str
) -> None:
    """Also if the other one filed it while the order was on its way."""
    number = None
    if later == "submitted":
        number = draft(registry, filing("old.cn"))
    if later == "approved":
        number = at_authority(registry, filing("mine.cn"))
    if later != "approved":
        elsewhere(registry, "old.cn")
    if number is None:
        error = refused(registry, NewOrder(entry=filing("old.cn")), owner())
    elif later == "submitted":
        error = refused(registry, SubmitOrder(order=number), owner())
    else:
        # Held since it was submitted: nobody else can file it any more.
        with pytest.raises(RegistryError, match="waiting for approval"):
            elsewhere(registry, "mine.cn")
        return
    assert error.code == "domain_conflict"
    assert "京ICP备12345678号-1" in error.zh
    assert "京ICP备12345678号-1" in error.en


def test_one_order_mixes_no_types(registry: Registry) -> None:
    elsewhere(registry, "old.cn")
    entry = filing("old.cn", "new.cn", licence="京ICP备12345678号", certificate=None)
    assert refused(registry, NewOrder(entry=entry), owner()).code == "order_mixes_types"


def test_an_account_has_one_open_order(registry: Registry) -> None:
    number = draft(registry, filing("a.cn"))
    error = refused(registry, NewOrder(entry=filing("b.cn")), owner())
    assert (error.code, str(number) in error.zh) == ("order_open", True)
    take(registry, AbandonOrder(order=number), owner())
    draft(registry, filing("b.cn"))


def test_what_a_draft_lacks_is_asked_for_at_its_submission(registry: Registry) -> None:
    number = draft(registry, OrderEntry())
    assert show(registry, number).type is None
    assert refused(registry, SubmitOrder(order=number), owner()).code == "order_incomplete"
    take(registry, UpdateOrder(order=number, entry=filing("a.cn")), owner())
    take(registry, SubmitOrder(order=number), owner())


def test_an_order_without_anybody_to_verify_is_not_taken(registry: Registry) -> None:
    number = draft(registry, filing("a.cn", principal=None))
    error = refused(registry, SubmitOrder(order=number), owner())
    assert (error.code, error.field) == ("rules_broken", "subject.principal")


def test_a_subject_is_not_taken_by_its_number_alone(registry: Registry) -> None:
    elsewhere(registry, "old.cn")
    other = filing("old.cn", name="另一公司", licence="京ICP备12345678号", certificate=None)
    assert refused(registry, NewOrder(entry=other), owner()).code == "subject_differs"


def test_nobody_takes_an_account_s_subject(registry: Registry) -> None:
    found = done(registry, filing("a.cn"), "鲁ICP备09090609号-1")
    entry = filing("b.cn", licence="鲁ICP备09090609号")
    assert found.state is OrderState.DONE
    error = refused(registry, NewOrder(entry=entry), owner("thief"))
    assert error.code == "subject_other_account"


def test_what_a_reviewer_says_is_kept_as_clean_lines(registry: Registry) -> None:
    number = submitted(registry, filing("a.cn"))
    for part, fault in (
        ("field", FaultEntry(field="items.0\u202e", fault="x")),
        ("fault", FaultEntry(field="items.0", fault="x\x1b[31m")),
        ("suggestion", FaultEntry(field="items.0", fault="x", suggestion="\u200b")),
    ):
        step = ReturnOrder(order=number, reason="x", faults=(fault,))
        error = refused(registry, step, REVIEWER)
        assert (error.code, error.field) == ("text_invalid", f"faults.0.{part}")
    told = FaultEntry(field="-", fault="名称\n有误", suggestion="- 改为商城")
    step = ReturnOrder(order=number, reason="x", faults=(told,))
    (kept,) = take(registry, step, REVIEWER).faults
    assert (kept.field, kept.zh, kept.suggestion) == ("-", "名称 有误", "- 改为商城")


def test_what_was_returned_is_kept_and_goes_again_to_the_provider(registry: Registry) -> None:
    number = at_authority(registry, filing("a.cn"))
    faults = (FaultEntry(field="items.0.name", fault="名称不符", suggestion="某某商城"),)
    step = ReturnOrder(order=number, reason="请修改", faults=faults)
    found = take(registry, step, AUTHORITY)
    assert (found.state, found.reason) == (OrderState.RETURNED, "请修改")
    assert [(f.field, f.suggestion) for f in found.faults] == [("items.0.name", "某某商城")]
    assert found.entry.items[0].domains == ("a.cn",)
    found = take(registry, UpdateOrder(order=number, entry=found.entry), owner())
    assert found.state is OrderState.RETURNED
    assert take(registry, SubmitOrder(order=number), owner()).state is OrderState.PROVIDER_REVIEW


def test_what_is_shown_hidden_and_comes_back_so_stays_what_it_was(registry: Registry) -> None:
    number = draft(registry, filing("a.cn", principal=LI))
    shown = show(registry, number).entry
    assert (shown.subject.certificate, shown.subject.principal) != (None, LI)
    assert "0000" not in shown.model_dump_json().replace("****", "")
    take(registry, UpdateOrder(order=number, entry=shown), owner())
    take(registry, SubmitOrder(order=number), owner())
    take(registry, PassOrder(order=number), REVIEWER)
    with registry.database.read() as connection:
        text = connection.exec_driver_sql("SELECT entry, people FROM orders").one()
    assert all(LI.phone in part for part in text)
    assert "91370000000000001X" in text[0]
    stranger = filing("a.cn", principal=LI.model_copy(update={"phone": "138****99"}))
    error = refused(registry, NewOrder(entry=stranger), owner("a2"))
    assert (error.code, error.field) == ("field_invalid", "subject.principal.phone")


def test_domains_are_held_until_the_order_ends(registry: Registry) -> None:
    number = submitted(registry, filing("a.cn"))
    other = draft(registry, filing("a.cn", certificate="2"), "a2")
    assert refused(registry, SubmitOrder(order=other), owner("a2")).code == "domain_pending"
    take(registry, ReturnOrder(order=number, reason="x"), REVIEWER)
    assert refused(registry, SubmitOrder(order=other), owner("a2")).code == "domain_pending"
    take(registry, WithdrawOrder(order=number), owner())
    take(registry, SubmitOrder(order=other), owner("a2"))


def test_a_returned_order_with_other_domains_holds_those(registry: Registry) -> None:
    number = returned(registry, filing("a.cn"))
    take(registry, UpdateOrder(order=number, entry=filing("b.cn")), owner())
    submitted(registry, filing("a.cn", certificate="2"), "a2")
    other = draft(registry, filing("b.cn", certificate="3"), "a3")
    assert refused(registry, SubmitOrder(order=other), owner("a3")).code == "domain_pending"


# Party, actor, step of an order that is in the state where the party acts.
PARTIES = [
    ("owner", SubmitOrder, draft),
    ("reviewer", PassOrder, submitted),
    ("authority", ApproveOrder, at_authority),
]
ACTORS = {
    "owner": owner(),
    "reviewer": REVIEWER,
    "authority": AUTHORITY,
    "clerk": CLERK,
    "admin": LOCAL,
    "reader": READER,
    "verifier": VERIFIER,
}
MAY = {
    "owner": {"owner", "clerk", "admin"},
    "reviewer": {"reviewer", "admin"},
    "authority": {"authority", "admin"},
}


@pytest.mark.parametrize("actor", ACTORS)
@pytest.mark.parametrize(("party", "step", "begin"), PARTIES, ids=[p[0] for p in PARTIES])
def test_each_step_is_its_party_s(
    lite: Registry, party: str, step: type, begin: object, actor: str
) -> None:
    number = begin(lite, filing("a.cn"))  # type: ignore[operator]
    if actor in MAY[party]:
        numbers = {"generate": True} if step is ApproveOrder else {}
        take(lite, step(order=number, **numbers), ACTORS[actor])
    else:
        assert refused(lite, step(order=number), ACTORS[actor]).code == "role_insufficient"


@pytest.mark.parametrize(
    "step",
    [
        lambda number: SubmitOrder(order=number),
        lambda number: AbandonOrder(order=number),
        lambda number: WithdrawOrder(order=number),
        lambda number: UpdateOrder(order=number, entry=filing("evil.cn")),
        lambda number: PassOrder(order=number),
        lambda number: ReturnOrder(order=number, reason="x"),
        lambda number: ApproveOrder(order=number),
    ],
)
def test_another_account_s_order_is_not_there(lite: Registry, step: object) -> None:
    number = draft(lite, filing("a.cn"))
    made = step(number)  # type: ignore[operator]
    error = refused(lite, made, owner("a2"))
    unknown = refused(lite, step(number + 1), owner("a2"))  # type: ignore[operator]
    assert (error.code, unknown.code) == ("order_unknown", "order_unknown")
    assert error.en.replace(str(number), "N") == unknown.en.replace(str(number + 1), "N")


def test_an_owner_makes_no_order_for_another_account(lite: Registry) -> None:
    error = refused(lite, NewOrder(account="a2", entry=filing("a.cn")), owner())
    assert error.code == "account_needed"
    assert refused(lite, NewOrder(entry=filing("a.cn")), CLERK).code == "account_needed"
    take(lite, NewOrder(account="a2", entry=filing("a.cn")), CLERK)


@pytest.mark.parametrize("grant", Grant)
def test_a_sub_user_does_what_it_was_granted_and_is_named(lite: Registry, grant: Grant) -> None:
    sub = owner(grants=frozenset({grant}))
    number = draft(lite, filing("a.cn"))
    if grant is Grant.EDIT:
        take(lite, UpdateOrder(order=number, entry=filing("b.cn")), sub)
    else:
        error = refused(lite, UpdateOrder(order=number, entry=filing("b.cn")), sub)
        assert error.code == "grant_missing"
    if grant is Grant.SUBMIT:
        take(lite, SubmitOrder(order=number), sub)
        with lite.database.read() as connection:
            actors = connection.execute(select(order_events.c.actor)).scalars().all()
        assert actors[-1] == sub.name
    else:
        assert refused(lite, SubmitOrder(order=number), sub).code == "grant_missing"


def test_what_is_filed_here_changes_and_ends_by_orders(registry: Registry) -> None:
    done(registry, filing("a.cn", "b.cn"), "鲁ICP备09090609号-1", "鲁ICP备09090609号-2")
    found = done(registry, change(name="改名公司"))
    assert found.type is OrderType.CHANGE_FILING
    found = done(registry, change(site("a.cn", name="新的商城名")))
    assert found.type is OrderType.CHANGE_SERVICE
    found = done(registry, change(site("b.cn"), purpose=Purpose.END_ACCESS))
    assert found.type is OrderType.CANCEL_ACCESS
    assert history(registry, found.id) == ["create", "submit", "pass", "approve"]
    assert (passes(registry, "b.cn"), status(registry, "b.cn")) == (False, "filed_elsewhere")
    found = done(registry, change(site("a.cn"), purpose=Purpose.CANCEL))
    assert found.type is OrderType.CANCEL_SERVICE
    assert not passes(registry, "a.cn")
    found = done(registry, change(purpose=Purpose.CANCEL))
    assert found.type is OrderType.CANCEL_SUBJECT


@pytest.mark.parametrize("purpose", [Purpose.CHANGE, Purpose.CANCEL, Purpose.END_ACCESS])
def test_what_is_not_filed_here_is_not_offered_for_it(registry: Registry, purpose: Purpose) -> None:
    elsewhere(registry, "old.cn")
    entry = change(site("old.cn"), purpose=purpose)
    assert refused(registry, NewOrder(entry=entry), owner()).code == "not_filed_here"


def test_a_clerk_s_application_is_an_order_of_the_same_number(registry: Registry) -> None:
    command = FirstFiling(
        account="a1",
        province="鲁",
        subject=SubjectData(name="某某网络公司"),
        service=ServiceData(name="网站", domains=("a.cn",)),
    )
    made = do(registry, command)
    assert made.application is not None
    found = show(registry, made.application)
    assert (found.state, found.type) == (OrderState.AUTHORITY_REVIEW, OrderType.FIRST_FILING)
    assert refused(registry, NewOrder(entry=filing("b.cn")), owner()).code == "order_open"
    do(registry, Reject(application=made.application, reason="材料不全"))
    assert show(registry, made.application).state is OrderState.WITHDRAWN
    assert history(registry, made.application) == ["submit", "return", "withdraw"]
    number = at_authority(registry, filing("b.cn"))
    do(registry, Approve(application=number, licence="鲁ICP备09090609号-5"))
    assert (show(registry, number).state, passes(registry, "b.cn")) == (OrderState.DONE, True)


class TestAccessThatOpensAtThePass:
    """接入备案 with `access_opens: provider_pass`."""

    OWN = {"licence": "京ICP备12345678号", "certificate": None}  # noqa: RUF012

    @pytest.fixture(autouse=True)
    def opens_early(self, registry: Registry) -> None:
        registry.policy = OrderPolicy(access_opens_at_pass=True)
        elsewhere(registry, "old.cn")

    def test_it_passes_from_the_provider_s_pass_on_and_stays_when_done(
        self, registry: Registry
    ) -> None:
        number = submitted(registry, filing("old.cn", **self.OWN))
        assert not passes(registry, "old.cn")
        take(registry, PassOrder(order=number), REVIEWER)
        assert (passes(registry, "old.cn"), show(registry, number).opened) == (True, True)
        verify_all(registry, number)
        head = registry.head()
        assert take(registry, ApproveOrder(order=number), AUTHORITY).state is OrderState.DONE
        assert (passes(registry, "old.cn"), registry.head()) == (True, head)

    @pytest.mark.parametrize("how", ["returned", "failed", "expired"])
    def test_it_closes_when_it_goes_back(self, registry: Registry, clock: Clock, how: str) -> None:
        number = submitted(registry, filing("old.cn", **self.OWN))
        take(registry, PassOrder(order=number), REVIEWER)
        if how == "returned":
            verify_all(registry, number)
            take(registry, ReturnOrder(order=number, reason="x"), AUTHORITY)
        elif how == "failed":
            take(registry, ReportPerson(order=number, person=1, verified=False), VERIFIER)
        else:
            clock.now += 86_400
            assert registry.sweep() == (1, [])
        assert show(registry, number).state is OrderState.RETURNED
        assert (passes(registry, "old.cn"), show(registry, number).opened) == (False, False)
        # The subject is without an account again: another one may ask for it.
        draft(registry, filing("old.cn", **self.OWN), "a2")

    def test_a_clerk_s_cancelling_is_left_alone(self, registry: Registry) -> None:
        number = submitted(registry, filing("old.cn", **self.OWN))
        take(registry, PassOrder(order=number), REVIEWER)
        do(registry, CancelAccess(domain="old.cn"))
        verify_all(registry, number)
        take(registry, ReturnOrder(order=number, reason="x"), AUTHORITY)
        assert not passes(registry, "old.cn")

    def test_what_was_opened_can_not_be_filed_twice(self, registry: Registry) -> None:
        number = submitted(registry, filing("old.cn", **self.OWN))
        take(registry, PassOrder(order=number), REVIEWER)
        command = AccessFiling(account="a1", domain="old.cn", licence="京ICP备12345678号-1")
        with pytest.raises(RegistryError, match="already"):
            do(registry, command)


def test_times_are_of_china(registry: Registry, clock: Clock) -> None:
    number = submitted(registry, filing("a.cn"))
    due = show(registry, number).due
    assert due is not None
    assert due.at == china("2026-03-12 00:00")  # two working days after Monday the 9th
    assert not show(registry, number).overdue
    clock.now = float(due.at)
    assert show(registry, number).overdue
    assert registry.sweep() == (0, [])  # the provider's time moves nothing


def test_an_entry_that_can_not_be_is_refused_by_its_field(lite: Registry) -> None:
    for entry, field in (
        (filing("com.cn"), "items.0.domains.0"),
        (filing("a.cn", licence="鲁ICP备1号"), "subject.licence"),
        (OrderEntry(subject=subject(name="\x00")), "subject.name"),
    ):
        assert refused(lite, NewOrder(entry=entry), owner()).field == field


def test_a_website_gets_no_other_domain_by_a_change_and_an_app_does(registry: Registry) -> None:
    """Another domain is a new service: who reads the order of change sees only the old one."""
    done(registry, filing("a.cn"), "鲁ICP备09090609号-1")
    number = draft(registry, change(site("a.cn", new_domains=("b.cn",))))
    error = refused(registry, SubmitOrder(order=number), owner())
    assert (error.code, error.field) == ("rules_broken", "items.0.new_domains.0")
    assert "file b.cn as a new service" in error.en
    again = change(site("a.cn", name="新的商城名", new_domains=("a.cn",)))
    take(registry, UpdateOrder(order=number, entry=again), owner())
    take(registry, SubmitOrder(order=number), owner())
    take(registry, ReturnOrder(order=number, reason="x"), REVIEWER)
    take(registry, WithdrawOrder(order=number), owner())
    app = ItemEntry(kind=ServiceKind.APP, name="某应用", domains=("c.cn",))
    done(registry, OrderEntry(subject=subject(), items=(app,)), "鲁ICP备09090609号-2A")
    more = ItemEntry(kind=ServiceKind.APP, domains=("c.cn",), new_domains=("d.cn", "e.cn"))
    done(registry, change(more))
    assert [passes(registry, name) for name in ("c.cn", "d.cn", "e.cn")] == [False, True, True]


@pytest.mark.parametrize("purpose", [Purpose.CHANGE, Purpose.CANCEL])
def test_who_has_nothing_filed_here_is_told_so_by_name(lite: Registry, purpose: Purpose) -> None:
    entry = OrderEntry(purpose=purpose, subject=SubjectEntry(principal=LI))
    error = refused(lite, NewOrder(entry=entry), owner())
    assert error.en.startswith("the subject is no filing of this account")


HIDDEN_TEXTS = {
    "bidirectional override": "张\u202e三",
    "zero width": "张\u200b三",
    "control character": "张\x07三",
}


@pytest.mark.parametrize("text", HIDDEN_TEXTS.values(), ids=HIDDEN_TEXTS)
def test_no_text_of_an_order_hides_something(lite: Registry, text: str) -> None:
    person = PersonEntry(name=text, phone="13800000000")
    for entry, field in (
        (filing("a.cn", principal=person), "subject.principal.name"),
        (OrderEntry(subject=subject(), items=(site("a.cn", principal=person),)), "principal.name"),
        (OrderEntry(subject=subject(), items=(site("a.cn", approval=text),)), "items.0.approval"),
        (OrderEntry(subject=subject(), items=(site("a.cn", matters=(text,)),)), "matters.0"),
        (OrderEntry(subject=subject(), items=(site("a.cn", remark=text),)), "items.0.remark"),
        (OrderEntry(subject=subject(), remark=text), "remark"),
    ):
        error = refused(lite, NewOrder(entry=entry), owner())
        assert error.code == "text_invalid"
        assert error.field.endswith(field)


def test_a_remark_may_have_lines_and_begin_as_it_likes(lite: Registry) -> None:
    entry = OrderEntry(subject=subject(), remark=" - 第一行\r\n+ 第二行\n")
    made = take(lite, NewOrder(entry=entry), owner())
    assert made.entry.remark == "- 第一行\n+ 第二行"


def test_an_order_names_nothing_twice(registry: Registry) -> None:
    """What could only fail when the authority approves is refused before anybody reads it."""
    twice = filing("a.cn", "b.cn", "A.cn.")
    error = refused(registry, NewOrder(entry=twice), owner())
    assert (error.code, error.field) == ("domain_repeated", "items.2.domains.0")
    licences = ("鲁ICP备09090609号-1", "鲁ICP备09090609号-2")
    done(registry, filing("a.cn", "b.cn"), *licences)
    by_number, by_name = ItemEntry(licence=licences[0]), site("a.cn")
    for purpose in (Purpose.CHANGE, Purpose.CANCEL, Purpose.END_ACCESS):
        entry = change(by_number, site("b.cn"), by_name, purpose=purpose)
        error = refused(registry, NewOrder(entry=entry), owner())
        assert (error.code, error.field) == ("service_repeated", "items.2")
    both = tuple(site(name, new_domains=("c.cn",)) for name in ("a.cn", "b.cn"))
    error = refused(registry, NewOrder(entry=change(*both)), owner())
    assert (error.code, error.field) == ("domain_repeated", "items.1.new_domains.0")


def test_an_app_of_several_domains_is_accessed_once(registry: Registry) -> None:
    app = ServiceKind.APP
    entry = OrderEntry(
        subject=subject(), items=(ItemEntry(kind=app, name="某应用", domains=("a.cn", "b.cn")),)
    )
    done(registry, entry)
    do(registry, CancelAccess(domain="a.cn"))
    items = tuple(ItemEntry(kind=app, domains=(name,)) for name in ("a.cn", "b.cn"))
    error = refused(registry, NewOrder(entry=entry.model_copy(update={"items": items})), owner())
    assert (error.code, error.field) == ("service_repeated", "items.1")
