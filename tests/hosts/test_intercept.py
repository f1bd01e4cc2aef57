"""`gate intercept`: its rules fail closed, and it says how a system differs from the settings."""

from __future__ import annotations

import subprocess

import pytest

from tests.harness import filings
from tests.harness.client import Client, get
from tests.harness.gate_process import GATE, run_gate
from tests.harness.inner_stage import FAMILIES, REDIRECT, TPROXY, InnerStage
from tests.harness.namespaces import HOST, HOST_SIDE
from tests.harness.tools import require
from tests.harness.waiting import patience

both_families = pytest.mark.parametrize("family", FAMILIES, ids=("ipv4", "ipv6"))


def check(inner: InnerStage, *options: str) -> tuple[int, str]:
    """The exit status of `gate intercept --check` beside the gate, and what it prints."""
    done = subprocess.run(
        [
            *(require("ip"), "netns", "exec", inner.networks.gate),
            *(GATE, "intercept", "--config", str(inner.gate.config), "--check", *options),
        ],
        capture_output=True, text=True, check=False, timeout=patience(30),
    )  # fmt: skip
    return done.returncode, done.stdout + done.stderr


def test_a_system_that_is_as_the_settings_ask_for_is_told_so(inner: InnerStage) -> None:
    assert check(inner, "--host-side", HOST_SIDE) == (0, "as the settings ask for\n")


def test_each_difference_is_told(inner: InnerStage) -> None:
    nets = inner.networks
    table = ("inet", "gate_intercept")
    try:
        nets.run(nets.gate, "nft", "add", "rule", *table, "prerouting", "tcp", "dport", "9", "drop")
        status, text = check(inner, "--host-side", HOST_SIDE)
        assert status == 1
        assert "nftables: not of the settings: " in text
        nets.run(nets.gate, "ip", "-6", "rule", "del", "fwmark", "0x1", "lookup", "100")
        nets.run(nets.gate, "ip", "-4", "route", "flush", "table", "100")
        nets.run(nets.gate, "nft", "delete", "table", *table)
        status, text = check(inner, "--host-side", HOST_SIDE)
        assert status == 1
        assert text.splitlines() == [
            "nftables: there is no table inet gate_intercept; run the script",
            "ip -4 route: table 100 delivers nothing here; run the script",
            "ip -6 rule: none has fwmark 0x1 look up table 100; run the script",
        ]
        # Another mark or table, or other interfaces, are other rules.
        inner.intercept()
        for option in (("--mark", "2"), ("--table", "101"), ("--host-side", "eth9")):
            status, _ = check(inner, "--host-side", HOST_SIDE, *option)
            assert status == 1, option
    finally:
        inner.intercept()
    assert check(inner, "--host-side", HOST_SIDE)[0] == 0


def test_the_script_can_be_run_again(inner: InnerStage) -> None:
    """Also while the gate is at work: the rules are never missing for a moment."""
    assert inner.intercept() == inner.intercept()
    assert check(inner, "--host-side", HOST_SIDE)[0] == 0
    nets = inner.networks
    rules = nets.run(nets.gate, "ip", "-4", "rule", "show").splitlines()
    assert sum("fwmark 0x1 lookup 100" in rule for rule in rules) == 1


@both_families
def test_connections_of_the_hosts_themselves_are_left_alone(inner: InnerStage, family: int) -> None:
    """What comes in by the hosts' side is theirs to send: no listener judges it."""
    nets = inner.networks
    before = inner.gate.total("gate_connections_accepted_total")
    with nets.inside(nets.hosts), Client(80, host=HOST[family]) as client:
        assert client.ask(get(filings.UNFILED)).status == 200
    assert inner.gate.total("gate_connections_accepted_total") == before


@both_families
def test_quic_that_nobody_judges_is_no_way_past(inner: InnerStage, family: int) -> None:
    """Without a quic listener beside the tls one, UDP to its port reaches no host."""
    nets = inner.networks
    kind = {4: "ip", 6: "ip6"}[family]
    rules = nets.run(nets.gate, "nft", "list", "chain", "inet", "gate_intercept", "forwarding")
    assert any(
        line.split()[:2] == [kind, "daddr"] and line.endswith("udp dport 8443 drop")
        for line in rules.splitlines()
    )


def test_nothing_is_forwarded_while_the_gate_is_down(inner: InnerStage) -> None:
    """openwrt#23480: nft's tproxy lets through what there is no socket for."""
    inner.gate.stop()
    try:
        with inner.nobody_reached():
            for family in FAMILIES:
                for port in (TPROXY.http, TPROXY.tls):
                    with pytest.raises(TimeoutError):
                        inner.connect(HOST[family], port, seconds=0.3)
                for port in (REDIRECT.http, REDIRECT.tls):
                    with pytest.raises(ConnectionRefusedError):
                        inner.connect(HOST[family], port)
        status, text = check(inner, "--host-side", HOST_SIDE)
        assert status == 0
        assert "packets to hosts were dropped because no gate took them" in text
    finally:
        inner.gate.start()
    with inner.connect(HOST[4], TPROXY.http) as client:
        assert client.ask(get(filings.FILED)).status == 200


def test_without_a_transparent_listener_there_is_nothing_to_print() -> None:
    done = run_gate("intercept", check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert "no listener is transparent; set transparent and destinations" in done.stderr
