"""`gate registry order new | submit | list | show | pass | return | verify | approve | …`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import click
from rich.table import Table

from gate.cli.options import json_option
from gate.cli.registry.target import (
    Refused,
    Target,
    china_time,
    print_json,
    print_table,
    target_options,
)
from gate.registry.commands import SubjectKind
from gate.registry.orders.commands import (
    AbandonOrder,
    ApproveOrder,
    FaultEntry,
    NewOrder,
    PassOrder,
    ReportPerson,
    ResendCode,
    ReturnOrder,
    Step,
    SubmitOrder,
    UpdateOrder,
    VerifyPerson,
    WithdrawOrder,
)
from gate.registry.orders.entries import ItemEntry, OrderEntry, PersonEntry, SubjectEntry
from gate.registry.orders.kinds import OrderType, Purpose
from gate.registry.orders.states import OrderState
from gate.registry.orders.views import (
    EventView,
    OrderQuery,
    OrderSummary,
    OrderTaken,
    OrderView,
)


@click.group()
def order() -> None:
    """Orders (备案订单): from an owner's draft to a name that passes."""


number_argument = click.argument("number", type=click.IntRange(1))


def take(target: Target, step: Step, *, as_json: bool) -> None:
    """Take a step, and print the order after it."""
    show_order(target.step(step), as_json=as_json)


def show_order(found: OrderView | OrderTaken, *, as_json: bool) -> None:
    """Print an order, or what the token may know of it."""
    if as_json:
        print_json(found)
        return
    if isinstance(found, OrderTaken):
        click.echo(f"order {found.id}  {found.state_zh} ({found.state.value})")
        return
    kind = found.type_zh or "类型待定"
    click.echo(f"order {found.id}  {kind}  {found.state_zh} ({found.state.value})")
    rows = [
        ("account", found.account),
        ("subject", found.subject or ""),
        ("domains", " ".join(found.domains)),
        ("since", china_time(found.since)),
        ("due", _due(found)),
        ("licence", found.licence),
        ("reason", found.reason),
        ("opened", "provisionally, since the provider's pass" if found.opened else ""),
        ("revision", "" if found.revision is None else str(found.revision)),
        ("next", ", ".join(f"{step.event} ({step.party})" for step in found.next)),
    ]
    for label, value in rows:
        if value:
            click.echo(f"{label:<10}{value}")
    for fault in found.faults:
        more = f"  -> {fault.suggestion}" if fault.suggestion else ""
        click.echo(f"  {fault.field}: {fault.zh}{more}")
    for place, person in enumerate(found.people, 1):
        state = "verified" if person.verified_at else f"{person.wrong} wrong codes"
        click.echo(f"  person {place}: {person.name} {person.phone}  {state}")


@order.command()
@click.argument("domains", nargs=-1)
@click.option("--account", help="The provider's account; an owner's token has its own.")
@click.option(
    "--from",
    "source",
    type=click.Path(path_type=Path, allow_dash=True),
    help="JSON file of the whole order, as the API takes it; - reads it from standard input.",
)
@click.option("--name", help="Name of the subject.")
@click.option("--province", help="Province of a new subject, such as 鲁.")
@click.option("--subject", "licence", help="The subject's licence number, if it has one.")
@click.option("--person", is_flag=True, help="The subject is a person, not a unit.")
@click.option("--certificate", help="Certificate number of the subject.")
@click.option("--representative", help="A unit's legal representative.")
@click.option("--principal", help="Who answers for it, as NAME:TELEPHONE.")
@click.option("--service", help="Name of the website; its domain, if not given.")
@click.option(
    "--purpose",
    type=click.Choice([purpose.value for purpose in Purpose]),
    default=Purpose.FILE.value,
    show_default=True,
    help="What is wanted; the type follows from it and from the records.",
)
@json_option
@target_options
def new(
    target: Target,
    domains: tuple[str, ...],
    account: str | None,
    source: Path | None,
    name: str | None,
    province: str | None,
    licence: str | None,
    person: bool,
    certificate: str | None,
    representative: str | None,
    principal: str | None,
    service: str | None,
    purpose: str,
    as_json: bool,
) -> None:
    """Make an order for DOMAINS, one website each; it is a draft.

    \b
    gate registry order new dnspod.cn --account a1 --name 某某网络公司 --province 鲁 \\
        --certificate 91370000000000001X --principal 张三:13800000000 --service 某某官方商城
    """
    if source is not None:
        if domains or name or licence:
            raise click.UsageError("--from has the whole order; give no other part of it")
        entry = _read(source)
    else:
        subject = SubjectEntry(
            name=name,
            kind=SubjectKind.PERSON if person else SubjectKind.UNIT,
            certificate=certificate,
            province=province,
            licence=licence,
            legal_representative=representative,
            principal=None if principal is None else _person(principal),
        )
        items = tuple(ItemEntry(name=service, domains=(domain,)) for domain in domains)
        entry = OrderEntry(purpose=Purpose(purpose), subject=subject, items=items)
    take(target, NewOrder(account=account, entry=entry), as_json=as_json)


@order.command()
@number_argument
@click.option(
    "--from",
    "source",
    type=click.Path(path_type=Path, allow_dash=True),
    required=True,
    help="JSON file of the whole order; `order show --json` prints what is entered.",
)
@json_option
@target_options
def update(target: Target, number: int, source: Path, as_json: bool) -> None:
    """Put what a file has in place of what was entered."""
    take(target, UpdateOrder(order=number, entry=_read(source)), as_json=as_json)


@order.command()
@number_argument
@json_option
@target_options
def submit(target: Target, number: int, as_json: bool) -> None:
    """Submit a draft, or a returned order again."""
    take(target, SubmitOrder(order=number), as_json=as_json)


@order.command()
@number_argument
@json_option
@target_options
def abandon(target: Target, number: int, as_json: bool) -> None:
    """Abandon a draft."""
    take(target, AbandonOrder(order=number), as_json=as_json)


@order.command()
@number_argument
@json_option
@target_options
def withdraw(target: Target, number: int, as_json: bool) -> None:
    """Withdraw a returned order."""
    take(target, WithdrawOrder(order=number), as_json=as_json)


@order.command("pass")
@number_argument
@json_option
@target_options
def pass_(target: Target, number: int, as_json: bool) -> None:
    """Pass the provider's review (初审通过)."""
    take(target, PassOrder(order=number), as_json=as_json)


@order.command("return")
@number_argument
@click.option("--reason", required=True)
@click.option(
    "--fault",
    "faults",
    multiple=True,
    help="FIELD: FAULT, or FIELD: FAULT -> SUGGESTION; may be given several times.",
)
@json_option
@target_options
def return_(
    target: Target, number: int, reason: str, faults: tuple[str, ...], as_json: bool
) -> None:
    """Return an order to its owner (驳回), as the provider's reviewer or the authority."""
    step = ReturnOrder(order=number, reason=reason, faults=tuple(map(_fault, faults)))
    take(target, step, as_json=as_json)


@order.command()
@number_argument
@click.option("--person", type=click.IntRange(1), default=1, show_default=True)
@click.option("--code", help="The six digits that the person was sent.")
@click.option("--reported", type=click.Choice(["verified", "failed"]), help="A gateway's word.")
@click.option("--resend", is_flag=True, help="Have another code sent.")
@json_option
@target_options
def verify(
    target: Target,
    number: int,
    person: int,
    code: str | None,
    reported: str | None,
    resend: bool,
    as_json: bool,
) -> None:
    """Enter a person's code (短信核验), or report what the SMS gateway found."""
    if (code is not None) + (reported is not None) + resend != 1:
        raise click.UsageError("give one of --code, --reported and --resend")
    step: Step
    if code is not None:
        step = VerifyPerson(order=number, person=person, code=code)
    elif reported is not None:
        step = ReportPerson(order=number, person=person, verified=reported == "verified")
    else:
        step = ResendCode(order=number, person=person)
    take(target, step, as_json=as_json)


@order.command()
@number_argument
@click.option(
    "--number", "licences", multiple=True, help="A new service's number; one for each, in order."
)
@click.option("--generate", is_flag=True, help="Make the numbers up, for a try.")
@click.option(
    "--wait",
    type=click.FloatRange(0, 50),
    default=0.0,
    help="Seconds to wait until it is in force on every gate that is known.",
)
@json_option
@target_options
def approve(
    target: Target,
    number: int,
    licences: tuple[str, ...],
    generate: bool,
    wait: float,
    as_json: bool,
) -> None:
    """Approve an order (管局通过): what it asks for is on record, and at the gates.

    An order for new services needs the numbers that the authority has given, a --number for each.
    """
    if licences and generate:
        raise click.UsageError("give --number or --generate, not both")
    found = target.step(ApproveOrder(order=number, licences=licences, generate=generate))
    show_order(found, as_json=as_json)
    if not wait or isinstance(found, OrderTaken) or found.revision is None:
        return
    there, known = target.in_force(found.revision, wait)
    click.echo(f"in force on {len(there)} of {known} gates", err=as_json)
    for gate in there:
        click.echo(f"  {gate.gate} since {china_time(gate.since)}", err=as_json)
    if not known:
        raise Refused(f"no gate has told what it enforces within {wait:g} s: none is known")
    if len(there) < known:
        raise Refused(f"not in force on {known - len(there)} gates after {wait:g} s")


@order.command("list")
@click.option("--account")
@click.option("--state", type=click.Choice([state.value for state in OrderState]))
@click.option("--type", "kind", type=click.Choice([kind.value for kind in OrderType]))
@click.option("--about", help="A domain, or a licence number.")
@click.option("--overdue", is_flag=True, help="Only what is due, and not done.")
@click.option("--open", "is_open", is_flag=True, help="Only what is not at its end.")
@click.option("--limit", type=click.IntRange(1), default=50, show_default=True)
@json_option
@target_options
def list_orders(
    target: Target,
    account: str | None,
    state: str | None,
    kind: str | None,
    about: str | None,
    overdue: bool,
    is_open: bool,
    limit: int,
    as_json: bool,
) -> None:
    """List orders, the newest first."""
    query = OrderQuery(
        account=account,
        state=None if state is None else OrderState(state),
        type=None if kind is None else OrderType(kind),
        target=about,
        overdue=True if overdue else None,
        open=True if is_open else None,
    )
    found = target.orders(query, limit=limit)
    if as_json:
        print_json(*found)
        return
    table = Table("number", "type", "state", "account", "domains", "due", box=None)
    for one in found:
        names = " ".join(one.domains)
        table.add_row(str(one.id), one.type_zh, one.state_zh, one.account, names, _due(one))
    print_table(table)


@order.command()
@number_argument
@json_option
@target_options
def show(target: Target, number: int, as_json: bool) -> None:
    """Show an order, and what can be done next."""
    show_order(target.order(number), as_json=as_json)


@order.command()
@number_argument
@json_option
@target_options
def history(target: Target, number: int, as_json: bool) -> None:
    """Show what happened to an order: who, when, what. --json prints it as evidence."""
    found = target.order_events(number)
    if as_json:
        print_json(*found)
        return
    for event in found:
        click.echo(
            f"{event.number:>4}  {china_time(event.time)}  {event.event_zh} -> {event.state}  "
            f"{event.actor}{_told(event)}"
        )


def _told(event: EventView) -> str:
    parts: list[str] = []
    if "reason" in event.detail:
        parts.append(str(event.detail["reason"]))
    if "day" in event.detail:
        parts.append(f"day {event.detail['day']}")
    if "licences" in event.detail:
        parts.append(" ".join(event.detail["licences"]))
    if event.rules:
        parts.append(f"rules {event.rules}")
    return "".join(f"  {part}" for part in parts)


def _due(found: OrderSummary) -> str:
    if found.due is None:
        return ""
    marks = "  预计 (estimate)" if found.due.estimate else ""
    return f"{china_time(found.due.at)}{marks}{'  已超期 (overdue)' if found.overdue else ''}"


def _person(text: str) -> PersonEntry:
    name, colon, phone = text.rpartition(":")
    if not colon:
        raise click.UsageError("--principal is NAME:TELEPHONE, like 张三:13800000000")
    return PersonEntry(name=name, phone=phone)


def _fault(text: str) -> FaultEntry:
    field, colon, rest = text.partition(":")
    if not colon:
        raise click.UsageError("--fault is FIELD: FAULT, like items.0.name: 与内容不符")
    fault, _, suggestion = rest.partition("->")
    return FaultEntry(
        field=field.strip(), fault=fault.strip() or " ", suggestion=suggestion.strip()
    )


def _read(source: Path) -> OrderEntry:
    """Return an order's body from a file. Raises Refused."""
    try:
        text = sys.stdin.read() if str(source) == "-" else source.read_text(encoding="utf-8")
        found: Any = json.loads(text)
    except (OSError, ValueError) as error:
        raise Refused(f"{source} can't be read as JSON: {error}") from error
    if isinstance(found, dict) and "entry" in found:
        found = found["entry"]  # what `order show --json` prints
    return OrderEntry.model_validate(found)
