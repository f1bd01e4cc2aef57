"""The workers' figures: a gauge counts as long as its process is there, a counter for ever."""

from __future__ import annotations

import asyncio
import fcntl
import json
import logging
import os
import termios
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from gate.control.metrics.figures import Figures
from gate.control.workers import Workers
from gate.ipc.messages import encode
from tests.control.test_workers import listen, until


@dataclass
class Talker:
    """A worker's end of the control socket, that says what the test wants when it wants."""

    worker: int
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    @classmethod
    async def connected(cls, path: Path, worker: int) -> Talker:
        reader, writer = await asyncio.open_unix_connection(str(path))
        made = cls(worker, reader, writer)
        hello = {"type": "hello", "worker": worker, "pid": os.getpid(), "born": worker}
        writer.write(encode(hello))
        welcome = await made.asked()
        assert welcome["type"] == "welcome"
        made.reply(welcome)
        return made

    async def asked(self) -> dict[str, Any]:
        request: dict[str, Any] = json.loads(await self.reader.readline())
        return request

    def reply(self, request: dict[str, Any], **fields: Any) -> None:
        self.writer.write(encode({"type": "reply", "id": request["id"], **fields}))

    def stats(self, requests: int) -> dict[str, Any]:
        return {"requests": requests, "connections_limit": 16_000}

    async def leave(self, **farewell: Any) -> None:
        if farewell:
            self.writer.write(encode({"type": "farewell", **farewell}))
            await self.writer.drain()
        self.writer.close()
        await self.writer.wait_closed()


@asynccontextmanager
async def two(path: Path) -> AsyncIterator[tuple[Figures, Workers, list[Talker]]]:
    """Two workers, and what is counted of them."""
    figures = Figures(path.with_name("counters.json"), born=1)
    workers = Workers(2, on_lost=figures.forget, on_farewell=figures.farewell)
    await workers.start(listen(path))
    talkers = [await Talker.connected(path, number) for number in range(2)]
    await until(lambda: not workers.missing)
    yield figures, workers, talkers
    for talker in talkers:
        await talker.leave()
    await workers.close()


@pytest.mark.parametrize(
    "farewell", [{"stats": {"requests": 7, "connections_limit": 16_000}}, {}], ids=["says", "dies"]
)
async def test_a_gauge_of_a_worker_that_ends_while_others_answer_ends_with_it(
    tmp_path: Path, farewell: dict[str, Any]
) -> None:
    async with two(tmp_path / "control.sock") as (figures, workers, (leaving, staying)):
        asking = asyncio.create_task(figures.collect_from(workers))
        leaving.reply(await leaving.asked(), stats=leaving.stats(requests=5))
        await leaving.leave(**farewell)
        await until(lambda: len(workers.links) == 1)
        staying.reply(await staying.asked(), stats=staying.stats(requests=1))
        await asking
        totals = figures.totals()
        assert totals[("connections_limit",)] == 16_000
        assert totals[("requests",)] == (8 if farewell else 1)


async def test_the_end_of_a_worker_is_no_news(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A reload ends all of them, mostly in the middle of a question."""
    caplog.set_level(logging.INFO)
    async with two(tmp_path / "control.sock") as (figures, workers, talkers):
        for talker in talkers:
            transport = talker.writer.transport
            assert isinstance(transport, asyncio.Transport)
            transport.pause_reading()
        asking = asyncio.create_task(figures.collect_from(workers))
        for talker in talkers:
            sock = talker.writer.transport.get_extra_info("socket")
            await until(partial(has_unread_bytes, sock.fileno()))
            talker.writer.transport.abort()  # with a question unread: the other side is reset
        await asking
        await until(lambda: not workers.links)
    assert caplog.messages == []


def has_unread_bytes(descriptor: int) -> bool:
    """Has something arrived that was not read (unix(7), SIOCINQ)?"""
    return any(fcntl.ioctl(descriptor, termios.FIONREAD, bytes(4)))
