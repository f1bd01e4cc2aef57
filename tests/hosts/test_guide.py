"""The guide for who stands in front of many hosts: its settings load, and its commands run."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from gate.settings import load
from tests.harness import filings
from tests.harness.guides import shell_blocks
from tests.harness.inner_stage import InnerStage
from tests.harness.namespaces import HOST, HOST_SIDE, InnerNetworks

GUIDE = (Path(__file__).parents[2] / "gate" / "docs" / "hosts.md").read_text(encoding="utf-8")
SETTINGS = re.findall(r"```yaml\n(.*?)```", GUIDE, re.DOTALL)


@pytest.mark.parametrize("text", SETTINGS, ids=("transparent", "proxy-protocol", "routes"))
def test_the_settings_of_each_way_load(tmp_path: Path, text: str) -> None:
    config = tmp_path / "gate.yaml"
    config.write_text(text)
    load(config, {})


def test_the_commands_run_in_their_order(inner: InnerStage, tmp_path: Path) -> None:
    rules, check, _ = shell_blocks(GUIDE)  # the last: tests/e2e/test_routes_file.py
    asked = f"www.{filings.UNFILED}"

    def run(script: str) -> str:
        for written, here in (
            ("/etc/gate/gate.yaml", str(inner.gate.config)),
            ("/etc/gate/", f"{tmp_path}/"),
            ("eth1", HOST_SIDE),
            ("203.0.113.9", HOST[4]),
            ("www.example.cn", asked),
            ("gate intercept", f"{Path(sys.executable).parent}/gate intercept"),
            ("gate check", f"{Path(sys.executable).parent}/gate check"),
        ):
            script = script.replace(written, here)
        return inner.networks.run(inner.networks.gate, "sh", "-e", "-c", script)

    assert run(rules) == "as the settings ask for\n"
    told = run(check)
    assert told.startswith(f"{asked}: blocked (unfiled)\n")
    assert "\n  tls      reset\n" in told
    assert "tls-tproxy4: enforce" in told


def test_the_rules_of_the_guides_settings_are_taken_by_the_kernel(
    networks: InnerNetworks, tmp_path: Path
) -> None:
    """In a network where nobody else has any."""
    config = tmp_path / "gate.yaml"
    config.write_text(SETTINGS[0])
    gate = f"{Path(sys.executable).parent}/gate"
    script = networks.run(networks.hosts, gate, "intercept", "--config", str(config))
    try:
        networks.run(networks.hosts, "sh", "-s", given=script)
        told = networks.run(networks.hosts, gate, "intercept", "--config", str(config), "--check")
        assert told == "as the settings ask for\n"
    finally:
        networks.run(networks.hosts, "nft", "flush", "ruleset")
        for version in ("-4", "-6"):
            networks.run(networks.hosts, "ip", version, "rule", "del", "fwmark", "1")
