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
    FirstFiling,
    NewService,
    Outcome,
    Reject,
    Resume,
    Suspend,
)
from gate.registry.log import append
from gate.registry.operations import cancelling, changing, filing
from gate.registry.operations.filing import Filed
from gate.registry.operations.work import Work

_CARRY_OUT: Final[dict[type[Command], Callable[[Work, Any], Filed | str]]] = {
    FirstFiling: filing.submit_first,
    NewService: filing.submit_new,
    Approve: filing.approve,
    Reject: filing.reject,
    AccessFiling: changing.file_access,
    ChangeSubject: changing.change_subject,
    ChangeService: changing.change_service,
    Suspend: changing.suspend,
    Resume: changing.resume,
    CancelService: cancelling.cancel_service,
    CancelSubject: cancelling.cancel_subject,
    CancelAccess: changing.cancel_access,
}


def carry_out(work: Work, command: Command) -> Outcome:
    """Do what a command asks, and write its batch to the log, all in the open transaction.

    Raises RegistryError for the rule that it breaks; the transaction must be undone then.
    """
    done = _CARRY_OUT[type(command)](work, command)
    if isinstance(done, str):
        done = Filed(0, done)
    head = append(work.connection, work.head, command.operation, work.changes, work.now)
    return Outcome(
        operation=command.operation,
        epoch=head.epoch,
        revision=head.revision,
        changes=tuple(
            ChangeOut(domain=c.domain, status=c.status.value, licence=c.licence, time=c.time)
            for c in work.changes
        ),
        application=done.application or None,
        licence=done.licence,
    )
