"""The control socket: a change is in force in every worker when `invalidate` returns."""

from __future__ import annotations

import asyncio
import json
import os
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from gate.control.workers import DOMAINS_PER_MESSAGE, Unconfirmed, Workers
from gate.ipc.messages import Message, encode
from gate.ipc.refresh import RefreshError, refresh
from gate.worker.link import WorkerLink


@dataclass
class Worker:
    """A worker that notes what it is asked, in order."""

    number: int
    path: Path
    asked: list[tuple[str, Message]] = field(default_factory=list)
    fails: bool = False

    def handle(self, kind: str, request: Message) -> Message:
        self.asked.append((kind, request))
        if self.fails and kind != "welcome":
            raise RuntimeError("cache is stuck")
        return {"stats": {"open": self.number}} if kind == "stats" else {}

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        link = WorkerLink(self.path, self.number, self.handle)
        task = asyncio.create_task(link.run())
        try:
            async with asyncio.timeout(5):
                await link.welcomed.wait()
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    def kinds(self) -> list[str]:
        return [kind for kind, _ in self.asked]


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 - the condition is another task's state
            await asyncio.sleep(0.001)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "control.sock"


def listen(path: Path) -> socket.socket:
    path.unlink(missing_ok=True)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    sock.bind(str(path))
    sock.listen()
    return sock


@asynccontextmanager
async def fleet_at(path: Path, workers: int) -> AsyncIterator[Workers]:
    fleet = Workers(workers)
    await fleet.start(listen(path))
    try:
        yield fleet
    finally:
        await fleet.close()


async def test_the_first_request_to_a_worker_is_welcome(path: Path) -> None:
    worker = Worker(0, path)
    async with fleet_at(path, 1) as fleet, worker.running():
        assert worker.kinds() == ["welcome"]
        await until(lambda: fleet.missing == [])


async def test_invalidate_reaches_every_worker_before_it_returns(path: Path) -> None:
    workers = [Worker(0, path), Worker(1, path)]
    async with fleet_at(path, 2) as fleet, workers[0].running(), workers[1].running():
        await fleet.invalidate(["a.cn", "b.cn"], ["b.cn"], revision=9)
        for worker in workers:
            kind, request = worker.asked[-1]
            assert kind == "invalidate"
            assert request["domains"] == ["a.cn", "b.cn"]
            assert request["revoked"] == ["b.cn"]
            assert request["revision"] == 9


async def test_a_large_batch_goes_in_parts_with_the_revoked_in_theirs(path: Path) -> None:
    worker = Worker(0, path)
    domains = [f"d{number}.cn" for number in range(DOMAINS_PER_MESSAGE + 5)]
    async with fleet_at(path, 1) as fleet, worker.running():
        await fleet.invalidate(domains, [domains[0], domains[-1]])
    parts = [request for kind, request in worker.asked if kind == "invalidate"]
    assert [name for part in parts for name in part["domains"]] == domains
    assert [part["revoked"] for part in parts] == [[domains[0]], [domains[-1]]]


async def test_invalidate_waits_for_a_worker_that_is_away(path: Path) -> None:
    here, away = Worker(0, path), Worker(1, path)
    async with fleet_at(path, 2) as fleet, here.running():
        change = asyncio.create_task(fleet.invalidate(["a.cn"], seconds=5))
        await until(lambda: "invalidate" in here.kinds())
        assert not change.done()
        # It comes with an empty cache and on the committed replica, so its welcome is enough.
        async with away.running():
            await change


async def test_invalidate_fails_when_a_worker_stays_away(path: Path) -> None:
    async with fleet_at(path, 2) as fleet, Worker(0, path).running():
        with pytest.raises(Unconfirmed, match="revision 9 was not confirmed by every worker"):
            await fleet.invalidate(["a.cn"], revision=9, seconds=0.05)


async def test_invalidate_fails_when_a_worker_cannot_do_it(path: Path) -> None:
    async with fleet_at(path, 1) as fleet, Worker(0, path, fails=True).running():
        with pytest.raises(Unconfirmed, match=r"worker 0 could not do 'invalidate'.*stuck"):
            await fleet.invalidate(["a.cn"])


async def test_two_processes_of_one_worker_number_must_both_confirm(path: Path) -> None:
    old, new = Worker(0, path), Worker(0, path)  # as during a reload
    async with fleet_at(path, 1) as fleet, old.running(), new.running():
        await fleet.invalidate(["a.cn"])
        assert "invalidate" in old.kinds()
        assert "invalidate" in new.kinds()


async def test_invalidate_waits_for_a_replaced_worker_that_lost_its_link(path: Path) -> None:
    replaced = {os.getpid()}  # every link here is this process's
    fleet = Workers(0, replaced=lambda: replaced)
    await fleet.start(listen(path))
    change = asyncio.create_task(fleet.invalidate(["a.cn"], seconds=5))
    await asyncio.sleep(0.05)
    assert not change.done()
    async with Worker(0, path).running():
        await change
    change = asyncio.create_task(fleet.invalidate(["a.cn"], seconds=5))
    await asyncio.sleep(0.05)
    assert not change.done()
    replaced.clear()  # it has ended
    await change
    await fleet.close()


async def test_a_worker_connects_again_and_is_welcomed_again(path: Path) -> None:
    worker = Worker(0, path)
    async with fleet_at(path, 1) as fleet, worker.running():
        next(iter(fleet.links)).writer.close()
        await until(lambda: worker.kinds().count("welcome") == 2 and not fleet.missing)
        await fleet.invalidate(["a.cn"])
        assert worker.kinds()[-1] == "invalidate"


async def test_a_worker_outlives_the_control_process(path: Path) -> None:
    worker = Worker(0, path)
    async with fleet_at(path, 1):
        stack = worker.running()
        await stack.__aenter__()
    try:
        async with fleet_at(path, 1) as second:
            await second.invalidate(["a.cn"], seconds=5)
            assert worker.kinds().count("welcome") == 2
            assert second.missing == []
    finally:
        await stack.__aexit__(None, None, None)


async def test_ask_gives_the_replies_of_those_that_answer(path: Path) -> None:
    well, ill = Worker(0, path), Worker(1, path, fails=True)
    async with fleet_at(path, 2) as fleet, well.running(), ill.running():
        replies = await fleet.ask("stats")
        assert {link.worker: reply["stats"] for link, reply in replies.items()} == {0: {"open": 0}}


@pytest.mark.parametrize(
    "line",
    [
        b"not json\n",
        b"[1]\n",
        b'{"type": 5}\n',
        b'{"type": "hello", "worker": "0", "pid": 1, "born": 1}\n',
        b'{"type": "hello"}\n',
        b'{"type": "unknown"}\n',
        b"\xff\xfe\n",
    ],
)
async def test_a_line_that_is_no_message_ends_the_link_only(path: Path, line: bytes) -> None:
    worker = Worker(0, path)
    async with fleet_at(path, 1) as fleet, worker.running():
        reader, writer = await asyncio.open_unix_connection(str(path))
        writer.write(line)
        async with asyncio.timeout(5):
            assert await reader.read() == b""
        writer.close()
        await fleet.invalidate(["a.cn"])


async def test_refresh_clears_every_worker(path: Path) -> None:
    workers = [Worker(0, path), Worker(1, path)]
    async with fleet_at(path, 2), workers[0].running(), workers[1].running():
        assert await asyncio.to_thread(refresh, path) is True
        assert [worker.kinds()[-1] for worker in workers] == ["clear", "clear"]


async def test_refresh_says_so_when_a_worker_cannot(path: Path) -> None:
    async with fleet_at(path, 1), Worker(0, path, fails=True).running():
        with pytest.raises(RefreshError, match="worker 0 could not do 'clear'"):
            await asyncio.to_thread(refresh, path)


def test_refresh_without_a_gate_is_no_error(path: Path) -> None:
    assert refresh(path) is False


def test_a_message_is_one_line_of_utf8() -> None:
    line = encode({"type": "invalidate", "domains": ["例子.cn"]})
    assert line.count(b"\n") == 1
    assert json.loads(line) == {"type": "invalidate", "domains": ["例子.cn"]}
