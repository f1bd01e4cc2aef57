"""The console's form: making an order and correcting a returned one, without a script."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import pytest

from gate.licence import ServiceKind
from gate.registry.commands import Grant, Role
from gate.registry.console.entering import form_of, read_form
from gate.registry.orders.commands import ReturnOrder
from gate.registry.orders.entries import OrderEntry
from gate.registry.orders.kinds import Purpose
from gate.registry.registry import LOCAL
from tests.harness.browser import new_page
from tests.registry.conftest import Api
from tests.registry.orders.steps import LI, REVIEWER, change, filing, site, subject
from tests.registry.orders.test_console import Person, _sign_in, api, people

__all__ = ["api", "people"]

TYPED: dict[str, Any] = {
    "purpose": "file",
    "subject.kind": "unit",
    "subject.name": "某某网络公司",
    "subject.certificate": "91370000000000001X",
    "subject.province": "鲁",
    "subject.principal.name": "张三",
    "subject.principal.phone": "13800000000",
    "items.0.kind": "website",
    "items.0.name": "某某官方商城",
    "items.0.domains": "New.CN",
}

ENTRIES: dict[str, OrderEntry] = {
    "nothing yet": OrderEntry(),
    "a first filing": filing("a.cn"),
    "everything": OrderEntry(
        subject=subject(
            certificate_until=date(2030, 1, 31),
            principal_born=date(1990, 2, 3),
            authorised=True,
            residence_proof=True,
        ),
        items=(
            site("a.cn", domain_until=date(2027, 5, 6), matters=("新闻", "出版"), approval="沪1"),
            site("b.cn", "c.cn", name="某某应用", kind=ServiceKind.APP, principal=LI, remark="备"),
        ),
        remark="备注",
    ),
    "a change": change(site("a.cn", new_domains=("b.cn",))),
    "an end": change(purpose=Purpose.CANCEL),
}


@pytest.mark.parametrize("case", ENTRIES)
def test_the_form_of_an_entry_means_that_entry(case: str) -> None:
    entry = ENTRIES[case]
    assert OrderEntry.model_validate(read_form(form_of(entry).values)) == entry


@pytest.mark.parametrize(
    "text", ["a.cn b.cn", " a.cn  b.cn ", "a.cn,b.cn", "a.cn，b.cn", "a.cn、b.cn"]
)
def test_domains_are_taken_as_people_write_several(text: str) -> None:
    (item,) = read_form({"items.3.domains": text, "items.0.kind": "website"})["items"]
    assert item["domains"] == ["a.cn", "b.cn"]


async def test_an_owner_makes_and_changes_an_order(api: Api, people: dict[Role, Person]) -> None:
    person = people[Role.OWNER]
    status, text = await person.post("/orders/new", **TYPED)
    assert (status, "已有未完成的备案订单" in text) == (409, True)  # one at a time
    assert 'value="某某网络公司"' in text  # what was typed is still there
    api.service.registry.perform(ReturnOrder(order=1, reason="请修改"), actor=REVIEWER)
    status, text = await person.get("/orders/1/edit")
    assert status == 200
    assert 'value="138****00"' in text  # hidden, and kept so
    typed = TYPED | {
        "subject.certificate": "…",
        "subject.principal.phone": "138****00",
        "items.0.name": "某某商城",
    }
    assert (await person.post("/orders/1/edit", **typed))[0] == 200
    found = (await api.call("GET", "/v1/orders/1")).json()
    assert found["state"] == "returned"
    assert found["entry"]["items"][0]["name"] == "某某商城"
    assert found["domains"] == ["new.cn"]
    assert found["entry"]["subject"]["principal"]["phone"] == "138****00"


async def test_one_row_more_keeps_what_was_typed_and_saves_nothing(
    api: Api, people: dict[Role, Person]
) -> None:
    before = (await api.call("GET", "/v1/orders")).json()
    status, text = await people[Role.REGISTRAR].post("/orders/new", more="1", **TYPED)
    assert (status, 'name="items.1.domains"' in text) == (200, True)
    assert 'value="某某官方商城"' in text
    assert (await api.call("GET", "/v1/orders")).json() == before
    rows = {f"items.{row}.kind": "website" for row in range(10)}
    status, text = await people[Role.REGISTRAR].post("/orders/new", **TYPED | rows | {"more": "1"})
    assert (status, 'name="items.10.kind"' in text) == (200, False)


@pytest.mark.parametrize(
    ("typed", "status", "at"),
    [
        ({"items.0.domains": "com.cn"}, 422, "items.0.domains"),
        ({"subject.principal.phone": "none"}, 422, "subject.principal.phone"),
        ({"subject.principal_born": "昨天"}, 422, "subject.principal_born"),
        ({"subject.province": "x"}, 422, "subject.province"),
        ({"subject.name": "<b>"}, 200, ""),
    ],
)
async def test_what_is_wrong_is_said_and_marked(
    people: dict[Role, Person], typed: dict[str, Any], status: int, at: str
) -> None:
    person = people[Role.REGISTRAR]
    answered, text = await person.post("/orders/new", account="a7", **TYPED | typed)
    assert answered == status
    assert "<b>" not in text
    marked = [tag for tag in text.split("<") if "aria-invalid" in tag]
    assert [f'name="{at}"' in tag for tag in marked] == ([True] if at else [])


async def test_nobody_changes_another_s_order(api: Api, people: dict[Role, Person]) -> None:
    person = people[Role.OWNER]
    assert (await person.get("/orders/2/edit"))[0] == 404
    assert (await person.post("/orders/2/edit", **TYPED))[0] == 404
    assert (await person.post("/orders/new", csrf="x", **TYPED))[0] == 403
    for role in (Role.READER, Role.REVIEWER, Role.AUTHORITY):
        assert (await people[role].get("/orders/new"))[0] == 403
        assert (await people[role].post("/orders/new", account="a7", **TYPED))[0] == 403
        assert (await people[role].post("/orders/2/edit", **TYPED))[0] == 403
    # An order in review is not offered for a change, and not changed.
    _, text = await person.get("/orders/1/edit")
    assert "保存" not in text
    assert (await person.post("/orders/1/edit", **TYPED))[0] == 409
    found = (await api.call("GET", "/v1/orders/2")).json()
    assert found["domains"] == ["a2.cn"]


@pytest.mark.parametrize(("grant", "new"), [(Grant.VIEW, 403), (Grant.EDIT, 200)])
async def test_a_sub_user_without_the_grant_gets_no_form(api: Api, grant: Grant, new: int) -> None:
    from aiohttp import ClientSession, CookieJar

    _, token = api.service.registry.tokens.create(
        name="sub", role=Role.OWNER, actor=LOCAL, account="a1", grants=frozenset({grant})
    )
    api.service.registry.perform(ReturnOrder(order=1, reason="请修改"), actor=REVIEWER)
    async with ClientSession(cookie_jar=CookieJar(unsafe=True)) as session:
        person = Person(api, session)
        await person.post("/login", token=token)
        await person.get("/orders")
        assert (await person.get("/orders/new"))[0] == new
        shown = await person.get("/orders/1/edit")
        assert shown[0] == 403  # it shows what stands in the order: that takes both
        assert "a1.cn" not in shown[1]
        if grant is Grant.VIEW:
            assert (await person.post("/orders/1/edit", **TYPED))[0] == 403


@pytest.mark.programs
@pytest.mark.parametrize(
    ("width", "device", "scheme"), [(390, "phone", "light"), (1280, "desktop", "dark")]
)
async def test_in_a_browser_an_owner_corrects_a_returned_order(
    api: Api, tmp_path: Path, width: int, device: str, scheme: str
) -> None:
    api.service.registry.perform(ReturnOrder(order=1, reason="请修改"), actor=REVIEWER)
    async with new_page(tmp_path / "profile") as page:
        await page.window(width)
        await page.look(scheme=scheme)
        await _sign_in(page, api, Role.OWNER)
        await page.open(str(api.server.make_url("/console/orders/1/edit")))
        assert await page.too_wide() == []
        await page.picture(f"console-entry-{device}-{scheme}")
        faults = await page.value(
            """[...document.querySelectorAll('input:not([type=hidden]), select')]
                 .filter((one) => !one.labels.length).map((one) => one.name)"""
        )
        assert faults == []
        await page.value("document.getElementById('items.0.domains').value = 'com.cn'")
        await page.value("document.querySelector('form.entry').requestSubmit()")
        await page.until("document.querySelector('[aria-invalid]') !== null")
        await page.until("document.readyState === 'complete'")
        assert (
            await page.value("document.querySelector('[aria-invalid]').name") == "items.0.domains"
        )
        await page.picture(f"console-entry-refused-{device}-{scheme}")
        assert await page.too_wide() == []
        await page.value("document.getElementById('items.0.domains').value = 'a1.com.cn'")
        await page.value("document.querySelector('form.entry').requestSubmit()")
        await page.until("location.pathname === '/console/orders/1'")
        await page.until("document.readyState === 'complete'")
        assert "a1.com.cn" in await page.text()
    found = (await api.call("GET", "/v1/orders/1")).json()
    assert (found["state"], found["domains"]) == ("returned", ["a1.com.cn"])
