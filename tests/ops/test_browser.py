"""What people see: headless Chromium goes through a real gate to real pages."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.harness.certificates import make_certificates
from tests.harness.gate_process import Gate, listener, run_gate
from tests.harness.http_origin import HttpOrigin
from tests.harness.tls_origin import TlsOrigin
from tests.harness.tools import require
from tests.harness.waiting import wait_for

ARTEFACTS = Path(__file__).parent.parent / "artefacts"
SECONDS = 60


@pytest.fixture(scope="module")
def gate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gate]:
    """A gate with filed.com filed, before an HTTP and an HTTPS origin."""
    folder = tmp_path_factory.mktemp("browser")
    origin = HttpOrigin()
    tls_origin = TlsOrigin(make_certificates(folder, ["filed.com"]))
    gate = Gate(
        folder,
        {
            "workers": 1,
            "listeners": [listener("http", "http"), listener("tls", "tls")],
            "upstreams": {"default": {"http": [origin.address], "tls": [tls_origin.address]}},
            "process": {"drain_seconds": 0},
        },
    )
    run_gate("import", "--config", str(gate.config), "-", stdin="filed.com\n")
    gate.start()
    yield gate
    gate.stop()
    origin.close()
    tls_origin.close()


def command(gate: Gate, profile: Path) -> list[str]:
    """A new browser for which every name is the gate's."""
    rules = [f"MAP *:80 127.0.0.1:{gate.ports['http']}", f"MAP *:443 127.0.0.1:{gate.ports['tls']}"]
    return [
        require("chromium"),
        *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
        *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
        "--ignore-certificate-errors",
        f"--user-data-dir={profile}",
        f"--host-resolver-rules={', '.join(rules)}",
    ]


def browse(gate: Gate, profile: Path, url: str, *options: str) -> str:
    """Open `url`; what the browser prints."""
    whole = [*command(gate, profile), *options, url]
    done = subprocess.run(whole, capture_output=True, text=True, timeout=SECONDS, check=True)
    return done.stdout


@pytest.mark.parametrize("width", [390, 1280], ids=["phone", "desktop"])
def test_an_unfiled_page_leads_to_the_notice_in_both_languages(
    gate: Gate, tmp_path: Path, width: int
) -> None:
    url = "http://www.unfiled.com/shop"
    picture = ARTEFACTS / f"notice-{width}.png"
    ARTEFACTS.mkdir(exist_ok=True)
    picture.unlink(missing_ok=True)
    size = f"--window-size={width},900"
    text = browse(gate, tmp_path / "text", url, size, "--dump-dom")
    assert "www.unfiled.com" in text
    assert "备案" in text
    assert 'lang="zh' in text
    assert 'lang="en' in text
    assert "filing" in text.lower()
    browse(gate, tmp_path / "picture", url, size, f"--screenshot={picture}")
    assert picture.read_bytes().startswith(b"\x89PNG")


async def test_an_unfiled_https_page_shows_a_reset_connection(gate: Gate, tmp_path: Path) -> None:
    # `--dump-dom` prints nothing for an error page: ask the browser itself.
    port_file = tmp_path / "DevToolsActivePort"
    process = subprocess.Popen(  # noqa: ASYNC220 - nothing else runs in this loop
        [*command(gate, tmp_path), "--remote-debugging-port=0", "about:blank"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_for(lambda: port_file.exists() and "\n" in port_file.read_text(), "Chromium", SECONDS)
        address = f"http://127.0.0.1:{port_file.read_text().split()[0]}"
        async with aiohttp.ClientSession() as session:
            async with session.get(f"{address}/json/list") as answer:
                pages = [page for page in await answer.json() if page["type"] == "page"]
            async with session.ws_connect(pages[0]["webSocketDebuggerUrl"]) as page:
                url = {"url": "https://www.unfiled.com/"}
                went = await call(page, 1, "Page.navigate", url)
                assert went["errorText"] == "net::ERR_CONNECTION_RESET"
                what = {"expression": "document.documentElement.outerHTML"}
                async with asyncio.timeout(SECONDS):
                    text = ""
                    while "ERR_CONNECTION_RESET" not in text:
                        shown = await call(page, 2, "Runtime.evaluate", what)
                        text = str(shown["result"].get("value"))
    finally:
        process.terminate()
        process.wait(SECONDS)


async def call(
    page: aiohttp.ClientWebSocketResponse, number: int, method: str, parameters: dict[str, str]
) -> dict[str, Any]:
    """One request of the DevTools protocol; its result."""
    await page.send_json({"id": number, "method": method, "params": parameters})
    while True:
        message = await page.receive_json(timeout=SECONDS)
        if message.get("id") == number:
            return dict(message["result"])


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_filed_page_loads(gate: Gate, tmp_path: Path, scheme: str) -> None:
    # Chromium tries https first where nobody said http; here somebody did.
    plain = "--disable-features=HttpsUpgrades,HttpsFirstBalancedMode,HttpsFirstModeIncognito"
    text = browse(gate, tmp_path, f"{scheme}://www.filed.com/hello", plain, "--dump-dom")
    shown = {
        "http": "origin: GET www.filed.com /hello",
        "https": "tls origin: www.filed.com /hello",
    }
    assert shown[scheme] in text
