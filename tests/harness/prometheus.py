"""A real Prometheus that watches a gate, with the rules as they are shipped."""

from __future__ import annotations

import json
import re
import subprocess
import time
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any, Final

import yaml

from tests.harness.ports import free_port
from tests.harness.tools import require
from tests.harness.waiting import wait_for

CONFIG: Final = Path(__file__).parents[2] / "config"
RULES: Final = CONFIG / "prometheus" / "rules.yml"
DASHBOARD: Final = CONFIG / "grafana" / "gate.json"


class Prometheus:
    """A real server that scrapes one gate every second, or as many as it is told."""

    def __init__(self, directory: Path, gate_port: int, *, seconds: int = 1) -> None:
        self.port = free_port()
        rules = directory / "rules.yml"
        # The rules as they are shipped, but for the patience of a minute and more.
        rules.write_text(re.sub(r"for: \d+m", "for: 1s", RULES.read_text()))
        config = {
            "global": {"scrape_interval": f"{seconds}s", "evaluation_interval": f"{seconds}s"},
            "rule_files": [str(rules)],
            "scrape_configs": [
                {
                    "job_name": "gate",
                    "static_configs": [{"targets": [f"127.0.0.1:{gate_port}"]}],
                }
            ],
        }
        file = directory / "prometheus.yml"
        file.write_text(yaml.safe_dump(config))
        self.log = (directory / "prometheus.log").open("ab")
        self.process = subprocess.Popen(
            [
                require("prometheus"),
                f"--config.file={file}",
                f"--storage.tsdb.path={directory / 'tsdb'}",
                f"--web.listen-address=127.0.0.1:{self.port}",
            ],
            stdout=self.log,
            stderr=self.log,
        )
        wait_for(self.answers, "Prometheus to answer", 30)

    def answers(self) -> bool:
        try:
            return bool(self.get("/-/ready"))
        except OSError:
            return False

    def get(self, path: str) -> str:
        url = f"http://127.0.0.1:{self.port}{path}"
        with urllib.request.urlopen(url, timeout=5) as response:
            return str(response.read().decode())

    def query(self, expression: str) -> list[dict[str, Any]]:
        answer = json.loads(
            self.get(f"/api/v1/query?{urllib.parse.urlencode({'query': expression})}")
        )
        assert answer["status"] == "success"
        return list(answer["data"]["result"])

    def range(self, expression: str, *, last: int, step: int) -> list[dict[str, Any]]:
        """Return the series of an expression over the last so many seconds."""
        now = time.time()
        asked = {"query": expression, "start": f"{now - last}", "end": f"{now}", "step": f"{step}"}
        answer = json.loads(self.get(f"/api/v1/query_range?{urllib.parse.urlencode(asked)}"))
        assert answer["status"] == "success"
        return list(answer["data"]["result"])

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(20)
        self.log.close()
