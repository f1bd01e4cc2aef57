"""An item of an order means one service, by all that it names: never somebody else's."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import update

from gate.licence import ServiceKind
from gate.registry.bulk.importing import import_file
from gate.registry.orders.commands import ApproveOrder, NewOrder, SubmitOrder
from gate.registry.orders.entries import ItemEntry
from gate.registry.orders.kinds import Purpose
from gate.registry.registry import LOCAL, Registry
from gate.registry.schema import orders
from gate.registry.workflow.facts import AccountFacts, put_account
from tests.registry.filings import status
from tests.registry.orders.steps import (
    AUTHORITY,
    at_authority,
    change,
    draft,
    filing,
    owner,
    refused,
    site,
    take,
)

MINE, OTHERS = "鲁ICP备09090609号", "京ICP备12345678号"


@pytest.fixture
def two(registry: Registry, tmp_path: Path) -> Registry:
    """My websites and an app, and somebody else's website."""
    path = tmp_path / "list.csv"
    path.write_text(
        "domain,licence,subject,account,status\n"
        f"mine.cn,{MINE}-1,某某网络公司,a1,\n"
        f"more.cn,{MINE}-2,某某网络公司,a1,\n"
        f"away.cn,{MINE}-3A,某某网络公司,a1,filed_elsewhere\n"
        f"others.cn,{OTHERS}-1,别的公司,a2,\n"
    )
    *_, state = import_file(registry, path, actor=LOCAL)
    assert state.accepted == 4
    return registry


def app(*domains: str, **more: object) -> ItemEntry:
    return site(*domains, kind=ServiceKind.APP, name="某某应用", **more)


# What an owner of mine.cn names in one item, and the field that is refused.
REACHING = [
    (Purpose.CANCEL, site("mine.cn", licence=f"{OTHERS}-1"), "items.0.licence"),
    (Purpose.END_ACCESS, site("mine.cn", licence=f"{OTHERS}-1"), "items.0.licence"),
    (
        Purpose.CHANGE,
        site("mine.cn", licence=f"{OTHERS}-1", name="被改名的商城"),
        "items.0.licence",
    ),
    (
        Purpose.CHANGE,
        site("mine.cn", licence=f"{OTHERS}-1", new_domains=("mine.cn",)),
        "items.0.licence",
    ),
    (Purpose.CANCEL, site("mine.cn", licence=f"{MINE}-2"), "items.0.licence"),
    (Purpose.CANCEL, site("mine.cn", "others.cn"), "items.0.domains.1"),
    (Purpose.CANCEL, site("mine.cn", "more.cn"), "items.0.domains.1"),
    (Purpose.CANCEL, site("mine.cn", "free.cn"), "items.0.domains.1"),
    (Purpose.FILE, app("away.cn", "others.cn"), "items.0.domains.1"),
    (Purpose.FILE, app("away.cn", "free.cn"), "items.0.domains.1"),
    (Purpose.FILE, app("free.cn", "away.cn"), "items.0.domains.0"),
    (Purpose.FILE, app("free.cn", licence=f"{MINE}-3A"), "items.0.domains.0"),
    (Purpose.FILE, app("away.cn", licence=f"{MINE}-1"), "items.0.licence"),
]


@pytest.mark.parametrize(("purpose", "item", "field"), REACHING)
def test_an_item_that_names_two_services_is_refused(
    two: Registry, purpose: Purpose, item: ItemEntry, field: str
) -> None:
    entry = change(item, purpose=purpose)
    if purpose is Purpose.FILE:
        entry = filing().model_copy(update={"items": (item,)})
    error = refused(two, NewOrder(entry=entry), owner())
    assert (error.code, error.field) == ("licence_differs", field)


def test_an_order_from_before_the_check_reaches_nobody_elses_service(two: Registry) -> None:
    number = at_authority(two, change(site("mine.cn"), purpose=Purpose.CANCEL))
    reaching = change(site("mine.cn", licence=f"{OTHERS}-1"), purpose=Purpose.CANCEL)
    with two.database.write() as connection:
        connection.execute(
            update(orders).where(orders.c.id == number).values(entry=reaching.model_dump_json())
        )
    assert refused(two, ApproveOrder(order=number), AUTHORITY).code == "licence_differs"
    assert status(two, "others.cn") == "filed"


@pytest.mark.parametrize(
    ("item", "purpose"),
    [
        (site("theirs.cn"), Purpose.CANCEL),
        (site("theirs.cn"), Purpose.END_ACCESS),
        (site("theirs.cn", name="被改名的商城"), Purpose.CHANGE),
    ],
)
@pytest.mark.parametrize(
    ("verified", "refuses"), [("路人乙", True), ("老主体公司", False), (None, False)]
)
def test_what_is_on_record_without_an_account_is_ended_by_who_was_verified_as_its_subject(
    registry: Registry,
    tmp_path: Path,
    item: ItemEntry,
    purpose: Purpose,
    verified: str | None,
    refuses: bool,
) -> None:
    path = tmp_path / "list.csv"
    path.write_text(f"domain,licence,subject\ntheirs.cn,{MINE}-1,老主体公司\n")
    list(import_file(registry, path, actor=LOCAL))
    if verified is not None:
        known = AccountFacts(name=verified, verified_at=0)
        with registry.database.write() as connection:
            put_account(connection, "a1", known, now=registry.now())
    entry = change(item, purpose=purpose, licence=MINE)
    number = draft(registry, entry)
    submit = SubmitOrder(order=number)
    if refuses:
        error = refused(registry, submit, owner())
        assert error.code == "rules_broken"
        assert "路人乙" in error.zh
        return
    faults = [fault.code for fault in take(registry, submit, owner()).faults]
    assert ("account_unverified" in faults) == (verified is None)
