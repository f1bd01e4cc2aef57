"""What an owner enters: the body of an order. A draft may lack anything; rules check it later.

Subjects, services and persons here are what is asked for, not what is on record.
"""

from __future__ import annotations

from datetime import date
from typing import Annotated, Final

from pydantic import Field, StringConstraints

from gate.licence import ServiceKind
from gate.net.model import Model
from gate.registry.commands import (
    Domain,
    ServiceData,
    ServiceLicence,
    SubjectData,
    SubjectKind,
    SubjectLicence,
    Text,
)
from gate.registry.errors import RegistryError, Said
from gate.registry.fields import MAX_SITE_DOMAINS
from gate.registry.orders.kinds import Purpose

MAX_ITEMS = 50
"""Of one request; how many an order may have is a rule."""

Phone = Annotated[
    str,
    StringConstraints(strip_whitespace=True, pattern=r"^\+?[0-9][0-9* -]{4,23}$"),
    Field(
        description="手机号码，查询时以 * 隐去中段 / telephone number; shown with * in its middle, "
        "and one that comes back so stays what it was",
        examples=["13800000000"],
    ),
]
MAX_NOTE: Final = 500
Note = Annotated[str, Field(max_length=MAX_NOTE)]


class PersonEntry(Model):
    """负责人 / a person who answers for the subject or a service, and verifies by SMS."""

    name: Text = Field(description="姓名 / name")
    phone: Phone


class SubjectEntry(Model):
    """主体信息 / who files. With `licence` it is on record, here or elsewhere."""

    name: Text | None = Field(None, description="主体名称 / name")
    kind: SubjectKind = SubjectKind.UNIT
    certificate: Text | None = Field(None, description="证件号码 / certificate number")
    certificate_province: str | None = Field(
        None, max_length=20, description="证件所属省份简称 / province of the certificate"
    )
    certificate_until: date | None = Field(
        None, description="证件有效期至 / the certificate's last day"
    )
    province: str | None = Field(
        None, max_length=20, description="备案省份简称 / province applied for", examples=["鲁"]
    )
    licence: SubjectLicence | None = None
    legal_representative: Text | None = Field(
        None, description="法定代表人 / a unit's legal representative"
    )
    principal: PersonEntry | None = Field(
        None, description="主体负责人 / who answers for the subject"
    )
    principal_born: date | None = Field(
        None, description="主体负责人出生日期 / the principal's date of birth"
    )
    authorised: bool = Field(
        False, description="主体负责人有授权书 / the principal is authorised in writing"
    )
    residence_proof: bool = Field(
        False, description="有居住证等证明 / a proof of residence is at hand"
    )


class ItemEntry(Model):
    """服务信息 / a website or an app: a new one, or one on record by `licence` or `domains`."""

    kind: ServiceKind = ServiceKind.WEBSITE
    name: Text | None = Field(None, description="网站或 App 名称 / name")
    domains: tuple[Domain, ...] = Field((), max_length=20)
    licence: ServiceLicence | None = None
    new_domains: tuple[Domain, ...] | None = Field(
        None,
        max_length=MAX_SITE_DOMAINS,
        description="变更后的域名 / all its domains after a change",
    )
    domain_until: date | None = Field(None, description="域名有效期至 / the domain's last day")
    principal: PersonEntry | None = Field(
        None, description="服务负责人 / who answers for the service"
    )
    matters: tuple[Text, ...] = Field(
        (), max_length=10, description="前置审批类别 / subject matters that need approval first"
    )
    approval: Text | None = Field(None, description="前置审批文号 / number of that approval")
    remark: Note = ""


class OrderEntry(Model):
    """备案订单内容 / what is asked for."""

    purpose: Purpose = Field(
        Purpose.FILE,
        description="file 备案, change 变更, cancel 注销, end_access 取消接入; "
        "the type follows from it and from the records",
    )
    subject: SubjectEntry = SubjectEntry()
    items: tuple[ItemEntry, ...] = Field((), max_length=MAX_ITEMS)
    remark: Note = Field("", description="备注 / remark")


def of_subject(
    data: SubjectData | None, *, province: str | None, licence: str | None
) -> SubjectEntry:
    """Return a subject as the filing operations name it."""
    if data is None:
        return SubjectEntry(province=province, licence=licence)
    return SubjectEntry(
        name=data.name,
        kind=data.kind,
        certificate=data.certificate,
        province=province,
        licence=licence,
    )


def of_service(data: ServiceData) -> ItemEntry:
    """Return a service as the filing operations name it."""
    return ItemEntry(kind=data.kind, name=data.name, domains=data.domains)


def subject_data(entry: SubjectEntry) -> SubjectData | None:
    """Return what the filing operations want of a subject.

    None if it is only named by its number.
    """
    if entry.name is None:
        return None
    return SubjectData(name=entry.name, kind=entry.kind, certificate=entry.certificate)


def service_data(item: ItemEntry) -> ServiceData:
    """Return what the filing operations want of a service.

    A website without a name has its domain's.
    """
    return ServiceData(name=item.name or item.domains[0], kind=item.kind, domains=item.domains)


def persons(entry: OrderEntry) -> list[PersonEntry]:
    """Return the persons named in an order, each once, in order of their first mention."""
    named = [entry.subject.principal, *(item.principal for item in entry.items)]
    found: list[PersonEntry] = []
    for person in named:
        if person is not None and person not in found:
            found.append(person)
    return found


HIDDEN: Final = "…"
"""Shown in place of a certificate number; one that comes back so stays what it was."""


def mask_phone(phone: str) -> str:
    """Return a telephone number without its middle."""
    digits = phone.replace(" ", "").replace("-", "")
    return f"{digits[:3]}****{digits[-2:]}"


def masked(entry: OrderEntry) -> OrderEntry:
    """Return an entry without certificate numbers and whole telephone numbers."""

    def person(found: PersonEntry | None) -> PersonEntry | None:
        return found and found.model_copy(update={"phone": mask_phone(found.phone)})

    certificate = None if entry.subject.certificate is None else HIDDEN
    principal = person(entry.subject.principal)
    of_subject = entry.subject.model_copy(
        update={"certificate": certificate, "principal": principal}
    )
    items = tuple(
        item.model_copy(update={"principal": person(item.principal)}) for item in entry.items
    )
    return entry.model_copy(update={"subject": of_subject, "items": items})


def unmasked(entry: OrderEntry, before: OrderEntry | None) -> OrderEntry:
    """Return an entry with what `masked` has hidden of the one before it.

    Raises RegistryError `field_invalid` for what hides nothing that was entered before.
    """
    phones = {(one.name, mask_phone(one.phone)): one.phone for one in persons(before or _NOTHING)}

    def person(found: PersonEntry | None, field: str) -> PersonEntry | None:
        if found is None or "*" not in found.phone:
            return found
        phone = phones.get((found.name, found.phone))
        if phone is None:
            raise _hidden(f"{field}.phone")
        return found.model_copy(update={"phone": phone})

    certificate = entry.subject.certificate
    if certificate == HIDDEN:
        certificate = None if before is None else before.subject.certificate
        if certificate is None:
            raise _hidden("subject.certificate")
    principal = person(entry.subject.principal, "subject.principal")
    of_subject = entry.subject.model_copy(
        update={"certificate": certificate, "principal": principal}
    )
    items = tuple(
        item.model_copy(update={"principal": person(item.principal, f"items.{n}.principal")})
        for n, item in enumerate(entry.items)
    )
    return entry.model_copy(update={"subject": of_subject, "items": items})


def _hidden(field: str) -> RegistryError:
    detail = Said("请填写完整内容，不能含隐去的部分", "write it in full; a part of it is hidden")
    return RegistryError("field_invalid", field=field, detail=detail)


_NOTHING: Final = OrderEntry()
