"""Which function carries out which command."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from gate.registry.commands import (
    AccessFiling,
    Approve,
    CancelAccess,
    CancelService,
    CancelSubject,
    ChangeOut,
    ChangeService,
    ChangeSubject,
    Command,
    EndOverride,
    ExemptDomain,
    FirstFiling,
    NewService,
    Outcome,
    Reject,
    Resume,
    Suspend,
    SuspendDomain,
)
from gate.registry.log import batch_row
from gate.registry.operations import cancelling, changing, overriding
from gate.registry.operations.work import Work
from gate.registry.orders.commands import Step
from gate.registry.schema import log
from gate.registry.workflow import applications
from gate.registry.workflow.applications import Filed
from gate.registry.workflow.steps import take

_CARRY_OUT: Final[dict[type[Command], Callable[[Work, Any], Filed | str]]] = {
    FirstFiling: applications.submit_first,
    NewService: applications.submit_new,
    Approve: applications.approve,
    Reject: applications.reject,
    AccessFiling: changing.file_access,
    ChangeSubject: changing.change_subject,
    ChangeService: changing.change_service,
    Suspend: changing.suspend,
    Resume: changing.resume,
    CancelService: cancelling.cancel_service,
    CancelSubject: cancelling.cancel_subject,
    CancelAccess: changing.cancel_access,
    ExemptDomain: overriding.exempt,
    SuspendDomain: overriding.suspend_domain,
    EndOverride: overriding.end_override,
}


def carry_out(work: Work, command: Command) -> Outcome:
    """Do what a command asks, and write its batch to the log, all in the open transaction.

    Raises RegistryError for the rule that it breaks; the transaction must be undone then.
    """
    state, accepted = None, True
    if isinstance(command, Step):
        taken = take(work, command)
        order, accepted = taken.order, taken.accepted
        state = order.state.value
        done: Filed | str = Filed(order.id, order.licence or None)
    else:
        done = _CARRY_OUT[type(command)](work, command)
    if isinstance(done, str):
        done = Filed(0, done or None)
    overriding.cover(work)
    revision = work.head.revision + len(work.changes)
    if work.changes:
        row = batch_row(work.head, command.operation, work.changes, work.now)
        work.transaction.insert(log, row)
        work.transaction.put_head(revision=revision, changed_at=work.now)
    return Outcome(
        operation=command.operation,
        epoch=work.head.epoch,
        revision=revision,
        changes=tuple(
            ChangeOut(domain=c.domain, status=c.status.value, licence=c.licence, time=c.time)
            for c in work.changes
        ),
        application=done.application or None,
        licence=done.licence,
        state=state,
        accepted=accepted,
    )
