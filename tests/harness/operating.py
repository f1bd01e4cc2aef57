"""A running gate as its operators see it: the admin API, the commands, the access lines."""

from __future__ import annotations

import contextlib
import http.client
import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.harness.gate_process import Gate, run_gate
from tests.harness.http_origin import HttpOrigin
from tests.harness.running import fill, new_gate
from tests.harness.waiting import patience, wait_for


@dataclass(slots=True, frozen=True)
class Reply:
    """An answer of the admin port."""

    status: int
    headers: dict[str, str]
    text: str

    @property
    def fields(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.text)
        return found


@contextlib.contextmanager
def running_gate(folder: Path) -> Iterator[Gate]:
    """A gate of two workers with example.com filed, before an HTTP origin."""
    origin = HttpOrigin()
    gate = new_gate(folder, origin.address)
    fill(gate)
    gate.start()
    try:
        yield gate
    finally:
        gate.stop()
        origin.close()


def token_of(gate: Gate) -> str:
    return (gate.directory / "admin.token").read_text().strip()


def ask(
    gate: Gate,
    method: str,
    path: str,
    body: Any = None,
    *,
    token: str | None = None,
    headers: dict[str, str] | None = None,
) -> Reply:
    """One request; `body` is sent as JSON unless it is bytes."""
    sent = dict(headers or {})
    if token is not None:
        sent["Authorization"] = f"Bearer {token}"
    data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
    if data is not None:
        sent.setdefault("Content-Type", "application/json")
    connection = http.client.HTTPConnection("127.0.0.1", gate.admin, timeout=patience(20))
    try:
        connection.request(method, path, data, sent)
        response = connection.getresponse()
        return Reply(response.status, dict(response.getheaders()), response.read().decode())
    finally:
        connection.close()


def change(gate: Gate, method: str, path: str, body: Any = None) -> dict[str, Any]:
    """A change that is to succeed."""
    reply = ask(gate, method, path, body, token=token_of(gate))
    assert reply.status < 300, reply.text
    return reply.fields


def command(gate: Gate, *arguments: str) -> subprocess.CompletedProcess[str]:
    """A `gate` command on the running gate."""
    return run_gate(*arguments, "--config", str(gate.config), check=False)


def counts(gate: Gate) -> dict[str, int]:
    """Requests by blocked name."""
    rows = ask(gate, "GET", "/v1/unfiled?limit=10000").fields["items"]
    return {row["name"]: row["count"] for row in rows}


def wait_for_counts(gate: Gate, wanted: dict[str, int]) -> None:
    wait_for(lambda: counts(gate) == wanted, f"the counts {wanted}")


def access_lines(path: Path) -> list[dict[str, Any]]:
    """The JSON lines on decisions in a log."""
    lines = (json.loads(line) for line in path.read_text().splitlines() if line.startswith("{"))
    return [line for line in lines if line.get("logger") == "gate.access"]
