"""`gate demo`, which `make run` runs: the commands that it prints work as printed."""

from __future__ import annotations

import os
import re
import signal
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from gate.cli.demo.certificate import ensure_certificate
from tests.harness.gate_process import GATE
from tests.harness.ports import free_port
from tests.harness.tools import require
from tests.harness.waiting import wait_for

SAMPLE = Path(__file__).parent.parent.parent / "config" / "sample-filings.csv"


def environment(state: Path) -> dict[str, str]:
    """The demo on free ports, with its state and keys below `state`."""
    listeners = ", ".join(
        f"{{name: {kind}, kind: {kind}, address: '127.0.0.1:{free_port()}'}}"
        for kind in ("http", "tls")
    )
    return os.environ | {
        "GATE_STATE_DIR": str(state / "run"),
        "GATE_LISTENERS": f"[{listeners}]",
        "GATE_ADMIN__LISTEN": f"127.0.0.1:{free_port()}",
        "GATE_NOTICE__LISTEN": f"127.0.0.1:{free_port()}",
        "GATE_REGISTRY__LISTEN": f"127.0.0.1:{free_port()}",
    }


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """What a running demo has printed."""
    folder = tmp_path_factory.mktemp("demo")
    output = folder / "output"
    command = [GATE, "demo", "--filings", str(SAMPLE), "--certs", str(folder / "certs")]
    with output.open("wb") as file:
        process = subprocess.Popen(
            command, stdout=file, stderr=subprocess.DEVNULL, env=environment(folder)
        )
    try:
        wait_for(lambda: "Ctrl-C stops everything." in output.read_text(), "the commands", 30)
        yield output.read_text()
    finally:
        process.send_signal(signal.SIGINT)
        assert process.wait(15) == 0


def paste(shown: str, title: str) -> subprocess.CompletedProcess[str]:
    """Runs the command printed below `title`."""
    require("curl")
    found = re.search(rf"# {title}: .*\n  (.*)\n", shown)
    assert found is not None
    return subprocess.run(found[1], shell=True, capture_output=True, text=True, timeout=30, cwd="/")


def test_a_filed_name_passes_over_http(shown: str) -> None:
    result = paste(shown, "filed, HTTP")
    assert result.stdout.startswith("HTTP/1.1 200 ")
    assert "The origin got GET / for www.example.com over HTTP." in result.stdout


def test_an_unfiled_name_is_redirected_over_http(shown: str) -> None:
    result = paste(shown, "unfiled, HTTP")
    assert result.stdout.startswith("HTTP/1.1 302 ")
    assert re.search(r"\nLocation: \S+\?domain=www.example.org&reason=unfiled\r?\n", result.stdout)


def test_a_filed_name_passes_over_https(shown: str) -> None:
    result = paste(shown, "filed, HTTPS")
    assert re.match(r"HTTP/\S+ 200", result.stdout)
    assert re.search(r"The origin got GET / for www.example.com:\d+ over HTTPS", result.stdout)


def test_an_unfiled_name_is_reset_over_https(shown: str) -> None:
    result = paste(shown, "unfiled, HTTPS")
    assert result.returncode == 35  # CURLE_SSL_CONNECT_ERROR
    assert result.stdout == ""
    assert "reset by peer" in result.stderr


def test_a_filing_passes_and_its_cancellation_blocks_live(shown: str) -> None:
    for _ in range(2):  # the printed commands work again and again
        assert paste(shown, "file a new service").returncode == 0
        wait_for(
            lambda: paste(shown, "unfiled, HTTP").stdout.startswith("HTTP/1.1 200 "), "pass", 10
        )
        assert re.match(r"HTTP/\S+ 200", paste(shown, "unfiled, HTTPS").stdout)

        assert paste(shown, "cancel it again").returncode == 0
        wait_for(
            lambda: "&reason=revoked" in paste(shown, "unfiled, HTTP").stdout, "a redirect", 10
        )
        assert "reset by peer" in paste(shown, "unfiled, HTTPS").stderr


@pytest.mark.parametrize("title", ["Notice page", "Metrics"])
def test_the_printed_addresses_answer(shown: str, title: str) -> None:
    require("curl")
    found = re.search(rf"^{title} +(http\S+)$", shown, re.MULTILINE)
    assert found is not None
    result = subprocess.run(
        ["curl", "-sf", found[1]], capture_output=True, text=True, check=True, timeout=30
    )
    assert result.stdout


def test_the_key_is_made_on_the_spot_and_kept_private(tmp_path: Path) -> None:
    certificate, key = ensure_certificate(tmp_path / "certs", ["www.example.com"])
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    before = certificate.read_bytes()
    ensure_certificate(tmp_path / "certs", ["www.example.com"])
    assert certificate.read_bytes() == before, "a good one is used again"
    ensure_certificate(tmp_path / "certs", ["www.example.com", "example.com"])
    assert certificate.read_bytes() != before, "one without a wanted name is made anew"
