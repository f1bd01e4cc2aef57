"""Websites from before 2019, with several domains under one number: brought in, and after."""

from __future__ import annotations

from itertools import permutations
from pathlib import Path

import pytest

from gate.registry import queries
from gate.registry.bulk.clerks import write_list
from gate.registry.bulk.exporting import export_filings
from gate.registry.bulk.files import FileFormat
from gate.registry.bulk.importing import import_file
from gate.registry.bulk.previewing import Preview, preview_file
from gate.registry.commands import (
    AccessFiling,
    CancelAccess,
    CancelService,
    CancelSubject,
    ChangeService,
    ChangeSubject,
    Resume,
    Suspend,
)
from gate.registry.errors import RegistryError
from gate.registry.import_modes import ImportMode
from gate.registry.orders.commands import (
    ApproveOrder,
    PassOrder,
    ReturnOrder,
    SubmitOrder,
    WithdrawOrder,
)
from gate.registry.orders.kinds import OrderType, Purpose
from gate.registry.orders.provider_terms import OrderPolicy
from gate.registry.orders.rule_texts import Finding
from gate.registry.registry import LOCAL, Registry
from gate.registry.views import ImportView, ServiceView
from gate.registry.workflow.facts import OwnerFacts, put_owner
from tests.registry.filings import changes, do, refused, status
from tests.registry.orders.steps import (
    AUTHORITY,
    REVIEWER,
    at_authority,
    change,
    done,
    draft,
    filing,
    owner,
    site,
    submitted,
    take,
    verify_all,
)
from tests.registry.orders.steps import refused as step_refused
from tests.registry.test_bulk import refusals
from tests.registry.test_bulk import take as bring

HEADER = "domain,licence,subject,account,service,status"
NUMBER = "鲁ICP备09090609号-2"
THREE = ("a.cn", "b.cn", "c.cn")
ON_RECORD = {"licence": "鲁ICP备09090609号", "certificate": None}


def row(domain: str, *, number: str = NUMBER, name: str = "", status: str = "", account: str = "a1",
        subject: str = "某某网络公司") -> str:  # fmt: skip
    return f"{domain},{number},{subject},{account},{name},{status}"


def listed(registry: Registry, folder: Path, *rows: str, **more: object) -> ImportView:
    path = folder / f"{len(list(folder.iterdir()))}.csv"
    path.write_text("\n".join([HEADER, *rows]) + "\n", encoding="utf-8")
    return bring(registry, path, **more)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "lists"
    made.mkdir()
    return made


@pytest.fixture
def legacy(registry: Registry, folder: Path) -> Registry:
    """A website with three domains, filed here."""
    assert listed(registry, folder, *map(row, THREE)).further == 2
    return registry


def statuses(registry: Registry, *names: str) -> list[str]:
    return [status(registry, name) for name in names or THREE]


def service_of(registry: Registry, number: str = NUMBER) -> ServiceView:
    subject, _, _ = number.rpartition("-")
    with registry.database.read() as connection:
        services = queries.subject(connection, subject).services
    (found,) = [service for service in services if service.licence == number]
    return found


def findings(error: RegistryError) -> list[Finding]:
    return [found for found in error.faults if isinstance(found, Finding)]


# In a list


@pytest.mark.parametrize("chunk", [1, 2, 1000])
def test_the_domains_of_a_website_come_in_one_list_and_stay_one_website(
    registry: Registry, folder: Path, chunk: int
) -> None:
    rows = [row(name) for name in THREE]
    state = listed(registry, folder, *rows, chunk_lines=chunk)
    assert (state.accepted, state.refused, state.further) == (3, 0, 2)
    assert [(note.line, note.code) for note in refusals(registry, state)] == [
        (3, "domain_further"),
        (4, "domain_further"),
    ]
    assert "under 鲁ICP备09090609号-2, the website of a.cn" in refusals(registry, state)[0].en
    assert statuses(registry) == ["filed"] * 3
    assert service_of(registry).domains == THREE
    assert {(c.domain, c.licence) for c in changes(registry)} == {(n, NUMBER) for n in THREE}
    again = listed(registry, folder, *rows, chunk_lines=chunk)
    assert (again.accepted, again.unchanged, again.further) == (0, 3, 0)
    assert len(changes(registry)) == 3


def test_a_later_list_adds_a_domain_to_a_website_on_record(
    registry: Registry, folder: Path
) -> None:
    listed(registry, folder, row("a.cn"))
    state = listed(registry, folder, row("a.cn"), row("b.cn"))
    assert (state.accepted, state.unchanged, state.further) == (1, 1, 1)
    assert [change.domain for change in changes(registry)] == ["a.cn", "b.cn"]


def test_several_domains_in_one_cell_are_one_website(registry: Registry, folder: Path) -> None:
    path = folder / "clerks.csv"
    path.write_text("网站域名,网站备案号,主办单位名称\na.cn b.cn c.cn,鲁ICP备09090609号-2,甲公司\n")
    rewritten = folder / "rewritten"
    with rewritten.open("wb") as out:
        write_list(path, out, registrable=False)
    state = bring(registry, rewritten, form=FileFormat.LIST)
    assert (state.accepted, state.further) == (3, 2)
    (note,) = refusals(registry, state)
    assert (note.line, note.zh.count("同属网站")) == (2, 2)


@pytest.mark.parametrize("order", list(permutations(range(3))))
@pytest.mark.parametrize("chunk", [1, 1000])
def test_a_website_gets_its_name_from_whichever_line_has_it(
    registry: Registry, folder: Path, order: tuple[int, ...], chunk: int
) -> None:
    rows = [row("a.cn"), row("b.cn", name="某某商城"), row("c.cn", name="c.cn")]
    state = listed(registry, folder, *(rows[place] for place in order), chunk_lines=chunk)
    assert (state.accepted, state.refused) == (3, 0)
    assert service_of(registry).name == "某某商城"


# What the rows say of a second domain, beside those of the first; and the refusal.
CONTRADICTIONS = [
    (row("b.cn", name="另一网站"), "service_name_differs", "service"),
    (row("b.cn", status="filed_elsewhere"), "service_status_differs", "status"),
    (row("b.cn", status="suspended"), "import_suspends", "status"),
    (row("b.cn", subject="另一公司"), "subject_name_differs", "subject"),
    (row("b.cn", account="a2"), "subject_other_account", "account"),
    (row("a.cn", number="鲁ICP备09090609号-3"), "domain_filed", "domain"),
    (row("a.cn", number="京ICP备12345678号-1", account="a2"), "domain_filed", "domain"),
]


@pytest.mark.parametrize(("second", "code", "field"), CONTRADICTIONS)
@pytest.mark.parametrize("chunk", [1, 1000])
def test_a_line_that_contradicts_the_website_is_refused_and_leaves_no_trace(
    registry: Registry, folder: Path, second: str, code: str, field: str, chunk: int
) -> None:
    first = row("a.cn", name="某某商城")
    state = listed(registry, folder, first, second, row("c.cn"), chunk_lines=chunk)
    assert (state.accepted, state.refused, state.further) == (2, 1, 1)
    assert [note.code for note in refusals(registry, state)] == [code, "domain_further"]
    assert [change.domain for change in changes(registry)] == ["a.cn", "c.cn"]
    assert service_of(registry).name == "某某商城"


@pytest.mark.parametrize("chunk", [1, 1000])
@pytest.mark.parametrize(
    ("held", "added"),
    [("filed_elsewhere", "filed"), ("suspended", "filed"), ("suspended", "filed_elsewhere")],
)
def test_a_further_domain_opens_nothing_that_the_list_says_is_closed(
    registry: Registry, folder: Path, held: str, added: str, chunk: int
) -> None:
    rows = row("a.cn", status=held), row("b.cn", status=added)
    state = listed(registry, folder, *rows, chunk_lines=chunk)
    assert [note.code for note in refusals(registry, state)] == ["service_status_differs"]
    assert [(change.domain, change.status) for change in changes(registry)] == [("a.cn", held)]


def test_an_app_has_no_more_domains_than_apps_have_and_a_website_many(
    registry: Registry, folder: Path
) -> None:
    app = [row(f"app{n}.cn", number=f"{NUMBER}A") for n in range(21)]
    state = listed(registry, folder, *app)
    assert (state.accepted, state.refused, state.further) == (20, 1, 0)
    assert refusals(registry, state)[0].code == "field_invalid"
    many = [row(f"d{n}.cn") for n in range(501)]
    state = listed(registry, folder, *many)
    assert (state.accepted, state.refused, state.further) == (500, 1, 499)
    kept = tuple(f"d{n}.cn" for n in range(30))
    assert len(do(registry, ChangeService(licence=NUMBER, domains=kept)).changes) == 470


def test_a_dry_run_tells_of_further_domains(registry: Registry, folder: Path) -> None:
    listed(registry, folder, row("a.cn"))
    path = folder / "next.csv"
    path.write_text("\n".join([HEADER, row("b.cn"), row("c.cn")]) + "\n")
    preview = Preview(100)
    for _ in preview_file(
        registry, path, actor=LOCAL, form=FileFormat.CSV, mode=ImportMode.ADD, preview=preview
    ):
        pass
    assert (preview.view().further, preview.view().accepted) == (2, 2)
    assert preview.changes == [f"+ b.cn filed {NUMBER}", f"+ c.cn filed {NUMBER}"]
    *_, state = import_file(registry, path, actor=LOCAL)
    assert [note.code for note in preview.notes] == [
        note.code for note in refusals(registry, state)
    ]


def test_an_export_brings_the_website_back_whole(legacy: Registry, folder: Path) -> None:
    exported = b"".join(export_filings(legacy.database, FileFormat.CSV))
    assert exported.count(NUMBER.encode()) == 3
    do(legacy, CancelSubject(licence="鲁ICP备09090609号"))
    assert statuses(legacy) == ["absent"] * 3
    path = folder / "export.csv"
    path.write_bytes(exported)
    assert bring(legacy, path, mode=ImportMode.REVIVE).revived == 3
    assert b"".join(export_filings(legacy.database, FileFormat.CSV)) == exported
    assert service_of(legacy).domains == THREE


def test_a_list_that_replaces_takes_one_name_off_and_leaves_the_website(
    legacy: Registry, folder: Path
) -> None:
    state = listed(
        legacy, folder, row("a.cn"), row("c.cn"), mode=ImportMode.REPLACE, max_shrink=1.0
    )
    assert (state.unchanged, state.closed) == (2, 1)
    assert statuses(legacy) == ["filed", "absent", "filed"]
    assert service_of(legacy).domains == ("a.cn", "c.cn")


# What operations do to it


def test_operations_on_a_website_are_on_all_its_domains(legacy: Registry) -> None:
    for command, then in [
        (Suspend(domain="b.cn", reason="x"), "suspended"),
        (Resume(licence=NUMBER), "filed"),
        (CancelAccess(domain="c.cn"), "filed_elsewhere"),
        (AccessFiling(account="a1", domain="b.cn", licence=NUMBER), "filed"),
        (CancelService(domain="a.cn"), "absent"),
    ]:
        done_ = do(legacy, command)
        assert [change.domain for change in done_.changes] == list(THREE)
        assert statuses(legacy) == [then] * 3


def test_a_renumbered_subject_renumbers_every_domain(legacy: Registry) -> None:
    do(legacy, ChangeSubject(licence="鲁ICP备09090609号", new_licence="鲁ICP备2026000001号"))
    assert {(c.domain, c.licence) for c in changes(legacy, 3)} == {
        (name, "鲁ICP备2026000001号-2") for name in THREE
    }


def test_a_website_may_lose_names_and_get_no_other_beside_them(legacy: Registry) -> None:
    for wanted in (("a.cn", "new.cn"), (*THREE, "new.cn")):
        error = refused(legacy, ChangeService(licence=NUMBER, domains=wanted))
        assert error.code == "website_one_domain"
    do(legacy, ChangeService(licence=NUMBER, domains=("c.cn", "a.cn")))
    assert statuses(legacy) == ["filed", "absent", "filed"]
    error = refused(legacy, ChangeService(licence=NUMBER, domains=THREE))
    assert error.code == "website_one_domain"


# In orders


def test_an_order_takes_one_name_off_a_website(legacy: Registry) -> None:
    entry = change(site(licence=NUMBER, new_domains=("a.cn", "c.cn")))
    assert done(legacy, entry).type is OrderType.CHANGE_SERVICE
    assert statuses(legacy) == ["filed", "absent", "filed"]
    number = draft(legacy, change(site(licence=NUMBER, new_domains=THREE)))
    error = step_refused(legacy, SubmitOrder(order=number), owner())
    assert [found.code for found in findings(error)] == ["domain_replaced"]


def test_a_list_adds_no_domain_to_a_website_whose_names_an_open_order_sets(
    legacy: Registry, folder: Path
) -> None:
    order = submitted(legacy, change(site(licence=NUMBER, new_domains=("a.cn", "c.cn"))))
    added = listed(legacy, folder, row("e.cn"), row("b.cn"), row("f.cn", number=NUMBER[:-1] + "3"))
    assert (added.accepted, added.unchanged, added.refused) == (1, 1, 1)
    ((line, code),) = [(r.line, r.code) for r in refusals(legacy, added)]
    assert (line, code) == (2, "website_changing")
    take(legacy, ReturnOrder(order=order, reason="x"), REVIEWER)
    take(legacy, WithdrawOrder(order=order), owner())
    assert listed(legacy, folder, row("e.cn")).further == 1


@pytest.mark.parametrize(
    ("purpose", "then"), [(Purpose.CANCEL, "absent"), (Purpose.END_ACCESS, "filed_elsewhere")]
)
def test_an_order_that_ends_a_website_by_one_of_its_domains_says_what_ends_with_it(
    legacy: Registry, purpose: Purpose, then: str
) -> None:
    ended = done(legacy, change(site("b.cn"), purpose=purpose))
    (warning,) = [fault for fault in ended.faults if fault.code == "whole_service"]
    assert "2 more domains (a.cn、c.cn)" in warning.en
    assert statuses(legacy) == [then] * 3


@pytest.mark.parametrize("named", [("b.cn",), ("b.cn", "c.cn"), THREE])
def test_an_access_filing_of_a_website_opens_all_its_domains(
    registry: Registry, folder: Path, named: tuple[str, ...]
) -> None:
    rows = [row(name, status="filed_elsewhere", account="") for name in THREE]
    assert listed(registry, folder, *rows).accepted == 3
    number = at_authority(
        registry, filing(**ON_RECORD).model_copy(update={"items": (site(*named),)})
    )
    assert statuses(registry) == ["filed_elsewhere"] * 3
    approved = take(registry, ApproveOrder(order=number), AUTHORITY)
    assert approved.type is OrderType.ACCESS_FILING
    assert any(note.code == "whole_service" for note in approved.faults) == (len(named) < 3)
    assert statuses(registry) == ["filed"] * 3


def test_a_website_that_opened_provisionally_closes_whole(registry: Registry, folder: Path) -> None:
    registry.policy = OrderPolicy(access_opens_at_pass=True)
    rows = [row(name, status="filed_elsewhere", account="") for name in THREE]
    listed(registry, folder, *rows)
    number = submitted(registry, filing("b.cn", **ON_RECORD))
    take(registry, PassOrder(order=number), REVIEWER)
    assert statuses(registry) == ["filed"] * 3
    verify_all(registry, number)
    take(registry, ReturnOrder(order=number, reason="x"), AUTHORITY)
    assert statuses(registry) == ["filed_elsewhere"] * 3


def test_what_is_wrong_with_a_domain_that_opens_along_is_found(
    registry: Registry, folder: Path
) -> None:
    rows = [row(name, status="filed_elsewhere", account="") for name in THREE]
    listed(registry, folder, *rows)
    with registry.database.write() as connection:
        put_owner(
            connection,
            "c.cn",
            OwnerFacts(owner="别人", verified_at=0, here=True),
            now=registry.now(),
        )
    number = draft(registry, filing("a.cn", **ON_RECORD))
    error = step_refused(registry, SubmitOrder(order=number), owner())
    assert [(found.code, found.field) for found in findings(error)] == [
        ("domain_owner", "items.0.domains")
    ]
