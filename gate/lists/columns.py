"""Which column a header means.

The headers are those of the filing system's own exports, of providers' consoles, and of the tables
that clerks keep. Spaces, case, width, line breaks and remarks in brackets do not count:
`网站域名（必填）` is `域名`.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from typing import Final

_WORDS: Final = {
    "domain": "域名 网站域名 备案域名 主域名 域名名称 网址 网站网址 首页网址 网站首页网址 网站首页 "
    "网站地址 domain domainname host hostname",
    "licence": "备案号 网站备案号 ICP备案号 服务备案号 网站备案/许可证号 备案/许可证号 "
    "服务备案/许可证号 备案许可证号 许可证号 ICP备案/许可证号 备案编号 licence license "
    "licencenumber icp icpnumber",
    "subject": "主体名称 主办单位名称 主办单位 主办者名称 主办者 单位名称 公司名称 备案主体 主体 "
    "备案主体名称 开办者名称 企业名称 subject subjectname company",
    "subject_kind": "主体性质 主办单位性质 主办者性质 单位性质 主体类型 主办单位类型 备案性质 "
    "subject_kind subjectkind kind",
    "account": "账号 帐号 账户 帐户 云账号 账号ID 用户账号 用户ID 客户账号 客户编号 UIN account",
    "certificate": "证件号码 证件号 主体证件号码 主办单位证件号码 主办者证件号码 统一社会信用代码 "
    "营业执照号 营业执照注册号 certificate",
    "service": "服务名称 网站名称 站点名称 网站名 应用名称 APP名称 互联网信息服务名称 service "
    "servicename sitename",
    "providers": "接入商 接入服务商 接入服务提供者 接入服务提供者名称 接入单位 接入商名称 "
    "providers provider",
    "status": "状态 备案状态 网站状态 接入状态 当前状态 status",
}
FIELDS: Final = tuple(_WORDS)
"""What is known of a filing in a list."""

_IN_BRACKETS: Final = re.compile(r"\([^()]*\)|\[[^\[\]]*\]|【[^】]*】")
_NOT_COUNTED: Final = re.compile(r"[\s*:_\-]+")


@dataclass(slots=True, frozen=True)
class Column:
    """One column of a list: its header as it is written, and the field that it means."""

    header: str
    field: str
    """One of FIELDS; "" for a column that means nothing here."""
    place: int
    """From 0."""


def column_of(header: str, place: int) -> Column:
    """Return the column that a header names."""
    return Column(header.strip(), _FIELDS.get(_folded(header), ""), place)


def _folded(text: str) -> str:
    """Return a header without what does not count."""
    plain = unicodedata.normalize("NFKC", text).casefold()
    plain = _IN_BRACKETS.sub("", plain) or plain
    return _NOT_COUNTED.sub("", plain)


_FIELDS: Final = {_folded(word): field for field, words in _WORDS.items() for word in words.split()}
