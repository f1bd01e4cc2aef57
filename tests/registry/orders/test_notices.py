"""What owners are told: an outbox that loses nothing, in order, by log, webhook and mail."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from sqlalchemy import func, select

from gate.changes.position import GatePosition
from gate.registry.commands import Role
from gate.registry.orders.commands import FaultEntry, ReturnOrder
from gate.registry.orders.provider_terms import OrderPolicy
from gate.registry.registry import Registry
from gate.registry.schema import notices
from gate.registry.workflow.channels import NotTaken, SmtpChannel, sign
from gate.registry.workflow.notices import LEASE_SECONDS, OrderNotice, Sending, message
from gate.registry.workflow.queries import events_of, order_view
from gate.settings import SmtpSettings
from tests.harness.mail_server import mail_server
from tests.harness.waiting import wait_for
from tests.registry.conftest import Api, Clock, serving
from tests.registry.orders.steps import (
    REVIEWER,
    at_authority,
    done,
    filing,
    returned,
    submitted,
    take,
)


def claimed(registry: Registry) -> list[Sending]:
    """What is to be sent now."""
    return registry.claim_notices()


def sent(registry: Registry) -> list[str]:
    """Have everything taken that is to be sent; the events, in order."""
    found: list[str] = []
    while batch := claimed(registry):
        for sending in batch:
            registry.settle_notice(sending, None)
            found.append(sending.notice.event.value)
    return found


def test_a_return_names_what_is_wrong_who_acts_and_by_when(registry: Registry) -> None:
    number = submitted(registry, filing("a.cn"))
    faults = (FaultEntry(field="items.0.name", fault="与内容不符", suggestion="某某商城"),)
    take(registry, ReturnOrder(order=number, reason="请修改", faults=faults), REVIEWER)
    (sending,) = claimed(registry)
    notice = sending.notice
    assert notice.id == "order-1-3"
    assert (notice.account, notice.state, notice.reason) == ("a1", "returned", "请修改")
    assert [(f.field, f.suggestion) for f in notice.faults] == [("items.0.name", "某某商城")]
    assert {step.event for step in notice.next} == {"update", "submit", "withdraw"}
    assert all(step.party == "owner" for step in notice.next)
    assert "下一步（备案申请人）：修改、提交、撤回" in notice.text_zh
    assert "next, by the owner: update, submit, withdraw" in notice.text_en
    assert "期限：2026-04-24 00:00" in notice.text_zh
    assert "与内容不符；建议：某某商城" in notice.text_zh
    assert "by: 2026-04-24 00:00" in notice.text_en


def test_each_notice_is_taken_once_and_in_order(registry: Registry) -> None:
    number = at_authority(registry, filing("a.cn"))
    (first,) = claimed(registry)
    assert first.notice.event == "pass"
    assert "下一步（订单中的负责人）：短信核验通过\n" in first.notice.text_zh
    assert claimed(registry) == []  # the next one waits for it, and it is being sent
    registry.settle_notice(first, None)
    assert sent(registry) == ["all_verified"]
    assert sent(registry) == []
    assert number == 1


def test_a_notice_that_can_not_be_made_keeps_no_other_one_waiting(
    registry: Registry, caplog: pytest.LogCaptureFixture
) -> None:
    returned(registry, filing("a.cn"))
    returned(registry, filing("b.cn", certificate="2", name="另一公司"), account="a2")
    with registry.database.write() as connection:
        connection.exec_driver_sql(
            "UPDATE order_events SET detail = '{\"due\": 1}' WHERE order_id = 1 AND number = 3"
        )
    assert [sending.notice.order for sending in claimed(registry)] == [2]
    assert claimed(registry) == []
    assert "notice 3 of order 1 could not be made" in caplog.text


async def test_a_fault_of_the_program_ends_no_standing_task(
    lite_api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = lite_api.service
    registry, looks = service.registry, []
    rightly = registry.claim_notices

    def claim(channel: str | None = None) -> list[Sending]:
        looks.append(1)
        if len(looks) == 1:
            raise RuntimeError("a fault")
        return rightly(channel)

    monkeypatch.setattr(registry, "claim_notices", claim)
    await service.write(lambda: returned(registry, filing("a.cn")))

    def taken() -> bool:
        with registry.database.read() as connection:
            return connection.execute(select(notices.c.taken_at)).scalar_one() is not None

    await asyncio.to_thread(wait_for, taken, "the notice to be sent", 60)
    assert len(looks) > 1


def test_what_is_not_taken_is_tried_again_after_longer_and_longer(
    lite: Registry, clock: Clock
) -> None:
    returned(lite, filing("a.cn"))
    (sending,) = claimed(lite)
    waits = []
    for tries in range(12, 0, -1):
        lite.settle_notice(replace(sending, tries=tries), "the other side is away")
        with lite.database.read() as connection:
            waits.append(connection.execute(select(notices.c.next_at)).scalar_one() - clock.now)
    assert waits[::-1] == [5, 10, 20, 40, 80, 160, 320, 640, 1_280, 2_560, 3_600, 3_600]
    clock.now += 4
    assert claimed(lite) == []
    clock.now += 1
    (again,) = claimed(lite)
    assert (again.notice.id, again.tries) == ("order-1-3", 2)  # the same notice all the time
    lite.settle_notice(again, None)
    assert sent(lite) == []


def test_a_sender_that_died_leaves_its_notice_to_the_next(registry: Registry, clock: Clock) -> None:
    returned(registry, filing("a.cn"))
    (lost,) = claimed(registry)
    clock.now += LEASE_SECONDS - 1
    assert claimed(registry) == []
    clock.now += 1
    (again,) = claimed(registry)
    assert again.notice.id == lost.notice.id
    assert again.tries == 2


@pytest.mark.parametrize("ahead", [7_200, 400 * 86_400])
def test_a_clock_that_was_ahead_keeps_no_notice_waiting(
    registry: Registry, clock: Clock, ahead: int
) -> None:
    clock.now += ahead
    returned(registry, filing("a.cn"))
    (sending,) = claimed(registry)
    registry.settle_notice(sending, "away")
    clock.now -= ahead
    (again,) = claimed(registry)
    assert again.notice.id == sending.notice.id


def test_each_channel_gets_every_notice_whatever_the_other_does(registry: Registry) -> None:
    registry.policy = replace(OrderPolicy(), channels=("log", "webhook"))
    at_authority(registry, filing("a.cn"))
    first = {sending.channel: sending for sending in claimed(registry)}
    assert set(first) == {"log", "webhook"}
    registry.settle_notice(first["webhook"], "away")
    registry.settle_notice(first["log"], None)
    assert [s.channel for s in claimed(registry)] == ["log"]


def test_the_news_that_it_is_done_says_since_when_on_which_gates(
    registry: Registry, clock: Clock
) -> None:
    epoch = registry.head().epoch
    for gate in ("edge-1", "edge-2"):
        registry.take_positions({gate: GatePosition(epoch=epoch, revision=0)})
    found = done(registry, filing("a.cn"), "鲁ICP备09090609号-1")
    while (batch := claimed(registry)) and batch[0].notice.event != "approve":
        registry.settle_notice(batch[0], None)
    assert batch == []  # it waits for the gates
    clock.now += 2
    at = int(clock.now)
    revision = found.revision
    assert revision is not None
    registry.take_positions({"edge-1": GatePosition(epoch=epoch, revision=revision)})
    clock.now += 1
    assert claimed(registry) == []
    registry.take_positions({"edge-2": GatePosition(epoch=epoch, revision=revision + 5)})
    clock.now += 2
    (sending,) = claimed(registry)
    notice = sending.notice
    assert [(gate.gate, gate.since) for gate in notice.gates] == [
        ("edge-1", at),
        ("edge-2", at + 1),
    ]
    assert notice.licences == ("鲁ICP备09090609号-1",)
    assert "已在 2/2 个网关生效" in notice.text_zh
    assert "in force on 2 of 2 gates" in notice.text_en


def test_a_gate_that_is_silent_holds_up_the_news_for_a_minute_only(
    registry: Registry, clock: Clock
) -> None:
    epoch = registry.head().epoch
    registry.take_positions({"edge-1": GatePosition(epoch=epoch, revision=0)})
    done(registry, filing("a.cn"))
    sent(registry)
    clock.now += 59
    assert claimed(registry) == []
    clock.now += 1
    (sending,) = claimed(registry)
    assert (sending.notice.gates, sending.notice.gates_known) == ((), 1)


@dataclass
class Hook:
    """A provider's webhook, which refuses at first."""

    refuse: int = 0
    taken: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    tried: int = 0
    news: asyncio.Event = field(default_factory=asyncio.Event)

    async def take(self, request: web.Request) -> web.Response:
        body = await request.read()
        self.tried += 1
        if self.tried <= self.refuse:
            return web.Response(status=503)
        self.taken.append((dict(request.headers), body))
        self.news.set()
        return web.Response(status=204)


@asynccontextmanager
async def hooked(hook: Hook) -> AsyncIterator[str]:
    """The webhook's URL."""
    app = web.Application()
    app.router.add_post("/hook", hook.take)
    async with TestServer(app) as server:
        yield str(server.make_url("/hook"))


@pytest.mark.parametrize("refuse", [0, 1])
@pytest.mark.programs
async def test_the_webhook_is_signed_and_tried_again(
    tmp_path: Path, refuse: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gate.registry.workflow.notices._FIRST_WAIT", 1)
    monkeypatch.setattr("gate.registry.service.NOTICE_SECONDS", 0.1)
    hook = Hook(refuse)
    (tmp_path / "secret").write_text("s3cret\n")
    async with hooked(hook) as url:
        told = {
            "channels": ["webhook"],
            "webhook": {"url": url, "secret_file": str(tmp_path / "secret")},
        }
        settings = {"notices": told, "sms": "reported"}
        async with serving(str(tmp_path / "r.db"), tmp_path, orders=settings) as api:
            entry = filing("a.cn").model_dump(mode="json")
            for path, role, given in (
                ("/v1/orders", Role.OWNER, {"entry": entry}),
                ("/v1/orders/1/submit", Role.OWNER, None),
                ("/v1/orders/1/return", Role.REVIEWER, {"reason": "请修改"}),
            ):
                answer = await api.call("POST", path, role=role, json=given)
                assert answer.status < 300, answer.body
            async with asyncio.timeout(60):
                await hook.news.wait()
    (headers, body), *more = hook.taken
    assert (more, hook.tried) == ([], refuse + 1)
    notice = json.loads(body)
    assert headers["webhook-id"] == notice["id"] == "order-1-3"
    at = int(headers["webhook-timestamp"])
    assert headers["webhook-signature"] == sign(b"s3cret", notice["id"], at, body)


@pytest.mark.programs
async def test_a_mail_server_takes_notices_in_chinese_and_english(tmp_path: Path) -> None:
    """Debian's Exim, which refuses to relay: what it does not take stays in the outbox."""
    with mail_server() as server:
        smtp = {
            "host": "127.0.0.1",
            "port": server.port,
            "starttls": False,
            "sender": "beian@registry.test",
            "to": "{account}@owners.test",
        }
        settings = {"notices": {"channels": ["smtp"], "smtp": smtp}, "sms": "reported"}
        async with serving(str(tmp_path / "r.db"), tmp_path, orders=settings) as api:
            registry = api.service.registry
            number = submitted(registry, filing("a.cn"))
            take(registry, ReturnOrder(order=number, reason="请修改"), REVIEWER)
            async with asyncio.timeout(60):
                while not server.mails():  # noqa: ASYNC110 - another process writes it
                    await asyncio.sleep(0.1)
        (made,) = server.mails()
        assert made["To"] == "a1@owners.test"
        assert made["Subject"] == "首次备案订单 1：驳回"
        assert made["Message-ID"] == "<order-1-3@registry.test>"
        text = made.get_content()
        assert "原因：请修改" in text
        assert "state: returned" in text


@pytest.mark.programs
async def test_what_the_mail_server_refuses_is_told_and_kept(tmp_path: Path) -> None:
    with mail_server() as server:
        channel = SmtpChannel(
            SmtpSettings(
                host="127.0.0.1",
                port=server.port,
                starttls=False,
                sender="beian@registry.test",
                to="{account}@elsewhere.test",
            )
        )
        registry_file = str(tmp_path / "r.db")
        async with serving(registry_file, tmp_path, orders={"sms": "reported"}) as api:
            await api.service.write(lambda: returned(api.service.registry, filing("a.cn")))
            with api.service.registry.reading() as work:
                view = order_view(work.connection, 1, now=work.now)
                (event,) = events_of(work.connection, 1, after=2)
        with pytest.raises(NotTaken, match="no relaying"):
            await channel.send(message(view, event, ((), 0)), 0)
        assert server.mails() == []


SMTP = {"host": "127.0.0.1", "starttls": False, "sender": "beian@registry.test"}


def a_notice(registry: Registry) -> OrderNotice:
    """The news of a return."""
    returned(registry, filing("a.cn"))
    (sending,) = claimed(registry)
    assert isinstance(sending.notice, OrderNotice)
    return sending.notice


@pytest.mark.programs
async def test_who_is_refused_for_good_keeps_nobody_else_from_his_mail(
    lite: Registry, caplog: pytest.LogCaptureFixture
) -> None:
    with mail_server() as server:
        settings = SmtpSettings(
            **SMTP, port=server.port, to="{account}@owners.test, clerk@elsewhere.test"
        )
        await SmtpChannel(settings).send(a_notice(lite), 0)
        (made,) = server.mails()
    assert made["Envelope-to"] == "a1@owners.test"
    assert "notice order-1-3 is not for clerk@elsewhere.test: 550 no relaying" in caplog.text


@dataclass
class OddMailServer:
    """A mail server with answers of its own: to a recipient by the name in it, and to QUIT."""

    answers: dict[str, list[str]] = field(default_factory=dict)
    hangs_at: str = ""
    slow_seconds: float = 0.0
    mails: list[list[str]] = field(default_factory=list)
    """The recipients of each."""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        accepted: list[str] = []
        writer.write(b"220 odd.test\r\n")
        while line := (await reader.readline()).decode().strip():
            word = line.split()[0].upper()
            if word == self.hangs_at:
                await asyncio.sleep(3_600)
            elif word == "RCPT":
                name = line.partition("<")[2].partition("@")[0]
                answer = (self.answers.get(name) or ["250 OK"])[0]
                self.answers[name] = self.answers.get(name, [])[1:]
                accepted += [name] if answer.startswith("2") else []
                writer.write(answer.encode() + b"\r\n")
            elif word == "DATA":
                writer.write(b"354 go on\r\n")
                await reader.readuntil(b"\r\n.\r\n")
                await asyncio.sleep(self.slow_seconds)
                self.mails.append(accepted)
                accepted = []
                writer.write(b"250 taken\r\n")
            else:
                writer.write(b"250 OK\r\n")
        writer.close()


@asynccontextmanager
async def odd(server: OddMailServer, to: str) -> AsyncIterator[SmtpChannel]:
    """A channel to it."""
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    try:
        yield SmtpChannel(SmtpSettings(**SMTP, port=port, to=to))
    finally:
        listening.close()


async def test_who_is_put_off_gets_it_later_and_nobody_gets_it_twice(lite: Registry) -> None:
    notice = a_notice(lite)
    server = OddMailServer({"clerk": ["451 later", "451 later"], "chief": ["550 unknown"]})
    to = "{account}@owners.test, clerk@owners.test, chief@owners.test"
    async with odd(server, to) as channel:
        for _ in range(2):
            with pytest.raises(NotTaken, match="later"):
                await channel.send(notice, 0)
        await channel.send(notice, 0)
    assert server.mails == [["a1"], ["clerk"]]


async def test_who_is_put_off_and_then_refused_ends_the_trying(lite: Registry) -> None:
    notice = a_notice(lite)
    server = OddMailServer({"clerk": ["451 later", "550 unknown"]})
    async with odd(server, "{account}@owners.test, clerk@owners.test") as channel:
        with pytest.raises(NotTaken, match="later"):
            await channel.send(notice, 0)
        await channel.send(notice, 0)
    assert server.mails == [["a1"]]


async def test_a_mail_that_was_taken_is_taken_though_the_server_says_no_goodbye(
    lite: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gate.registry.workflow.channels._LEAVE_SECONDS", 0.2)
    server = OddMailServer(hangs_at="QUIT")
    async with odd(server, "{account}@owners.test") as channel:
        await channel.send(a_notice(lite), 0)
    assert server.mails == [["a1"]]


@pytest.mark.parametrize("command", ["EHLO", "RCPT", "DATA"])
async def test_a_mail_server_that_hangs_is_left(
    lite: Registry, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    monkeypatch.setattr("gate.registry.workflow.channels._MAIL_SECONDS", 0.5)
    server = OddMailServer(hangs_at=command)
    async with odd(server, "{account}@owners.test") as channel:
        with pytest.raises(NotTaken, match="TimeoutError"):
            await channel.send(a_notice(lite), 0)
    assert server.mails == []


async def test_a_slow_mail_server_has_its_time_for_each_mail(
    lite: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """32 mails of half a second each, four at a time, and no more than 3 s for one."""
    monkeypatch.setattr("gate.registry.workflow.channels._MAIL_SECONDS", 3.0)
    notice = a_notice(lite)
    server = OddMailServer(slow_seconds=0.5)
    async with odd(server, "{account}@owners.test") as channel:
        await asyncio.gather(*(channel.send(notice, 0) for _ in range(32)))
    assert len(server.mails) == 32


async def test_a_channel_that_hangs_keeps_no_other_one_waiting(tmp_path: Path) -> None:
    """A hundred notices, and a webhook that answers none of them."""
    asked: list[str] = []
    never = asyncio.Event()

    async def hang(request: web.Request) -> web.Response:
        asked.append(request.headers["webhook-id"])
        await never.wait()
        return web.Response(status=204)

    app = web.Application()
    app.router.add_post("/hook", hang)
    (tmp_path / "secret").write_text("s3cret")
    async with TestServer(app) as server:
        told = {
            "channels": ["log", "webhook"],
            "webhook": {
                "url": str(server.make_url("/hook")),
                "secret_file": str(tmp_path / "secret"),
            },
        }
        settings = {"notices": told, "sms": "reported"}
        async with serving(str(tmp_path / "r.db"), tmp_path, orders=settings) as api:
            registry = api.service.registry

            def make() -> None:
                for number in range(100):
                    entry = filing(f"d{number}.cn", certificate=f"c{number}")
                    returned(registry, entry, f"x{number}")

            def taken() -> int:
                query = select(func.count()).where(
                    notices.c.channel == "log", notices.c.taken_at.is_not(None)
                )
                with registry.database.read() as connection:
                    return int(connection.execute(query).scalar_one())

            await api.service.write(make)
            async with asyncio.timeout(10):
                while taken() < 100 or not asked:  # noqa: ASYNC110 - the database tells of it
                    await asyncio.sleep(0.1)
            never.set()
