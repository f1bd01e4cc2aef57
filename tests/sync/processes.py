"""A registry and a gate in processes of their own, and a NATS server, all on loopback."""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from gate.registry.client import Remote, RemoteError
from gate.registry.commands import (
    Approve,
    CancelService,
    FirstFiling,
    Role,
    ServiceData,
    SubjectData,
)
from gate.registry.opening import open_registry
from gate.registry.places import Places
from gate.registry.registry import LOCAL
from gate.settings import Registry as RegistrySettings
from tests.harness.gate_process import GATE, Gate, listener
from tests.harness.ports import free_port
from tests.harness.tools import require
from tests.harness.waiting import wait_for

VERDICTS = 12  # connections that ask the same, so that every worker is asked


@dataclass
class RegistryProcess:
    """`gate registry serve` in `folder`; `registry` is that section of its settings."""

    folder: Path
    registry: dict[str, Any] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None
    ca: Path | None = None
    """The CA of its certificate, where it has one."""

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        self.registry.setdefault("listen", f"127.0.0.1:{self.port}")
        self.config = self.folder / "registry.yaml"
        self.write()
        settings = RegistrySettings.model_validate(self.registry)
        opened = open_registry(Places.of(settings, self.folder), settings)
        _, self.reader = opened.create_token(name="gate", role=Role.READER, actor=LOCAL)
        _, self.admin = opened.create_token(name="test", role=Role.ADMIN, actor=LOCAL)
        opened.database.close()
        self.token_file = self.folder / "reader.token"
        self.token_file.write_text(self.reader)
        self._number = 0

    def write(self) -> None:
        """Write the settings' file."""
        settings = {"state_dir": str(self.folder), "registry": self.registry}
        self.config.write_text(yaml.safe_dump(settings))

    @property
    def url(self) -> str:
        scheme = "https" if self.registry.get("tls") else "http"
        return f"{scheme}://127.0.0.1:{self.port}"

    @property
    def keys(self) -> Path:
        """The public keys for gates; there after the first start."""
        return self.folder / "keys" / "public.json"

    @property
    def log(self) -> Path:
        return self.folder / "registry.log"

    @property
    def remote(self) -> Remote:
        return Remote(self.url, self.admin, ca=self.ca)

    def start(self) -> RegistryProcess:
        """Start it, and return when it answers."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [GATE, "registry", "serve", "--config", str(self.config)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        wait_for(self._answers, f"the registry; its log is {self.log}", 30)
        return self

    def _answers(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, self.log.read_text()[-2000:]
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", self.port), 1).close()
            return self.keys.exists()
        return False

    def kill(self) -> None:
        """kill -9."""
        if self.process is not None:
            self.process.kill()
            self.process.wait(10)
            self.process = None

    def stop(self) -> None:
        """TERM."""
        if self.process is not None:
            self.process.terminate()
            try:
                self.process.wait(15)
            except subprocess.TimeoutExpired:
                self.kill()
                raise
            self.process = None

    def file(self, domain: str) -> int:
        """A first filing, approved; gives the revision."""
        self._number += 1
        application = self.remote.perform(
            FirstFiling(
                account=f"a-{os.getpid()}-{id(self)}-{self._number}-{domain}"[:64],
                province="京",
                subject=SubjectData(name="示例公司"),
                service=ServiceData(name="网站", domains=(domain,)),
            )
        ).application
        assert application is not None
        return self.remote.perform(Approve(application=application)).revision

    def cancel(self, domain: str) -> int:
        """Cancel a domain's service; gives the revision."""
        return self.remote.perform(CancelService(domain=domain)).revision

    def insist(self, operation: Callable[[str], int], domain: str) -> int | None:
        """An operation against a registry that may be away; None if its outcome is unknown."""
        try:
            return operation(domain)
        except RemoteError:
            return None

    def published(self) -> int:
        """The revision that is in the NATS stream."""
        return int(self.remote._json("GET", "/v1/followers")["nats"]["revision"])

    def acknowledged(self, gate: str) -> int:
        """The revision that a gate has acknowledged; -1 for none, or while nobody answers."""
        with contextlib.suppress(RemoteError):
            for row in self.remote._json("GET", "/v1/followers")["gates"]:
                if row["name"] == gate and row["revision"] is not None:
                    return int(row["revision"])
        return -1


def make_gate(folder: Path, sync: dict[str, Any], **settings: Any) -> Gate:
    """A gate with two workers and one HTTP listener, whose origin refuses every connection."""
    folder.mkdir(parents=True, exist_ok=True)
    settings = {
        "workers": 2,
        "listeners": [listener("http", "http")],
        "upstreams": {"default": {"http": [f"127.0.0.1:{free_port()}"]}, "rest_seconds": 0},
        "process": {"drain_seconds": 1},
        "sync": sync,
        **settings,
    }
    return Gate(folder, settings)


def follow(registry: RegistryProcess, **more: Any) -> dict[str, Any]:
    """The `sync` section of a gate that follows a registry."""
    return {
        "registry": registry.url,
        "token_file": str(registry.token_file),
        "keys": str(registry.keys),
        **more,
    }


def push_section() -> dict[str, Any]:
    """The `sync.push` section for a free loopback port."""
    return {"listen": f"127.0.0.1:{free_port()}"}


def passes(gate: Gate, name: str) -> bool:
    """Whether the gate lets a name pass, asked on several connections; they must agree."""
    verdicts = {_asked(gate, name) for _ in range(VERDICTS)}
    assert len(verdicts) == 1, f"the workers differ about {name}"
    return verdicts.pop()


def _asked(gate: Gate, name: str) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", gate.ports["http"], timeout=10)
    try:
        connection.request("GET", "/", headers={"Host": name})
        status = connection.getresponse().status
    finally:
        connection.close()
    assert status in (302, 502), status
    return status == 502


def figure(gate: Gate, name: str, **labels: str) -> float:
    """A figure of the gate's; -1 while its admin port is away."""
    if gate.ask_admin("/metrics")[0] != 200:
        return -1
    return gate.total(name, **labels)


def wait_for_revision(gate: Gate, revision: int, seconds: float = 20) -> None:
    """Until a revision is known to be in force in every worker."""
    wait_for(
        lambda: figure(gate, "gate_sync_enforced_revision") >= revision,
        f"revision {revision}; the log is {gate.log}",
        seconds,
    )


def control_process(gate: Gate) -> int:
    """The process id of the control process: the only child with the admin port's socket."""
    wanted = f"socket:[{_inode_of(gate.admin)}]"
    for pid in gate.children():
        with contextlib.suppress(OSError):
            descriptors = os.listdir(f"/proc/{pid}/fd")
            if wanted in {os.readlink(f"/proc/{pid}/fd/{number}") for number in descriptors}:
                return pid
    raise AssertionError("there is no control process")


def _inode_of(port: int) -> str:
    wanted = f":{port:04X}"
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if fields[1].endswith(wanted) and fields[3] == "0A":
            return fields[9]
    return ""


class Tap:
    """A TCP relay in front of a server, which can be cut after so many bytes of answers."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self.limit: int | None = None
        """Bytes of answers after which everything is cut and `on_limit` is called."""
        self.on_limit: Callable[[], None] = lambda: None
        self.passed = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        try:
            server = socket.create_connection(("127.0.0.1", self._target), 5)
        except OSError:
            client.close()
            return
        threading.Thread(target=self._copy, args=(client, server, False), daemon=True).start()
        self._copy(server, client, True)

    def _copy(self, source: socket.socket, sink: socket.socket, answers: bool) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(16_384):
                if answers and self.limit is not None:
                    if self.passed + len(data) > self.limit:
                        self.limit = None
                        self.on_limit()
                        break
                    self.passed += len(data)
                sink.sendall(data)
        for sock in (source, sink):
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()


@dataclass
class NatsServer:
    """A `nats-server` with JetStream, its storage in `folder`."""

    folder: Path
    process: subprocess.Popen[bytes] | None = None

    def __post_init__(self) -> None:
        self.port = free_port()

    @property
    def url(self) -> str:
        return f"nats://127.0.0.1:{self.port}"

    def start(self) -> NatsServer:
        """Start it, and return when it takes connections."""
        program = require("nats-server")
        self.folder.mkdir(parents=True, exist_ok=True)
        arguments = ["-a", "127.0.0.1", "-p", str(self.port), "-js", "-sd", str(self.folder)]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen([program, *arguments], stdout=log, stderr=log)
        wait_for(self._answers, "nats-server", 20)
        return self

    def _answers(self) -> bool:
        with (
            contextlib.suppress(OSError),
            socket.create_connection(("127.0.0.1", self.port), 1) as sock,
        ):
            return sock.recv(4) == b"INFO"
        return False

    def stop(self, *, number: int = signal.SIGTERM) -> None:
        if self.process is not None:
            self.process.send_signal(number)
            self.process.wait(15)
            self.process = None


@contextlib.contextmanager
def nats_server(folder: Path) -> Iterator[NatsServer]:
    """A running server, stopped at the end."""
    server = NatsServer(folder).start()
    try:
        yield server
    finally:
        server.stop(number=signal.SIGKILL)
