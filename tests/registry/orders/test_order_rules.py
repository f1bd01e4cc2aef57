"""The rules that orders are checked by: each met and not met, in both languages, with its date."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert

from gate.licence import PROVINCES, ServiceKind
from gate.registry.commands import SubjectKind
from gate.registry.errors import RegistryError
from gate.registry.orders.commands import NewOrder, SubmitOrder
from gate.registry.orders.entries import ItemEntry, OrderEntry
from gate.registry.orders.kinds import OrderType
from gate.registry.orders.provider_terms import OrderPolicy
from gate.registry.orders.rule_texts import (
    FOLDER,
    RULES,
    Finding,
    ProvinceRules,
    Rulebook,
    Ruled,
    RulesError,
    Weight,
)
from gate.registry.orders.rules import (
    Checker,
    DomainOwner,
    Facts,
    OrderLimits,
    VerifiedAccount,
)
from gate.registry.orders.working_days import WorkingDays
from gate.registry.registry import LOCAL, Registry
from gate.registry.schema import accounts, domain_owners
from gate.registry.workflow.facts import AccountFacts, OwnerFacts
from gate.registry.workflow.replay import replay
from tests.registry.orders.steps import (
    LI,
    at_authority,
    change,
    china,
    done,
    draft,
    filing,
    owner,
    refused,
    show,
    site,
    subject,
    take,
)

LIMITS = OrderPolicy().limits
NOW = china("2026-03-09 10:00")  # a Monday
NAME = "某某网络公司"
GOOD = Facts(
    account="a1",
    verified=VerifiedAccount(NAME, NOW - 10 * 86_400),
    owners={"a.cn": DomainOwner(NAME, NOW - 10 * 86_400, here=True)},
)
PLAIN = ProvinceRules(
    province="鲁", name="山东省", version=1, source="test", checked=date(2026, 1, 1), trust="high"
)


def checked(
    entry: OrderEntry | None = None,
    facts: Facts = GOOD,
    kind: OrderType = OrderType.FIRST_FILING,
    *,
    now: int = NOW,
    limits: OrderLimits | None = None,
    **rules: Any,
) -> list[Finding]:
    """What is found, by a province of these rules."""
    province = ProvinceRules.model_validate(
        PLAIN.model_dump(exclude_none=True)
        | {k: v if k in ("notes", "authority_days") else {"value": v} for k, v in rules.items()}
    )
    checker = Checker(limits or LIMITS, province, WorkingDays(), now)
    return checker.check(entry or filing("a.cn"), kind, facts)


def codes(found: list[Finding]) -> list[str]:
    """The codes of what refuses."""
    return [one.code for one in found if one.weight is Weight.REFUSE]


@pytest.mark.parametrize(
    ("items", "theirs", "weight", "expected"),
    [
        (3, 2, Weight.WARN, (Weight.WARN, "2")),
        (11, 2, Weight.WARN, (Weight.REFUSE, "10")),  # the provider's own refuses still
        (11, 2, Weight.REFUSE, (Weight.REFUSE, "2")),
        (12, 11, Weight.REFUSE, (Weight.REFUSE, "10")),
        (11, 2, Weight.NOTE, (Weight.REFUSE, "10")),
        (2, 2, Weight.REFUSE, None),
    ],
)
def test_the_lower_limit_of_items_wins_and_a_mild_one_hides_no_strict_one(
    items: int, theirs: int, weight: Weight, expected: tuple[Weight, str] | None
) -> None:
    province = PLAIN.model_copy(update={"order_limit": Ruled[int](value=theirs, weight=weight)})
    entry = filing(*(f"d{number}.cn" for number in range(items)))
    found = Checker(LIMITS, province, WorkingDays(), NOW).check(entry, OrderType.FIRST_FILING, GOOD)
    told = [(one.weight, one.limit) for one in found if one.code == "items_limit"]
    assert told == ([expected] if expected else [])


def test_a_good_order_meets_every_rule() -> None:
    assert checked() == []


def owned(by: str, at: int = NOW - 10 * 86_400, *, here: bool = True) -> Facts:
    """The domain of the good order is somebody's."""
    return replace(GOOD, owners={"a.cn": DomainOwner(by, at, here)})


def person(**more: Any) -> OrderEntry:
    """A person's order."""
    given = {"kind": SubjectKind.PERSON, "legal_representative": None} | more
    return filing("a.cn", **given)


def named(name: str) -> OrderEntry:
    """An order for a website of a name."""
    return OrderEntry(subject=subject(), items=(site("a.cn", name=name),))


# What is wrong, the finding's code and field, and what else is asked of it.
BROKEN: list[tuple[Callable[[], list[Finding]], str, str]] = [
    (lambda: checked(filing(*(f"d{n}.cn" for n in range(11)))), "items_limit", "items"),
    (lambda: checked(filing("a.cn", "b.cn"), order_limit=1), "items_limit", "items"),
    (
        lambda: checked(person().model_copy(update={"items": (site("a.cn"), site("b.cn"))})),
        "items_limit",
        "items",
    ),
    (lambda: checked(filing("a.cn", principal=None)), "field_missing", "subject.principal"),
    (lambda: checked(filing("a.cn", name=None)), "field_missing", "subject.name"),
    (lambda: checked(filing("a.cn", certificate=None)), "field_missing", "subject.certificate"),
    (lambda: checked(filing("www.a.cn")), "registrable_only", "items.0.domains.0"),
    (
        lambda: checked(OrderEntry(subject=subject(), items=(site("a.cn", "b.cn"),))),
        "one_domain",
        "items.0.domains",
    ),
    (
        lambda: checked(
            change(site("a.cn", new_domains=("a.cn", "b.cn"))),
            replace(GOOD, websites={0: frozenset({"a.cn", "c.cn"})}),
            OrderType.CHANGE_SERVICE,
        ),
        "domain_replaced",
        "items.0.new_domains.1",
    ),
    (
        lambda: checked(facts=replace(GOOD, verified=VerifiedAccount("别人", 0))),
        "account_name",
        "account",
    ),
    (
        # The legal representative's is good for a unit only.
        lambda: checked(person(), replace(GOOD, verified=VerifiedAccount("张三", 0))),
        "account_name",
        "account",
    ),
    (
        lambda: checked(person(), replace(GOOD, verified=VerifiedAccount(NAME, NOW - 86_399))),
        "account_age",
        "account",
    ),
    (lambda: checked(facts=owned("别人")), "domain_owner", "items.0.domains.0"),
    (
        lambda: checked(facts=owned("张三"), limits=replace(LIMITS, representative_owns=False)),
        "domain_owner",
        "items.0.domains.0",
    ),
    (lambda: checked(facts=owned(NAME, NOW - 2 * 86_400)), "domain_age", "items.0.domains.0"),
    (
        lambda: checked(facts=owned(NAME, NOW - 4 * 86_400, here=False)),
        "domain_age",
        "items.0.domains.0",
    ),
    (
        lambda: checked(filing("a.cn", certificate_province="京")),
        "unit_province",
        "subject.province",
    ),
    (
        lambda: checked(person(certificate_province="京"), persons_from_elsewhere="refuse"),
        "person_elsewhere",
        "subject.province",
    ),
    (
        lambda: checked(person(certificate_province="京"), persons_from_elsewhere="proof"),
        "residence_proof",
        "subject.residence_proof",
    ),
    (lambda: checked(named("商城")), "site_name_short", "items.0.name"),
    (lambda: checked(named("abc123")), "site_name_short", "items.0.name"),
    (lambda: checked(named("a.cn")), "site_name_is_domain", "items.0.name"),
    (lambda: checked(named("某某测试站")), "site_name_word", "items.0.name"),
    (lambda: checked(named("某某论坛站"), name_words=["论坛"]), "site_name_word", "items.0.name"),
    (
        lambda: checked(OrderEntry(subject=subject(), items=(site("a.cn", matters=("新闻",)),))),
        "approval_missing",
        "items.0.approval",
    ),
    (
        lambda: checked(filing("a.cn", principal_born=date(2008, 3, 10)), minimum_age=18),
        "too_young",
        "subject.principal_born",
    ),
    (
        lambda: checked(filing("a.cn", principal=LI), principal="representative"),
        "not_representative",
        "subject.principal",
    ),
    (
        lambda: checked(filing("a.cn", principal=LI), principal="authorised"),
        "not_authorised",
        "subject.authorised",
    ),
    (
        lambda: checked(
            OrderEntry(subject=subject(), items=(site("a.cn", domain_until=date(2026, 6, 8)),)),
            domain_months=3,
        ),
        "domain_ends",
        "items.0.domain_until",
    ),
    (
        lambda: checked(filing("a.cn", certificate_until=date(2026, 6, 8)), certificate_months=3),
        "certificate_ends",
        "subject.certificate_until",
    ),
    (lambda: checked(denied_suffixes=["cn"]), "suffix_denied", "items.0.domains.0"),
    (
        lambda: checked(
            kind=OrderType.NEW_SERVICE_HERE,
            facts=replace(GOOD, services=5, known=True),
            total_limit_unit=5,
        ),
        "total_limit",
        "items",
    ),
    (lambda: checked(remark="网站内容"), "remark_missing", "remark"),
    (lambda: checked(local_telephone=True), "local_telephone", "subject.principal.phone"),
    (
        lambda: checked(
            kind=OrderType.NEW_SERVICE_HERE,
            facts=replace(GOOD, known=True),
            hollow_may_add=False,
        ),
        "hollow_subject",
        "subject",
    ),
]


@pytest.mark.parametrize(
    ("look", "code", "field"), BROKEN, ids=[f"{case[1]}-{n}" for n, case in enumerate(BROKEN)]
)
def test_a_rule_that_is_not_met_is_named_with_its_field(
    look: Callable[[], list[Finding]], code: str, field: str
) -> None:
    found = [one for one in look() if one.code == code]
    assert [(one.field, one.weight) for one in found] == [(field, Weight.REFUSE)]
    (one,) = found
    assert any("\u4e00" <= character <= "\u9fff" for character in one.zh)
    assert "{" not in one.zh + one.en


# The same, met just so.
MET: list[Callable[[], list[Finding]]] = [
    lambda: checked(filing(*(f"d{n}.cn" for n in range(10))), limits=replace(LIMITS, unknown=None)),
    lambda: checked(facts=replace(GOOD, verified=VerifiedAccount("张三", NOW))),
    lambda: checked(person(), replace(GOOD, verified=VerifiedAccount(NAME, NOW - 86_400))),
    lambda: checked(facts=owned("张三")),
    lambda: checked(facts=owned(NAME, NOW - 3 * 86_400)),
    lambda: checked(facts=owned(NAME, NOW - 5 * 86_400, here=False)),
    lambda: checked(person(certificate_province="京"), persons_from_elsewhere="allow"),
    lambda: checked(
        person(certificate_province="京", residence_proof=True), persons_from_elsewhere="proof"
    ),
    lambda: checked(named("某商城")),
    lambda: checked(
        OrderEntry(
            subject=subject(), items=(site("a.cn", matters=("新闻",), approval="国新办1号"),)
        )
    ),
    lambda: checked(filing("a.cn", principal_born=date(2008, 3, 9)), minimum_age=18),
    lambda: checked(filing("a.cn", principal=LI, authorised=True), principal="authorised"),
    lambda: checked(filing("a.cn", certificate_until=date(2026, 6, 9)), certificate_months=3),
    lambda: checked(
        kind=OrderType.NEW_SERVICE_HERE,
        facts=replace(GOOD, services=4, known=True),
        total_limit_unit=5,
    ),
]


@pytest.mark.parametrize("look", MET)
def test_what_is_just_enough_is_enough(look: Callable[[], list[Finding]]) -> None:
    assert codes(look()) == []


@pytest.mark.parametrize(
    ("look", "met_on"),
    [
        (
            lambda: checked(person(), replace(GOOD, verified=VerifiedAccount(NAME, NOW - 3_600))),
            date(2026, 3, 10),
        ),
        (lambda: checked(facts=owned(NAME, NOW)), date(2026, 3, 12)),
        # Thursday before Qingming 2026: three working days later is Thursday again.
        (
            lambda: checked(
                facts=owned(NAME, china("2026-04-02 10:00"), here=False),
                now=china("2026-04-03 10:00"),
            ),
            date(2026, 4, 8),
        ),
        (
            lambda: checked(filing("a.cn", principal_born=date(2008, 12, 31)), minimum_age=18),
            date(2026, 12, 31),
        ),
    ],
)
def test_a_rule_that_time_will_meet_says_when(
    look: Callable[[], list[Finding]], met_on: date
) -> None:
    (one,) = [one for one in look() if one.weight is Weight.REFUSE]
    assert one.met_on == met_on


def test_app_names_are_unique_within_the_subject() -> None:
    app = ItemEntry(kind=ServiceKind.APP, name="某应用", domains=("a.cn",))
    entry = OrderEntry(subject=subject(), items=(app,))
    assert codes(checked(entry)) == []
    twice = entry.model_copy(update={"items": (app, app)})
    assert codes(checked(twice)) == ["app_name_repeated"]
    known = replace(GOOD, app_names=frozenset({"某应用"}))
    assert codes(checked(entry, known)) == ["app_name_repeated"]


@pytest.mark.parametrize("born", [date.min, date.max, date(9982, 2, 28), date(2028, 2, 29)])
def test_whatever_day_is_entered_is_answered(born: date) -> None:
    entry = filing("a.cn", principal_born=born, certificate_until=born)
    items = (site("a.cn", domain_until=born),)
    found = checked(
        entry.model_copy(update={"items": items}),
        minimum_age=18,
        certificate_months=3,
        domain_months=120,
    )
    assert ("too_young" in codes(found)) == (born > date(2008, 3, 9))


def test_a_verification_in_the_future_is_refused_for_milliseconds_are_no_seconds(
    lite: Registry,
) -> None:
    moment = lite.now() * 1000
    with pytest.raises(RegistryError, match="milliseconds"):
        lite.put_account("a1", AccountFacts(name=NAME, verified_at=moment), actor=LOCAL)
    with pytest.raises(RegistryError) as caught:
        lite.put_owner("a.cn", OwnerFacts(owner=NAME, verified_at=moment), actor=LOCAL)
    assert (caught.value.code, caught.value.field) == ("field_invalid", "verified_at")


def test_such_a_time_that_was_taken_before_keeps_no_order_from_an_answer(lite: Registry) -> None:
    with lite.database.write() as connection:
        connection.execute(
            insert(accounts), [{"account": "a1", "name": NAME, "verified_at": 2**53}]
        )
        connection.execute(
            insert(domain_owners),
            [{"domain": "a.cn", "owner": NAME, "verified_at": 2**53, "here": True}],
        )
    entry = filing("a.cn", kind=SubjectKind.PERSON, legal_representative=None)
    number = draft(lite, entry)
    error = refused(lite, SubmitOrder(order=number), owner("a1"))
    assert [part in error.en for part in ("24 hours old", "3 natural days old")] == [True, True]


@pytest.mark.parametrize("unknown", [None, Weight.WARN, Weight.REFUSE])
def test_what_nothing_is_known_of_weighs_what_the_provider_says(unknown: Weight | None) -> None:
    found = checked(facts=Facts(account="a1"), limits=replace(LIMITS, unknown=unknown))
    expected = [] if unknown is None else ["account_unverified", "domain_owner_unknown"]
    assert [(one.code, one.weight) for one in found] == [(code, unknown) for code in expected]


def test_all_31_provinces_have_their_rules() -> None:
    book = Rulebook.load()
    assert set(book.provinces) == set(PROVINCES)
    for rules in book.provinces.values():
        assert rules.name == PROVINCES[rules.province]
        assert rules.source
        assert rules.trust in {"high", "medium", "low"}
        # What nobody has read in a page of the province refuses nobody.
        if rules.trust == "low":
            for name in ProvinceRules.model_fields:
                ruled = getattr(rules, name)
                if hasattr(ruled, "weight"):
                    assert ruled.weight is not Weight.REFUSE, (rules.province, name)


def test_a_provider_s_file_takes_the_place_of_the_one_that_came_along(tmp_path: Path) -> None:
    text = (FOLDER / "鲁.yaml").read_text("utf-8")
    (tmp_path / "鲁.yaml").write_text(text + "authority_days: 7\n", "utf-8")
    book = Rulebook.load(tmp_path)
    assert book.provinces["鲁"].authority_days == 7
    assert set(book.provinces) == set(PROVINCES)
    assert book.version != Rulebook.load().version


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("鲁.yaml", "province: 鲁", "can't be used"),
        ("鲁.yaml", "[", "can't be used"),
        ("京.yaml", None, "call it 鲁.yaml"),
        ("鲁.yaml", "minimum_ages: {value: 3}", "minimum_ages"),
        ("鲁.yaml", "minimum_age: {value: 3, weight: kill}", "weight"),
    ],
)
def test_a_file_that_is_wrong_is_named(
    tmp_path: Path, name: str, text: str | None, says: str
) -> None:
    good = (FOLDER / "鲁.yaml").read_text("utf-8")
    added = good + text if text is not None and text.startswith("minimum_age") else text
    whole = good if added is None else added
    (tmp_path / name).write_text(whole, "utf-8")
    with pytest.raises(RulesError, match=says):
        Rulebook.load(tmp_path)


def test_every_rule_is_found_by_some_test_or_is_no_refusal() -> None:
    tested = {code for _, code, _ in BROKEN}
    others = {"account_unverified", "domain_owner_unknown", "app_name_repeated"}
    notes = {"birth_unknown", "province_note", "whole_service"}
    assert set(RULES) == tested | others | notes


def test_a_submission_is_refused_with_every_rule_that_is_broken(registry: Registry) -> None:
    known = AccountFacts(name="别人", verified_at=registry.now())
    registry.put_account("a1", known, actor=LOCAL)
    registry.put_owner(
        "a.cn", OwnerFacts(owner=NAME, verified_at=registry.now(), here=True), actor=LOCAL
    )
    number = draft(registry, named("商城"))
    error = refused(registry, SubmitOrder(order=number), owner())
    assert error.code == "rules_broken"
    assert [one.code for one in error.faults] == [  # type: ignore[attr-defined]
        *("account_name", "domain_age", "site_name_short"),
    ]
    assert "2026-03-12 起满足" in error.zh
    assert "met from 2026-03-12 on" in error.en


def test_what_only_warns_is_the_reviewer_s_to_see(registry: Registry) -> None:
    number = draft(registry, filing("a.cn"))
    found = take(registry, SubmitOrder(order=number), owner())
    assert {fault.code for fault in found.faults} == {
        *("account_unverified", "domain_owner_unknown"),
    }


def test_a_replay_names_what_changed_rules_would_newly_refuse(
    lite: Registry, tmp_path: Path
) -> None:
    done(lite, filing("a.cn"), "鲁ICP备09090609号-1")
    lite.perform(
        NewOrder(
            account="a2",
            entry=filing("b.cn", certificate="2").model_copy(
                update={"items": (site("b.cn", name="另一个小店"),)}
            ),
        ),
        actor=LOCAL,
    )
    text = (FOLDER / "鲁.yaml").read_text("utf-8")
    changed = tmp_path / "鲁.yaml"
    changed.write_text(text, "utf-8")
    with lite.reading() as work:
        assert list(replay(work, Rulebook.load(tmp_path))) == []
    changed.write_text(text + "name_words: {value: [官方, 小店]}\n", "utf-8")
    with lite.reading() as work:
        found = {one.what: one.findings for one in replay(work, Rulebook.load(tmp_path))}
    assert set(found) == {"order 2", "鲁ICP备09090609号-1"}
    assert {one.code for findings in found.values() for one in findings} == {"site_name_word"}


@pytest.mark.parametrize(
    ("rule", "refused_"),
    [
        ("hollow_may_add: {value: false}", set()),  # who has a service is not hollow
        ("remark: {value: 网站内容}", set()),  # nobody knows what was remarked
        ("local_telephone: {value: true}", set()),
        ("total_limit_unit: {value: 1}", {"鲁ICP备09090609号-1", "鲁ICP备09090609号-2"}),
        ("total_limit_unit: {value: 2}", set()),
        ("denied_suffixes: {value: [com.cn]}", {"鲁ICP备09090609号-2"}),
    ],
)
def test_a_replay_judges_filings_by_what_is_known_of_them_alone(
    lite: Registry, tmp_path: Path, rule: str, refused_: set[str]
) -> None:
    numbers = ("鲁ICP备09090609号-1", "鲁ICP备09090609号-2")
    done(lite, filing("a.cn", "b.com.cn"), *numbers)
    text = (FOLDER / "鲁.yaml").read_text("utf-8")
    (tmp_path / "鲁.yaml").write_text(f"{text}{rule}\n", "utf-8")
    with lite.reading() as work:
        assert {one.what for one in replay(work, Rulebook.load(tmp_path))} == refused_


@pytest.mark.parametrize("entered", [None, "鲁"])
@pytest.mark.parametrize("on_record", [True, False])
def test_a_subject_s_province_is_that_of_its_number_whether_it_was_entered_or_not(
    registry: Registry, tmp_path: Path, on_record: bool, entered: str | None
) -> None:
    """The authority's time is that of its province, and so are the rules."""
    text = (FOLDER / "鲁.yaml").read_text("utf-8")
    (tmp_path / "鲁.yaml").write_text(text + "authority_days: 7\n", "utf-8")
    registry.policy = replace(registry.policy, provinces=tmp_path)
    if on_record:
        done(registry, filing("a.cn"), "鲁ICP备09090609号-1")
    entry = filing("b.cn", licence="鲁ICP备09090609号", province=entered)
    number = at_authority(registry, entry)
    due = show(registry, number).due
    assert due is not None
    assert (due.amount, due.unit) == (7, "working_days")
