"""Headless Chromium, driven through its own DevTools protocol.

`--dump-dom` gives the HTML only, and nothing at all for an error page: what a person sees (the
visible text, the width of the page, a picture, another colour scheme) has to be asked for.
"""

from __future__ import annotations

import asyncio
import base64
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

from tests.harness.tools import require
from tests.harness.waiting import wait_for

ARTEFACTS = Path(__file__).parent.parent / "artefacts"
SECONDS = 90

_VISIBLE = "document.body ? document.body.innerText : ''"
_TOO_WIDE = """
    [...document.querySelectorAll('*')]
      .filter((one) => one.scrollWidth > window.innerWidth
        || one.getBoundingClientRect().right > window.innerWidth + 0.5)
      .map((one) => one.tagName + '.' + one.className)
"""


class NavigatedError(Exception):
    """The page that was asked is not there any more: another one is coming."""


class Page:
    """One page of the browser."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._calls = 0
        self.complaints: list[str] = []
        """What the browser logged against the page: a refused style, a script that failed."""

    async def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """One request of the protocol; its result."""
        self._calls += 1
        await self._socket.send_json({"id": self._calls, "method": method, "params": parameters})
        while True:
            message = await self._socket.receive_json(timeout=SECONDS)
            if message.get("id") == self._calls:
                if "navigated" in str(message.get("error", "")):
                    raise NavigatedError(message)
                assert "result" in message, message
                return dict(message["result"])
            if message.get("method") == "Log.entryAdded":
                self.complaints.append(message["params"]["entry"]["text"])

    async def value(self, expression: str) -> Any:
        """The value of a JavaScript expression in the page."""
        found = await self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        return found["result"].get("value")

    async def window(self, width: int, height: int = 900, *, scale: int = 1) -> None:
        """Give the page this many pixels, as a phone or a desktop does; `scale` is the zoom."""
        await self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=scale,
            mobile=width < 600,
        )

    async def look(self, *, medium: str = "screen", scheme: str = "light") -> None:
        """Show the page in a medium (screen, print) and a colour scheme (light, dark)."""
        feature = {"name": "prefers-color-scheme", "value": scheme}
        await self.call("Emulation.setEmulatedMedia", media=medium, features=[feature])

    async def open(self, url: str) -> str:
        """Go to `url` and wait until it has loaded; the error that the browser shows, or ""."""
        went = await self.call("Page.navigate", url=url)
        error = str(went.get("errorText", ""))
        if not error:
            await self.until("document.readyState === 'complete'")
        return error

    async def until(self, expression: str) -> None:
        """Wait until a JavaScript expression is true."""
        async with asyncio.timeout(SECONDS):
            while not await self._is_true(expression):  # noqa: ASYNC110 - nothing tells of it
                await asyncio.sleep(0.05)

    async def _is_true(self, expression: str) -> bool:
        try:
            return bool(await self.value(expression))
        except NavigatedError:
            return False

    async def text(self) -> str:
        """The text that can be seen."""
        return str(await self.value(_VISIBLE))

    async def too_wide(self) -> list[str]:
        """The elements that reach beyond the window's right edge."""
        return list(await self.value(_TOO_WIDE))

    async def picture(self, name: str) -> Path:
        """Keep a picture of the whole page as tests/artefacts/`name`.png."""
        shot = await self.call("Page.captureScreenshot", captureBeyondViewport=True)
        ARTEFACTS.mkdir(exist_ok=True)
        path = ARTEFACTS / f"{name}.png"
        path.write_bytes(base64.b64decode(shot["data"]))
        return path


@asynccontextmanager
async def new_page(profile: Path, *options: str, quic: bool = False) -> AsyncIterator[Page]:
    """A page of a new browser, which is closed afterwards; `quic` lets it use HTTP/3."""
    port_file = profile / "DevToolsActivePort"
    process = subprocess.Popen(  # noqa: ASYNC220 - nothing else runs in this loop
        [
            require("chromium"),
            *("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run"),
            "--enable-quic" if quic else "--disable-quic",
            *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
            *("--ignore-certificate-errors", "--hide-scrollbars"),
            f"--user-data-dir={profile}",
            "--remote-debugging-port=0",
            *options,
            "about:blank",
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_for(lambda: port_file.exists() and "\n" in port_file.read_text(), "Chromium", SECONDS)
        address = f"http://127.0.0.1:{port_file.read_text().split()[0]}"
        async with aiohttp.ClientSession() as session:
            async with session.get(f"{address}/json/list") as answer:
                pages = [page for page in await answer.json() if page["type"] == "page"]
            url = pages[0]["webSocketDebuggerUrl"]
            async with session.ws_connect(url, max_msg_size=0) as socket:
                page = Page(socket)
                for domain in ("Page", "Log"):
                    await page.call(f"{domain}.enable")
                yield page
    finally:
        process.terminate()
        process.wait(SECONDS)
