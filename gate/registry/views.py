"""What the registry shows of its records: the API's answers."""

from __future__ import annotations

from typing import Final, Literal

from pydantic import Field

from gate.licence import ServiceKind
from gate.net.model import Model
from gate.registry.commands import FirstFiling, Grant, NewService, Role, SubjectKind
from gate.registry.import_modes import ImportMode

StatusName = Literal["filed", "filed_elsewhere", "suspended", "absent"]


class SubjectView(Model):
    """主体 on record; the certificate number is not shown."""

    licence: str
    name: str
    kind: SubjectKind
    province: str
    account: str | None


class FleetOverrideView(Model):
    """放行或封禁 / what an operator decided for every gate. Times are Unix seconds."""

    domain: str
    kind: Literal["exempt", "suspended"]
    until: int | None = Field(description="null: until somebody ends it")
    reason: str
    by: str
    since: int
    status: StatusName = Field(description="what gates have for the domain because of it")
    revision: int = Field(description="the log's revision at which they were told")


class FilingView(Model):
    """One domain on record. Without `subject` it was filed once and is absent now."""

    domain: str = Field(description="A-label form")
    display: str = Field(description="U-label form, for people")
    status: StatusName
    licence: str
    service: str | None = Field(None, description="name of the website or app")
    kind: ServiceKind | None = None
    subject: SubjectView | None = None
    providers: tuple[str, ...] = Field((), description="access providers, in order")
    changed_at: int = Field(description="Unix seconds")
    revision: int = Field(description="the log's revision of the last change")
    override: FleetOverrideView | None = Field(
        None, description="放行或封禁 / what an operator decided for every gate, over the record"
    )


class ServiceView(Model):
    """A service of a subject."""

    licence: str
    name: str
    kind: ServiceKind
    suspended: bool
    domains: tuple[str, ...]
    providers: tuple[str, ...]


class SubjectDetail(SubjectView):
    """A subject with its live services."""

    created_at: int
    services: tuple[ServiceView, ...]


class ApplicationView(Model):
    """An application and what was said of it."""

    id: int
    kind: Literal["first_filing", "new_service"]
    state: Literal["submitted", "approved", "rejected"]
    request: FirstFiling | NewService
    submitted_at: int
    submitted_by: str
    decided_at: int | None
    decided_by: str | None
    reason: str
    licence: str


class TokenView(Model):
    """A token, without its secret."""

    id: str
    name: str
    role: Role
    created_at: int
    expires_at: int | None
    revoked_at: int | None
    account: str | None = Field(None, description="an owner's account")
    grants: tuple[Grant, ...] | None = Field(
        None, description="what a sub-user may do; null for all that the role may"
    )


class AuditView(Model):
    """One line of the audit trail."""

    id: int
    time: int
    actor: str
    operation: str
    target: str
    detail: str
    revision: int


class HistoryLine(Model):
    """One thing that happened to a domain: a change in the log, or a step of an order."""

    time: int
    what: str = Field(description="operation or order event")
    what_zh: str = ""
    actor: str = Field("", description="who, as the audit trail names them")
    revision: int | None = Field(None, description="of the change; null for a step of an order")
    status: StatusName | None = None
    licence: str = ""
    order: int | None = None
    state: str = Field("", description="the order's after the step")


class HistoryView(Model):
    """What became of a domain, the first thing first."""

    domain: str
    log_begins_at: int = Field(description="changes up to this revision are kept no longer")
    items: tuple[HistoryLine, ...]


_READ_AS: Final = (
    "识别结果（编码、分隔符或工作表），仅在上传的应答中 / "
    "what a list was found to be; in the answer to its upload alone"
)
_REMARKS: Final = "提醒（如未使用的列），同上 / what its clerk is to know, there too"


class ImportView(Model):
    """How far an import is."""

    digest: str
    name: str
    format: Literal["csv", "ndjson", "list"]
    state: Literal["running", "done"]
    size: int
    offset: int
    lines: int
    accepted: int
    unchanged: int
    refused: int
    revived: int = Field(description="filed again after they had been cancelled; also in accepted")
    further: int = Field(
        0, description="domains of websites that have several; also in accepted, if not revived"
    )
    closed: int = Field(description="left out of a list that replaces what is filed")
    mode: ImportMode
    trouble: str = Field("", description="why the import waits at present")
    read_as: str = Field("", description=_READ_AS)
    remarks: tuple[str, ...] = Field((), description=_REMARKS)
    started_at: int
    changed_at: int


class RefusalView(Model):
    """A line that an import did not take, and why; or a note on one that it took.

    The notes: `domain_revived`, and `domain_further` for another domain of a website.
    """

    line: int
    code: str
    zh: str
    en: str


class PreviewView(Model):
    """What an import would do; `changes` and `notes` are the first of them."""

    accepted: int
    unchanged: int
    refused: int
    revived: int
    further: int = 0
    closing: int = Field(description="domains that a list which replaces leaves out")
    changes: tuple[str, ...] = Field(
        description="a line each: + opens, ~ changes, - closes; the domain, its status and number"
    )
    notes: tuple[RefusalView, ...] = Field(
        description="lines refused, and what is to be said of others"
    )
    read_as: str = Field("", description=_READ_AS)
    remarks: tuple[str, ...] = Field((), description=_REMARKS)


class GateView(Model):
    """A gate that changes are pushed to. Times in Unix seconds, 0 for never."""

    name: str
    url: str
    revision: int | None = Field(description="newest revision that it has enforced")
    acknowledged_at: float
    seconds: float = Field(description="from push to acknowledgement, last time")
    pushes: int
    failures: int
    last_error: str
    calls_itself: str | None = Field(
        None, description="its own name (`sync.gate`), which it counts by; null if it says none"
    )


class PublishedView(Model):
    """Where publishing to NATS stands."""

    connected: bool
    epoch: str
    revision: int
    messages: int
    last_error: str


class HeldSetView(Model):
    """A set that is given to no gate before a person's word: it has shrunk unexplained."""

    before: int = Field(description="domains that were filed in the set given out last")
    filed: int = Field(description="domains that are filed now")


class HeadView(Model):
    """Where the registry's log stands."""

    epoch: str
    revision: int
    oldest: int
    domains: int = Field(description="domains on record, absent ones included")
    filed: int = Field(description="domains that are filed")
    held: HeldSetView | None = Field(None, description="a set that waits for a person's word")
