"""`gate registry file | approve | reject | access | change | cancel | suspend | resume`."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import click

from gate.cli.asking import WaitsForWord, may_go_on
from gate.cli.options import json_option
from gate.cli.registry.target import Target, print_json, target_options
from gate.licence import ServiceKind, looks_like_licence
from gate.registry.commands import (
    AccessFiling,
    Approve,
    CancelAccess,
    CancelService,
    CancelSubject,
    ChangeService,
    ChangeSubject,
    Command,
    FirstFiling,
    NewService,
    Outcome,
    Reject,
    Resume,
    ServiceData,
    SubjectData,
    SubjectKind,
    Suspend,
)

_SHOWN = 5


@dataclass(slots=True, frozen=True)
class Closing:
    """How a command that closes domains is given."""

    yes: bool
    dry_run: bool


def closing_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options of one that closes domains, as `how`, and `reason`."""

    @click.option("--yes", is_flag=True, help="Go on without asking.")
    @click.option("--dry-run", is_flag=True, help="Show what would close, and change nothing.")
    @functools.wraps(command)
    def wrapped(*args: Any, yes: bool, dry_run: bool, **kwargs: Any) -> None:
        command(*args, how=Closing(yes, dry_run), **kwargs)

    return wrapped


reason_option = click.option("--reason", required=True, help="Why, for the audit trail.")
_WHAT = "WHAT is a domain or the licence number of a service."


def perform(target: Target, command: Command, *, as_json: bool) -> None:
    """Carry out a command, and print what it did."""
    report(command, target.perform(command), as_json=as_json)


def report(command: Command, outcome: Outcome, *, as_json: bool) -> None:
    """Print what a command did."""
    if as_json:
        print_json(outcome)
        return
    number = f" {outcome.licence}" if outcome.licence else ""
    application = f" application {outcome.application}" if outcome.application else ""
    end = "a dry run: nothing was changed" if outcome.dry_run else f"revision {outcome.revision}"
    click.echo(f"{command.title}:{application}{number} ({end})")
    for change in outcome.changes:
        click.echo(f"  {change.domain} -> {change.status} {change.licence}".rstrip())


def close(target: Target, command: Command, how: Closing, *, as_json: bool) -> None:
    """Carry out a command that closes domains, once a person has seen which.

    Raises WaitsForWord.
    """
    if how.dry_run or not how.yes:
        outcome = target.preview(command)
        closing = [change.domain for change in outcome.changes if change.status != "filed"]
        if how.dry_run:
            report(command, outcome, as_json=as_json)
            return
        shown = ", ".join(closing[:_SHOWN]) + (", …" if len(closing) > _SHOWN else "")
        what = f"{command.title}: {len(closing)} domains close" + (f": {shown}" if shown else "")
        if not may_go_on(what):
            raise WaitsForWord(f"{what}; nothing was changed. --dry-run shows all, --yes goes on")
    perform(target, command, as_json=as_json)


def named(what: str) -> dict[str, Any]:
    """Return what the user calls a service: its licence number or a domain of it."""
    return {"licence": what} if looks_like_licence(what) else {"domain": what}


@click.command()
@click.argument("domains", nargs=-1, required=True)
@click.option("--account", required=True, help="The provider's account.")
@click.option("--name", help="Name of the subject; needed unless the registry knows it.")
@click.option("--province", help="Province of a new subject, such as 京.")
@click.option("--subject", "licence", help="File a new service under this subject's number.")
@click.option("--person", is_flag=True, help="The subject is a person, not a unit.")
@click.option("--certificate", help="Certificate number of the subject.")
@click.option("--service", help="Name of the website or app; the first domain, if not given.")
@click.option("--app", is_flag=True, help="The service is an app.")
@click.option(
    "--kind",
    type=click.Choice([kind.replace("_", "-") for kind in ServiceKind]),
    default=ServiceKind.WEBSITE.value,
    show_default=True,
    help="What the service is.",
)
@click.option("--approve", "approved", is_flag=True, help="Approve it at once (role admin).")
@click.option("--number", help="With --approve: the licence number that the authority has given.")
@click.option("--generate", is_flag=True, help="With --approve: make a number up, for a try.")
@json_option
@target_options
def file(
    target: Target,
    domains: tuple[str, ...],
    account: str,
    name: str | None,
    province: str | None,
    licence: str | None,
    person: bool,
    certificate: str | None,
    service: str | None,
    app: bool,
    kind: str,
    approved: bool,
    number: str | None,
    generate: bool,
    as_json: bool,
) -> None:
    """Apply for a filing of DOMAINS (首次备案, or 新增服务 with --subject).

    \b
    gate registry file shop.example.com --account a1 --name 某某公司 --province 京
    gate registry file blog.example.net --account a1 --subject 京ICP备12345678号
    """
    data = ServiceData(
        name=service or domains[0],
        kind=ServiceKind.APP if app else ServiceKind(kind.replace("-", "_")),
        domains=domains,
    )
    subject = None
    if name is not None:
        who = SubjectKind.PERSON if person else SubjectKind.UNIT
        subject = SubjectData(name=name, kind=who, certificate=certificate)
    command: Command
    if licence is not None:
        command = NewService(account=account, licence=licence, subject=subject, service=data)
    else:
        if subject is None or province is None:
            raise click.UsageError("a first filing needs --name and --province")
        command = FirstFiling(account=account, province=province, subject=subject, service=data)
    if approved:
        _check_number(number, generate)
    elif number is not None or generate:
        raise click.UsageError("--number and --generate go with --approve")
    outcome = target.perform(command)
    if not (approved and as_json):
        report(command, outcome, as_json=as_json)
    if approved and outcome.application is not None:
        decision = Approve(application=outcome.application, licence=number, generate=generate)
        perform(target, decision, as_json=as_json)


@click.command()
@click.argument("application", type=int)
@click.option("--number", help="The licence number that the authority has given.")
@click.option("--generate", is_flag=True, help="Make a number up, for a try.")
@json_option
@target_options
def approve(
    target: Target, application: int, number: str | None, generate: bool, as_json: bool
) -> None:
    """Approve an application: its domains become filed."""
    _check_number(number, generate)
    decision = Approve(application=application, licence=number, generate=generate)
    perform(target, decision, as_json=as_json)


def _check_number(number: str | None, generate: bool) -> None:
    if (number is None) != generate:
        raise click.UsageError(
            "give --number, the licence number that the authority has given (or --generate to have "
            "one made up, for a try)"
        )


@click.command()
@click.argument("application", type=int)
@click.option("--reason", required=True)
@json_option
@target_options
def reject(target: Target, application: int, reason: str, as_json: bool) -> None:
    """Reject an application."""
    perform(target, Reject(application=application, reason=reason), as_json=as_json)


@click.command()
@click.argument("domain")
@click.argument("licence")
@click.option("--account", required=True, help="The provider's account.")
@json_option
@target_options
def access(target: Target, domain: str, licence: str, account: str, as_json: bool) -> None:
    """File access (接入备案) for a DOMAIN that another provider filed under LICENCE."""
    command = AccessFiling(account=account, domain=domain, licence=licence)
    perform(target, command, as_json=as_json)


@click.group()
def change() -> None:
    """Change a subject or a service (变更备案)."""


@change.command("subject")
@click.argument("licence")
@click.option("--name")
@click.option("--kind", type=click.Choice([kind.value for kind in SubjectKind]))
@click.option("--certificate")
@click.option("--account")
@click.option("--number", help="The subject's new licence number.")
@json_option
@target_options
def change_subject(
    target: Target,
    licence: str,
    name: str | None,
    kind: str | None,
    certificate: str | None,
    account: str | None,
    number: str | None,
    as_json: bool,
) -> None:
    """Change the data, account or number of the subject LICENCE."""
    command = ChangeSubject(
        licence=licence,
        name=name,
        kind=SubjectKind(kind) if kind else None,
        certificate=certificate,
        account=account,
        new_licence=number,
    )
    perform(target, command, as_json=as_json)


@change.command("service", help=f"Change the name or domains of a service. {_WHAT}")
@click.argument("what")
@click.option("--name")
@click.option("--domain", "domains", multiple=True, help="All its domains from now on.")
@click.option("--reason", help="Why, for the audit trail.")
@closing_options
@json_option
@target_options
def change_service(
    target: Target,
    what: str,
    name: str | None,
    domains: tuple[str, ...],
    reason: str | None,
    how: Closing,
    as_json: bool,
) -> None:
    command = ChangeService(**named(what), name=name, domains=domains or None, reason=reason)
    if domains:
        close(target, command, how, as_json=as_json)
    else:
        perform(target, command, as_json=as_json)


@click.group()
def cancel() -> None:
    """Cancel a service, a subject, or access (注销、取消接入)."""


@cancel.command("service", help=f"Cancel a service (注销服务). {_WHAT}")
@click.argument("what")
@reason_option
@closing_options
@json_option
@target_options
def cancel_service(target: Target, what: str, reason: str, how: Closing, as_json: bool) -> None:
    close(target, CancelService(**named(what), reason=reason), how, as_json=as_json)


@cancel.command("subject")
@click.argument("licence")
@reason_option
@closing_options
@json_option
@target_options
def cancel_subject(target: Target, licence: str, reason: str, how: Closing, as_json: bool) -> None:
    """Cancel the subject LICENCE and all its services (注销主体)."""
    close(target, CancelSubject(licence=licence, reason=reason), how, as_json=as_json)


@cancel.command("access", help=f"Cancel access (取消接入). {_WHAT}")
@click.argument("what")
@click.option("--with", "other", help="The provider; the registry's own, if not given.")
@reason_option
@closing_options
@json_option
@target_options
def cancel_access(
    target: Target, what: str, other: str | None, reason: str, how: Closing, as_json: bool
) -> None:
    command = CancelAccess(**named(what), provider=other, reason=reason)
    close(target, command, how, as_json=as_json)


@click.command(help=f"Suspend a service by order of the authority (暂停). {_WHAT}")
@click.argument("what")
@reason_option
@closing_options
@json_option
@target_options
def suspend(target: Target, what: str, reason: str, how: Closing, as_json: bool) -> None:
    close(target, Suspend(**named(what), reason=reason), how, as_json=as_json)


@click.command(help=f"End a suspension (恢复). {_WHAT}")
@click.argument("what")
@json_option
@target_options
def resume(target: Target, what: str, as_json: bool) -> None:
    perform(target, Resume(**named(what)), as_json=as_json)
