"""GET /v1/check: what the gate does with a host, and why."""

from __future__ import annotations

from datetime import datetime
from http import HTTPStatus
from typing import Self

from pydantic import Field

from gate.control.api.access import Access
from gate.control.api.endpoint import AdminCall, AdminEndpoint
from gate.control.api.overriding import OverrideView
from gate.control.api.problems import Refusal
from gate.filings import Status
from gate.net.model import Model, moment
from gate.policy import Reason, Verdict
from gate.replica import Replica, ReplicaError
from gate.settings import Listener, Mode, UpstreamPool, route_of


class CheckQuery(Model):
    """What to check."""

    host: str = Field(
        min_length=1,
        max_length=1024,
        description="As a client writes it: a name (also in Unicode) or an address, with or "
        "without a port.",
    )


class CheckedFiling(Model):
    """The filing that was found at or above the name."""

    domain: str
    status: Status
    licence: str


class OutcomeView(Model):
    """What happens to a visitor on one listener, by TLS on one of kind `tls`."""

    listener: str
    mode: Mode
    passes: bool
    transparent: bool
    origins: tuple[str, ...] = Field(
        description="HOST:PORT of the origins, used in turn; none where a connection goes on to "
        "its own destination"
    )


class PositionView(Model):
    """Where the replica stands; `epoch` is "" for an imported list or an empty replica."""

    epoch: str
    revision: int
    entries: int
    updated_at: datetime | None

    @classmethod
    def of(cls, replica: Replica) -> Self:
        """As it stands now. Raises ReplicaError."""
        position, entries = replica.position(), replica.count()
        if position is None:
            return cls(epoch="", revision=0, entries=entries, updated_at=None)
        return cls(
            epoch=position.epoch,
            revision=position.revision,
            entries=entries,
            updated_at=moment(position.updated_at),
        )


class CheckView(Model):
    """The verdict on a host. `problem` says why a host is malformed."""

    host: str
    name: str
    display: str
    allowed: bool
    reason: Reason
    domain: str
    licence: str
    problem: str
    filing: CheckedFiling | None
    override: OverrideView | None
    route: str = Field(description="the `match` of the route taken; `default` where none fits")
    listeners: tuple[OutcomeView, ...]
    replica: PositionView


async def check(call: AdminCall) -> CheckView:
    """Explain the verdict on a host."""
    service = call.service
    query: CheckQuery = call.query
    try:
        found = service.explainer.explain(query.host)
        position = PositionView.of(service.replica)
    except ReplicaError as error:
        raise Refusal(HTTPStatus.SERVICE_UNAVAILABLE, "replica", str(error)) from error
    verdict, filing = found.verdict, found.filing
    route, pool = route_of(service.settings.upstreams, verdict.name)
    return CheckView(
        host=found.host,
        name=verdict.name,
        display=found.display,
        allowed=verdict.allowed,
        reason=verdict.reason,
        domain=verdict.domain,
        licence=verdict.licence,
        problem=found.problem,
        filing=filing
        and CheckedFiling(domain=filing.domain, status=filing.status, licence=filing.licence),
        override=found.override and OverrideView.of(found.override),
        route=route,
        listeners=tuple(
            _outcome(item, service.runtime.mode_of(item.name, service.settings), verdict, pool)
            for item in service.settings.listeners
        ),
        replica=position,
    )


def _outcome(listener: Listener, mode: Mode, verdict: Verdict, pool: UpstreamPool) -> OutcomeView:
    # What cannot be understood is answered 400 on HTTP in every mode.
    let_through = mode is Mode.MONITOR and not (
        listener.kind == "http" and verdict.reason is Reason.MALFORMED
    )
    return OutcomeView(
        listener=listener.name,
        mode=mode,
        passes=verdict.allowed or let_through,
        transparent=listener.transparent != "off",
        origins=tuple(str(address) for address in pool.origins(listener.kind))
        if listener.transparent == "off"
        else (),
    )


ENDPOINTS = (
    AdminEndpoint(
        "GET",
        "/v1/check",
        "check",
        "What the gate does with a host, and why",
        check,
        Access.READ,
        query=CheckQuery,
        answer=CheckView,
    ),
)
