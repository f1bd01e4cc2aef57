"""A running data plane for each test that asks for one."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.planes import Plane
from tests.proxy.running import Running, new_loop


@pytest.fixture
def upstream() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.0)
        yield server


@pytest.fixture
def running(tmp_path: Path, upstream: socket.socket, plane: Plane) -> Iterator[Running]:
    loop = new_loop(plane)
    running = Running(loop, tmp_path, f"127.0.0.1:{upstream.getsockname()[1]}")
    yield running
    running.close()
    loop.close()
