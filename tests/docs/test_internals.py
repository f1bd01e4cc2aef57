"""The maintainers' page names what exists, and its walks are those that the program goes."""

from __future__ import annotations

import re
import socket
import sys
from pathlib import Path
from types import FrameType

import pytest

from gate.policy import decider
from tests.docs.followed import follow_a_suspension
from tests.harness.planes import PYTHON
from tests.proxy.running import GET, Running, new_loop

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "gate" / "docs" / "internals.md").read_text()
WALKS = re.findall(r"^<!-- walk -->\n(.*?)^<!-- end -->$", PAGE, flags=re.M | re.S)


def files_of(walk: str) -> list[str]:
    return re.findall(r"^\d+\. `(gate/[\w/.]+)`", walk, flags=re.M)


def test_every_file_that_the_page_names_exists() -> None:
    named = set(re.findall(r"`(gate/[\w/.]+)`", PAGE))
    assert len(named) > 40
    assert [name for name in sorted(named) if not (ROOT / name).exists()] == []


@pytest.mark.parametrize("walk", WALKS, ids=("host", "compiled", "change", "revocation", "reload"))
def test_no_walk_passes_a_file_twice(walk: str) -> None:
    files = files_of(walk)
    assert len(files) == len(walk.splitlines())
    assert len(files) == len(set(files))


def test_a_filed_host_goes_the_way_of_the_walk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decider, "VerdictRing", None)  # else the cache is a compiled one
    passed: dict[str, None] = {}
    below = f"{ROOT}/"

    def trace(frame: FrameType, event: str, _: object) -> None:
        path = frame.f_code.co_filename
        if event == "call" and path.startswith(below):
            passed.setdefault(path.removeprefix(below))

    loop = new_loop(PYTHON)
    with socket.create_server(("127.0.0.1", 0)) as upstream:
        upstream.settimeout(5.0)
        running = Running(loop, tmp_path, f"127.0.0.1:{upstream.getsockname()[1]}")
        running.turn()
        with running.client() as client:
            client.send(GET % 1)
            sys.setprofile(trace)
            try:
                running.until(lambda: "gate/proxy/dial.py" in passed)
                with upstream.accept()[0] as origin:
                    origin.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n")
                    running.until(lambda: "gate/wire/http1/response.py" in passed)
                    origin.send(b"ok")
                    running.until(lambda: "gate/proxy/http/relay.py" in passed)
            finally:
                sys.setprofile(None)
        running.close()
    loop.close()
    walk = [file for file in files_of(WALKS[0]) if file != "gate/worker/observer.py"]
    assert [file for file in passed if file in walk] == walk


def test_a_suspension_goes_the_ways_of_a_change_and_of_a_revocation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decider, "VerdictRing", None)
    loop = new_loop(PYTHON)
    with socket.create_server(("127.0.0.1", 0)) as upstream:
        address = f"127.0.0.1:{upstream.getsockname()[1]}"
        running = Running(loop, tmp_path, address, epoch="0")  # the registry's is a later one
        try:
            passed = loop.run_until_complete(follow_a_suspension(running, upstream, tmp_path))
        finally:
            running.close()
    loop.close()
    change, revocation = (files_of(walk) for walk in WALKS[2:4])
    assert passed.missed_of(change) == []
    revocation.remove("gate/proxy/udp/plane.py")  # there is no QUIC listener
    assert passed.missed_of(revocation) == []
