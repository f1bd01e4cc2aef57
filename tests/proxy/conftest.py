"""A running data plane for each test that asks for one."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from gate.proxy.reactor import new_event_loop
from tests.proxy.running import Running


@pytest.fixture
def upstream() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.0)
        yield server


@pytest.fixture
def running(tmp_path: Path, upstream: socket.socket) -> Iterator[Running]:
    loop = new_event_loop()
    running = Running(loop, tmp_path, f"127.0.0.1:{upstream.getsockname()[1]}")
    yield running
    running.close()
    loop.close()
