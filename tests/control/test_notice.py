"""The notice page: which filing is due, in two languages, and nothing else from the query."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Awaitable, Callable
from html.parser import HTMLParser
from typing import Any

import pytest
from aiohttp.test_utils import TestClient

from gate.control.notice import notice_app, page

MakeClient = Callable[[Any], Awaitable["TestClient[Any, Any]"]]


class _Reader(HTMLParser):
    """Collects tags, attributes and text, and checks that tags nest."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "path"):
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        if not self._open or self._open[-1] != "style":
            self.texts.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.texts).split())


@pytest.mark.parametrize(
    ("reason", "chinese", "english"),
    [
        ("unfiled", "需要办理 首次备案", "Filing due First filing (首次备案)"),
        ("filed_elsewhere", "需要办理 接入备案", "Filing due Access filing (接入备案)"),
        ("revoked", "备案已注销或取消", "has been cancelled"),
        ("suspended", "云服务商已暂停其访问", "has suspended access"),
        ("ip_host", "您使用了 IP 地址而不是域名", "is an IP address, not a domain"),
        ("no_host", "请求中没有域名", "The request names no website"),
        ("", "须先在当前云服务商完成 ICP 备案", "must have an ICP filing"),
        ("no such reason", "须先在当前云服务商完成 ICP 备案", "must have an ICP filing"),
    ],
)
def test_the_reason_chooses_the_text_in_both_languages(
    reason: str, chinese: str, english: str
) -> None:
    text = _Reader(page(reason, "")).text
    assert chinese in text
    assert english in text
    assert text.index(chinese) < text.index(english)


@pytest.mark.parametrize("reason", ["suspended", "ip_host", "no_host", ""])
def test_no_filing_is_said_to_be_due_where_none_is_known(reason: str) -> None:
    assert "需要办理" not in page(reason, "")
    assert "Filing due" not in page(reason, "")


@pytest.mark.parametrize(
    ("domain", "shown"),
    [
        ("Shop.Example.COM", "shop.example.com"),
        ("example.com.", "example.com"),
        ("例子.cn", "例子.cn"),
        ("xn--fsqu00a.cn", "例子.cn"),
    ],
)
def test_a_valid_domain_is_shown_as_gate_spells_it(domain: str, shown: str) -> None:
    assert _Reader(page("unfiled", domain)).texts.count(shown) == 2


@pytest.mark.parametrize(
    "domain",
    [
        "",
        "<script>alert(1)</script>",
        '"onmouseover="alert(1)',
        "a.cn<b>",
        "a b.cn",
        "a.cn/path",
        "a.cn&x",
        "a..cn",
        "xn--a.cn",
        "1.2.3.4",
        "\x00.cn",
        "\ud800.cn",
        "$reason.cn",
        "a" * 300 + ".cn",
    ],
)
def test_an_invalid_domain_is_not_shown(domain: str) -> None:
    assert page("unfiled", domain) == page("unfiled", "")


def test_the_reason_is_never_echoed() -> None:
    assert "<img" not in page("<img src=x>", "")


def test_the_page_is_marked_up_for_everybody() -> None:
    reader = _Reader(page("unfiled", "a.cn"))
    names = [name for name, _ in reader.tags]
    assert dict(reader.tags)["html"] == {"lang": "zh-CN"}
    assert [names.count(name) for name in ("header", "main", "footer", "h1")] == [1, 1, 1, 1]
    articles = [attributes for name, attributes in reader.tags if name == "article"]
    assert articles[0].get("lang") is None  # the document's own: Chinese, and first
    assert articles[1]["lang"] == "en"
    ids = {attributes.get("id") for _, attributes in reader.tags}
    assert {article["aria-labelledby"] for article in articles} <= ids
    assert ("meta", {"name": "viewport", "content": "width=device-width, initial-scale=1"}) in (
        reader.tags
    )


def test_the_page_needs_no_script_and_loads_nothing() -> None:
    text = page("unfiled", "a.cn")
    reader = _Reader(text)
    assert not {"script", "img", "link", "iframe", "form"} & {name for name, _ in reader.tags}
    for _, attributes in reader.tags:
        assert not {"src", "style", "onclick", "onload"} & set(attributes)
    assert "url(" not in text
    assert "@import" not in text


def test_the_style_serves_dark_screens_phones_and_paper() -> None:
    text = page("unfiled", "")
    for query in ("prefers-color-scheme: dark", "@media print", "max-width"):
        assert query in text


def _contrast(first: str, second: str) -> float:
    """Contrast ratio of two #rrggbb colours (WCAG 2.2, relative luminance)."""

    def luminance(colour: str) -> float:
        parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
        linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    light, dark = sorted((luminance(first), luminance(second)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
def test_text_has_the_contrast_that_wcag_aa_asks_for(scheme: int) -> None:
    roots = re.findall(r":root \{(.*?)\}", page("unfiled", ""), re.DOTALL)
    colours = dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6});", roots[scheme]))
    for ground in ("paper", "card", "accent-soft"):
        for ink in ("ink", "soft", "accent"):
            assert _contrast(colours[ink], colours[ground]) >= 4.5, (ink, ground)


@pytest.fixture
async def client(aiohttp_client: MakeClient) -> TestClient[Any, Any]:
    return await aiohttp_client(notice_app())


@pytest.mark.parametrize("path", ["/", "/notice", "/a/b?x=1", "/%00", "/favicon.ico", "//"])
async def test_every_path_is_the_page(client: TestClient[Any, Any], path: str) -> None:
    response = await client.get(path)
    assert response.status == 200
    assert response.content_type == "text/html"
    assert "网站备案提示" in await response.text()


async def test_the_query_chooses_the_page(client: TestClient[Any, Any]) -> None:
    response = await client.get("/?domain=a.cn&reason=filed_elsewhere")
    assert await response.text() == page("filed_elsewhere", "a.cn")


async def test_head_has_the_fields_of_get_and_no_body(client: TestClient[Any, Any]) -> None:
    head, get = await client.head("/"), await client.get("/")
    assert head.status == 200
    assert head.headers["Content-Length"] == get.headers["Content-Length"]
    assert await head.read() == b""


async def test_other_methods_are_refused(client: TestClient[Any, Any]) -> None:
    response = await client.post("/")
    assert response.status == 405
    assert response.headers["Allow"] == "GET, HEAD"


async def test_the_policy_allows_this_style_and_nothing_else(client: TestClient[Any, Any]) -> None:
    response = await client.get("/?reason=unfiled")
    policy = response.headers["Content-Security-Policy"]
    found = re.search(r"<style>(.*?)</style>", await response.text(), re.DOTALL)
    assert found is not None
    digest = base64.b64encode(hashlib.sha256(found[1].encode()).digest()).decode()
    assert policy.split("; ") == [
        "default-src 'none'",
        f"style-src 'sha256-{digest}'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    ]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Cache-Control", "no-store"),
        ("Content-Language", "zh-CN, en"),
        ("Referrer-Policy", "no-referrer"),
        ("X-Content-Type-Options", "nosniff"),
        ("X-Frame-Options", "DENY"),
        ("X-Robots-Tag", "noindex"),
        ("Server", "gate"),
    ],
)
async def test_the_answer_is_guarded(client: TestClient[Any, Any], name: str, value: str) -> None:
    response = await client.get("/")
    assert response.headers[name] == value
