"""A gate and its registry at work: what an operator does, and sees at once."""

from __future__ import annotations

import contextlib
import http.client
import http.server
import os
import shutil
import signal
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.following import (
    figure,
    follow,
    make_gate,
    passes,
    push_section,
    wait_for_revision,
)
from tests.harness.gate_process import Gate, run_gate
from tests.harness.registry_process import RegistryProcess
from tests.harness.waiting import wait_for

pytestmark = pytest.mark.programs


@contextlib.contextmanager
def running(gate: Gate) -> Iterator[Gate]:
    try:
        yield gate.start()
    finally:
        gate.stop()


@contextlib.contextmanager
def an_origin() -> Iterator[str]:
    """An origin that answers everything with 200; gives its address."""

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"ok")

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()


def test_a_cancellation_ends_what_is_open(registry: RegistryProcess, tmp_path: Path) -> None:
    with an_origin() as origin:
        gate = make_gate(
            tmp_path / "gate", follow(registry), upstreams={"default": {"http": [origin]}}
        )
        with running(gate):
            for domain in ("gone.cn", "kept.cn"):
                wait_for_revision(gate, registry.file(domain))
            links = {}
            for domain in ("gone.cn", "kept.cn"):
                link = http.client.HTTPConnection("127.0.0.1", gate.ports["http"], timeout=20)
                link.request("GET", "/", headers={"Host": f"www.{domain}"})
                assert link.getresponse().read() == b"ok"
                links[domain] = link
            wait_for_revision(gate, registry.cancel("gone.cn"))
            sock = links["gone.cn"].sock
            assert isinstance(sock, socket.socket)
            with contextlib.suppress(ConnectionResetError):
                assert sock.recv(1) == b""
            links["kept.cn"].request("GET", "/", headers={"Host": "kept.cn"})
            assert links["kept.cn"].getresponse().read() == b"ok"
            for link in links.values():
                link.close()


def test_keys_rotate_while_everything_runs(registry: RegistryProcess, tmp_path: Path) -> None:
    mine = tmp_path / "public.json"
    shutil.copy(registry.keys, mine)
    folder = str(registry.folder / "keys")
    gate = make_gate(tmp_path / "gate", follow(registry) | {"keys": str(mine)})
    with running(gate):
        wait_for_revision(gate, registry.file("a.cn"))
        (old,) = (
            line.split()[0]
            for line in run_gate("keys", "list", "--dir", folder).stdout.splitlines()
        )
        run_gate("keys", "new", "--dir", folder)
        wait_for_revision(gate, registry.file("b.cn"))
        run_gate("keys", "retire", old, "--dir", folder)
        late = registry.file("c.cn")
        wait_for(
            lambda: (
                figure(gate, "gate_sync_refused_total", channel="pull", cause="unknown_key") > 0
            ),
            "the refusal of a key that the gate was not given",
        )
        assert not passes(gate, "c.cn")
        shutil.copy(registry.keys, mine)
        wait_for_revision(gate, late, 30)
        assert passes(gate, "c.cn")


def test_a_new_epoch_is_followed_on_every_channel(
    registry: RegistryProcess, tmp_path: Path
) -> None:
    pulling = make_gate(tmp_path / "pulling", follow(registry), workers=1)
    pushed = make_gate(
        tmp_path / "pushed", follow(registry, pull=False, push=push_section()), workers=1
    )
    listen = pushed.settings["sync"]["push"]["listen"]
    registry.registry["push"] = [{"name": "edge", "url": f"http://{listen}"}]
    registry.write()
    registry.stop()
    registry.start()
    with running(pulling), running(pushed):
        first = registry.file("a.cn")
        for gate in (pulling, pushed):
            wait_for_revision(gate, first)
        database = str(registry.folder / "registry.db")
        run_gate("registry", "renew-epoch", "--db", database, stdin="y\n")
        for gate in (pulling, pushed):  # before the set is empty: a snapshot of none is held
            wait_for(
                lambda g=gate: figure(g, "gate_sync_snapshots_total") == 2,  # type: ignore[misc]
                "the new epoch's snapshot",
                40,
            )
        revision = registry.cancel("a.cn")
        for gate in (pulling, pushed):
            wait_for_revision(gate, revision)
            assert not passes(gate, "a.cn")
            assert figure(gate, "gate_sync_snapshots_total") == 2


def test_a_reload_goes_on_following(registry: RegistryProcess, tmp_path: Path) -> None:
    gate = make_gate(tmp_path / "gate", follow(registry, push=push_section()))
    with running(gate):
        wait_for_revision(gate, registry.file("a.cn"))
        assert gate.process is not None
        for _ in range(2):
            before = figure(gate, "gate_reloads_total", result="done")
            gate.process.send_signal(signal.SIGHUP)
            wait_for(
                lambda n=before: figure(gate, "gate_reloads_total", result="done") > n,  # type: ignore[misc]
                "the reload",
            )
        wait_for_revision(gate, registry.cancel("a.cn"), 30)
        assert not passes(gate, "a.cn")
        log = gate.log.read_text()
        assert "can't be served" not in log, "the push port is free for the successor"


def test_the_registry_inside_obeys_the_command_line(tmp_path: Path) -> None:
    helper = RegistryProcess(tmp_path / "unused")  # for its port only; never started
    gate = make_gate(
        tmp_path / "gate",
        {"registry": "embedded"},
        registry={"listen": f"127.0.0.1:{helper.port}"},
    )
    where = ("--state-dir", str(tmp_path / "gate"))
    filing = (
        "--account",
        "a1",
        "--name",
        "示例公司",
        "--province",
        "京",
        "--approve",
        "--generate",
    )
    with running(gate):
        assert not passes(gate, "www.shop.cn")
        run_gate("registry", "file", "shop.cn", *filing, *where)
        wait_for_revision(gate, 1)
        assert passes(gate, "www.shop.cn")
        run_gate("registry", "cancel", "service", "shop.cn", "--reason", "停办", "--yes", *where)
        wait_for_revision(gate, 2)
        assert not passes(gate, "www.shop.cn")
        for path in (tmp_path / "gate" / "keys").glob("*.pem"):
            assert path.stat().st_mode & 0o077 == 0
        for path in (tmp_path / "gate" / "registry").glob("*.token"):
            assert path.stat().st_mode & 0o077 == 0
        assert os.listdir(tmp_path / "gate" / "keys")
