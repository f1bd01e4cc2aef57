"""The walk into production (gate/docs/production.md), done as it says on a machine of its own."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.harness.machine import Machine
from tests.ops.conftest import COPIED

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "gate" / "docs" / "production.md"
ORIGIN = """
mkdir -p /srv/host && echo 'the site' >/srv/host/index.html
(cd /srv/host && python3 -m http.server --bind 127.0.0.1 8000 >/dev/null 2>&1 &)
"""


def blocks(heading: str) -> str:
    """The commands of one section of the page."""
    text = PAGE.read_text()
    section = re.split(r"^## ", text.split(f"## {heading}", 1)[1], maxsplit=1, flags=re.M)[0]
    return "\n".join(re.findall(r"^```sh\n(.*?)^```$", section, flags=re.M | re.S))


@pytest.mark.long
def test_the_walk_from_nothing_to_a_gate_in_front_of_a_host(
    tmp_path: Path, installed: Path
) -> None:
    with Machine(tmp_path, below=installed) as machine:
        for path, mode in {
            "etc/gate/gate.yaml": 0o640,
            "etc/gate/credentials": 0o700,
            "etc/gate/credentials/admin.token": 0o600,
            "var/lib/gate": 0o700,
            "var/lib/gate-registry": 0o700,
        }.items():
            assert (machine.root / path).stat().st_mode & 0o777 == mode, path
        script = "\n".join(
            [
                "set -x",
                ORIGIN,
                blocks("2. The registry"),
                blocks("3. The gate"),
                blocks("4. Does it do its work?"),
                "systemctl show gate gate-registry --property=ActiveState,NRestarts,User",
                "ls -l /var/lib/gate /var/lib/gate-registry",
                blocks("Upgrade, and away again").split("config/install.sh", 1)[0],
                "timeout 60 sh -c 'until gate status; do sleep 0.2; done'",
                "config/install.sh --uninstall --purge",
                "ls -d /opt/gate /etc/gate /var/lib/gate /usr/local/bin/gate || true",
                "id gate || true",
            ]
        )
        status, output = machine.boot(script, folder=COPIED)
        assert status == 0, output
    print(output)
    assert "example.com" in output
    assert re.search(r"^200$", output, flags=re.M)
    assert re.search(r"^302 http://127\.0\.0\.1:8081/\?domain=nobody-filed-this\.cn", output, re.M)
    assert re.search(r"^reset: (35|56)$", output, flags=re.M)
    assert output.count("NRestarts=0") == 2
    assert "Gate is gone, with its settings, secrets and state." in output
    assert "no such user" in output
