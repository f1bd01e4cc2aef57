"""/v1/overrides: domains that operators let through or suspend."""

from __future__ import annotations

import time
from datetime import datetime
from http import HTTPStatus
from typing import Annotated, Self

from pydantic import AfterValidator, Field

from gate.control.api.access import Access
from gate.control.api.endpoint import AdminCall, AdminEndpoint
from gate.control.api.problems import Refusal
from gate.control.api.service import unconfirmed
from gate.control.workers import Unconfirmed
from gate.filings import Override, OverrideKind
from gate.names import InvalidName, canonical, check_overridable
from gate.net.model import Model, moment
from gate.replica import ReplicaError

_LONGEST_SECONDS = 366 * 86400.0


def plain_text(text: str) -> str:
    """Return a text that may stand in a log line. Raises ValueError."""
    if not text.isprintable():
        raise ValueError("write no characters that control a terminal, and no line ends")
    return text.strip()


def _given(text: str) -> str:
    if not text:
        raise ValueError("write at least one character")
    return text


Reasoning = Annotated[
    str,
    AfterValidator(plain_text),
    AfterValidator(_given),
    Field(max_length=500, description="Why, for whoever reads it later."),
]
By = Annotated[
    str,
    Field(
        max_length=64,
        pattern=r"^[\w.@-]*$",
        description="Who asks for it, in their own words; the audit log has what they proved, too.",
    ),
]


class OverrideBody(Model):
    """An operator's decision on a domain and all names below it."""

    kind: OverrideKind = Field(
        description="exempt lets an unfiled domain through, suspended blocks a filed one."
    )
    seconds: float | None = Field(
        None,
        gt=0,
        le=_LONGEST_SECONDS,
        description="How long it lasts, a year at most; an exemption must say so, a suspension "
        "without it lasts until it is removed.",
    )
    reason: Reasoning
    by: By = ""


class RemovalQuery(Model):
    """Who removes an override, and why."""

    kind: OverrideKind | None = Field(
        None, description="Only an override of this kind; null is of any."
    )
    reason: Annotated[str, AfterValidator(plain_text), Field(max_length=500)] = ""
    by: By = ""


class OverrideView(Model):
    """An override that is in force. `until` is null if it has no end."""

    domain: str
    kind: OverrideKind
    until: datetime | None
    since: datetime
    reason: str
    by: str

    @classmethod
    def of(cls, override: Override) -> Self:
        """Return the view of a stored override."""
        return cls(
            domain=override.domain,
            kind=override.kind,
            until=None if override.until is None else moment(override.until),
            since=moment(override.since),
            reason=override.reason,
            by=override.by,
        )


class OverrideList(Model):
    """All overrides, by domain."""

    items: tuple[OverrideView, ...]


async def show(call: AdminCall) -> OverrideList:
    """Return all overrides that have not ended."""
    found = call.service.overrides.all()
    return OverrideList(items=tuple(map(OverrideView.of, found)))


async def put(call: AdminCall) -> OverrideView:
    """Store an override, in place of one that the domain has; in force when this answers."""
    body: OverrideBody = call.body
    if body.kind is OverrideKind.EXEMPT and body.seconds is None:
        raise Refusal(
            HTTPStatus.UNPROCESSABLE_ENTITY,
            "field_invalid",
            "seconds: an exemption must have an end; say how long it lasts",
            field="seconds",
        )
    domain = _domain(call)
    now = round(time.time(), 3)
    until = None if body.seconds is None else now + body.seconds
    override = Override(domain, body.kind, until, body.reason, body.by or call.caller.actor, now)
    call.service.record(
        call.caller,
        body.by,
        body.kind.value,
        domain,
        seconds=body.seconds,
        reason=body.reason,
    )
    try:
        await call.service.overrides.put(override)
    except Unconfirmed as error:
        raise unconfirmed(error) from error
    except ReplicaError as error:
        raise Refusal(HTTPStatus.SERVICE_UNAVAILABLE, "replica", str(error)) from error
    return OverrideView.of(override)


async def remove(call: AdminCall) -> OverrideView:
    """Forget a domain's override; what it was. In force when this answers."""
    query: RemovalQuery = call.query
    domain = _domain(call)
    found = call.service.overrides.get(domain)
    if found is None or query.kind not in (None, found.kind):
        state = "has no override" if found is None else f"is not {query.kind} but {found.kind}"
        raise Refusal(HTTPStatus.NOT_FOUND, "override_unknown", f"{domain} {state}", field="domain")
    call.service.record(
        call.caller,
        query.by,
        "remove override",
        domain,
        kind=found.kind.value,
        reason=query.reason,
    )
    try:
        removed = await call.service.overrides.remove(found)
    except Unconfirmed as error:
        raise unconfirmed(error) from error
    except ReplicaError as error:
        raise Refusal(HTTPStatus.SERVICE_UNAVAILABLE, "replica", str(error)) from error
    if not removed:
        raise Refusal(
            HTTPStatus.CONFLICT,
            "override_changed",
            f"somebody else has just changed what {domain} has; look at it, and try again",
            field="domain",
        )
    return OverrideView.of(found)


def _domain(call: AdminCall) -> str:
    """Return the domain of the path, canonical. Raises Refusal."""
    given = call.path["domain"]
    try:
        host = canonical(given.encode("utf-8", "surrogatepass"))
        name = host.text
        check_overridable(name)
    except InvalidName as error:
        raise Refusal(
            HTTPStatus.UNPROCESSABLE_ENTITY,
            "domain_invalid",
            f"{given[:300]!r}: {error.reason}",
            field="domain",
        ) from error
    return name


ENDPOINTS = (
    AdminEndpoint(
        "GET",
        "/v1/overrides",
        "showOverrides",
        "All overrides",
        show,
        Access.READ,
        answer=OverrideList,
    ),
    AdminEndpoint(
        "PUT",
        "/v1/overrides/{domain}",
        "putOverride",
        "Exempt or suspend a domain and all names below it",
        put,
        Access.WRITE,
        body=OverrideBody,
        answer=OverrideView,
    ),
    AdminEndpoint(
        "DELETE",
        "/v1/overrides/{domain}",
        "removeOverride",
        "End an exemption or a suspension",
        remove,
        Access.WRITE,
        query=RemovalQuery,
        answer=OverrideView,
    ),
)
