"""How soon a gate that fails is asked again."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from itertools import pairwise

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer, unused_port

from gate.changes.batch import Batch
from gate.changes.push import PUSH_PATH
from gate.registry.distribution.pusher import Pusher
from gate.settings import PushTarget

TRIES = 12


class EmptyLog:
    """A log without changes."""

    epoch = "e"
    revision = 0

    async def batch_after(self, revision: int, limit: int = 0) -> Batch:
        return Batch(
            epoch=self.epoch, from_revision=0, to_revision=0, head=0, issued_at=0, changes=()
        )

    async def seal(self, batch: Batch) -> bytes:
        return b"{}"

    async def wait_beyond(self, revision: int, seconds: float) -> None:
        await asyncio.Event().wait()


async def waits(url: str) -> Sequence[float]:
    """Return how long the pusher waits between the first tries, without waiting."""
    found: list[float] = []
    enough = asyncio.Event()

    async def sleep(seconds: float) -> None:
        found.append(seconds)
        if len(found) == TRIES:
            enough.set()
        await asyncio.sleep(0)

    pusher = Pusher([PushTarget(name="edge-1", url=url)], EmptyLog(), tls=None, sleep=sleep)
    task = asyncio.create_task(pusher.run())
    seen = asyncio.create_task(enough.wait())
    await asyncio.wait((task, seen), return_when=asyncio.FIRST_COMPLETED)
    assert not task.done(), task.exception()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    return found[:TRIES]


async def test_a_gate_that_is_down_is_asked_again_within_a_second_however_long_it_is_down() -> None:
    found = await waits(f"http://127.0.0.1:{unused_port()}")
    assert max(found) <= 0.7
    assert min(found) >= 0.1  # and does not spin


@pytest.mark.parametrize("status", [403, 500])
async def test_a_gate_that_refuses_is_left_alone_for_longer_and_longer(status: int) -> None:
    async def refuse(_: web.Request) -> web.Response:
        return web.Response(status=status)

    app = web.Application()
    app.router.add_post(PUSH_PATH, refuse)
    async with TestServer(app) as server:
        found = await waits(str(server.make_url("")).rstrip("/"))
    assert found[-1] >= 10
    assert sum(later > earlier for earlier, later in pairwise(found)) >= 6
