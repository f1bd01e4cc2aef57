"""What the hostile-traffic tests ask of a gate under siege."""

from __future__ import annotations

from tests.harness.client import get
from tests.harness.gate_process import Usage, usage
from tests.harness.stage import Stage
from tests.harness.waiting import wait_for

MIB = 1 << 20


def worker(stage: Stage) -> Usage:
    """What the one worker uses."""
    return usage(stage.gate.workers()[0])


def served(stage: Stage) -> bool:
    """Whether an honest client at another address is served."""
    with stage.http(source="127.0.0.77") as client:
        return client.ask(get("filed.com", "/honest")).status == 200


def all_ended(stage: Stage) -> None:
    """Wait until the gate holds no client connection any more."""
    wait_for(lambda: stage.gate.total("gate_connections_open") == 0, "every connection to end")
