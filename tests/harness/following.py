"""Gates that follow a registry, and what is asked of them."""

from __future__ import annotations

import http.client
from pathlib import Path
from typing import Any

from tests.harness.gate_process import Gate, listener
from tests.harness.ports import free_port
from tests.harness.registry_process import RegistryProcess
from tests.harness.waiting import patience, wait_for

VERDICTS = 12  # connections that ask the same, so that every worker is asked


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
    """Whether the gate lets a name pass, asked on several connections; they must agree.

    An origin answers 200 then, and the gate 502 if there is none.
    """
    found = verdicts(gate, name)
    assert len(found) == 1, f"the workers differ about {name}"
    return found.pop()


def verdicts(gate: Gate, name: str) -> set[bool]:
    """Whether the gate lets a name pass, asked on several connections.

    The workers differ for a moment where each goes by its own clock.
    """
    return {_asked(gate, name) for _ in range(VERDICTS)}


def _asked(gate: Gate, name: str) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", gate.ports["http"], timeout=patience(10))
    try:
        connection.request("GET", "/", headers={"Host": name})
        status = connection.getresponse().status
    finally:
        connection.close()
    assert status in (200, 302, 502), status
    return status != 302


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
    (pid,) = gate.who_listens(gate.admin)
    return pid
