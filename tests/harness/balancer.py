"""HAProxy in front of several registries, as gate/docs/registry.md has it configured."""

from __future__ import annotations

import contextlib
import re
import socket
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.harness.ports import free_port
from tests.harness.tools import require
from tests.harness.waiting import wait_for

_GUIDE = Path(__file__).parent.parent.parent / "gate" / "docs" / "registry.md"


def configuration(port: int, servers: Sequence[int]) -> str:
    """Return the guide's configuration of HAProxy, with a test's own addresses in it."""
    found = re.search(r"```haproxy\n(.*?)```", _GUIDE.read_text(encoding="utf-8"), re.DOTALL)
    assert found is not None
    text = re.sub(r"bind .*", f"bind 127.0.0.1:{port}", found[1])
    assert text.count("    server ") == len(servers)
    ports = iter(servers)
    return re.sub(r"(    server \w+) \S+", lambda line: f"{line[1]} 127.0.0.1:{next(ports)}", text)


@contextlib.contextmanager
def balancer(folder: Path, servers: Sequence[int]) -> Iterator[str]:
    """A running balancer before the registries at some ports; gives its URL."""
    port = free_port()
    path = folder / "haproxy.cfg"
    path.write_text(configuration(port, servers))
    with (folder / "haproxy.log").open("ab") as log:
        process = subprocess.Popen(
            [require("haproxy"), "-db", "-f", str(path)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    try:
        wait_for(lambda: _answers(port), f"haproxy; its log is {folder / 'haproxy.log'}", 20)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait(10)


def _answers(port: int) -> bool:
    """Whether it takes connections, and has found a registry behind it."""
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 2) as sock:
        sock.sendall(b"GET /healthz HTTP/1.1\r\nHost: registry\r\nConnection: close\r\n\r\n")
        return sock.recv(12) == b"HTTP/1.1 200"
    return False
