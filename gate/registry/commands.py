"""What can be asked of the registry: one model for each filing operation, and its outcome.

These models are the API's request bodies, the command line's requests, and the source of the
OpenAPI document. They check shapes; `gate.registry.fields` and the operations check meaning.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, ClassVar, Final, Self

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from gate.licence import ServiceKind
from gate.net.model import Model
from gate.registry.fields import MAX_SITE_DOMAINS


class SubjectKind(StrEnum):
    """单位 or 个人."""

    UNIT = "unit"
    PERSON = "person"


class Role(StrEnum):
    """What a token may do (see `includes`)."""

    OWNER = "owner"
    """An account's own: its orders, and nothing else."""
    VERIFIER = "verifier"
    """The provider's SMS gateway: reports who is verified."""
    READER = "reader"
    REGISTRAR = "registrar"
    REVIEWER = "reviewer"
    """初审: passes and returns orders for the provider."""
    AUTHORITY = "authority"
    """管局审核: approves and returns orders."""
    ADMIN = "admin"

    def includes(self, needed: Role) -> bool:
        """Return whether this role may do what `needed` may."""
        return needed in _INCLUDES[self]


_INCLUDES: Final[dict[Role, frozenset[Role]]] = {
    Role.OWNER: frozenset({Role.OWNER}),
    Role.VERIFIER: frozenset({Role.VERIFIER}),
    # What an owner sees of its own orders, these see of all.
    Role.READER: frozenset({Role.OWNER, Role.READER}),
    Role.REGISTRAR: frozenset({Role.OWNER, Role.READER, Role.REGISTRAR}),
    Role.REVIEWER: frozenset({Role.OWNER, Role.READER, Role.REVIEWER}),
    Role.AUTHORITY: frozenset({Role.OWNER, Role.READER, Role.AUTHORITY}),
    Role.ADMIN: frozenset(Role),
}


class Grant(StrEnum):
    """What a sub-user of an account may do with its orders."""

    VIEW = "view"
    EDIT = "edit"
    SUBMIT = "submit"
    VERIFY = "verify"


Text = Annotated[str, Field(min_length=1, max_length=300)]
Account = Annotated[
    str, Field(min_length=1, max_length=64, description="账号 / the provider's account")
]
Provider = Annotated[
    str, Field(min_length=1, max_length=64, description="接入商 / id of an access provider")
]
Domain = Annotated[
    str,
    Field(
        min_length=1,
        max_length=1024,
        description="域名，U-label 或 A-label / domain, U-label or A-label",
        examples=["dnspod.cn"],
    ),
]
SubjectLicence = Annotated[
    str,
    Field(
        min_length=1,
        max_length=40,
        description="主体备案号 / a subject's licence number",
        examples=["鲁ICP备09090609号"],
    ),
]
ServiceLicence = Annotated[
    str,
    Field(
        min_length=1,
        max_length=40,
        description="服务备案号 / a service's licence number",
        examples=["鲁ICP备09090609号-2"],
    ),
]


class SubjectData(Model):
    """主体 / who files."""

    name: Text = Field(description="主体名称 / name of the unit or person")
    kind: SubjectKind = SubjectKind.UNIT
    certificate: Text | None = Field(
        None, description="证件号码 / certificate number, by which a subject is one"
    )


class ServiceData(Model):
    """服务 / a new website, which has one domain, or an app, mini-program or quick app."""

    name: Text = Field(description="服务名称 / name of the website or app")
    kind: ServiceKind = ServiceKind.WEBSITE
    domains: tuple[Domain, ...] = Field(min_length=1, max_length=20)


class Command(Model):
    """An operation, done in one transaction."""

    operation: ClassVar[str]
    title: ClassVar[str]
    role: ClassVar[Role] = Role.REGISTRAR

    @property
    def target(self) -> str:
        """What the audit trail names as the object."""
        raise NotImplementedError


class FirstFiling(Command):
    """首次备案: apply for a new subject with its first service. In force once approved."""

    operation = "first_filing"
    title = "首次备案 / first filing"

    account: Account
    province: str = Field(
        min_length=1, max_length=20, description="省份简称 / abbreviation", examples=["鲁"]
    )
    subject: SubjectData
    service: ServiceData

    @property
    def target(self) -> str:
        return " ".join(self.service.domains)


class NewService(Command):
    """新增服务: apply for another service of a subject filed here or elsewhere.

    In force once approved. `subject` is needed where the registry does not know the subject yet.
    """

    operation = "new_service"
    title = "新增服务 / new service"

    account: Account
    licence: SubjectLicence
    subject: SubjectData | None = None
    service: ServiceData

    @property
    def target(self) -> str:
        return " ".join(self.service.domains)


class Approve(Command):
    """审核通过: the authority approves an application; its domains become `filed`.

    `licence` is the number that the authority gives: a subject's, or a service's. A number is the
    authority's to give: with `generate` the registry makes up the next free one, for trying out.
    """

    operation = "approve"
    title = "审核通过 / approve"
    role = Role.ADMIN

    application: int = Field(ge=1, le=2**53)
    licence: ServiceLicence | None = None
    generate: bool = Field(
        False, description="编造下一个号码，仅供演示 / make up the next number, for demonstrations"
    )

    @property
    def target(self) -> str:
        return str(self.application)


class Reject(Command):
    """审核驳回: the authority rejects an application; its domains are free again."""

    operation = "reject"
    title = "审核驳回 / reject"
    role = Role.ADMIN

    application: int = Field(ge=1, le=2**53)
    reason: Text

    @property
    def target(self) -> str:
        return str(self.application)


class AccessFiling(Command):
    """接入备案: a service filed with another provider is served here too from now on."""

    operation = "access_filing"
    title = "接入备案 / access filing"

    account: Account
    domain: Domain
    licence: ServiceLicence

    @property
    def target(self) -> str:
        return self.domain


class ChangeSubject(Command):
    """变更主体: change a subject's data, its account, or its licence number."""

    operation = "change_subject"
    title = "变更主体 / change of subject"

    licence: SubjectLicence
    name: Text | None = None
    kind: SubjectKind | None = None
    certificate: Text | None = None
    account: Account | None = None
    new_licence: SubjectLicence | None = None

    @property
    def target(self) -> str:
        return self.licence


class _OneService(Command):
    """A command about one service, named by its number or by a domain of it."""

    licence: ServiceLicence | None = None
    domain: Domain | None = None

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        if (self.licence is None) == (self.domain is None):
            raise PydanticCustomError("either_one", "give either licence or domain")
        return self

    @property
    def target(self) -> str:
        return self.licence or self.domain or ""


class ChangeService(_OneService):
    """变更服务: change a service's name or its domains; a domain left out is revoked."""

    operation = "change_service"
    title = "变更服务 / change of service"

    name: Text | None = None
    domains: tuple[Domain, ...] | None = Field(None, min_length=1, max_length=MAX_SITE_DOMAINS)
    reason: Text | None = Field(None, description="原因，记入审计 / why, for the audit trail")


class CancelService(_OneService):
    """注销服务: a service ends; its domains become `absent`."""

    operation = "cancel_service"
    title = "注销服务 / cancel a service"

    reason: Text | None = Field(None, description="原因，记入审计 / why, for the audit trail")


class CancelSubject(Command):
    """注销主体: a subject ends, and all its services with it, in one batch."""

    operation = "cancel_subject"
    title = "注销主体 / cancel a subject"

    licence: SubjectLicence
    reason: Text | None = Field(None, description="原因，记入审计 / why, for the audit trail")

    @property
    def target(self) -> str:
        return self.licence


class CancelAccess(_OneService):
    """取消接入: a service is no longer served by a provider (this one, unless named)."""

    operation = "cancel_access"
    title = "取消接入 / cancel access"

    provider: Provider | None = None
    reason: Text | None = Field(None, description="原因，记入审计 / why, for the audit trail")


class Suspend(_OneService):
    """暂停服务: by order of the authority, a filed service must not be served."""

    operation = "suspend"
    title = "暂停服务 / suspend a service"
    role = Role.ADMIN

    reason: Text


class Resume(_OneService):
    """恢复服务: a suspension ends."""

    operation = "resume"
    title = "恢复服务 / resume a service"
    role = Role.ADMIN


Seconds = Annotated[
    int, Field(ge=60, le=366 * 86_400, strict=True, description="有效秒数 / how long, in seconds")
]


class ExemptDomain(Command):
    """临时放行: a domain and all names below it pass at every gate, filed or not, for a time."""

    operation = "exempt_domain"
    title = "在所有网关临时放行域名 / exempt a domain at every gate"
    role = Role.ADMIN

    domain: Domain
    seconds: Seconds
    reason: Text

    @property
    def target(self) -> str:
        return self.domain


class SuspendDomain(Command):
    """临时封禁: a domain and all names below it are blocked at every gate, though filed.

    Without `seconds` until it is ended.
    """

    operation = "suspend_domain"
    title = "在所有网关封禁域名 / suspend a domain at every gate"
    role = Role.ADMIN

    domain: Domain
    seconds: Seconds | None = None
    reason: Text

    @property
    def target(self) -> str:
        return self.domain


class EndOverride(Command):
    """结束放行或封禁: gates get what the records say of the domain."""

    operation = "end_override"
    title = "结束放行或封禁 / end an exemption or a suspension at every gate"
    role = Role.ADMIN

    domain: Domain
    reason: Annotated[str, Field(max_length=300)] = ""

    @property
    def target(self) -> str:
        return self.domain


COMMANDS: tuple[type[Command], ...] = (
    FirstFiling,
    NewService,
    Approve,
    Reject,
    AccessFiling,
    ChangeSubject,
    ChangeService,
    CancelService,
    CancelSubject,
    CancelAccess,
    Suspend,
    Resume,
    ExemptDomain,
    SuspendDomain,
    EndOverride,
)


class ChangeOut(Model):
    """One change of the allowlist."""

    domain: str
    status: str
    licence: str
    time: int


class Outcome(Model):
    """What an operation did: in force in the registry, at `revision` of its log."""

    operation: str
    epoch: str
    revision: int = Field(description="the log's revision after the operation")
    changes: tuple[ChangeOut, ...] = ()
    application: int | None = None
    licence: str | None = Field(None, description="number of the subject or service concerned")
    dry_run: bool = Field(False, description="nothing was changed; this is what would be")
    state: str | None = Field(None, description="an order's state after it")
    accepted: bool = Field(True, description="false for a wrong code, which is counted")
