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

from gate.control.notice.app import Contact, notice_app, page
from gate.policy import Reason
from gate.replica import ReplicaError

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
        "xn--a.例子",
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
    assert len(roots) == 6  # what pages share, and the page's own: each light, dark and in print
    found = "".join(roots[scheme::3])
    colours = dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6});", found))
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


FILED = {
    "filed.cn": "filed",
    "let.cn": "exempt",
    "blocked.cn": "suspended",
}


def judge(domain: str) -> Reason:
    if domain == "broken.cn":
        raise ReplicaError("the disk is gone")
    return Reason(FILED.get(domain, "unfiled"))


@pytest.fixture
async def judging(aiohttp_client: MakeClient) -> TestClient[Any, Any]:
    """The page of a gate that knows what is filed."""
    return await aiohttp_client(notice_app(CONTACT, judge))


CONTACT = Contact("示例云", "https://beian.example.com/", "400-123 4567")


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        ("domain=filed.cn&reason=unfiled", "filed"),  # the filing has come through, or it was a lie
        ("domain=FILED.cn.&reason=revoked", "filed"),
        ("domain=let.cn&reason=unfiled", "exempt"),
        ("domain=blocked.cn&reason=unfiled", "suspended"),
        ("domain=nobody.cn&reason=filed", "unfiled"),
        ("domain=nobody.cn", "unfiled"),
        ("domain=1.2.3.4&reason=ip_host", "ip_host"),
        ("domain=1.2.3.4&reason=filed", "ip_host"),
        ("domain=a..cn&reason=filed", ""),
        ("domain=broken.cn&reason=filed", ""),  # nothing is known: the general text
        ("reason=no_host", "no_host"),
        ("reason=unfiled", "unfiled"),
        ("", ""),
    ],
)
async def test_the_domain_is_judged_anew_whatever_the_query_says(
    judging: TestClient[Any, Any], query: str, reason: str
) -> None:
    response = await judging.get(f"/?{query}")
    assert f"<code>{reason or '-'}</code>" in await response.text()


@pytest.mark.parametrize(
    ("path", "link"),
    [
        ("", "http://filed.cn/"),
        ("/shop?id=1&x=%E4%B8%AD", "http://filed.cn/shop?id=1&amp;x=%E4%B8%AD"),
        ("/中", "http://filed.cn/%E4%B8%AD"),
        ('/"><script>', "http://filed.cn/%22%3E%3Cscript%3E"),
        ("//evil.example/", "http://filed.cn//evil.example/"),
        ("https://evil.example/", "http://filed.cn/"),
        ("javascript:alert(1)", "http://filed.cn/"),
        ("/" + "a" * 3000, "http://filed.cn/"),
    ],
)
async def test_an_open_site_is_linked_with_the_path_that_was_wanted(
    judging: TestClient[Any, Any], path: str, link: str
) -> None:
    response = await judging.get("/", params={"domain": "filed.cn", "path": path})
    assert re.findall(r'class="open"><a href="([^"]*)"', await response.text()) == [link, link]


async def test_a_blocked_site_is_not_linked(judging: TestClient[Any, Any]) -> None:
    text = await (await judging.get("/?domain=nobody.cn&reason=filed&path=/x")).text()
    assert 'class="open"' not in text
    assert "/x" not in text


async def test_the_owner_is_told_whom_to_turn_to(judging: TestClient[Any, Any]) -> None:
    text = await (await judging.get("/?domain=nobody.cn")).text()
    assert (
        '办理入口: <a href="https://beian.example.com/" rel="noreferrer">示例云 备案系统</a>'
        in text
    )
    assert '服务电话: <a href="tel:4001234567">400-123 4567</a>' in text
    assert "示例云 filing portal" in text


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("application/json", "application/problem+json"),
        ("application/problem+json", "application/problem+json"),
        ("text/html,application/json", "text/html"),
        ("text/html", "text/html"),
        ("*/*", "text/html"),
    ],
)
async def test_programs_that_ask_for_json_are_given_a_problem_document(
    judging: TestClient[Any, Any], accept: str, kind: str
) -> None:
    response = await judging.get("/?domain=nobody.cn", headers={"Accept": accept})
    assert response.content_type == kind


async def test_the_problem_document_says_what_the_page_says(
    judging: TestClient[Any, Any],
) -> None:
    headers = {"Accept": "application/json"}
    blocked = await judging.get("/?domain=nobody.cn", headers=headers)
    assert blocked.status == 451  # RFC 7725
    assert await blocked.json(content_type=None) == {
        "type": "about:blank",
        "title": "This website is not available at present",
        "status": 451,
        "detail": "No ICP filing was found for this domain. A website served from mainland China "
        "must be filed first.",
        "reason": "unfiled",
        "due": "First filing (首次备案)",
        "domain": "nobody.cn",
        "provider": "示例云",
        "portal": "https://beian.example.com/",
        "phone": "400-123 4567",
    }
    opened = await judging.get("/?domain=filed.cn", headers=headers)
    assert opened.status == 200
    assert (await opened.json(content_type=None))["reason"] == "filed"
