"""What a field of a filing may hold, with no record to be looked at: pure functions.

Rules between records (a domain filed twice, one account with one subject, ...) are checked where
the records are, in `gate.registry.operations`, inside the transaction that changes them.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Sequence

from gate import licence
from gate.filings import Status
from gate.licence import (
    LicenceError,
    ServiceKind,
    ServiceNumber,
    SubjectNumber,
)
from gate.names import InvalidName, NameFault, canonical, check_fileable
from gate.registry.errors import RegistryError, Said

MAX_TEXT = 200
MAX_DOMAINS = 20
"""Domains of one app; a website that is filed today has exactly one."""
MAX_SITE_DOMAINS = 500
"""Domains of a website on record: some from before 2019 have several."""

_IDENTIFIER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}").fullmatch

# Zh_CN texts for gate.names' faults; the English ones come with the exception.
_FAULTS: dict[NameFault, str] = {
    NameFault.EMPTY: "域名为空",
    NameFault.TOO_LONG: "域名超过 253 个字节",
    NameFault.EMPTY_LABEL: "两个点之间没有内容",
    NameFault.LABEL_TOO_LONG: "某一级域名超过 63 个字节",
    NameFault.CHARACTER: "只能包含字母、数字、连字符和点",
    NameFault.HYPHEN: "每一级域名不能以连字符开头或结尾",
    NameFault.ENCODING: "不是有效的 UTF-8 文本",
    NameFault.BAD_IDN: "不是有效的国际化域名",
    NameFault.BAD_PORT: "域名不应带端口",
    NameFault.URL: "这是网址，请只填写其中的域名",
    NameFault.BAD_IP: "不是域名",
    NameFault.IS_IP: "IP 地址不能备案",
    NameFault.NOT_CANONICAL: "写法不规范",
    NameFault.TOP_LEVEL: "顶级域名不能备案",
    NameFault.PUBLIC_SUFFIX: "公共后缀不能备案，其下的域名属于不同的所有者",
}


def clean_text(text: str, *, field: str, limit: int = MAX_TEXT) -> str:
    """Give back `text` in NFC without outer spaces.

    Raises RegistryError `text_invalid` when it is empty, longer than `limit` characters, holds
    control, format (bidirectional overrides, zero-width), private or unassigned characters, or
    begins with a character that makes a spreadsheet run it as a formula.
    """
    text = text.strip()
    if not text.isascii():
        text = unicodedata.normalize("NFC", text)
    if not 1 <= len(text) <= limit or not text.isprintable() or text[0] in "=+-@":
        raise RegistryError("text_invalid", field=field, limit=limit)
    return text


def clean_note(text: str, *, field: str, limit: int) -> str:
    """Give back a remark, which may have lines, in NFC without outer spaces; it may be empty.

    Raises RegistryError `text_invalid` for the characters that `clean_text` does not take.
    """
    lines = unicodedata.normalize("NFC", text.strip()).splitlines()
    if sum(map(len, lines)) > limit or not all(line.isprintable() for line in lines):
        raise RegistryError("text_invalid", field=field, limit=limit)
    return "\n".join(lines)


def folded(name: str) -> str:
    """Return a name as it is searched: capitals and small letters are one."""
    return name.casefold()


def clean_identifier(text: str, *, field: str) -> str:
    """Give back an account's or provider's id: 1 to 64 of `A-Z a-z 0-9 . _ @ -`.

    Raises RegistryError `field_invalid`.
    """
    if _IDENTIFIER(text) is None:
        raise RegistryError(
            "field_invalid",
            field=field,
            detail=Said(
                "1–64 个字母、数字或 . _ @ -，以字母或数字开头",
                "1 to 64 letters, digits or . _ @ -, beginning with a letter or digit",
            ),
        )
    return text


def parse_licence(text: str, *, field: str = "licence") -> SubjectNumber | ServiceNumber:
    """Return the licence number that `text` is, of either sort.

    Raises RegistryError `licence_invalid` with what is wrong.
    """
    try:
        return licence.parse(text)
    except LicenceError as error:
        raise RegistryError(
            "licence_invalid", field=field, licence=text[:40], detail=Said(error.zh, error.en)
        ) from error


def parse_subject(text: str, *, field: str = "licence") -> SubjectNumber:
    """Return a subject's number.

    Raises RegistryError `licence_invalid` or `licence_not_subject`.
    """
    number = parse_licence(text, field=field)
    if isinstance(number, ServiceNumber):
        raise RegistryError("licence_not_subject", field=field, licence=text)
    return number


def parse_service(text: str, *, field: str = "licence") -> ServiceNumber:
    """Return a service's number.

    Raises RegistryError `licence_invalid` or `licence_not_service`.
    """
    number = parse_licence(text, field=field)
    if isinstance(number, SubjectNumber):
        raise RegistryError("licence_not_service", field=field, licence=text)
    return number


def check_province(text: str, *, field: str = "province") -> str:
    """Return a province's abbreviation in licence numbers, by that, the other one, or its name.

    Raises RegistryError `province_unknown`.
    """
    province = licence.read_province(text.strip())
    if province is None:
        raise RegistryError("province_unknown", field=field, province=text[:20])
    return province


def fileable_domain(text: str, *, field: str = "domain") -> str:
    """Give back the canonical A-label form of a domain that may be filed.

    Raises RegistryError `domain_invalid` for IP addresses, top-level domains, public suffixes,
    invalid IDNs, and anything that is not a bare domain name (ports, paths, URLs).
    """
    text = text.strip()
    try:
        if "://" in text:
            raise InvalidName(NameFault.URL, "this is a URL; write the domain in it alone")
        host = canonical(text.encode())
        if host.ip is not None:
            raise InvalidName(NameFault.IS_IP, "an IP address cannot be filed, only a domain")
        if ":" in text:
            raise InvalidName(NameFault.BAD_PORT, "write the domain without a port")
        check_fileable(host.name)
    except UnicodeEncodeError as error:
        raise _domain_error(text, field, NameFault.ENCODING, "not Unicode text") from error
    except InvalidName as error:
        raise _domain_error(text, field, error.fault, error.reason) from error
    return host.name


def _domain_error(text: str, field: str, fault: NameFault, reason: str) -> RegistryError:
    shown = text[:100].encode("ascii", "backslashreplace").decode()
    return RegistryError(
        "domain_invalid", field=field, domain=shown, detail=Said(_FAULTS[fault], reason)
    )


def fileable_domains(
    texts: Sequence[str], kind: ServiceKind, *, field: str = "domains"
) -> tuple[str, ...]:
    """Give back the canonical domains of one service: exactly one for a website.

    Raises RegistryError `domain_invalid`, `domain_repeated`, `website_one_domain`, or
    `field_invalid` when there is none or more than `MAX_DOMAINS`.
    """
    domains = distinct_domains(texts, field=field)
    if kind is ServiceKind.WEBSITE and len(domains) > 1:
        raise RegistryError("website_one_domain", field=field)
    check_count(len(domains), kind, field=field)
    return domains


def domains_after_change(
    texts: Sequence[str], kind: ServiceKind, held: Collection[str], *, field: str = "domains"
) -> tuple[str, ...]:
    """Give back the canonical domains that a service on record is to have after a change.

    A website may keep any of those that it holds, or have one other in their place.
    Raises RegistryError as `fileable_domains` does.
    """
    domains = distinct_domains(texts, field=field)
    if kind is ServiceKind.WEBSITE and len(domains) > 1 and not set(domains) <= set(held):
        raise RegistryError("website_one_domain", field=field)
    check_count(len(domains), kind, field=field)
    return domains


def distinct_domains(texts: Sequence[str], *, field: str) -> tuple[str, ...]:
    """Give back domains in canonical form.

    Raises RegistryError `domain_invalid` or `domain_repeated`.
    """
    domains = tuple(
        fileable_domain(text, field=f"{field}.{position}") for position, text in enumerate(texts)
    )
    for position, domain in enumerate(domains):
        if domain in domains[:position]:
            raise RegistryError("domain_repeated", field=f"{field}.{position}", domain=domain)
    return domains


def check_count(count: int, kind: ServiceKind, *, field: str) -> None:
    """Raise RegistryError `field_invalid` if no service on record has so many domains."""
    most = MAX_SITE_DOMAINS if kind is ServiceKind.WEBSITE else MAX_DOMAINS
    if not 1 <= count <= most:
        detail = Said(f"域名数量应为 1 至 {most} 个", f"1 to {most} domains are due")
        raise RegistryError("field_invalid", field=field, detail=detail)


def domain_status(*, accessed: bool, suspended: bool) -> Status:
    """Return the status of a domain of a live service.

    `accessed`: it has an access filing with this registry's own provider.
    """
    if suspended:
        return Status.SUSPENDED
    return Status.FILED if accessed else Status.FILED_ELSEWHERE
