"""A registry and a gate inside the test's process, and the files that a change passes in them."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from types import FrameType

from aiohttp import ClientSession
from aiohttp.test_utils import TestServer

from gate.control.following import EnforcingWorkers
from gate.control.workers import Workers
from gate.registry.api.app import make_app
from gate.registry.commands import Role, Suspend
from gate.registry.places import Places
from gate.registry.registry import LOCAL, Registry
from gate.registry.service import RegistryService
from gate.settings import Address, Push, PushTarget, RegistrySettings, Sync
from gate.sync.agent import SyncAgent
from gate.worker.access_log import ConsoleLines
from gate.worker.blocked_counts import BlockedCounts
from gate.worker.journal import Journal
from gate.worker.link import WorkerLink
from gate.worker.observer import Observer
from gate.worker.requests import Requests
from tests.control.test_workers import listen
from tests.harness.new_registry import migrated
from tests.harness.ports import free_port
from tests.harness.waiting import patience
from tests.proxy.running import GET, OK, Running
from tests.registry.filings import file_first

ROOT = Path(__file__).parents[2]
DOMAIN = "example.cn"


class Passed(list[str]):
    """The program's files, as often as their functions are called."""

    def note(self, frame: FrameType, event: str, _: object) -> None:
        """Take what a thread has to say by `sys.setprofile`."""
        path = frame.f_code.co_filename
        if event == "call" and path.startswith(f"{ROOT}/gate/"):
            self.append(path.removeprefix(f"{ROOT}/"))

    def missed_of(self, walk: list[str]) -> list[str]:
        """Return the files of a walk that were not passed after those before them."""
        left = iter(self)
        return [file for file in walk if file not in left]


async def until(condition: Callable[[], object], seconds: float = 30.0) -> None:
    """Return when `condition` is true."""
    async with asyncio.timeout(patience(seconds)):
        while not condition():  # noqa: ASYNC110 - the condition is another task's state
            await asyncio.sleep(0.005)


async def follow_a_suspension(running: Running, upstream: socket.socket, folder: Path) -> Passed:
    """Suspend a domain in a registry while a connection to it is open at a gate."""
    passed = Passed()
    async with _registry(folder) as (service, url), _gate(running, service, url, folder):
        with running.client() as client:
            client.send(GET % 1)
            with await _taken(upstream) as origin:
                origin.send(OK)
                await until(lambda: b"".join(_read(client)).endswith(b"ok"))
                loop = asyncio.get_running_loop()
                await loop.run_in_executor(service.writer, sys.setprofile, passed.note)
                sys.setprofile(passed.note)
                try:
                    await _suspend(url, (folder / "admin").read_text())
                    await until(lambda: _is_reset(client))
                finally:
                    sys.setprofile(None)
                    await loop.run_in_executor(service.writer, sys.setprofile, None)
    return passed


@contextlib.asynccontextmanager
async def _registry(folder: Path) -> AsyncIterator[tuple[RegistryService, str]]:
    """A registry with one filing, which pushes; its service and URL."""
    database = str(folder / "registry.db")
    registry = Registry(migrated(database))
    file_first(registry, DOMAIN)
    for name, role in (("reader", Role.READER), ("admin", Role.ADMIN)):
        _, token = registry.tokens.create(name=name, role=role, actor=LOCAL)
        (folder / name).write_text(token)
    target = PushTarget(name="edge-1", url=f"http://127.0.0.1:{free_port()}")
    (folder / "work").mkdir()
    places = Places(database, folder / "keys", folder / "work")
    service = RegistryService(registry, RegistrySettings(push=(target,)), places)
    async with TestServer(make_app(service)) as server:
        yield service, str(server.make_url("")).rstrip("/")
        service.feed.stop()


@contextlib.asynccontextmanager
async def _gate(
    running: Running, service: RegistryService, url: str, folder: Path
) -> AsyncIterator[None]:
    """A control process's parts, with the plane for their worker, that have all there is."""
    (gate,) = service.distribution.gates
    push = Address(host="127.0.0.1", port=int(gate.url.rpartition(":")[2]))
    settings = Sync(
        registry=url,
        push=Push(listen=push),
        pull=False,
        token_file=folder / "reader",
        keys=folder / "keys" / "public.json",
    )
    workers = Workers(1)
    await workers.start(listen(folder / "control.sock"))
    agent = SyncAgent(settings, folder, running.replica, EnforcingWorkers(workers))
    link = WorkerLink(folder / "control.sock", 0, _requests(running).handle)
    tasks = [asyncio.create_task(work) for work in (link.run(), agent.run())]
    try:
        await until(lambda: gate.revision == service.registry.head().revision)
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await workers.close()


def _requests(running: Running) -> Requests:
    settings, blocked = running.settings, BlockedCounts(lambda name: "default")
    observer = Observer(
        {listener.name for listener in settings.listeners},
        run="test",
        access=settings.log.access,
        lines=ConsoleLines(),
        journal=Journal(sys.stderr.fileno()),
        blocked=blocked,
    )
    return Requests(
        running.decider,
        asyncio.Event(),
        running.plane,
        observer,
        blocked,
        settings=settings,
        is_replaced=lambda: False,
        start_again=lambda: None,
        give_time=lambda seconds: None,
    )


async def _suspend(url: str, token: str) -> None:
    command = Suspend(domain=DOMAIN, reason="order")
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    async with (
        ClientSession() as session,
        session.post(
            f"{url}/v1/operations/suspend", data=command.model_dump_json(), headers=headers
        ) as response,
    ):
        assert response.status == 200, await response.text()


async def _taken(upstream: socket.socket) -> socket.socket:
    upstream.setblocking(False)
    found: list[socket.socket] = []

    def take() -> bool:
        with contextlib.suppress(BlockingIOError):
            found.append(upstream.accept()[0])
        return bool(found)

    await until(take)
    return found[0]


def _read(client: socket.socket) -> list[bytes]:
    with contextlib.suppress(BlockingIOError):
        return [client.recv(1000)]
    return []


def _is_reset(client: socket.socket) -> bool:
    try:
        return client.recv(1) == b"?"
    except BlockingIOError:
        return False
    except ConnectionResetError:
        return True
