"""The status page: strict by its headers, and read by a real browser from a real gate."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from gate.control.page.handler import HEADERS, PAGE
from tests.harness.browser import new_page
from tests.harness.gate_process import Gate
from tests.harness.operating import ask, change, counts, running_gate
from tests.harness.running import status_of
from tests.harness.waiting import wait_for

HOSTILE = "xn--fsqu00a.example.org"
STATE = "[document.getElementById('state').textContent, document.getElementById('state').className]"
ROWS = """[...document.querySelectorAll('#names tr')]
  .map((row) => [...row.cells].map((cell) => cell.innerText))"""


@pytest.fixture
def gate(tmp_path: Path) -> Iterator[Gate]:
    with running_gate(tmp_path) as gate:
        yield gate


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


@pytest.mark.parametrize(("device", "width"), [("phone", 390), ("desktop", 1280)])
async def test_a_browser_shows_state_top_names_listeners_and_processes(
    gate: Gate, tmp_path: Path, device: str, width: int
) -> None:
    for _ in range(3):
        status_of(gate, HOSTILE)
    wait_for(lambda: counts(gate).get(HOSTILE) == 3, "the name in the table")
    async with new_page(tmp_path / "profile") as page:
        await page.window(width)
        assert await page.open(f"http://127.0.0.1:{gate.admin}/") == ""
        await page.until("!document.getElementById('main').hasAttribute('aria-busy')")
        assert await page.value(STATE) == ["ready", "state good"]
        (row,) = await page.value(ROWS)
        assert row[0].split() == ["例子.example.org", HOSTILE]
        assert row[2:5] == ["3", "unfiled", "http"]
        text = await page.text()
        assert f"127.0.0.1:{gate.ports['http']}" in text
        assert "worker-1" in text
        # A table that is wider than the phone scrolls in its own box; the page does not.
        assert await page.value("document.documentElement.scrollWidth") == width
        for scheme in ("light", "dark"):
            await page.look(scheme=scheme)
            await page.picture(f"status-{device}-{scheme}")
        await page.look(medium="print")
        await page.picture(f"status-{device}-print")
        await page.look()
        change(gate, "PUT", "/v1/drain", {"draining": True})
        await page.until("document.getElementById('state').textContent === 'out of rotation'")
        assert await page.value(STATE) == ["out of rotation", "state warn"]
        assert page.complaints == []


def test_a_website_that_leads_here_is_shown_no_figures(gate: Gate) -> None:
    assert ask(gate, "GET", "/", headers={"Host": "evil.example"}).status == 200
    assert ask(gate, "GET", "/v1/status", headers={"Host": "evil.example"}).status == 401
