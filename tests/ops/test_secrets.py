"""Secrets stay where they were put: no log, process list, dump, figure or error page has one.

A gate and a registry run at debug level with secrets that are known here. Everything that answers
is asked, rightly and wrongly; then all that came out is searched.
"""

from __future__ import annotations

import http.client
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.harness import prefork
from tests.harness.following import follow, make_gate, passes, wait_for_revision
from tests.harness.gate_process import Gate, run_gate
from tests.harness.ports import free_port
from tests.harness.registry_process import RegistryProcess
from tests.harness.waiting import wait_for

ADMIN = "admin-7Kq2vX9mR4tB6nZ1"
PASSWORD = "pa55-hG8wQe3LkU"
WRONG = "wrong-but-also-private-0000"


@dataclass
class Scene:
    """What runs, what it must not tell, and all that it told."""

    gate: Gate
    registry: RegistryProcess
    secrets: dict[str, str]
    heard: dict[str, str] = field(default_factory=dict)

    def hear(self, where: str, text: str) -> None:
        self.heard[where] = self.heard.get(where, "") + text

    def ask(
        self, port: int, method: str, path: str, token: str | None = None, body: Any = None
    ) -> int:
        """Ask, and keep the answer with its fields."""
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        headers = {"Content-Type": "application/json"}
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        connection.request(method, path, None if body is None else data, headers)
        response = connection.getresponse()
        text = response.read().decode(errors="replace")
        connection.close()
        self.hear(f"{method} {path.split('?')[0]}", f"{response.getheaders()} {text}")
        return response.status

    def look_at_processes(self) -> None:
        """The process list, as everybody on the machine sees it."""
        assert self.gate.process is not None
        assert self.registry.process is not None
        for pid in (self.gate.process.pid, *self.gate.children(), self.registry.process.pid):
            for name in ("cmdline", "comm"):
                self.hear("process list", Path(f"/proc/{pid}/{name}").read_text())

    def check(self) -> None:
        for where, text in self.heard.items():
            for what, secret in self.secrets.items():
                assert secret not in text, f"{where} tells {what}"


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    folder = tmp_path_factory.mktemp("secrets")
    registry = RegistryProcess(folder / "registry")
    document = registry.config.read_text() + "log:\n  level: debug\n"
    registry.config.write_text(document)
    with prefork.executing():  # the process list shows what was executed
        registry.start()
    gate = make_gate(
        folder / "gate",
        follow(registry, poll_seconds=1),  # so that it soon sees its token refused
        admin={"listen": f"127.0.0.1:{free_port()}", "token": ADMIN},
        log={"level": "debug", "access": {"sample": 1.0}},
        registry={"database": f"postgresql://gate:{PASSWORD}@127.0.0.1:{free_port()}/filings"},
    )
    secrets = {
        "the admin token": ADMIN,
        "the registry's reader token": registry.reader,
        "the registry's admin token": registry.admin,
        "the database's password": PASSWORD,
        "a wrong token": WRONG,
    }
    for number, file in enumerate(sorted((registry.folder / "keys").rglob("*"))):
        if file.is_file() and b"PRIVATE KEY" in file.read_bytes():
            secrets[f"signing key {number}"] = file.read_text().splitlines()[1]
    assert any(name.startswith("signing key") for name in secrets)
    try:
        revision = registry.file("a.cn")
        with prefork.executing():
            gate.start()
        wait_for_revision(gate, revision)
        yield Scene(gate, registry, secrets)
    finally:
        gate.stop()
        registry.stop()


def exercise(scene: Scene) -> None:
    """Every answer there is: right, without a token, with a wrong one, and malformed."""
    admin, registry = scene.gate.admin, scene.registry.port
    for path in (
        "/", "/metrics", "/healthz", "/readyz", "/v1/status", "/v1/config", "/v1/audit",
        "/v1/overrides", "/v1/unfiled", "/v1/unfiled.csv", "/v1/mode", "/v1/log-level",
        "/v1/drain", "/v1/reload", "/v1/openapi.json", "/v1/check?host=a.cn", "/v1/nothing",
    ):  # fmt: skip
        for token in (None, ADMIN, WRONG):
            scene.ask(admin, "GET", path, token)
    override = {"kind": "exempt", "seconds": 60, "reason": "a test", "by": "me"}
    for token in (None, ADMIN, WRONG):
        for body in (override, {"kind": 1}, b"{", b"\xff\xfe"):
            scene.ask(admin, "PUT", "/v1/overrides/b.cn", token, body)
        scene.ask(admin, "PUT", "/v1/log-level", token, {"level": "debug"})
        scene.ask(admin, "DELETE", "/v1/overrides/b.cn", token)
        scene.ask(admin, "POST", "/v1/nothing", token, {})
    assert scene.ask(admin, "PUT", "/v1/mode", WRONG, {"mode": "monitor"}) == 401
    for path in ("/v1/changes?after=0", "/v1/domains", "/v1/followers", "/v1/tokens", "/v1/none"):
        for token in (None, scene.registry.admin, scene.registry.reader, WRONG):
            scene.ask(registry, "GET", path, token)
            scene.ask(registry, "POST", path, token, b"{")
    passes(scene.gate, "a.cn")
    passes(scene.gate, "b.cn")
    notice = int(scene.gate.settings["notice"]["listen"].rpartition(":")[2])
    scene.ask(notice, "GET", "/?domain=b.cn&reason=unfiled")


def test_nothing_that_answers_or_logs_tells_a_secret(scene: Scene) -> None:
    exercise(scene)
    scene.registry.token_file.write_text(WRONG)  # the gate is refused, and says so
    wait_for(lambda: "sync.token_file" in scene.gate.log.read_text(), "the refusal in the log", 90)
    scene.look_at_processes()
    scene.registry.token_file.write_text(scene.registry.reader)
    scene.hear("the gate's log", scene.gate.log.read_text())
    scene.hear("the registry's log", scene.registry.log.read_text())
    assert "DEBUG" in scene.heard["the gate's log"].upper()
    scene.check()
    assert "********" in scene.heard["GET /v1/config"]


def test_commands_tell_no_secret(scene: Scene) -> None:
    """With the secrets in the environment; rightly used, wrongly, and against a broken setting."""
    environment = os.environ | {
        "GATE_ADMIN_TOKEN": ADMIN,
        "GATE_REGISTRY_TOKEN": scene.registry.admin,
        "GATE_ADMIN__TOKEN": ADMIN,
    }
    url = f"http://127.0.0.1:{scene.gate.admin}"
    config = str(scene.gate.config)
    broken = scene.gate.directory / "broken.yaml"
    broken.write_text(scene.gate.config.read_text() + "bogus: 1\n")
    for command in (
        ("config", "check", "--config", config),
        ("config", "check", "--config", str(broken)),
        ("status", "--url", url),
        ("exempt", "c.cn", "--url", url),
        ("mode", "sideways", "--url", url),
        ("overrides", "--url", "http://127.0.0.1:1"),
        ("registry", "domain", "list", "--url", scene.registry.url),
        ("registry", "show", "a.cn", "--url", "http://127.0.0.1:1"),
        ("serve", "--config", str(broken)),
    ):
        run = run_gate(*command, check=False, environment=environment)
        scene.hear(" ".join(command[:2]), run.stdout + run.stderr)
    scene.check()


def test_database_out_of_reach_is_told_without_its_password(scene: Scene, tmp_path: Path) -> None:
    """By the registry's own start, by a command that works on it, and for a wrong URL."""
    right = f"postgresql://gate:{PASSWORD}@127.0.0.1:{free_port()}/filings"
    for number, url in enumerate(
        (right, right.replace("filings", "x y"), f"oracle://a:{PASSWORD}@h/x")
    ):
        config = tmp_path / f"{number}.yaml"
        config.write_text(f"state_dir: {tmp_path}\nregistry:\n  database: '{url}'\n")
        for command, more in (
            (("registry", "serve", "--config", str(config)), {}),
            (("registry", "token", "list"), {"GATE_REGISTRY_DB": url}),
        ):
            run = run_gate(*command, check=False, environment=os.environ | more)
            assert run.returncode != 0
            assert run.stderr
            scene.hear(f"{command[1]} on a database that is not there", run.stdout + run.stderr)
    scene.check()


def test_short_token_in_the_settings_is_refused_without_being_shown(tmp_path: Path) -> None:
    config = tmp_path / "gate.yaml"
    config.write_text("admin:\n  token: 'sh0rt-secret'\n")
    run = run_gate("config", "check", "--config", str(config), check=False)
    assert run.returncode == 2
    assert "admin.token" in run.stdout + run.stderr
    assert "sh0rt-secret" not in run.stdout + run.stderr


def test_files_with_secrets_are_for_their_owner_only(scene: Scene) -> None:
    """What the gate and the registry make themselves; key and token files, audit and sockets."""
    made = [
        file
        for top in (scene.registry.folder / "keys", scene.gate.directory)
        for file in top.rglob("*")
        if file.is_file() and (b"PRIVATE KEY" in file.read_bytes() or file.suffix == ".token")
    ]
    assert made
    for file in made:
        assert file.stat().st_mode & 0o077 == 0, file
