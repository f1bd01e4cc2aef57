"""Licence numbers (ICP 备案号): their grammar, and the provinces that they begin with.

A subject's number is the province's abbreviation, `ICP备`, a serial and `号`; a service's number
adds `-N` for a website and `-NA` for an app. The example of the filing documents: subject
鲁ICP备09090609号, its website 鲁ICP备09090609号-2.

The serial is a year and a counter: two and six digits until about 2017, four and six since, with
a few nine-digit ones between; so eight to ten digits are taken.
"""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Final, NamedTuple

from gate.registry.errors import RegistryError, Said

# GB/T 2260 regions with the abbreviation that stands in licence numbers. Five provinces have two
# customary abbreviations; a number is kept as it was issued.
PROVINCES: dict[str, str] = {
    "京": "北京市",
    "津": "天津市",
    "冀": "河北省",
    "晋": "山西省",
    "蒙": "内蒙古自治区",
    "辽": "辽宁省",
    "吉": "吉林省",
    "黑": "黑龙江省",
    "沪": "上海市",
    "苏": "江苏省",
    "浙": "浙江省",
    "皖": "安徽省",
    "闽": "福建省",
    "赣": "江西省",
    "鲁": "山东省",
    "豫": "河南省",
    "鄂": "湖北省",
    "湘": "湖南省",
    "粤": "广东省",
    "桂": "广西壮族自治区",
    "琼": "海南省",
    "渝": "重庆市",
    "川": "四川省",
    "蜀": "四川省",
    "贵": "贵州省",
    "黔": "贵州省",
    "云": "云南省",
    "滇": "云南省",
    "藏": "西藏自治区",
    "陕": "陕西省",
    "秦": "陕西省",
    "甘": "甘肃省",
    "陇": "甘肃省",
    "青": "青海省",
    "宁": "宁夏回族自治区",
    "新": "新疆维吾尔自治区",
}

MAX_SITE: Final = 999_999
"""The highest number of a service under its subject."""

_NUMBER = re.compile(
    r"(?P<province>.)ICP备(?P<serial>[0-9]{8,10})号(?:-(?P<site>[1-9][0-9]{0,5})(?P<app>A)?)?"
).fullmatch


class ServiceKind(StrEnum):
    """网站 or App."""

    WEBSITE = "website"
    APP = "app"


class SubjectNumber(NamedTuple):
    """主体备案号: a province's abbreviation and a serial."""

    province: str
    serial: str

    def __str__(self) -> str:
        return f"{self.province}ICP备{self.serial}号"


class ServiceNumber(NamedTuple):
    """服务备案号: a subject's number, and the service's own number under it."""

    subject: SubjectNumber
    kind: ServiceKind
    site: int

    def __str__(self) -> str:
        app = "A" if self.kind is ServiceKind.APP else ""
        return f"{self.subject}-{self.site}{app}"


def parse_licence(text: str, *, field: str = "licence") -> SubjectNumber | ServiceNumber:
    """Read a licence number of either sort.

    Raises RegistryError `licence_invalid` with what is wrong.
    """
    match = _NUMBER(text)
    if match is None:
        raise RegistryError("licence_invalid", field=field, licence=text[:40], detail=_fault(text))
    province, serial, site, app = match.group("province", "serial", "site", "app")
    if province not in PROVINCES:
        raise RegistryError(
            "licence_invalid",
            field=field,
            licence=text,
            detail=Said(
                f"“{province}”不是省份简称", f"{province} is not the abbreviation of a province"
            ),
        )
    subject = SubjectNumber(province, serial)
    if site is None:
        return subject
    return ServiceNumber(subject, ServiceKind.APP if app else ServiceKind.WEBSITE, int(site))


def parse_subject(text: str, *, field: str = "licence") -> SubjectNumber:
    """Read a subject's number. Raises RegistryError `licence_invalid` or `licence_not_subject`."""
    number = parse_licence(text, field=field)
    if isinstance(number, ServiceNumber):
        raise RegistryError("licence_not_subject", field=field, licence=text)
    return number


def parse_service(text: str, *, field: str = "licence") -> ServiceNumber:
    """Read a service's number. Raises RegistryError `licence_invalid` or `licence_not_service`."""
    number = parse_licence(text, field=field)
    if isinstance(number, SubjectNumber):
        raise RegistryError("licence_not_service", field=field, licence=text)
    return number


def check_province(text: str, *, field: str = "province") -> str:
    """Give back a province's abbreviation. Raises RegistryError `province_unknown`."""
    if text not in PROVINCES:
        raise RegistryError("province_unknown", field=field, province=text[:20])
    return text


def _fault(text: str) -> Said:
    """Name the first thing that keeps `text` from being a licence number, in both languages."""
    if not text:
        return Said("为空", "it is empty")
    if "ICP证" in text:
        return Said("这是经营许可证号，不是备案号", "ICP证 is an operating licence, not a filing")
    if "ICP备" not in text:
        return Said("缺少“ICP备”", "“ICP备” is missing")
    before, after = text.split("ICP备", 1)
    if len(before) != 1:
        return Said("“ICP备”前应为一个省份简称", "one province abbreviation is due before “ICP备”")
    serial, mark, rest = after.partition("号")
    if not mark:
        return Said("缺少“号”", "“号” is missing")
    if re.fullmatch(r"[0-9]{8,10}", serial) is None:
        return Said("主体序号应为 8 至 10 位数字", "the serial must be 8 to 10 digits")
    return Said(f"“{rest[:12]}”应为“-序号”或“-序号A”", "must be -N or -NA, from 1 to 999999")
