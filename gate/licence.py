"""Licence numbers (ICP 备案号): their grammar, and the provinces that they begin with.

A subject's number is the province's abbreviation, `ICP备`, a serial and `号`; a service's number
adds `-N` for a website, `-NA` for an app, `-NX` for a mini-program and `-NK` for a quick app. The
example of the filing documents: subject 鲁ICP备09090609号, its website 鲁ICP备09090609号-2.

    subject   province ( "ICP备" serial "号" / "ICP证" serial "号" / permit "-" serial )
    service   subject "-" site [ "A" / "X" / "K" ]
    permit    class *( "." class )          class   ( "A" / "B" ) ( "1" / "2" )
    serial    6*10DIGIT                     site    1 to 999999, without leading zeros

What the authority has issued is older than this form, so all of it is read: serials of six digits
(from before 2005), of eight, and of ten (with the year in full), and a licence to operate as the
number of the subject who has one: 京ICP证030173号-1, 粤B2-20090059-5. New numbers are given out
in the present form only.

People write the same number in many ways, and it is read in each: with spaces, in full-width
characters, with other dashes, in lower case, in traditional characters, without 号. It is written
in one. 公网安备 is the register of another authority, and none of its numbers is a licence number.
"""

from __future__ import annotations

import re
import unicodedata
from enum import StrEnum
from typing import Final, NamedTuple

PROVINCES: Final[dict[str, str]] = {
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
    "蜀": "四川省",
    "黔": "贵州省",
    "滇": "云南省",
    "藏": "西藏自治区",
    "陕": "陕西省",
    "陇": "甘肃省",
    "青": "青海省",
    "宁": "宁夏回族自治区",
    "新": "新疆维吾尔自治区",
}
"""The regions of GB/T 2260 by the abbreviation that stands in licence numbers."""

OTHER_ABBREVIATIONS: Final[dict[str, str]] = {
    "川": "蜀",
    "贵": "黔",
    "云": "滇",
    "秦": "陕",
    "甘": "陇",
}
"""Five regions have a second customary abbreviation; it means the first, and one series."""

MAX_SITE: Final = 999_999
"""The highest number of a service under its subject."""

FILED: Final = "ICP备"
"""The series of numbers that are given out."""
OPERATING: Final = "ICP证"
"""The series of licences to operate, which stand for the number of a subject that has one."""


class ServiceKind(StrEnum):
    """网站, App, 小程序 or 快应用."""

    WEBSITE = "website"
    APP = "app"
    MINI_PROGRAM = "mini_program"
    QUICK_APP = "quick_app"


_SUFFIXES: Final = {
    ServiceKind.WEBSITE: "",
    ServiceKind.APP: "A",
    ServiceKind.MINI_PROGRAM: "X",
    ServiceKind.QUICK_APP: "K",
}
_KINDS: Final = {suffix: kind for kind, suffix in _SUFFIXES.items()}


class SubjectNumber(NamedTuple):
    """主体备案号: a province's abbreviation and a serial.

    `series` is `FILED`, `OPERATING`, or the classes of a permit such as `B2`.
    """

    province: str
    serial: str
    series: str = FILED

    def __str__(self) -> str:
        if self.series in (FILED, OPERATING):
            return f"{self.province}{self.series}{self.serial}号"
        return f"{self.province}{self.series}-{self.serial}"


class ServiceNumber(NamedTuple):
    """服务备案号: a subject's number, and the service's own number under it."""

    subject: SubjectNumber
    kind: ServiceKind
    site: int

    def __str__(self) -> str:
        return f"{self.subject}-{self.site}{_SUFFIXES[self.kind]}"


class LicenceError(ValueError):
    """A text that is no licence number; `zh` and `en` say what is wrong with it."""

    def __init__(self, zh: str, en: str) -> None:
        super().__init__(en)
        self.zh = zh
        self.en = en


_NUMBER = re.compile(
    r"(?P<province>.)(?:(?P<mark>ICP[备证])(?P<serial>[0-9]{6,10})号?"
    r"|(?P<permit>[AB][12](?:\.[AB][12])*)-(?P<of_permit>[0-9]{6,10})号?)"
    r"(?:-(?P<site>[1-9][0-9]{0,5})(?P<suffix>[AXK]?))?"
).fullmatch
_LIKE_ONE = re.compile(r"ICP(?:[备证]|.*号)|公网安备|^.[AB][12](?:\.[AB][12])*-[0-9]").search
_MOST: Final = 100  # characters that a number can have, however it is written
_DASHES: Final = "‐‑‒–—―−﹣－ー"
_AS_WRITTEN: Final = str.maketrans(
    {**dict.fromkeys(_DASHES, "-"), "備": "备", "號": "号", "證": "证"}
)


def parse(text: str) -> SubjectNumber | ServiceNumber:
    """Return the licence number that `text` is, of either sort. Raises LicenceError."""
    match = _NUMBER(text) or _NUMBER(_tidy(text))
    if match is None:
        raise _fault(text)
    province = read_province(match["province"])
    if province is None:
        raise _no_province(match["province"])
    if match["mark"] is not None:
        subject = SubjectNumber(province, match["serial"], match["mark"])
    else:
        subject = SubjectNumber(province, match["of_permit"], match["permit"])
    if match["site"] is None:
        return subject
    return ServiceNumber(subject, _KINDS[match["suffix"]], int(match["site"]))


def looks_like_licence(text: str) -> bool:
    """Return whether a person who writes `text` means a licence number, right or wrong."""
    return _LIKE_ONE(_tidy(text[:_MOST])) is not None


def read_province(text: str) -> str | None:
    """Return the abbreviation in licence numbers of a province, which `text` is or names.

    Takes both abbreviations, and the name with or without 省, 市 or 自治区; None for any other.
    """
    text = OTHER_ABBREVIATIONS.get(text, text)
    if text in PROVINCES:
        return text
    if len(text) < 2:
        return None
    return next((short for short, name in PROVINCES.items() if _names(text, name)), None)


def _names(text: str, name: str) -> bool:
    return name.startswith(text) and name[len(text) :] in _TAILS


_TAILS: Final = frozenset({"", "省", "市", "自治区", "壮族自治区", "回族自治区", "维吾尔自治区"})


def _tidy(text: str) -> str:
    """Return `text` in the characters of a licence number, without spaces and invisible ones."""
    text = unicodedata.normalize("NFKC", text.translate(_AS_WRITTEN)).upper()
    return "".join(
        [
            character
            for character in text
            if not character.isspace() and unicodedata.category(character) != "Cf"
        ]
    )


def _no_province(text: str) -> LicenceError:
    return LicenceError(f"“{text}”不是省份简称", f"{text} is not the abbreviation of a province")


def _fault(text: str) -> LicenceError:
    """Return the first thing that keeps `text` from being a licence number."""
    text = _tidy(text)
    if not text:
        return LicenceError("为空", "it is empty")
    if "公网安备" in text:
        return LicenceError(
            "这是公安机关的联网备案号（公网安备），不是 ICP 备案号",
            "公网安备 is the public security register, which is another one; "
            "the ICP licence number is due",
        )
    mark = re.search(r"ICP[备证]|(?<=^.)[AB][12](?:\.[AB][12])*-", text)
    if mark is None:
        return LicenceError("缺少“ICP备”", "“ICP备” is missing")
    before, after = text[: mark.start()], text[mark.end() :]
    if len(before) != 1:
        return LicenceError(
            f"“{mark[0]}”前应为一个省份简称",
            f"one province abbreviation is due before “{mark[0]}”",
        )
    if read_province(before) is None:
        return _no_province(before)
    serial, _, rest = after.partition("号" if "号" in after else "-")
    if re.fullmatch(r"[0-9]{6,10}", serial) is None:
        return LicenceError("主体序号应为 6 至 10 位数字", "the serial must be 6 to 10 digits")
    return LicenceError(
        f"“{rest[:12]}”应为“-序号”，App、小程序、快应用后加 A、X、K",
        "must be -N, -NA, -NX or -NK, from 1 to 999999",
    )
