"""One filing as a line of a file: its columns, and what makes it acceptable by itself.

    domain        域名        required
    licence       备案号      required, the service's number
    subject       主体名称    required
    subject_kind  主体性质    unit (default) or person
    account       账号        the provider's account
    certificate   证件号码
    service       服务名称    the domain, if empty
    providers     接入商      separated by spaces
    status        状态        filed, filed_elsewhere or suspended

Without `providers`, `filed` (the default) and `suspended` mean this registry's own provider, and
`filed_elsewhere` the provider `elsewhere`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from gate.filings import Status
from gate.licence import ServiceNumber
from gate.registry.commands import SubjectKind
from gate.registry.errors import RegistryError, Said
from gate.registry.fields import (
    clean_identifier,
    clean_text,
    domain_status,
    fileable_domain,
    parse_service,
)

COLUMNS: Final = (
    "domain",
    "status",
    "licence",
    "subject",
    "subject_kind",
    "account",
    "certificate",
    "service",
    "providers",
)
REQUIRED: Final = ("domain", "licence", "subject")
CHINESE: Final = {
    "域名": "domain",
    "状态": "status",
    "备案号": "licence",
    "主体名称": "subject",
    "主体性质": "subject_kind",
    "账号": "account",
    "证件号码": "certificate",
    "服务名称": "service",
    "接入商": "providers",
}
ELSEWHERE: Final = "elsewhere"

_KINDS: Final = {
    "": SubjectKind.UNIT,
    "unit": SubjectKind.UNIT,
    "单位": SubjectKind.UNIT,
    "person": SubjectKind.PERSON,
    "个人": SubjectKind.PERSON,
}
_STATUSES: Final = {"filed", "filed_elsewhere", "suspended"}


@dataclass(slots=True, frozen=True)
class FilingRecord:
    """A filing that holds up by itself; whether it fits the records is another matter."""

    domain: str
    number: ServiceNumber
    subject: str
    subject_kind: SubjectKind
    account: str | None
    certificate: str | None
    service: str
    providers: tuple[str, ...]
    suspended: bool

    def status(self, provider: str) -> Status:
        """Return what the filing makes of its domain in the eyes of `provider`."""
        return domain_status(accessed=provider in self.providers, suspended=self.suspended)


def read_record(values: Mapping[str, str] | RegistryError, provider: str) -> FilingRecord:
    """Make sense of a line's columns; `provider` is this registry's own.

    Raises RegistryError for the first column that is wrong, or the line's own fault.
    """
    if isinstance(values, RegistryError):
        raise values
    for column in REQUIRED:
        if not values.get(column):
            raise RegistryError("column_empty", field=column)
    domain = fileable_domain(values["domain"])
    number = parse_service(values["licence"].strip())
    subject = clean_text(values["subject"], field="subject")
    kind = values.get("subject_kind", "").strip()
    if kind not in _KINDS:
        raise RegistryError(
            "field_invalid",
            field="subject_kind",
            detail=Said("应为 unit（单位）或 person（个人）", "must be unit or person"),
        )
    account = values.get("account", "").strip()
    certificate = values.get("certificate", "").strip()
    service = values.get("service", "").strip()
    providers, suspended = _read_providers(values, provider)
    return FilingRecord(
        domain=domain,
        number=number,
        subject=subject,
        subject_kind=_KINDS[kind],
        account=clean_identifier(account, field="account") if account else None,
        certificate=clean_text(certificate, field="certificate", limit=64) if certificate else None,
        service=clean_text(service, field="service") if service else domain,
        providers=providers,
        suspended=suspended,
    )


def _read_providers(values: Mapping[str, str], provider: str) -> tuple[tuple[str, ...], bool]:
    status = values.get("status", "").strip()
    if status and status not in _STATUSES:
        raise RegistryError(
            "field_invalid",
            field="status",
            detail=Said(
                "应为 filed、filed_elsewhere 或 suspended",
                "must be filed, filed_elsewhere or suspended",
            ),
        )
    names = values.get("providers", "").split()
    if not names:
        return (ELSEWHERE if status == "filed_elsewhere" else provider,), status == "suspended"
    providers = tuple(dict.fromkeys(clean_identifier(name, field="providers") for name in names))
    if (status == "filed" and provider not in providers) or (
        status == "filed_elsewhere" and provider in providers
    ):
        raise RegistryError("status_differs", field="status", status=status)
    return providers, status == "suspended"
