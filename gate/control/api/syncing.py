"""A person's word for a snapshot that waits for it (`gate.sync.shrinking`)."""

from __future__ import annotations

from http import HTTPStatus

from pydantic import Field

from gate.control.api.access import Access
from gate.control.api.endpoint import AdminCall, AdminEndpoint
from gate.control.api.overriding import By, Reasoning
from gate.control.api.problems import Refusal
from gate.control.api.status import HeldView
from gate.net.model import Model


class AcceptBody(Model):
    """Whose word, for which snapshot, and why."""

    epoch: str = Field(
        min_length=1, max_length=64, description="Of the snapshot that waits, as the status has it."
    )
    reason: Reasoning
    by: By = ""


async def accept(call: AdminCall) -> HeldView:
    """Have the snapshot that waits loaded, soon; the status tells when it is in force."""
    body: AcceptBody = call.body
    service = call.service
    sync = service.following.fields() or {}
    held = HeldView.model_validate(sync["held"]) if sync.get("held") else None
    if held is None or held.epoch != body.epoch:
        raise Refusal(
            HTTPStatus.CONFLICT,
            "nothing_held",
            f"the snapshot that waits is of epoch {held.epoch}, not {body.epoch}"
            if held
            else "no snapshot waits for a word",
            field="epoch",
        )
    service.record(
        call.caller,
        body.by,
        "accept snapshot",
        body.epoch,
        reason=body.reason,
        revision=held.revision,
        closing=held.closing,
        filed=held.filed,
    )
    service.following.accept(body.epoch)
    return held


ENDPOINTS = (
    AdminEndpoint(
        "POST",
        "/v1/sync/accept",
        "acceptSnapshot",
        "Have a snapshot loaded that would close much, and waits for a person's word",
        accept,
        Access.WRITE,
        body=AcceptBody,
        answer=HeldView,
        status=HTTPStatus.ACCEPTED,
    ),
)
