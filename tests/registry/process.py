"""A registry as a process of its own, to be killed."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from gate.registry.client import Remote
from gate.registry.commands import Role
from gate.registry.database import Database
from gate.registry.migrations import migrate
from gate.registry.registry import LOCAL, Registry
from tests.harness.waiting import wait_for

_LISTENS = re.compile(r"listens on \('127\.0\.0\.1', (\d+)\)")


class RegistryProcess:
    """`gate registry serve` on a free loopback port."""

    def __init__(self, folder: Path, database: str, **settings: Any) -> None:
        """Makes the schema and a token for an administrator; `start` starts it."""
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._config = folder / "gate.yaml"
        registry = {"listen": "127.0.0.1:0", "database": database} | settings
        text = json.dumps({"state_dir": str(folder / "state"), "registry": registry})
        self._config.write_text(text)
        opened = Database(database)
        migrate(opened)
        self.token = Registry(opened).create_token(name="test", role=Role.ADMIN, actor=LOCAL)[1]
        opened.close()
        self._process: subprocess.Popen[bytes] | None = None
        self.log = folder / "log"
        self.port = 0

    def start(self) -> None:
        """Start it, and wait until it listens."""
        program = Path(sys.executable).with_name("gate")
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                [program, "registry", "serve", "--config", self._config],
                stderr=log,
                stdin=subprocess.DEVNULL,
                env={key: value for key, value in os.environ.items() if "GATE" not in key},
            )
        found = wait_for(self._listening, "the registry to listen", 30)
        self.port = int(found)

    def remote(self) -> Remote:
        """A client with the administrator's token."""
        return Remote(f"http://127.0.0.1:{self.port}", self.token)

    def kill(self) -> None:
        """End it at once, with SIGKILL."""
        self._signal(signal.SIGKILL)

    def stop(self) -> int:
        """End it in order; gives back its exit status."""
        return self._signal(signal.SIGTERM)

    def _signal(self, number: int) -> int:
        if self._process is None:
            return 0
        self._process.send_signal(number)
        status = self._process.wait(30)
        self._process = None
        return status

    def _listening(self) -> str:
        assert self._process is not None
        text = self.log.read_text(errors="replace")
        assert self._process.poll() is None, text
        found = _LISTENS.search(text)
        return found[1] if found else ""
