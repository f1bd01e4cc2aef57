"""The console by keyboard, screen reader, zoom and in the dark: every main page, in Chromium."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from sqlalchemy import update

from gate.registry.commands import Role
from gate.registry.orders.commands import (
    NewOrder,
    PassOrder,
    ReportPerson,
    ReturnOrder,
    SubmitOrder,
)
from gate.registry.schema import orders
from tests.harness import accessibility
from tests.harness.browser import Page, new_page
from tests.registry.conftest import Api
from tests.registry.filings import file_first
from tests.registry.orders.steps import REVIEWER, VERIFIER, filing, owner
from tests.registry.orders.test_console import _sighted, _sign_in, api

__all__ = ["api"]

pytestmark = pytest.mark.programs


@pytest.fixture
async def busy(api: Api) -> Api:
    """Orders in every state that a page shows, one of them late; sightings; a filed name."""
    registry = api.service.registry
    for number in range(3, 8):
        entry = filing(f"shop{number}.com.cn", certificate=f"c{number}", name=f"第{number}号公司")
        registry.perform(NewOrder(entry=entry), actor=owner(f"b{number}"))
        registry.perform(SubmitOrder(order=number), actor=owner(f"b{number}"))
    for number in (3, 4):
        registry.perform(PassOrder(order=number), actor=REVIEWER)
    registry.perform(ReportPerson(order=4, person=1, verified=True), actor=VERIFIER)
    registry.perform(ReturnOrder(order=5, reason="请修改"), actor=REVIEWER)
    with registry.database.write() as connection:
        connection.execute(update(orders).where(orders.c.id == 1).values(due_at=1))
    _sighted(api)
    await api.service.write(lambda: file_first(registry, "filed.cn"))
    return api


# Pages of everybody's, each with what is clicked (a selector) before it is looked at.
CLERK = [
    ("/orders?state=provider_review", ""),
    ("/orders?state=returned", ""),
    ("/orders?state=draft", ""),
    ("/orders/1", ""),
    ("/orders/1", "summary"),  # how a return is written
    ("/orders/2", ""),
    ("/orders/3", ""),  # codes
    ("/orders/4", ""),  # numbers
    ("/orders/4", "form[action$=approve] button"),  # refused: without a number
    ("/orders/new", ""),
    ("/orders/new", "form.entry .steps button"),  # refused: without an account
    ("/search", ""),
    ("/search?q=a1", ""),
    ("/search?q=公司", ""),
    ("/search?q=nothing.at.all", ""),
    ("/why", ""),
    ("/why?name=a1.cn", ""),
    ("/why?name=filed.cn", ""),
    ("/why?name=a%20b", ""),  # refused
    ("/blocked", ""),
    ("/idle", ""),
    ("/idle?days=3000", ""),
    ("/hollow", ""),
    ("/orders/99", ""),  # refused
]
OWNER = [
    ("/orders", ""),
    ("/orders/1", ""),
    ("/orders/new", ""),
    ("/why?name=a1.cn", ""),
    ("/blocked", ""),
    ("/search?q=a", ""),  # refused
]
PEOPLE = {Role.ADMIN: CLERK, Role.OWNER: OWNER}


@asynccontextmanager
async def signed_in(api: Api, folder: Path, role: Role) -> AsyncIterator[Page]:
    async with new_page(folder / "profile") as page:
        await page.call("Accessibility.enable")
        await _sign_in(page, api, role)
        yield page
        refused = "Failed to load resource: the server responded with a status of 4"
        assert [text for text in page.complaints if not text.startswith(refused)] == []


async def show(page: Page, api: Api, path: str, click: str) -> str:
    """Open a page, and do what is done on it; its name in a report."""
    await page.open(f"{api.server.make_url('/')}console{path}")
    if click:
        if click == "summary":
            await page.value(f"document.querySelector({click!r}).click()")
        else:
            await page.value(f"document.title = '…'; document.querySelector({click!r}).click()")
            await page.until("document.title !== '…' && document.readyState === 'complete'")
    return f"{path} {click}".strip()


def told(found: dict[str, list[str]]) -> str:
    return "\n".join(f"{name}: {fault}" for name, faults in found.items() for fault in faults)


@pytest.mark.long
@pytest.mark.parametrize("role", PEOPLE)
@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_every_page_can_be_read_and_used(
    busy: Api, tmp_path: Path, role: Role, scheme: str
) -> None:
    """Contrast, names, headings, languages, targets, and what is wrong told where it is."""
    found: dict[str, list[str]] = {}
    async with signed_in(busy, tmp_path, role) as page:
        await page.look(scheme=scheme)
        for path, click in PEOPLE[role]:
            for width in (1280, 360):
                await page.window(width)
                name = await show(page, busy, path, click)
                if faults := await accessibility.faults(page):
                    found[f"{name} at {width}"] = faults
    assert found == {}, told(found)


@pytest.mark.long
@pytest.mark.parametrize("role", PEOPLE)
@pytest.mark.parametrize("width", [1280, 360])
async def test_every_page_is_walked_by_keyboard(
    busy: Api, tmp_path: Path, role: Role, width: int
) -> None:
    """The Tab key goes in the order of reading, to everything, and one sees where it is."""
    found: dict[str, list[str]] = {}
    async with signed_in(busy, tmp_path, role) as page:
        await page.window(width)
        for path, click in PEOPLE[role]:
            name = await show(page, busy, path, click)
            if faults := await accessibility.walk(page):
                found[name] = faults
    assert found == {}, told(found)


@pytest.mark.long
@pytest.mark.parametrize("role", PEOPLE)
async def test_no_page_is_wider_than_its_window(busy: Api, tmp_path: Path, role: Role) -> None:
    """At 360 pixels, at 320 (400 % of 1280), and at 200 % of 1280 and of 720."""
    found: dict[str, list[str]] = {}
    async with signed_in(busy, tmp_path, role) as page:
        for path, click in PEOPLE[role]:
            for width, scale in ((360, 1), (640, 2), (360, 2), (320, 4)):
                await page.window(width, scale=scale)
                name = await show(page, busy, path, click)
                if wide := await page.too_wide():
                    found[f"{name} at {width} × {scale}"] = wide
    assert found == {}, told(found)


async def test_tables_are_tables_to_a_screen_reader_on_a_telephone_too(
    busy: Api, tmp_path: Path
) -> None:
    async with signed_in(busy, tmp_path, Role.ADMIN) as page:
        for path in ("/orders", "/search?q=a1", "/hollow", "/orders/1"):
            counts = []
            for width in (1280, 360):
                await page.window(width)
                await show(page, busy, path, "")
                roles = await accessibility.roles(page)
                names = ("table", "row", "columnheader", "rowheader", "cell")
                counts.append([roles.get(name, 0) for name in names])
            assert counts[0] == counts[1], path
            assert all(counts[0]), path


async def test_the_sign_in_is_used_by_keyboard_and_says_what_was_wrong(
    api: Api, tmp_path: Path
) -> None:
    async with new_page(tmp_path / "profile") as page:
        await page.call("Accessibility.enable")
        for scheme in ("light", "dark"):
            await page.look(scheme=scheme)
            await page.open(str(api.server.make_url("/console/login")))
            assert await accessibility.faults(page) == []
            assert await accessibility.walk(page) == []
            await page.value("document.title = '…'; document.getElementById('token').focus(); 0")
            await page.call("Input.insertText", text="gate_000000000000_" + "x" * 43)
            await accessibility.press(page, "Enter", 13)
            await page.until("document.title !== '…' && document.readyState === 'complete'")
            assert await page.value("document.getElementById('token').ariaInvalid") == "true"
            assert await accessibility.faults(page) == []
            assert await accessibility.walk(page) == []
        await page.value("document.title = '…'; document.getElementById('token').focus(); 0")
        await page.call("Input.insertText", text=api.tokens[Role.OWNER])
        await accessibility.press(page, "Enter", 13)
        await page.until("location.pathname === '/console/orders'")


async def test_the_skip_link_leads_past_the_navigation(busy: Api, tmp_path: Path) -> None:
    async with signed_in(busy, tmp_path, Role.ADMIN) as page:
        await show(page, busy, "/orders", "")
        await accessibility.from_the_top(page)
        await accessibility.press(page, "Tab", 9)
        assert await page.value("document.activeElement.className") == "skip"
        assert await page.value("document.activeElement.getBoundingClientRect().left >= 0")
        await accessibility.press(page, "Enter", 13)
        await page.until("location.hash === '#content'")
        await accessibility.press(page, "Tab", 9)
        assert await page.value("document.activeElement.closest('main') !== null")


@pytest.mark.parametrize(
    ("path", "click", "fields"),
    [
        ("/orders/new", "form.entry .steps button", ["account"]),
        ("/orders/4", "form[action$=approve] button", ["licences"]),
    ],
)
async def test_what_is_wrong_is_bound_to_its_field(
    busy: Api, tmp_path: Path, path: str, click: str, fields: list[str]
) -> None:
    async with signed_in(busy, tmp_path, Role.ADMIN) as page:
        await show(page, busy, path, click)
        marked = "[...document.querySelectorAll('[aria-invalid=true]')].map((one) => one.name)"
        assert await page.value(marked) == fields
        title = str(await page.value("document.title"))
        assert title.startswith("错误：")
