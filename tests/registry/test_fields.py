"""The filing rules that need no record to be looked at."""

from __future__ import annotations

import pytest

from gate.filings import Status
from gate.licence import ServiceKind
from gate.registry.errors import RegistryError, Said
from gate.registry.fields import (
    clean_identifier,
    clean_text,
    domain_status,
    fileable_domain,
    fileable_domains,
)
from gate.registry.wordings import CATALOGUE, PARTS


@pytest.mark.parametrize(
    ("text", "domain"),
    [
        ("dnspod.cn", "dnspod.cn"),
        ("Example.COM.CN", "example.com.cn"),
        (" example.cn ", "example.cn"),
        ("example.cn.", "example.cn"),
        ("例子.中国", "xn--fsqu00a.xn--fiqs8s"),
        ("xn--fsqu00a.xn--fiqs8s", "xn--fsqu00a.xn--fiqs8s"),
        ("shop.example.cn", "shop.example.cn"),
        ("name.github.io", "name.github.io"),
        ("sinaapp.com", "sinaapp.com"),
    ],
)
def test_a_domain_is_filed_under_its_canonical_name(text: str, domain: str) -> None:
    assert fileable_domain(text) == domain


@pytest.mark.parametrize(
    ("text", "chinese"),
    [
        ("cn", "顶级域名"),
        ("com.cn", "公共后缀"),
        ("co.uk", "公共后缀"),
        ("中国", "顶级域名"),
        ("192.0.2.1", "IP 地址"),
        ("0x7f.1", "IP 地址"),
        ("2130706433", "IP 地址"),
        ("[2001:db8::1]", "IP 地址"),
        ("", "为空"),
        ("example..cn", "没有内容"),
        ("xn--99999999.cn", "国际化域名"),
        ("example.cn:80", "端口"),
        ("http://example.cn", "网址"),
        ("example.cn/path", "只能包含"),
        ("../../etc/passwd", "没有内容"),
        ("a_b.cn", "只能包含"),
        ("-a.cn", "连字符"),
        ("*.example.cn", "只能包含"),
        ("example.cn' OR '1'='1", "只能包含"),
        ("example.cn\x00.cn", "只能包含"),
        ("a" * 64 + ".cn", "63"),
        ("\ud800.cn", "UTF-8"),
    ],
)
def test_what_can_not_be_filed_is_refused_with_the_reason(text: str, chinese: str) -> None:
    with pytest.raises(RegistryError) as caught:
        fileable_domain(text)
    assert caught.value.code == "domain_invalid"
    assert chinese in caught.value.zh


@pytest.mark.parametrize("text", ["http://www.v15.cn/", "https://v15.cn"])
def test_a_url_for_a_domain_is_called_one(text: str) -> None:
    with pytest.raises(
        RegistryError, match="this is a URL; write the domain in it alone"
    ) as caught:
        fileable_domain(text)
    assert "这是网址" in caught.value.zh


def test_a_website_has_one_domain_and_an_app_some() -> None:
    assert fileable_domains(["a.cn", "B.cn"], ServiceKind.APP) == ("a.cn", "b.cn")
    with pytest.raises(RegistryError, match="one website has one domain"):
        fileable_domains(["a.cn", "b.cn"], ServiceKind.WEBSITE)
    with pytest.raises(RegistryError, match="twice"):
        fileable_domains(["a.cn", "A.CN"], ServiceKind.APP)
    with pytest.raises(RegistryError, match="1 to 20"):
        fileable_domains([f"a{number}.cn" for number in range(21)], ServiceKind.APP)
    with pytest.raises(RegistryError, match="1 to 20"):
        fileable_domains([], ServiceKind.APP)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "   ",
        "a\nb",
        "a\x00b",
        "a\u202eb",  # right-to-left override
        "a\u200bb",  # zero-width space
        "\ue000",  # private use
        "=HYPERLINK(1)",
        "+1",
        "-1",
        "@SUM(1)",
        "长" * 201,
    ],
)
def test_a_name_is_visible_text_and_no_formula(text: str) -> None:
    with pytest.raises(RegistryError) as caught:
        clean_text(text, field="name")
    assert (caught.value.code, caught.value.field) == ("text_invalid", "name")


def test_a_name_is_kept_in_one_normal_form() -> None:
    assert clean_text(" Cafe\u0301 ", field="name") == "Café"


@pytest.mark.parametrize("text", ["", "a b", "账号", "a'b", "-a", "../a", "a" * 65, "a\n"])
def test_an_account_is_a_plain_identifier(text: str) -> None:
    with pytest.raises(RegistryError) as caught:
        clean_identifier(text, field="account")
    assert caught.value.code == "field_invalid"


@pytest.mark.parametrize(
    ("accessed", "suspended", "status"),
    [
        (True, False, Status.FILED),
        (False, False, Status.FILED_ELSEWHERE),
        (True, True, Status.SUSPENDED),
        (False, True, Status.SUSPENDED),
    ],
)
def test_access_and_suspension_make_the_status(
    accessed: bool, suspended: bool, status: Status
) -> None:
    assert domain_status(accessed=accessed, suspended=suspended) is status


NOTES = {"domain_revived", "domain_further"}
"""What is said of a line that was taken."""


@pytest.mark.parametrize("code", CATALOGUE)
def test_every_refusal_has_a_chinese_and_an_english_text(code: str) -> None:
    wording = CATALOGUE[code]
    assert any("\u4e00" <= character <= "\u9fff" for character in wording.zh)
    assert not any("\u4e00" <= character <= "\u9fff" for character in wording.en.split("鲁ICP")[0]
                   .replace("京, 沪, 粤 or 鲁", ""))  # fmt: skip
    assert wording.zh.count("{") >= wording.en.count("{") - 1
    assert (int(wording.status) >= 400) == (code not in NOTES)


def test_no_code_has_two_texts() -> None:
    assert sum(map(len, PARTS)) == len(CATALOGUE)


def test_a_detail_is_said_in_each_language() -> None:
    error = RegistryError("body_invalid", detail=Said("不完整", "it ended early"))
    assert error.zh.endswith("不完整")
    assert error.en.endswith("it ended early")
