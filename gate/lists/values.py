"""What people write in the columns, as it is meant."""

from __future__ import annotations

import re
import unicodedata
from typing import Final

from gate.names import InvalidName, canonical, registrable

_KINDS: Final = {
    "unit": "unit 单位 企业 公司 企业法人 事业单位 政府机关 机关 党政机关 国防机构 军队 社会团体 "
    "民办非企业单位 社会服务机构 基金会 律师执业机构 群众性团体组织 个体工商户 外国在华文化中心 "
    "外国企业 农村集体经济组织 学校 医疗机构 宗教团体 宗教活动场所 司法鉴定机构 境外机构 其他",
    "person": "person 个人 自然人",
}
_STATUSES: Final = {
    "filed": "filed 已备案 正常 有效 已接入 接入中 备案成功 备案通过 审核通过 通过 已通过 本地接入",
    "filed_elsewhere": "filed_elsewhere 未接入 取消接入 已取消接入 他处接入 其他接入商 "
    "其他服务商接入 未在本服务商接入 外部备案 空壳网站",
    "suspended": "suspended 暂停 已暂停 暂停接入 关停 已关停 关闭 已关闭 停用",
    "absent": "absent 注销 已注销 注销备案 已取消 取消备案 已取消备案",
}
_MEANT: Final = {
    "subject_kind": {word: kind for kind, words in _KINDS.items() for word in words.split()},
    "status": {word: status for status, words in _STATUSES.items() for word in words.split()},
}
_URL: Final = re.compile(r"[a-z][a-z0-9+.-]*://(?:[^/?#@]*@)?", re.IGNORECASE)
_SEVERAL: Final = re.compile(r"[\s;；、,，|]+")
_PLAIN: Final = re.compile(r"[a-z0-9.-]*[a-z0-9-]").fullmatch
_NUMBER_WRITTEN_AS_FLOAT: Final = re.compile(r"\d+\.0")


def plain_value(field: str, text: str) -> str:
    """Return a cell's text as the program's own word where it is a known one, else as it is.

    Full-width letters and outer spaces do not count.
    """
    text = text.strip().strip("\u200b\ufeff\u00a0 ")
    meant = _MEANT.get(field)
    if meant is not None:
        return meant.get(unicodedata.normalize("NFKC", text).lower().replace(" ", ""), text)
    if field in ("account", "certificate") and _NUMBER_WRITTEN_AS_FLOAT.fullmatch(text):
        return text[:-2]  # a spreadsheet's number
    if field == "providers":
        return " ".join(_SEVERAL.split(text))
    return text


def plain_domain(text: str) -> list[str]:
    """Return the domains of a cell: without scheme, path, port or trailing dot.

    A cell may name several. What is none stays as it is, to be refused by that.
    """
    if _PLAIN(text):
        return [text]
    text = text.strip().strip("\u200b\ufeff\u00a0 ")
    parts = [part for part in _SEVERAL.split(text) if part]
    if not all("." in part or "。" in part or "．" in part for part in parts):
        parts = [text]  # words, and no list of names
    return [_bare(part) for part in parts] or [""]


def _bare(text: str) -> str:
    name = unicodedata.normalize("NFKC", text).replace("。", ".")
    is_url = _URL.match(name)
    if is_url:
        name = name[is_url.end() :]
    name = re.split(r"[/?#]", name, maxsplit=1)[0]
    if is_url:
        name = re.sub(r":\d*$", "", name)
    return name.rstrip(".").strip() or text


def offered_domain(name: str) -> str | None:
    """Return the registrable domain that a name lies below, which is what is filed; else None."""
    if name.count(".") < 2:
        return None
    try:
        host = canonical(name.encode("utf-8", "replace"))
    except InvalidName:
        return None
    if host.ip is not None:
        return None
    above = registrable(host.name)
    return above if above is not None and above != host.name else None
