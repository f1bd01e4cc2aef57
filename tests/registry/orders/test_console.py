"""The console: who sees what, forms of other sites, strict headers; and in a real browser."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import ClientSession, CookieJar
from sqlalchemy import insert
from yarl import URL

from gate.registry.commands import EndOverride, ExemptDomain, Role
from gate.registry.gate_schema import traffic_gates
from gate.registry.orders.commands import (
    AbandonOrder,
    NewOrder,
    PassOrder,
    ReportPerson,
    SubmitOrder,
)
from gate.registry.orders.views import OrderQuery
from gate.registry.orders.working_days import china_date
from gate.registry.registry import LOCAL
from gate.registry.schema import domains, services, subjects
from gate.registry.unfiled import UnfiledName, UnfiledReport
from gate.registry.workflow.facts import AccountFacts, OwnerFacts
from gate.registry.workflow.queries import find_orders
from tests.harness.browser import Page, new_page
from tests.registry.conftest import Api, serving
from tests.registry.filings import file_first
from tests.registry.orders.steps import REVIEWER, VERIFIER, filing, owner


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    """A registry with an order of a1 that waits for the provider, and one of a2."""
    async with serving(str(tmp_path / "registry.db"), tmp_path, orders={"sms": "log"}) as api:
        registry = api.service.registry
        for account in ("a1", "a2"):
            entry = filing(f"{account}.cn", certificate=account, name=f"某某{account}公司")
            registry.perform(NewOrder(entry=entry), actor=owner(account))
        registry.perform(SubmitOrder(order=1), actor=owner("a1"))
        yield api


class Person:
    """Somebody at the console, without a browser."""

    def __init__(self, api: Api, session: ClientSession) -> None:
        self._api = api
        self._session = session
        self.csrf = ""

    async def get(self, path: str) -> tuple[int, str]:
        """A page."""
        async with self._session.get(self._url(path)) as answer:
            text = await answer.text()
        found = re.search(r'name="csrf" value="([^"]+)"', text)
        self.csrf = found[1] if found else self.csrf
        return answer.status, text

    async def post(
        self, path: str, *, headers: dict[str, str] | None = None, **form: str
    ) -> tuple[int, str]:
        """A form, as the page sends it."""
        form.setdefault("csrf", self.csrf)
        async with self._session.post(self._url(path), data=form, headers=headers) as answer:
            return answer.status, await answer.text()

    async def send(self, path: str, content: bytes, media_type: str) -> tuple[int, str]:
        """Something that a page would not send."""
        headers = {"Content-Type": media_type}
        async with self._session.post(self._url(path), data=content, headers=headers) as answer:
            return answer.status, await answer.text()

    def _url(self, path: str) -> URL:
        return self._api.server.make_url(f"/console{path}")


@pytest.fixture
async def people(api: Api) -> AsyncIterator[dict[Role, Person]]:
    """Everybody who may sign in."""
    sessions: list[ClientSession] = []
    found: dict[Role, Person] = {}
    for role in Role:
        session = ClientSession(cookie_jar=CookieJar(unsafe=True))
        sessions.append(session)
        found[role] = Person(api, session)
        await found[role].post("/login", token=api.tokens[role])
        await found[role].get("/orders")
    yield found
    for session in sessions:
        await session.close()


async def test_nobody_is_in_without_a_token(api: Api) -> None:
    async with ClientSession(cookie_jar=CookieJar(unsafe=True)) as session:
        stranger = Person(api, session)
        for path in ("/", "/orders", "/orders/1", "/search?q=a1", "/why?name=a1.cn"):
            status, text = await stranger.get(path)
            assert (status, "访问令牌" in text, "a1.cn" in text) == (200, True, False)
        status, text = await stranger.post("/login", token="gate_000000000000_" + "x" * 43)
        assert (status, "无效" in text) == (401, True)
        status, _ = await stranger.post("/orders/1/pass")
        assert status in (200, 403)
    assert (await api.call("GET", "/v1/orders/1")).json()["state"] == "provider_review"


async def test_a_clerk_sees_the_queue_by_state_and_due_date(people: dict[Role, Person]) -> None:
    status, text = await people[Role.REVIEWER].get("/orders")
    assert status == 200
    assert "a1.cn" in text
    assert "a2.cn" not in text
    _, drafts = await people[Role.REVIEWER].get("/orders?state=draft")
    assert "a2.cn" in drafts
    _, none = await people[Role.AUTHORITY].get("/orders")
    assert "没有订单在此状态" in none


async def test_an_owner_sees_its_own_and_nothing_else(people: dict[Role, Person]) -> None:
    person = people[Role.OWNER]
    _, text = await person.get("/orders")
    assert "a1.cn" in text
    assert "a2.cn" not in text
    assert (await person.get("/orders/1"))[0] == 200
    for path in ("/orders/2", "/orders/99"):
        status, text = await person.get(path)
        shown = text.replace(person.csrf, "")  # which is random, and may have any two letters
        assert (status, "a2" in shown) == (404, False)
    assert (await person.get("/search?q=a2"))[0] == 403
    assert (await person.post("/orders/2/abandon"))[0] == 404
    _, text = await person.get("/why?name=a2.cn")
    assert "没有备案" in text
    assert "/console/orders/2" not in text


async def test_an_approval_wants_the_authority_s_numbers_or_a_tick(
    api: Api, people: dict[Role, Person]
) -> None:
    authority = people[Role.AUTHORITY]
    api.service.registry.perform(PassOrder(order=1), actor=REVIEWER)
    api.service.registry.perform(ReportPerson(order=1, person=1, verified=True), actor=VERIFIER)
    _, text = await authority.get("/orders/1")
    assert 'name="licences"' in text
    status, text = await authority.post("/orders/1/approve", licences="")
    assert (status, "管局核发" in text, "--generate" in text) == (422, True, False)
    assert (await api.call("GET", "/v1/orders/1")).json()["state"] == "authority_review"
    await authority.post("/orders/1/approve", licences="", generate="on")
    assert (await api.call("GET", "/v1/orders/1")).json()["state"] == "done"


async def test_steps_are_offered_to_those_who_may_take_them(people: dict[Role, Person]) -> None:
    _, text = await people[Role.REVIEWER].get("/orders/1")
    assert "/orders/1/pass" in text
    _, text = await people[Role.AUTHORITY].get("/orders/1")
    assert "/orders/1/pass" not in text
    assert "等待" in text
    status, text = await people[Role.AUTHORITY].post("/orders/1/pass")
    assert (status, "权限" in text) == (403, True)


async def test_a_return_names_field_fault_and_suggestion(people: dict[Role, Person]) -> None:
    await people[Role.REVIEWER].get("/orders/1")
    status, text = await people[Role.REVIEWER].post(
        "/orders/1/return",
        reason="请修改",
        field0="items.0.name",
        fault0="与内容不符",
        suggestion0="<b>商城</b>",
    )
    assert status == 200
    _, seen = await people[Role.OWNER].get("/orders/1")
    assert "与内容不符 → &lt;b&gt;商城&lt;/b&gt;" in seen
    assert "<b>" not in text + seen
    status, text = await people[Role.OWNER].post("/orders/1/return", reason="x")
    assert (status, "不能执行此操作" in text) == (409, True)


async def test_a_step_that_is_refused_keeps_what_was_typed(people: dict[Role, Person]) -> None:
    await people[Role.REVIEWER].get("/orders/1")
    long = "长" * 301
    status, text = await people[Role.REVIEWER].post(
        "/orders/1/return", reason="请修改<i>", field1="items.0.name", fault1=long
    )
    assert status == 422
    assert 'value="请修改&lt;i&gt;"' in text
    assert f'value="{long}" aria-invalid="true" aria-describedby="refused"' in text
    assert text.count("aria-invalid") == 1
    assert "<details open>" in text
    status, text = await people[Role.REVIEWER].post("/orders/1/return", reason=long)
    assert re.search(r'id="reason"[^>]+aria-invalid="true"', text)


@pytest.mark.parametrize("role", [role for role in Role if role is not Role.VERIFIER])
async def test_a_form_of_another_site_is_refused(
    api: Api, people: dict[Role, Person], role: Role
) -> None:
    person = people[role]
    for form, headers in (
        ({"csrf": ""}, {}),
        ({"csrf": "x" * 43}, {}),
        ({}, {"Sec-Fetch-Site": "cross-site"}),
        ({}, {"Sec-Fetch-Site": "same-site"}),
    ):
        status, text = await person.post("/orders/1/pass", headers=headers, **form)
        assert (status, "表单不是由本页面提交的" in text) == (403, True)
    found = await api.call("GET", "/v1/orders/1")
    assert found.json()["state"] == "provider_review"


# What is sent as a form and is none, and the refusal.
NO_FORMS = [
    ("application/x-www-form-urlencoded; charset=nope", b"a=b", 400),
    ("multipart/form-data", b"a=b", 400),
    ("multipart/form-data; boundary=", b"a=b", 400),
    ("multipart/form-data; boundary=x", b"--y\r\n\r\n", 400),
    ("application/x-www-form-urlencoded; charset=ascii", b"a=%ff&b=\xff", 400),
    ("application/x-www-form-urlencoded", b"a=" + b"x" * 300_000, 413),
    (
        "multipart/form-data; boundary=x",
        b'--x\r\nContent-Disposition: form-data; name="reason"; filename="a"\r\n\r\nb\r\n--x--\r\n',
        422,
    ),
    ("application/json", b'{"csrf": 1}', 403),
    ("application/x-www-form-urlencoded", "csrf=é".encode(), 403),
]


@pytest.mark.parametrize(("media_type", "content", "status"), NO_FORMS)
@pytest.mark.parametrize("path", ["/orders/1/return", "/orders/new", "/blocked", "/login"])
async def test_what_is_no_form_is_refused(
    people: dict[Role, Person], path: str, media_type: str, content: bytes, status: int
) -> None:
    answered, text = await people[Role.ADMIN].send(path, content, media_type)
    assert answered == (401 if path == "/login" and status == 403 else status)
    assert "refusal" in text


async def test_a_way_that_is_not_offered_is_told_as_such(people: dict[Role, Person]) -> None:
    status, text = await people[Role.ADMIN].get("/orders/1/return")
    assert (status, "GET" in text) == (405, True)


async def test_a_token_that_is_revoked_is_out_at_once(api: Api, people: dict[Role, Person]) -> None:
    token = api.tokens[Role.REVIEWER].split("_")[1]
    api.service.registry.tokens.revoke(token, actor=LOCAL)
    _, text = await people[Role.REVIEWER].get("/orders")
    assert "访问令牌" in text
    assert "a1.cn" not in text


async def test_the_gateway_s_token_opens_no_page(api: Api) -> None:
    async with ClientSession(cookie_jar=CookieJar(unsafe=True)) as session:
        person = Person(api, session)
        assert (await person.post("/login", token=api.tokens[Role.VERIFIER]))[0] == 403


async def test_every_page_has_strict_headers_and_no_script(
    api: Api, people: dict[Role, Person]
) -> None:
    for path in (
        "/login",
        "/orders",
        "/orders/1",
        "/search?q=a1",
        "/why?name=a1.cn",
        "/blocked",
        "/idle",
        "/hollow",
        "/nothing",
    ):
        answer = await api.call("GET", f"/console{path}", role=None)
        assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
        assert "unsafe" not in answer.headers["Content-Security-Policy"]
        assert answer.headers["X-Frame-Options"] == "DENY"
        _, text = await people[Role.ADMIN].get(path)
        assert not re.search(r"<script|style=|\son\w+=|https?://", text)
    login = await api.call("POST", "/console/login", role=None, data={"token": "x"})
    assert login.status == 401
    answer = await api.call(
        "POST",
        "/console/login",
        role=None,
        data={"token": api.tokens[Role.OWNER]},
        allow_redirects=False,
    )
    cookie = answer.headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie
    assert api.tokens[Role.OWNER] not in cookie


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("www.a1.cn", "等待接入商审核员"),
        ("nobody.cn", "请提交备案订单"),
        ("filed.cn", "放行"),
        ("www.filed.cn", "放行"),
        ("1.2.3.4", "IP 地址"),
        ("例子.cn", "没有备案"),
        ("a b", "不是有效的域名"),
    ],
)
async def test_why_a_name_is_blocked_and_what_to_do(
    api: Api, people: dict[Role, Person], name: str, says: str
) -> None:
    registry = api.service.registry
    registry.perform(NewOrder(account="a9", entry=filing("x.cn")), actor=LOCAL)
    await api.service.write(lambda: file_first(registry, "filed.cn"))
    _, text = await people[Role.READER].get(f"/why?name={name}")
    assert says in text


async def test_how_often_a_name_is_asked_for_is_told_to_its_owner_alone(
    api: Api, people: dict[Role, Person]
) -> None:
    registry = api.service.registry
    now = registry.now()
    names = [
        UnfiledName(name=name, reason="unfiled", count=777, first_seen=now, last_seen=now)
        for name in ("www.a1.cn", "www.a2.cn", "stranger.cn", "www.new.cn")
    ]
    registry.report_unfiled(UnfiledReport(gate="g1", names=tuple(names)), actor=LOCAL)
    verified = AccountFacts(name="某某a1公司", verified_at=1)
    registry.put_account("a1", verified, actor=LOCAL)
    facts = OwnerFacts(owner="某某a1公司", verified_at=1, here=True)
    registry.put_owner("new.cn", facts, actor=LOCAL)
    registry.look_around()
    for role, shown in (
        (Role.OWNER, {"www.a1.cn", "www.new.cn"}),
        (Role.READER, {one.name for one in names}),
    ):
        found = {
            one.name
            for one in names
            if "777" in (await people[role].get(f"/why?name={one.name}"))[1]
        }
        assert found == shown


async def test_a_name_whose_exemption_has_ended_was_never_said_to_be_filed(
    api: Api, people: dict[Role, Person]
) -> None:
    registry = api.service.registry
    exempt = ExemptDomain(domain="tried.cn", seconds=60, reason="迁移中")
    await api.service.write(lambda: registry.perform(exempt, actor=LOCAL))
    await api.service.write(lambda: registry.perform(EndOverride(domain="tried.cn"), actor=LOCAL))
    _, text = await people[Role.READER].get("/why?name=tried.cn")
    assert "临时放行已到期" in text


async def test_who_hosts_a_blocked_name_is_told(api: Api, people: dict[Role, Person]) -> None:
    item = {"name": "a.cn", "reason": "unfiled", "count": 2, "first_seen": 1, "last_seen": 2}
    hosts = [{"address": "192.0.2.1:443", "count": 1}, {"address": "[2001:db8::1]:443", "count": 1}]
    sent = {"gate": "g1", "names": [item | {"destinations": hosts}]}
    answer = await api.call("POST", "/v1/reports/unfiled", role=Role.READER, json=sent)
    assert answer.status == 200
    _, text = await people[Role.READER].get("/why?name=a.cn")
    assert "192.0.2.1:443，[2001:db8::1]:443" in text


async def test_a_blocked_domain_becomes_the_draft_of_its_owner_s_order(
    api: Api, people: dict[Role, Person]
) -> None:
    registry = api.service.registry
    now = registry.now()
    names = [
        UnfiledName(name=f"{account}.cn", reason="unfiled", count=7, first_seen=now, last_seen=now)
        for account in ("a1", "a2")
    ]
    registry.report_unfiled(UnfiledReport(gate="g1", names=tuple(names)), actor=LOCAL)
    registry.perform(AbandonOrder(order=2), actor=owner("a2"))
    registry.look_around()
    _, text = await people[Role.OWNER].get("/blocked")
    assert "a1.cn" in text
    assert "a2.cn" not in text
    assert "/console/orders/1" in text  # an order is under way: nothing to make
    for role, may in ((Role.READER, False), (Role.REGISTRAR, True)):
        _, text = await people[role].get("/blocked")
        assert ("a2.cn" in text, "生成草稿" in text) == (True, may)
    # Somebody else's is not there for an owner, whatever its form says.
    status, _ = await people[Role.OWNER].post("/blocked", domain="a2.cn", account="a2")
    assert status == 404
    status, text = await people[Role.REGISTRAR].post("/blocked", domain="a2.cn", account="a2")
    assert (status, "草稿" in text, "a2.cn" in text) == (200, True, True)
    with registry.database.read() as connection:
        (made,) = find_orders(
            connection, OrderQuery(account="a2", open=True), now=now, after=0, limit=9
        )
    assert made.domains == ("a2.cn",)


def _sighted(api: Api) -> None:
    """A blocked domain of a1, idle filings, and subjects left hollow, more than a page of each."""
    registry = api.service.registry
    now = registry.now()
    name = UnfiledName(name="a1.cn", reason="unfiled", count=7, first_seen=now, last_seen=now)
    registry.report_unfiled(UnfiledReport(gate="g1", names=(name,)), actor=LOCAL)
    registry.look_around()
    old, day = now - 90 * 86_400, china_date(now).toordinal()
    numbers = range(1, 53)
    licences = {n: f"京ICP备{n:08}号" for n in range(1, 105)}
    with registry.database.write() as connection:
        shared = {"created_at": old, "changed_at": old}
        connection.execute(
            insert(subjects),
            [
                {"id": n, "licence": text, "province": "京", "name": f"公司{n}", "kind": "unit"}
                | {"hollow_since": None if n in numbers else old}
                | shared
                for n, text in licences.items()
            ],
        )
        connection.execute(
            insert(services),
            [
                {"id": n, "subject_id": n, "kind": "website", "site": 1, "name": "网站"}
                | {"suspended": False}
                | shared
                for n in numbers
            ],
        )
        connection.execute(
            insert(domains),
            [
                {"domain": f"quiet{n:02}.cn", "status": "filed", "licence": licences[n] + "-1"}
                | {"changed_at": old, "revision": 0, "service_id": n}
                for n in numbers
            ],
        )
        heard = {"gate": "g1", "first_day": day - 60, "whole_since": day - 60, "last_day": day}
        connection.execute(insert(traffic_gates), [heard])


async def test_clerks_see_idle_filings_and_hollow_subjects_page_by_page(
    api: Api, people: dict[Role, Person]
) -> None:
    person = people[Role.REVIEWER]
    _, text = await person.get("/idle")
    assert "尚无网关上报访问" in text
    assert "没有" in (await person.get("/hollow"))[1]
    _sighted(api)
    for path, first, last in (
        ("/idle", "quiet01.cn", "quiet52.cn"),
        ("/hollow", "京ICP备00000053号", "京ICP备00000104号"),
    ):
        _, text = await person.get(path)
        assert (first in text, last in text) == (True, False)
        following = re.search(rf'href="/console({path}[?][^"]+)"', text)
        assert following is not None
        _, text = await person.get(following[1].replace("&amp;", "&"))
        assert (first in text, last in text, "下一页" in text) == (False, True, False)
        assert (await people[Role.OWNER].get(path))[0] == 403
    assert "自 " in (await person.get("/idle?days=61"))[1]
    for days in ("0", "-1", "x", "٣", "99999", ""):
        assert (await person.get(f"/idle?days={days}"))[0] == 200
    _, text = await people[Role.OWNER].get("/orders")
    assert "/console/idle" not in text


@pytest.mark.parametrize("q", ["某某", "鲁ICP备09090609号", "filed.cn", "a1", "a1.cn", "😀", "%"])
async def test_search_takes_whatever_is_typed(api: Api, people: dict[Role, Person], q: str) -> None:
    registry = api.service.registry
    await api.service.write(lambda: file_first(registry, "filed.cn"))
    status, text = await people[Role.READER].get(f"/search?q={q}")
    assert status == 200
    if q in ("某某", "鲁ICP备09090609号", "filed.cn", "a1"):
        assert "filed.cn" in text
    if q in ("a1", "a1.cn"):
        assert "/console/orders/1" in text


async def _sign_in(page: Page, api: Api, role: Role) -> None:
    assert await page.open(str(api.server.make_url("/console/login"))) == ""
    await page.value(f"document.getElementById('token').value = '{api.tokens[role]}'")
    await page.value("document.querySelector('main form').requestSubmit()")
    await page.until("location.pathname === '/console/orders'")
    await page.until("document.readyState === 'complete'")


@pytest.mark.programs
@pytest.mark.parametrize(("width", "device"), [(390, "phone"), (1280, "desktop")])
async def test_in_a_browser_by_a_clerk_and_an_owner(
    api: Api, tmp_path: Path, width: int, device: str
) -> None:
    """Signing in, the queue, an order, a return, and what its owner sees; nothing is too wide."""
    registry = api.service.registry
    for number in range(3, 9):
        entry = filing(f"shop{number}.com.cn", certificate=f"c{number}", name=f"第{number}号公司")
        registry.perform(NewOrder(entry=entry), actor=owner(f"b{number}"))
        registry.perform(SubmitOrder(order=number), actor=owner(f"b{number}"))
    registry.perform(PassOrder(order=3), actor=REVIEWER)
    _sighted(api)
    async with new_page(tmp_path / "profile") as page:
        await page.window(width)
        await _sign_in(page, api, Role.REVIEWER)
        await page.picture(f"console-queue-{device}")
        assert await page.too_wide() == []
        for path in ("blocked", "idle", "hollow"):
            await page.open(str(api.server.make_url(f"/console/{path}")))
            assert await page.too_wide() == []
            await page.picture(f"console-{path}-{device}")
            assert await page.value("document.querySelectorAll('h1').length") == 1
        await page.open(str(api.server.make_url("/console/orders")))
        assert "初审" in await page.text()
        await page.open(str(api.server.make_url("/console/orders/1")))
        assert "某某a1公司" in await page.text()
        await page.value("document.querySelector('details').open = true")
        await page.value("document.getElementById('reason').value = '请修改网站名称'")
        await page.value("document.getElementById('field0').value = 'items.0.name'")
        await page.value("document.getElementById('fault0').value = '与网站内容不符'")
        await page.value("document.getElementById('suggestion0').value = '某某商城'")
        await page.picture(f"console-return-{device}")
        assert await page.too_wide() == []
        await page.value("document.querySelector('details form').requestSubmit()")
        await page.until("document.body.innerText.includes('驳回原因')")
        await page.until("document.readyState === 'complete'")
        await page.picture(f"console-order-{device}")
        await page.value("document.querySelector('nav form').requestSubmit()")
        await page.until("location.pathname === '/console/login'")
        await page.until("document.readyState === 'complete'")
        await _sign_in(page, api, Role.OWNER)
        await page.open(str(api.server.make_url("/console/orders/1")))
        assert "与网站内容不符 → 某某商城" in await page.text()
        assert await page.too_wide() == []
        await page.picture(f"console-owner-{device}")
        await page.open(str(api.server.make_url("/console/why?name=www.a1.cn")))
        assert "拦截" in await page.text()
        await page.picture(f"console-why-{device}")
        assert await page.too_wide() == []
        # What can be told of accessibility without a person: names, labels, one heading, order.
        faults = await page.value(
            """[...document.querySelectorAll('input:not([type=hidden]):not([hidden])')]
                 .filter((one) => !one.labels || !one.labels.length).map((one) => one.name)"""
        )
        assert faults == []
        assert await page.value("document.querySelectorAll('h1').length") == 1
        assert await page.value("document.documentElement.lang") == "zh-CN"
        assert page.complaints == []
