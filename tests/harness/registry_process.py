"""The filing registry in a process of its own: to be asked, killed, and started again."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Callable
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
from gate.settings import RegistrySettings
from tests.harness import prefork
from tests.harness.gate_process import GATE
from tests.harness.new_registry import migrated
from tests.harness.ports import free_port
from tests.harness.prefork import Loaded
from tests.harness.waiting import patience, wait_for


@dataclass
class RegistryProcess:
    """`gate registry serve` in `folder`; `registry` is that section of its settings."""

    folder: Path
    registry: dict[str, Any] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | prefork.Copy | None = None
    ca: Path | None = None
    """The CA of its certificate, where it has one."""

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        self.registry.setdefault("listen", f"127.0.0.1:{self.port}")
        self.config = self.folder / "registry.yaml"
        self.write()
        self._number = 0
        self.issue_tokens()

    def issue_tokens(self) -> None:
        """Make the tokens in its database, and the database if there is none."""
        settings = RegistrySettings.model_validate(self.registry)
        places = Places.of(settings, self.folder)
        migrated(places.database).close()
        opened = open_registry(places, settings)
        _, self.reader = opened.tokens.create(name="gate", role=Role.READER, actor=LOCAL)
        _, self.admin = opened.tokens.create(name="test", role=Role.ADMIN, actor=LOCAL)
        opened.database.close()
        self.token_file = self.folder / "reader.token"
        self.token_file.write_text(self.reader)

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
        before = self.log.stat().st_size if self.log.exists() else 0
        with self.log.open("ab") as log:
            command = [GATE, "registry", "serve", "--config", str(self.config)]
            environment = {key: value for key, value in os.environ.items() if "GATE" not in key}
            if prefork.is_executed():
                self.process = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    env=environment,
                )
            else:
                self.process = prefork.start(
                    command, Loaded.REGISTRY, output=log, errors=log, environment=environment
                )
        wait_for(lambda: self._serves(before), f"the registry; its log is {self.log}", 30)
        return self

    def _serves(self, before: int) -> bool:
        """Whether it has said so; not whether it listens: at first it would not obey SIGTERM."""
        assert self.process is not None
        said = self.log.read_bytes()[before:]
        assert self.process.poll() is None, said.decode(errors="replace")[-2000:]
        return b"the registry listens on" in said

    def kill(self) -> None:
        """End it at once, with SIGKILL."""
        if self.process is not None:
            self.process.kill()
            self.process.wait(10)
            self.process = None

    def stop(self) -> int:
        """End it by SIGTERM; its exit status, 0 if it did not run."""
        if self.process is None:
            return 0
        self.process.terminate()
        try:
            return self.process.wait(patience(30))
        except subprocess.TimeoutExpired:
            self.kill()
            raise
        finally:
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
        return self.remote.perform(Approve(application=application, generate=True)).revision

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
