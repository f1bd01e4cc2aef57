"""The filing workflow: the sweep over open orders, steps on PostgreSQL, the console's pages.

    .venv/bin/python -m benchmarks.orders sweep [--orders 100000]
    .venv/bin/python -m benchmarks.orders steps [--orders 2000]
    .venv/bin/python -m benchmarks.orders console [--filings 1000000] [--orders 100000]
        [--database sqlite|postgresql|URL] [--folder F]

`sweep` is on SQLite: a look at so many open orders when nothing is due, when a hundredth of them
is due for a reminder, and when a fifth is, as after weeks of standing still. `steps` has the
writer take orders from draft to done on a private PostgreSQL (commits on disk), in the groups that
the service makes of requests that wait together. `console` asks a served registry for its pages,
one after the other, and gives the median and the slowest of each; with `--folder` its SQLite
registry is kept, and so is one at a URL; either is taken again if it is there. Wall and CPU
seconds of this process.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from aiohttp import ClientSession, CookieJar
from aiohttp.test_utils import BaseTestServer, TestServer
from sqlalchemy import Connection, delete, insert, select, update

from benchmarks.registry_import import SUFFIXES, timed, write_list
from gate.registry.api.app import make_app
from gate.registry.bulk.importing import import_file
from gate.registry.commands import Role
from gate.registry.database import Database
from gate.registry.gate_schema import traffic_gates
from gate.registry.migrations import migrate
from gate.registry.orders.commands import (
    ApproveOrder,
    NewOrder,
    PassOrder,
    ReportPerson,
    ReturnOrder,
    Step,
    SubmitOrder,
)
from gate.registry.orders.entries import ItemEntry, OrderEntry, PersonEntry, SubjectEntry
from gate.registry.orders.provider_terms import OrderPolicy
from gate.registry.orders.working_days import china_date, china_midnight
from gate.registry.places import Places
from gate.registry.registry import LOCAL, Registry, Request
from gate.registry.schema import domains, order_events, order_items, orders
from gate.registry.service import CONNECTIONS, GROUP, RegistryService
from gate.settings import OrderSettings, RegistrySettings, Sms
from tests.harness.postgres import running_server

DAY = 86_400
ROUNDS = 30


def entry(number: int) -> OrderEntry:
    """What account `number` wants filed."""
    subject = SubjectEntry(
        name=f"第{number}号公司",
        certificate=f"C{number}",
        province="鲁",
        principal=PersonEntry(name="张三", phone="13800000000"),
    )
    item = ItemEntry(name="某某官方商城", domains=(f"site-{number}.com.cn",))
    return OrderEntry(subject=subject, items=(item,))


def make_orders(registry: Registry, count: int, *, state: str) -> None:
    """So many open orders in a state, each a copy of one that came there by its steps."""
    made = registry.perform(NewOrder(account="a0", entry=entry(0)), actor=LOCAL)[0].application
    assert made is not None
    registry.perform(SubmitOrder(order=made), actor=LOCAL)
    if state == "returned":
        registry.perform(ReturnOrder(order=made, reason="请修改"), actor=LOCAL)
    with registry.database.write() as connection:
        row = dict(connection.execute(select(orders)).one()._mapping)
        event = dict(connection.execute(select(order_events)).all()[-1]._mapping)
        for first in range(made + 1, made + count, 5_000):
            numbers = range(first, min(first + 5_000, made + count))
            connection.execute(
                insert(orders), [row | {"id": n, "account": f"a{n}"} for n in numbers]
            )
            connection.execute(insert(order_events), [event | {"order_id": n} for n in numbers])
            connection.execute(
                insert(order_items),
                [{"order_id": n, "target": f"site-{n}.com.cn"} for n in numbers],
            )


def bench_sweep(count: int) -> None:
    """A look at `count` open orders."""
    for share in (0, 100, 5):
        with tempfile.TemporaryDirectory() as folder:
            database = Database(str(Path(folder) / "registry.db"))
            migrate(database)
            now = [1_790_000_000.0]
            registry = Registry(database, clock=lambda: now[0])  # noqa: B023
            make_orders(registry, count, state="returned")
            if share:
                with registry.database.write() as connection:
                    connection.exec_driver_sql(
                        f"UPDATE orders SET timer_at = timer_at + {90 * DAY} WHERE id % {share} > 0"
                    )
                now[0] += 6 * DAY
            moved: list[int] = []
            cost = timed(lambda: moved.append(registry.sweep()[0]))  # noqa: B023
            database.close()
        print(f"{count} open orders, {moved[0]:>6} due: {cost.wall:7.3f} s, {cost.cpu:7.3f} s CPU")


def bench_steps(count: int) -> None:
    """Steps a second on PostgreSQL."""
    with running_server() as server:
        database = Database(server.new_database())
        migrate(database)
        registry = Registry(database, policy=OrderPolicy(sms=Sms.REPORTED))
        rounds: list[tuple[str, Callable[[int], Step]]] = [
            ("create", lambda n: NewOrder(account=f"a{n}", entry=entry(n))),
            ("submit", lambda n: SubmitOrder(order=n)),
            ("pass", lambda n: PassOrder(order=n)),
            ("verify", lambda n: ReportPerson(order=n, person=1, verified=True)),
            ("approve", lambda n: ApproveOrder(order=n, generate=True)),
        ]
        began = time.perf_counter()
        for name, step in rounds:
            requests = [Request(step(n), LOCAL) for n in range(1, count + 1)]
            cost = timed(lambda: take_all(registry, requests))  # noqa: B023
            print(
                f"{name:<8} {count / cost.wall:7.0f} a second, {cost.cpu / count * 1e6:6.0f} µs CPU"
            )
        wall = time.perf_counter() - began
        print(f"all      {len(rounds) * count / wall:7.0f} a second")
        database.close()


def take_all(registry: Registry, requests: Sequence[Request]) -> None:
    """Take steps in groups, as the service does."""
    for first in range(0, len(requests), GROUP):
        for done in registry.perform_all(requests[first : first + GROUP]):
            if isinstance(done, Exception):
                raise done


def big_registry(where: str, folder: Path, filings: int, count: int) -> Registry:
    """A registry of so many filings and open orders, made if the database has none."""
    database = Database(where, readers=CONNECTIONS)
    migrate(database)
    registry = Registry(database)
    if not registry.head().revision:
        write_list(folder / "list.csv", filings)
        for _ in import_file(registry, folder / "list.csv", actor=LOCAL):
            pass
        make_orders(registry, count, state="provider_review")
    return registry


def report_traffic(connection: Connection, now: int) -> None:
    """Have a gate report traffic of every filing, since long before these were filed."""
    day = china_date(now).toordinal()
    connection.execute(delete(traffic_gates))
    heard = {"gate": "g1", "first_day": day - 90, "whole_since": day - 90, "last_day": day}
    connection.execute(insert(traffic_gates), [heard])
    seen = china_midnight(china_date(now))
    connection.execute(update(domains).values(changed_at=now - 90 * DAY, seen_at=seen))


@contextmanager
def new_database(folder: Path, sort: str) -> Iterator[str]:
    """A database's URL: SQLite in the folder, a private PostgreSQL, or the one that was given."""
    if "://" in sort:
        yield sort
        return
    if sort == "sqlite":
        yield f"sqlite:///{folder / 'registry.db'}"
        return
    with running_server() as server:
        yield server.new_database()


async def bench_console(filings: int, count: int, sort: str, kept: Path | None) -> None:
    """The console's pages."""
    with tempfile.TemporaryDirectory() as name:
        folder = kept or Path(name)
        folder.mkdir(exist_ok=True)
        with new_database(folder, sort) as where:
            await ask_pages(where, folder, filings, count)


async def ask_pages(where: str, folder: Path, filings: int, count: int) -> None:
    """Make the registry if need be, serve it, and ask for its pages."""
    registry = big_registry(where, folder, filings, count)
    with registry.database.write() as connection:
        report_traffic(connection, registry.now())
    if not registry.database.embedded:
        with registry.database.write() as connection:  # as its own maintenance would, by and by
            connection.exec_driver_sql("ANALYZE")
    _, token = registry.tokens.create(name="bench", role=Role.ADMIN, actor=LOCAL)
    settings = RegistrySettings(orders=OrderSettings(sms=Sms.REPORTED))
    places = Places(where, folder / "keys", folder / "work")
    places.folder.mkdir(exist_ok=True)
    service = RegistryService(registry, settings, places)
    number = filings // 2
    domain = f"site-{number * 7919 % 1_000_003}-{number}.{SUFFIXES[number % 4]}"
    pages = {
        "the queue": "/orders",
        "the queue, further on": f"/orders?after={2**40}-5",
        "an order": "/orders/5",
        "search by domain": f"/search?q={domain}",
        "search by number": f"/search?q=京ICP备{2020000000}号",
        "search by account": f"/search?q=account-{filings // 4}",
        "search by part of a name": f"/search?q=科技有限公司{filings // 4}",
        "search by a Latin name": "/search?q=Acme Trading",
        "search by a Latin word": "/search?q=acmetrading",
        "why a name is blocked": f"/why?name=www.{domain}",
        # None is: without an index every row would be looked at.
        "filings without traffic": "/idle?days=30",
        "subjects without services": "/hollow",
    }
    async with (
        TestServer(make_app(service)) as server,
        ClientSession(cookie_jar=CookieJar(unsafe=True)) as session,
    ):
        await session.post(server.make_url("/console/login"), data={"token": token})
        for title, path in pages.items():
            times = [await ask(session, server, path) for _ in range(ROUNDS)]
            middle, worst = statistics.median(times) * 1e3, max(times) * 1e3
            print(f"{title:<26} {middle:7.1f} ms, slowest {worst:7.1f} ms")


async def ask(session: ClientSession, server: BaseTestServer, path: str) -> float:
    """Seconds until a page is here."""
    began = time.perf_counter()
    async with session.get(server.make_url(f"/console{path}")) as answer:
        text = await answer.text()
    if answer.status != 200 or "退出" not in text:
        raise RuntimeError(f"{path}: {answer.status}")
    return time.perf_counter() - began


def main() -> None:
    """Run one of the benchmarks."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["sweep", "steps", "console"])
    parser.add_argument("--orders", type=int)
    parser.add_argument("--filings", type=int, default=1_000_000)
    parser.add_argument("--database", default="sqlite", help="sqlite, postgresql, or a URL")
    parser.add_argument("--folder", type=Path)
    given: Any = parser.parse_args()
    if given.what == "sweep":
        bench_sweep(given.orders or 100_000)
    elif given.what == "steps":
        bench_steps(given.orders or 2_000)
    else:
        count = given.orders or 100_000
        asyncio.run(bench_console(given.filings, count, given.database, given.folder))


if __name__ == "__main__":
    main()
