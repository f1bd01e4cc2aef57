"""The filing operations and what each does to the allowlist, on both databases."""

from __future__ import annotations

import pytest

from gate.filings import Change, Status
from gate.licence import ServiceKind
from gate.registry import queries
from gate.registry.bulk.chunk import Chunk
from gate.registry.bulk.filing_row import read_record
from gate.registry.commands import (
    AccessFiling,
    Approve,
    CancelAccess,
    CancelService,
    CancelSubject,
    ChangeService,
    ChangeSubject,
    Command,
    Reject,
    Resume,
    SubjectData,
    Suspend,
)
from gate.registry.errors import RegistryError, Said
from gate.registry.log import append
from gate.registry.queries import FilingQuery
from gate.registry.registry import LOCAL, Registry, Request
from tests.registry.conftest import Clock
from tests.registry.filings import (
    changes,
    do,
    file_another,
    file_first,
    first_filing,
    new_service,
    refused,
    status,
)

SUBJECT = "鲁ICP备09090609号"
SITE = "鲁ICP备09090609号-1"


def on_record(registry: Registry, domain: str, licence: str, **more: str) -> None:
    """Put a filing of another provider on record, as an import does."""
    values = {"domain": domain, "licence": licence, "subject": "外地公司", "providers": "other"}
    record = read_record(values | more, registry.provider)
    with registry.database.write() as connection:
        work = registry.begin(connection, LOCAL)
        chunk = Chunk(work, [record])
        assert chunk.add(record)
        chunk.write()
        append(connection, work.head, "import", work.changes, work.now)


# 首次备案


def test_a_first_filing_is_in_force_when_the_authority_approves(
    registry: Registry, clock: Clock
) -> None:
    submitted = do(registry, first_filing("Example.CN"))
    assert (submitted.changes, submitted.revision) == ((), 0)
    assert submitted.application == 1
    clock.now += 86400
    approved = do(registry, Approve(application=1, licence=SITE))
    assert approved.licence == SITE
    assert changes(registry) == [Change("example.cn", Status.FILED, SITE, int(clock.now))]
    assert (approved.revision, status(registry, "example.cn")) == (1, "filed")


def test_the_registry_gives_the_next_free_number_if_the_authority_gives_none(
    registry: Registry,
) -> None:
    do(registry, first_filing("a.cn", account="a"))
    do(registry, first_filing("b.cn", account="b"))
    do(registry, first_filing("c.cn", account="c", province="京"))
    numbers = [
        do(registry, Approve(application=number, generate=True)).licence for number in (1, 2, 3)
    ]
    assert numbers == ["鲁ICP备2026000001号-1", "鲁ICP备2026000002号-1", "京ICP备2026000001号-1"]


@pytest.mark.parametrize("province", ["蜀", "川", "四川", "四川省"])
def test_a_province_has_one_series_of_numbers_however_it_is_called(
    registry: Registry, province: str
) -> None:
    do(registry, first_filing("a.cn", account="a", province="川"))
    do(registry, first_filing("b.cn", account="b", province=province))
    numbers = [
        do(registry, Approve(application=number, generate=True)).licence for number in (1, 2)
    ]
    assert numbers == ["蜀ICP备2026000001号-1", "蜀ICP备2026000002号-1"]


@pytest.mark.parametrize(
    ("licence", "canonical", "subject", "kind"),
    [
        ("鲁 icp备030066－1", "鲁ICP备030066号-1", "鲁ICP备030066号", ServiceKind.WEBSITE),
        ("鲁ICP证030173号-1", "鲁ICP证030173号-1", "鲁ICP证030173号", ServiceKind.WEBSITE),
        ("鲁B2-20090059-5A", "鲁B2-20090059-5A", "鲁B2-20090059", ServiceKind.APP),
        ("鲁b2-20090059-6x", "鲁B2-20090059-6X", "鲁B2-20090059", ServiceKind.MINI_PROGRAM),
        ("鲁ICP备09090609号-7K", "鲁ICP备09090609号-7K", "鲁ICP备09090609号",
         ServiceKind.QUICK_APP),
    ],
)  # fmt: skip
def test_what_the_authority_issued_is_filed_and_found_under_its_canonical_number(
    registry: Registry, licence: str, canonical: str, subject: str, kind: ServiceKind
) -> None:
    do(registry, first_filing("a.cn", kind=kind))
    done = do(registry, Approve(application=1, licence=licence))
    assert (done.licence, changes(registry)[-1].licence) == (canonical, canonical)
    do(registry, ChangeService(licence=licence, name="新名称"))
    with registry.database.read() as connection:
        detail = queries.subject(connection, subject)
        (found,) = queries.find_filings(connection, FilingQuery(text=licence), after="", limit=9)
    assert (detail.licence, found.domain) == (subject, "a.cn")
    assert [(item.licence, item.kind) for item in detail.services] == [(canonical, kind)]


def test_a_rejected_application_changes_nothing_and_frees_its_domain(registry: Registry) -> None:
    do(registry, first_filing("a.cn"))
    rejected = do(registry, Reject(application=1, reason="材料不全"))
    assert (rejected.changes, registry.head().revision) == ((), 0)
    do(registry, first_filing("a.cn"))  # account and domain are free again


@pytest.mark.parametrize(
    "decided_by", [Approve(application=1, generate=True), Reject(application=1, reason="x")]
)
@pytest.mark.parametrize(
    "again", [Approve(application=1, generate=True), Reject(application=1, reason="x")]
)
def test_an_application_is_decided_once(
    registry: Registry, decided_by: Command, again: Command
) -> None:
    do(registry, first_filing("a.cn"))
    do(registry, decided_by)
    assert refused(registry, again).code == "application_decided"


def test_an_unknown_application_is_refused(registry: Registry) -> None:
    assert refused(registry, Approve(application=7, generate=True)).code == "application_unknown"


def test_a_domain_filed_twice_is_refused_with_the_holders_number(registry: Registry) -> None:
    file_first(registry, "a.cn")
    error = refused(registry, first_filing("A.CN", account="a2"))
    assert (error.code, error.field) == ("domain_filed", "service.domains.0")
    assert SITE in error.zh
    assert SITE in error.en


def test_a_domain_has_one_application_at_a_time(registry: Registry) -> None:
    do(registry, first_filing("a.cn"))
    assert refused(registry, first_filing("a.cn", account="a2")).code == "domain_pending"


def test_a_domain_filed_elsewhere_in_the_meantime_is_not_approved(registry: Registry) -> None:
    do(registry, first_filing("a.cn"))
    # An import refuses a domain that waits; an approval looks again all the same.
    do(registry, Reject(application=1, reason="x"))
    on_record(registry, "a.cn", "京ICP备12345678号-1")
    assert refused(registry, first_filing("a.cn")).code == "domain_filed"


def test_one_account_has_one_subject(registry: Registry) -> None:
    file_first(registry, "a.cn")
    error = refused(registry, first_filing("b.cn"))
    assert (error.code, error.field) == ("account_taken", "account")
    assert SUBJECT in error.zh


def test_one_account_has_one_first_filing_at_a_time(registry: Registry) -> None:
    do(registry, first_filing("a.cn"))
    assert refused(registry, first_filing("b.cn")).code == "account_pending"


def test_a_subject_is_one_by_its_certificate(registry: Registry) -> None:
    do(registry, first_filing("a.cn", certificate="91370000MA3C"))
    do(registry, Approve(application=1, licence=SUBJECT))
    error = refused(registry, first_filing("b.cn", account="a2", certificate="91370000MA3C"))
    assert (error.code, SUBJECT in error.zh) == ("certificate_taken", True)


@pytest.mark.parametrize(
    ("licence", "code"),
    [
        ("京ICP备09090609号", "licence_province"),
        ("鲁ICP备0909号", "licence_invalid"),
        ("鲁ICP备09090609号-1A", "licence_kind"),
    ],
)
def test_the_number_must_fit_the_application(registry: Registry, licence: str, code: str) -> None:
    do(registry, first_filing("a.cn"))
    error = refused(registry, Approve(application=1, licence=licence))
    assert (error.code, error.field) == (code, "licence")


def test_a_subjects_number_belongs_to_one_subject(registry: Registry) -> None:
    file_first(registry, "a.cn")
    do(registry, first_filing("b.cn", account="a2"))
    assert refused(registry, Approve(application=2, licence=SUBJECT)).code == "licence_taken"


@pytest.mark.parametrize("province", ["东山", "X", "港"])
def test_an_unknown_province_is_refused(registry: Registry, province: str) -> None:
    assert refused(registry, first_filing("a.cn", province=province)).code == "province_unknown"


@pytest.mark.parametrize("domain", ["com.cn", "cn", "192.0.2.1", "xn--99999999.cn", "co.uk"])
def test_what_can_not_be_filed_is_refused(registry: Registry, domain: str) -> None:
    error = refused(registry, first_filing(domain))
    assert (error.code, error.field) == ("domain_invalid", "service.domains.0")


# 新增服务


def test_a_new_service_takes_the_next_number_under_its_subject(registry: Registry) -> None:
    file_first(registry, "a.cn")
    assert file_another(registry, "b.cn") == "鲁ICP备09090609号-2"
    assert status(registry, "b.cn") == "filed"
    do(registry, CancelService(domain="b.cn"))
    assert file_another(registry, "c.cn") == "鲁ICP备09090609号-3"


def test_a_subject_whose_highest_number_is_given_is_told_to_name_a_free_one(
    registry: Registry,
) -> None:
    do(registry, first_filing("a.cn"))
    do(registry, Approve(application=1, licence="鲁ICP备09090609号-999999"))
    do(registry, new_service("b.cn"))
    assert refused(registry, Approve(application=2, generate=True)).code == "sites_used_up"
    do(registry, Approve(application=2, licence="鲁ICP备09090609号-7"))
    assert status(registry, "b.cn") == "filed"


def test_a_province_whose_highest_number_of_the_year_is_given_is_told_to_name_a_free_one(
    registry: Registry,
) -> None:
    do(registry, first_filing("a.cn", account="a"))
    do(registry, Approve(application=1, licence="鲁ICP备2026999999号-1"))
    do(registry, first_filing("b.cn", account="b"))
    assert refused(registry, Approve(application=2, generate=True)).code == "serials_used_up"
    do(registry, Approve(application=2, licence="鲁ICP备2026000007号"))
    assert status(registry, "b.cn") == "filed"


def test_an_app_may_have_several_domains(registry: Registry) -> None:
    file_first(registry, "a.cn")
    do(registry, new_service("b.cn", "c.cn", kind=ServiceKind.APP))
    done = do(registry, Approve(application=2, generate=True))
    assert done.licence == "鲁ICP备09090609号-2A"
    assert [change.domain for change in done.changes] == ["b.cn", "c.cn"]
    assert refused(registry, new_service("d.cn", "e.cn")).code == "website_one_domain"


def test_a_new_service_of_a_subject_filed_elsewhere_brings_the_subject_here(
    registry: Registry,
) -> None:
    number = "京ICP备12345678号"
    assert refused(registry, new_service("a.cn", licence=number)).code == "licence_unknown"
    do(registry, new_service("a.cn", licence=number, subject=SubjectData(name="北京公司")))
    done = do(registry, Approve(application=1, licence="京ICP备12345678号-7"))
    assert done.licence == "京ICP备12345678号-7"
    assert status(registry, "a.cn") == "filed"
    # The account is the subject's from now on.
    assert refused(registry, first_filing("b.cn")).code == "account_taken"


def test_a_new_service_of_a_subject_on_record_gives_it_its_account(registry: Registry) -> None:
    on_record(registry, "a.cn", "京ICP备12345678号-1")
    file_another(registry, "b.cn", licence="京ICP备12345678号")
    error = refused(registry, new_service("c.cn", account="a2", licence="京ICP备12345678号"))
    assert error.code == "subject_other_account"


def test_a_service_number_belongs_to_its_subject(registry: Registry) -> None:
    file_first(registry, "a.cn")
    do(registry, new_service("b.cn"))
    for licence, code in [
        ("鲁ICP备09090608号-2", "licence_other_subject"),
        ("鲁ICP备09090609号-1", "licence_taken"),
        ("鲁ICP备09090609号", "licence_not_service"),
        ("鲁ICP备09090609号-2A", "licence_kind"),
    ]:
        assert refused(registry, Approve(application=2, licence=licence)).code == code


def test_a_new_service_of_another_accounts_subject_is_refused(registry: Registry) -> None:
    file_first(registry, "a.cn")
    error = refused(registry, new_service("b.cn", account="a2"))
    assert (error.code, error.field) == ("subject_other_account", "account")


# 接入备案, 取消接入


def test_access_makes_filed_elsewhere_filed_and_its_end_undoes_it(registry: Registry) -> None:
    on_record(registry, "a.cn", SITE)
    assert status(registry, "a.cn") == "filed_elsewhere"
    do(registry, AccessFiling(account="a1", domain="a.cn", licence=SITE))
    assert status(registry, "a.cn") == "filed"
    do(registry, CancelAccess(domain="a.cn"))
    assert status(registry, "a.cn") == "filed_elsewhere"
    assert [change.status for change in changes(registry)] == [
        Status.FILED_ELSEWHERE,
        Status.FILED,
        Status.FILED_ELSEWHERE,
    ]


def test_access_with_another_provider_is_no_change_for_gates(registry: Registry) -> None:
    on_record(registry, "a.cn", SITE, providers="other gate")
    done = do(registry, CancelAccess(licence=SITE, provider="other"))
    assert (done.changes, status(registry, "a.cn")) == ((), "filed")


def test_access_is_refused_where_it_does_not_fit(registry: Registry) -> None:
    other = "鲁ICP备09090608号-1"
    on_record(registry, "a.cn", SITE)
    file_first(registry, "b.cn", licence=other)
    for command, code in [
        (AccessFiling(account="a2", domain="x.cn", licence=SITE), "domain_unknown"),
        (AccessFiling(account="a2", domain="a.cn", licence=other), "licence_differs"),
        (AccessFiling(account="a1", domain="a.cn", licence=SITE), "account_taken"),
        (AccessFiling(account="a1", domain="b.cn", licence=other), "already_accessed"),
        (CancelAccess(domain="a.cn"), "not_accessed"),
        (CancelAccess(domain="b.cn", provider="other"), "not_accessed"),
    ]:
        assert refused(registry, command).code == code


# 变更


def test_a_changed_domain_revokes_the_old_one_in_the_same_batch(registry: Registry) -> None:
    file_first(registry, "a.cn")
    done = do(registry, ChangeService(domain="a.cn", domains=("b.cn",)))
    assert [(c.domain, c.status, c.licence) for c in done.changes] == [
        ("a.cn", "absent", ""),
        ("b.cn", "filed", SITE),
    ]
    assert (status(registry, "a.cn"), status(registry, "b.cn")) == ("absent", "filed")


def test_a_service_can_not_change_to_a_domain_that_is_held(registry: Registry) -> None:
    file_first(registry, "a.cn")
    file_another(registry, "b.cn")
    error = refused(registry, ChangeService(domain="a.cn", domains=("b.cn",)))
    assert (error.code, "鲁ICP备09090609号-2" in error.zh) == ("domain_filed", True)
    assert status(registry, "a.cn") == "filed"


def test_a_subjects_new_number_is_carried_by_all_its_domains(registry: Registry) -> None:
    file_first(registry, "a.cn")
    file_another(registry, "b.cn")
    done = do(registry, ChangeSubject(licence=SUBJECT, new_licence="京ICP备12345678号"))
    assert [(c.domain, c.status, c.licence) for c in done.changes] == [
        ("a.cn", "filed", "京ICP备12345678号-1"),
        ("b.cn", "filed", "京ICP备12345678号-2"),
    ]


def test_a_change_that_gates_can_not_see_writes_no_batch(registry: Registry) -> None:
    file_first(registry, "a.cn")
    for command in (
        ChangeSubject(licence=SUBJECT, name="新名称", account="a9", certificate="9137"),
        ChangeService(licence=SITE, name="新名称"),
        ChangeService(licence=SITE, domains=("A.cn",)),
    ):
        assert do(registry, command).revision == 1
    do(registry, first_filing("b.cn", account="a1"))  # the old account is free


def test_a_change_is_refused_where_it_breaks_a_rule(registry: Registry) -> None:
    file_first(registry, "a.cn")
    do(registry, first_filing("b.cn", account="a2", certificate="9137"))
    do(registry, Approve(application=2, licence="鲁ICP备09090608号"))
    for command, code in [
        (ChangeSubject(licence=SUBJECT), "nothing_to_change"),
        (ChangeSubject(licence=SUBJECT, account="a2"), "account_taken"),
        (ChangeSubject(licence=SUBJECT, certificate="9137"), "certificate_taken"),
        (ChangeSubject(licence=SUBJECT, new_licence="鲁ICP备09090608号"), "licence_taken"),
        (ChangeSubject(licence=SITE, name="x"), "licence_not_subject"),
        (ChangeSubject(licence="京ICP备12345678号", name="x"), "licence_unknown"),
        (ChangeService(licence=SITE), "nothing_to_change"),
        (ChangeService(licence=SITE, domains=("com.cn",)), "domain_invalid"),
        (ChangeService(licence=SITE, domains=("c.cn", "d.cn")), "website_one_domain"),
        (ChangeService(domain="x.cn", name="x"), "domain_unknown"),
    ]:
        assert refused(registry, command).code == code


# 注销


def test_a_cancelled_services_domain_becomes_absent(registry: Registry) -> None:
    file_first(registry, "a.cn")
    file_another(registry, "b.cn")
    do(registry, CancelService(licence=SITE))
    assert (status(registry, "a.cn"), status(registry, "b.cn")) == ("absent", "filed")
    assert refused(registry, CancelService(licence=SITE)).code == "licence_unknown"
    assert refused(registry, CancelService(domain="a.cn")).code == "domain_unknown"
    file_another(registry, "a.cn")  # it may be filed again


def test_a_cancelled_subjects_domains_become_absent_in_one_batch(registry: Registry) -> None:
    file_first(registry, "a.cn")
    file_another(registry, "b.cn")
    do(registry, new_service("c.cn", "d.cn", kind=ServiceKind.APP))
    do(registry, Approve(application=3, generate=True))
    done = do(registry, CancelSubject(licence=SUBJECT))
    assert [(c.domain, c.status) for c in done.changes] == [
        ("a.cn", "absent"),
        ("b.cn", "absent"),
        ("c.cn", "absent"),
        ("d.cn", "absent"),
    ]
    assert refused(registry, CancelSubject(licence=SUBJECT)).code == "licence_unknown"
    file_first(registry, "a.cn")  # account and number are free again


# 暂停, 恢复


def test_a_suspension_holds_until_it_is_lifted(registry: Registry) -> None:
    file_first(registry, "a.cn")
    do(registry, Suspend(domain="a.cn", reason="违法内容"))
    assert status(registry, "a.cn") == "suspended"
    do(registry, CancelAccess(domain="a.cn"))
    assert status(registry, "a.cn") == "suspended"
    assert refused(registry, Suspend(domain="a.cn", reason="x")).code == "already_suspended"
    do(registry, Resume(licence=SITE))
    assert status(registry, "a.cn") == "filed_elsewhere"
    assert refused(registry, Resume(licence=SITE)).code == "not_suspended"


# Each operation is done wholly or not at all.


@pytest.mark.parametrize("beside", [0, 2], ids=["alone", "in a group"])
def test_what_fails_at_its_end_leaves_nothing(
    registry: Registry, monkeypatch: pytest.MonkeyPatch, beside: int
) -> None:
    domains = ["a.cn", "b.cn", "c.cn"][: 1 + beside]
    for number, domain in enumerate(domains, 1):
        on_record(registry, domain, f"鲁ICP备0909060{number}号-1")
    before = registry.head()

    def fail(work: object, operation: str, target: str, *_: object, **__: object) -> None:
        if target == "a.cn":
            raise RegistryError("body_invalid", detail=Said("坏", "bad"))

    monkeypatch.setattr("gate.registry.registry.record", fail)
    requests = [Request(CancelService(domain=domain), LOCAL) for domain in domains]
    failed, *done = registry.perform_all(requests)
    assert isinstance(failed, RegistryError)
    assert registry.head().revision == before.revision + len(done)
    assert status(registry, "a.cn") == "filed_elsewhere"
    assert [status(registry, domain) for domain in domains[1:]] == ["absent"] * beside


@pytest.mark.parametrize("beside", [0, 2], ids=["alone", "in a group"])
def test_a_dry_run_tells_what_would_be_done_and_does_nothing(
    registry: Registry, beside: int
) -> None:
    domains = ["a.cn", "b.cn", "c.cn"][: 1 + beside]
    for number, domain in enumerate(domains, 1):
        on_record(registry, domain, f"鲁ICP备0909060{number}号-1")
    before = registry.head()
    requests = [
        Request(CancelService(domain=domain), LOCAL, key="k", dry_run=domain == "a.cn")
        for domain in domains
    ]
    looked, *done = registry.perform_all(requests)
    assert not isinstance(looked, Exception)
    assert looked[0].dry_run
    assert [change.domain for change in looked[0].changes] == ["a.cn"]
    assert registry.head().revision == before.revision + sum(
        not isinstance(each, Exception) for each in done
    )
    assert status(registry, "a.cn") == "filed_elsewhere"
