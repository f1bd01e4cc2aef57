"""Connections held open to the registry: it goes on for everybody else, and bounds them."""

from __future__ import annotations

import contextlib
import re
import socket
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from gate.registry.commands import Approve
from tests.harness.registry_process import RegistryProcess
from tests.harness.waiting import wait_for
from tests.registry.filings import first_filing

pytestmark = pytest.mark.programs

CONNECTIONS = 40


@contextlib.contextmanager
def serving(folder: Path, database: str, **settings: object) -> Iterator[RegistryProcess]:
    process = RegistryProcess(folder, {"database": database, **settings})
    process.start()
    try:
        yield process
    finally:
        process.kill()


@contextlib.contextmanager
def silence(port: int, count: int) -> Iterator[list[socket.socket]]:
    """Connections on which nothing is sent."""
    with contextlib.ExitStack() as stack:
        yield [
            stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=20))
            for _ in range(count)
        ]


def turned_away(process: RegistryProcess) -> float:
    request = urllib.request.Request(
        f"http://127.0.0.1:{process.port}/metrics",
        headers={"Authorization": f"Bearer {process.admin}"},
    )
    with urllib.request.urlopen(request, timeout=20) as answer:
        text = answer.read().decode()
    found = re.search(r'connections_refused_total\{cause="limit"\} (\S+)', text)
    assert found is not None
    return float(found[1])


def file(process: RegistryProcess) -> int:
    remote = process.remote
    application = remote.perform(first_filing("a.cn")).application
    assert application is not None
    return remote.perform(Approve(application=application, generate=True)).revision


def test_silence_locks_nobody_out(tmp_path: Path) -> None:
    with (
        serving(tmp_path, str(tmp_path / "registry.db"), connections=CONNECTIONS) as process,
        silence(process.port, 5 * CONNECTIONS) as silent,
    ):
        assert file(process) == 1
        wait_for(lambda: turned_away(process) >= 4 * CONNECTIONS, "the limit to be kept", 20)
        silent[0].settimeout(20)
        with contextlib.suppress(ConnectionError):
            assert silent[0].recv(1) == b"", "the longest silent is to give way"
