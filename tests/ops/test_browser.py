"""What people see: headless Chromium goes through a real gate to real pages."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest

from tests.harness.browser import Page, new_page
from tests.harness.certificates import make_certificates
from tests.harness.gate_process import Gate, listener, run_gate
from tests.harness.http_origin import HttpOrigin
from tests.harness.tls_origin import TlsOrigin

UNAVAILABLE = "This website is not available at present"
ENGLISH = {
    "unfiled": UNAVAILABLE,
    "filed_elsewhere": UNAVAILABLE,
    "suspended": "Access to this website is suspended",
}
"""The title that the English half begins with."""
LIST = "domain,status\nfiled.com,filed\nelsewhere.com,filed_elsewhere\nstopped.com,suspended\n"


@pytest.fixture(scope="module")
def gate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gate]:
    """A gate with filed.com filed here and elsewhere.com filed through another provider."""
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
    run_gate("import", "--config", str(gate.config), "-", stdin=LIST)
    gate.start()
    yield gate
    gate.stop()
    origin.close()
    tls_origin.close()


def browser(gate: Gate, profile: Path) -> AbstractAsyncContextManager[Page]:
    """A new browser for which every name is the gate's."""
    rules = [f"MAP *:80 127.0.0.1:{gate.ports['http']}", f"MAP *:443 127.0.0.1:{gate.ports['tls']}"]
    return new_page(
        profile,
        f"--host-resolver-rules={', '.join(rules)}",
        # Chromium tries https first where nobody said http; here somebody did.
        "--disable-features=HttpsUpgrades,HttpsFirstBalancedMode,HttpsFirstModeIncognito",
    )


# What the page tells of each reason: the filing that is due and the first thing to do.
SAID = [
    (
        "http://www.unfiled.com/shop",
        "unfiled",
        "www.unfiled.com",
        (
            "该网站暂时无法访问",
            "没有查到该域名的 ICP 备案信息。",
            "需要办理\n首次备案\n",
            "登录服务器所在云服务商的备案系统，为该域名提交首次备案申请",
            "如果您是访客",
        ),
        (
            "No ICP filing was found for this domain.",
            "Filing due\nFirst filing (首次备案)\n",
            "submit a first filing for the domain",
            "If you are a visitor",
        ),
    ),
    (
        "http://shop.elsewhere.com/",
        "filed_elsewhere",
        "shop.elsewhere.com",
        (
            "该网站暂时无法访问",
            "该域名已有 ICP 备案，但尚未在当前云服务商办理接入。",
            "需要办理\n接入备案\n",
            "登录当前云服务商的备案系统，为该域名提交接入备案申请",
            "如果您是访客",
        ),
        (
            "This domain has an ICP filing, but not through the cloud provider that serves it now.",
            "Filing due\nAccess filing (接入备案)\n",
            "submit an access filing for the domain",
            "If you are a visitor",
        ),
    ),
    (
        "http://stopped.com/",
        "suspended",
        "stopped.com",
        ("该网站已被暂停访问", "该域名已有备案，但云服务商已暂停其访问。", "如果您是访客"),
        ("This domain is filed, but the cloud provider has suspended access to it.",),
    ),
]


@pytest.mark.parametrize(
    ("url", "reason", "domain", "chinese", "english"), SAID, ids=[row[1] for row in SAID]
)
async def test_an_unfiled_page_leads_to_instructions_in_both_languages(
    gate: Gate,
    tmp_path: Path,
    url: str,
    reason: str,
    domain: str,
    chinese: tuple[str, ...],
    english: tuple[str, ...],
) -> None:
    async with browser(gate, tmp_path) as page:
        for device, width in (("phone", 390), ("desktop", 1280)):
            await page.window(width)
            assert await page.open(url) == ""
            assert (await page.value("location.href")).startswith(f"{gate.notice_url}?")
            assert await page.value("window.innerWidth") == width
            text = await page.text()
            first, second = text.split(ENGLISH[reason])
            for words in chinese:
                assert words in first, text
            for words in english:
                assert words in second, text
            assert first.count(domain) == 1, text
            assert second.count(domain) == 1, text
            assert f"原因代码 · Reason: {reason}" in second
            assert await page.too_wide() == []
            for scheme in ("light", "dark"):
                await page.look(scheme=scheme)
                await page.picture(f"notice-{reason}-{device}-{scheme}")
            await page.look()
        await page.look(medium="print")
        await page.window(794)  # A4 at 96 pixels an inch
        assert await page.too_wide() == []
        await page.picture(f"notice-{reason}-print")
        assert page.complaints == []


async def test_a_page_that_is_opened_after_the_filing_leads_to_the_site(
    gate: Gate, tmp_path: Path
) -> None:
    """Whatever the query says, the replica counts; the visitor comes to where he wanted."""
    told = f"{gate.notice_url}?domain=www.filed.com&reason=unfiled&path=/shop/cart"
    async with browser(gate, tmp_path) as page:
        for device, width in (("phone", 390), ("desktop", 1280)):
            await page.window(width)
            assert await page.open(told) == ""
            text = await page.text()
            assert "该网站现已可以访问" in text
            assert "This website is available now" in text
            assert "备案系统" not in text
            assert await page.too_wide() == []
            for scheme in ("light", "dark"):
                await page.look(scheme=scheme)
                await page.picture(f"notice-filed-{device}-{scheme}")
            await page.look()
        assert page.complaints == []
        await page.value("document.querySelector('p.open a').click()")
        await page.until("location.href === 'http://www.filed.com/shop/cart'")
        assert "origin: GET www.filed.com /shop/cart" in await page.text()


async def test_an_unfiled_https_page_shows_a_reset_connection(gate: Gate, tmp_path: Path) -> None:
    async with browser(gate, tmp_path) as page:
        assert await page.open("https://www.unfiled.com/") == "net::ERR_CONNECTION_RESET"
        await page.until("document.body.innerText.includes('ERR_CONNECTION_RESET')")
        await page.picture("reset")


async def test_a_filed_page_loads_over_http_and_https(gate: Gate, tmp_path: Path) -> None:
    async with browser(gate, tmp_path) as page:
        assert await page.open("http://www.filed.com/hello") == ""
        assert "origin: GET www.filed.com /hello" in await page.text()
        assert await page.open("https://www.filed.com/hello") == ""
        assert "tls origin: www.filed.com /hello" in await page.text()
        assert await page.value("location.href") == "https://www.filed.com/hello"
