"""The control process's listeners take so many connections at a time, each for so long."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator

import pytest
from aiohttp import web

from gate.net.connection_limit import ConnectionLimit

REQUEST = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


async def _hello(_: web.BaseRequest) -> web.Response:
    return web.Response(text="hello")


class Served:
    """A door on a free port, with aiohttp behind it."""

    def __init__(self, refused: list[None], port: int) -> None:
        self.refused = refused
        self.port = port

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self.port)

    async def ask(self) -> bytes:
        reader, writer = await self.connect()
        writer.write(REQUEST)
        try:
            return await reader.readline()
        except ConnectionResetError:
            return b""
        finally:
            writer.close()


@pytest.fixture(params=[0.2])
async def served(request: pytest.FixtureRequest) -> AsyncIterator[Served]:
    server = web.Server(_hello)
    refused: list[None] = []
    limit = ConnectionLimit(
        server, most=3, seconds=request.param, refused=lambda: refused.append(None)
    )
    sock = socket.create_server(("127.0.0.1", 0))
    listening = await asyncio.get_running_loop().create_server(limit, sock=sock)
    yield Served(refused, sock.getsockname()[1])
    listening.close()
    await server.shutdown(1.0)


async def test_a_connection_within_the_limit_is_served(served: Served) -> None:
    assert await served.ask() == b"HTTP/1.1 200 OK\r\n"
    assert len(served.refused) == 0


async def test_a_connection_over_the_limit_is_closed_and_counted(served: Served) -> None:
    hoard = [await served.connect() for _ in range(3)]
    assert await served.ask() == b""
    assert len(served.refused) == 1
    for _, writer in hoard:
        writer.close()


async def test_a_place_is_free_again_when_its_connection_ends(served: Served) -> None:
    for _ in range(10):
        assert await served.ask() == b"HTTP/1.1 200 OK\r\n"


async def test_a_hoard_is_cut_when_its_time_is_over(served: Served) -> None:
    hoard = [await served.connect() for _ in range(3)]
    for reader, writer in hoard:
        assert await asyncio.wait_for(reader.read(), 5) == b""
        writer.close()
    assert await served.ask() == b"HTTP/1.1 200 OK\r\n"


@pytest.mark.parametrize("served", [None], indirect=True)
async def test_without_a_time_limit_the_longest_silent_gives_way(served: Served) -> None:
    talker, *silent = [await served.connect() for _ in range(3)]
    talker[1].write(REQUEST)
    assert await talker[0].readuntil(b"hello") != b""
    assert await served.ask() == b"HTTP/1.1 200 OK\r\n"
    assert await asyncio.wait_for(silent[0][0].read(), 5) == b""
    talker[1].write(REQUEST)
    assert (await talker[0].readline()) == b"HTTP/1.1 200 OK\r\n"
    assert len(served.refused) == 1
    for _, writer in (talker, *silent):
        writer.close()
