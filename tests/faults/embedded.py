"""A gate with an embedded registry, and what the tests have that registry do."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from gate.registry.client import Remote
from gate.registry.commands import (
    Approve,
    CancelService,
    FirstFiling,
    ServiceData,
    SubjectData,
)
from gate.registry.places import ACCESS_FILE
from tests.faults.watching import FILED
from tests.harness.gate_process import Gate
from tests.harness.ports import free_port
from tests.harness.waiting import wait_for

DOMAIN = FILED.removeprefix("www.")


@contextmanager
def gate_inside(
    folder: Path, settings: dict[str, Any], *, through: tuple[str, ...] = ()
) -> Iterator[Gate]:
    """A running gate that has filed `DOMAIN`; `settings` go over those for the registry."""
    registry = {"listen": f"127.0.0.1:{free_port()}"} | settings.get("registry", {})
    sync = {"registry": "embedded"} | settings.get("sync", {})
    gate = Gate(folder, settings | {"registry": registry, "sync": sync}, through=through)
    gate.start()
    try:
        file(gate, DOMAIN)
        yield gate
    finally:
        gate.stop()


def remote(gate: Gate) -> Remote:
    """The embedded registry, as its administrator."""
    access = json.loads((gate.directory / "registry" / ACCESS_FILE).read_text())
    return Remote(access["url"], access["token"])


def file(gate: Gate, domain: str) -> None:
    """A first filing, approved; returns when it is in force in every worker."""
    registry = remote(gate)
    application = registry.perform(
        FirstFiling(
            account=f"of-{domain}",
            province="京",
            subject=SubjectData(name="owner"),
            service=ServiceData(name="shop", domains=(domain,)),
        )
    ).application
    assert application is not None
    _in_force(gate, registry.perform(Approve(application=application, generate=True)).revision)


def cancel(gate: Gate, domain: str) -> None:
    """The end of a domain's service; returns when it is in force in every worker."""
    _in_force(gate, remote(gate).perform(CancelService(domain=domain)).revision)


def _in_force(gate: Gate, revision: int) -> None:
    wait_for(
        lambda: gate.total("gate_sync_enforced_revision") >= revision,
        f"revision {revision}; the log is {gate.log}",
        30,
    )
