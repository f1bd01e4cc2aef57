"""The status page: strict by its headers, and read by a real browser from a real gate."""

from __future__ import annotations

import base64
import hashlib
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from gate.control.page import HEADERS, PAGE
from tests.harness.gate_process import Gate
from tests.harness.http_origin import HttpOrigin
from tests.harness.tools import require
from tests.harness.waiting import wait_for
from tests.ops.operating import ask, change, counts
from tests.supervisor.running import fill, new_gate, status_of

HOSTILE = "xn--fsqu00a.example.org"


@pytest.fixture
def gate(tmp_path: Path) -> Iterator[Gate]:
    origin = HttpOrigin()
    gate = new_gate(tmp_path, origin.address)
    fill(gate)
    gate.start()
    yield gate
    gate.stop()
    origin.close()


def test_the_policy_allows_the_pages_own_script_and_style_and_no_other() -> None:
    policy = HEADERS["Content-Security-Policy"]
    for tag, directive in (("script", "script-src"), ("style", "style-src")):
        (text,) = re.findall(rf"<{tag}>(.*?)</{tag}>", PAGE, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{directive} 'sha256-{digest}'" in policy
    assert "unsafe" not in policy
    assert policy.startswith("default-src 'none'")


def test_the_page_loads_nothing_from_elsewhere_and_never_writes_html() -> None:
    assert re.findall(r"""(?:src|href)="(?!/|data:,")[^"]*\"""", PAGE) == []
    assert "https://" not in PAGE
    assert "innerHTML" not in PAGE
    assert " style=" not in PAGE


def browse(url: str, profile: Path, *options: str) -> tuple[str, str]:
    """What the browser prints, and what it complains of."""
    done = subprocess.run(
        [
            require("chromium"),
            *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
            *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
            "--enable-logging=stderr",
            "--virtual-time-budget=5000",
            f"--user-data-dir={profile}",
            *options,
            url,
        ],
        capture_output=True,
        text=True,
        timeout=90,
        check=True,
    )
    return done.stdout, done.stderr


def test_a_browser_shows_state_top_names_listeners_and_processes(
    gate: Gate, tmp_path: Path
) -> None:
    for _ in range(3):
        status_of(gate, HOSTILE)
    wait_for(lambda: counts(gate).get(HOSTILE) == 3, "the name in the table")
    page, complaints = browse(f"http://127.0.0.1:{gate.admin}/", tmp_path / "one", "--dump-dom")
    assert '<p id="state" role="status" class="state good">ready</p>' in page
    assert "例子.example.org<small>xn--fsqu00a.example.org</small>" in page
    assert f"127.0.0.1:{gate.ports['http']}" in page
    assert "worker-1" in page
    assert "Content Security Policy" not in complaints
    change(gate, "PUT", "/v1/drain", {"draining": True})
    page, _ = browse(f"http://127.0.0.1:{gate.admin}/", tmp_path / "two", "--dump-dom")
    assert "out of rotation</p>" in page


def test_a_website_that_leads_here_is_shown_no_figures(gate: Gate) -> None:
    assert ask(gate, "GET", "/", headers={"Host": "evil.example"}).status == 200
    assert ask(gate, "GET", "/v1/status", headers={"Host": "evil.example"}).status == 401
