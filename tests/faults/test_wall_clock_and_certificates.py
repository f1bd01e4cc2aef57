"""A gate whose wall clock is off refuses good certificates, says so, and takes them afterwards.

The registry's clock is right all the while.
"""

from __future__ import annotations

import datetime
from pathlib import Path

import pytest

from gate.cli import certs
from tests.harness.following import (
    figure,
    follow,
    make_gate,
    passes,
    push_section,
    wait_for_revision,
)
from tests.harness.gate_process import Gate, run_gate
from tests.harness.ports import free_port
from tests.harness.registry_process import RegistryProcess
from tests.harness.running import fill, log_of, new_gate, status_of
from tests.harness.waiting import wait_for
from tests.harness.wall_clock import WallClock
from tests.ops.test_admin_tls import put_mode

YEARS = 2 * 365 * 86400  # `gate certs init` makes them for one


@pytest.fixture
def clock(tmp_path: Path) -> WallClock:
    return WallClock(tmp_path)


@pytest.fixture
def files(tmp_path: Path) -> dict[str, str]:
    """Certificates and keys by their files' names."""
    folder = tmp_path / "certs"
    certs.init(folder, ["127.0.0.1"], now=datetime.datetime.now(datetime.UTC))
    return {path.name: str(path) for path in folder.iterdir()}


@pytest.mark.long
@pytest.mark.parametrize(
    ("off", "said"),
    [(YEARS, "certificate has expired"), (-YEARS, "certificate is not yet valid")],
    ids=["ahead", "behind"],
)
def test_pull_and_push_come_to_nothing_and_go_on_when_the_clock_is_right(
    tmp_path: Path, clock: WallClock, files: dict[str, str], off: int, said: str
) -> None:
    push = push_section() | {"tls": server_tls(files, "gate")}
    registry = RegistryProcess(
        tmp_path / "registry",
        {
            "tls": {"certificate": files["registry.pem"], "key": files["registry.key"]},
            "push": [{"name": "edge", "url": f"https://{push['listen']}"}],
            "push_tls": {
                "ca": files["ca.pem"],
                "certificate": files["registry-client.pem"],
                "key": files["registry-client.key"],
            },
        },
        ca=Path(files["ca.pem"]),
    ).start()
    sync = follow(registry, push=push, poll_seconds=1, tls={"ca": files["ca.pem"]})
    gate = make_gate(tmp_path / "gate", sync)
    gate.through = clock.through
    try:
        gate.start()
        first = registry.file("first.cn")
        wait_for_revision(gate, first)
        wait_for(lambda: registry.acknowledged("edge") >= first, "the acknowledgement", 30)

        clock.jump(off)
        registry.stop()  # what is open would go on as it is
        registry.start()
        wait_for(lambda: said in log_of(gate), "the gate's word", 30)
        wait_for_refusal(gate, "pull", "unreachable")
        wait_for_refusal(gate, "push", "handshake")
        told = f"if it refuses {files['registry-client.pem']}: is that in date by the clock there"
        wait_for(lambda: told in registry.log.read_text(), "the registry's", 30)
        second = registry.file("second.cn")
        assert passes(gate, "first.cn")
        assert not passes(gate, "second.cn")
        assert gate.ask_admin("/readyz")[0] == 200
        assert figure(gate, "gate_sync_connected", channel="pull") == 0

        clock.jump(-off)
        wait_for_revision(gate, second, 60)
        assert passes(gate, "second.cn")
        wait_for(lambda: registry.acknowledged("edge") >= second, "the acknowledgement", 60)
        wait_for(lambda: figure(gate, "gate_sync_connected", channel="pull") == 1, "the pull", 60)
        assert figure(gate, "gate_sync_stale") == 0
        assert log_of(gate).count(said) == 1, "the same again and again"
        assert "Traceback" not in log_of(gate)
    finally:
        gate.stop()
        registry.stop()


def test_the_admin_port_refuses_a_clients_certificate_until_the_clock_is_right(
    tmp_path: Path, clock: WallClock, files: dict[str, str]
) -> None:
    port, folder = free_port(), Path(files["ca.pem"]).parent
    admin = {"listen": f"127.0.0.1:{port}", "tls": server_tls(files, "gate")}
    gate = new_gate(tmp_path, workers=1, admin=admin)
    gate.through = clock.through
    fill(gate)
    gate.start_until(lambda: put_mode(port, folder, shows=True) == 200, "a change by certificate")
    try:
        clock.jump(YEARS)
        done = run_gate(
            *("mode", "--config", str(gate.config), "--ca", files["ca.pem"]),
            *("--cert", files["gate-client.pem"], "--key", files["gate-client.key"]),
            check=False,
        )
        assert done.returncode != 0
        assert "in date by its clock?" in done.stderr
        assert status_of(gate, "example.com") == 502, "traffic goes on"
        clock.jump(-YEARS)
        assert put_mode(port, folder, shows=True) == 200
    finally:
        gate.stop()


def wait_for_refusal(gate: Gate, channel: str, cause: str) -> None:
    """Until there is one more."""
    before = figure(gate, "gate_sync_refused_total", channel=channel, cause=cause)
    wait_for(
        lambda: figure(gate, "gate_sync_refused_total", channel=channel, cause=cause) > before,
        f"a refusal by {channel}",
        30,
    )


def server_tls(files: dict[str, str], name: str) -> dict[str, str]:
    """Settings of a port that asks for a client certificate."""
    return {
        "certificate": files[f"{name}.pem"],
        "key": files[f"{name}.key"],
        "client_ca": files["ca.pem"],
    }
