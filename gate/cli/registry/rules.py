"""`gate registry rules check | explain | replay`."""

from __future__ import annotations

from pathlib import Path

import click

from gate.cli.options import json_option
from gate.cli.registry.target import Refused, Target, print_json, target_options
from gate.registry.errors import RegistryError
from gate.registry.fields import check_province
from gate.registry.local import Local
from gate.registry.orders.rule_texts import RULES, ProvinceRules, Rulebook, RulesError
from gate.registry.workflow.replay import replay as find_newly_refused


@click.group()
def rules() -> None:
    """The rules that orders are checked by, common and provincial."""


@rules.command()
@click.argument("number", type=click.IntRange(1))
@json_option
@target_options
def check(target: Target, number: int, as_json: bool) -> None:
    """Check order NUMBER by the rules of now; exit status 1 if one refuses."""
    found = target.check_order(number)
    if as_json:
        print_json(*found)
    for one in found if not as_json else ():
        met = f"  (met on {one.met_on})" if one.met_on else ""
        click.echo(f"{one.weight:<7} {one.code:<22} {one.field}{met}")
        click.echo(f"        {one.zh}")
        click.echo(f"        {one.en}")
    if any(one.weight == "refuse" for one in found):
        raise Refused(f"order {number} would be refused")
    if not found and not as_json:
        click.echo(f"nothing is found in order {number}")


_folder = click.option(
    "--provinces",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder of a provider's own files, as registry.orders.rules.provinces names it.",
)


@rules.command()
@click.argument("what", required=False)
@_folder
def explain(what: str | None, provinces: Path | None) -> None:
    """Explain a rule by its code, or a province by its abbreviation or name; all, if none."""
    book = _load(provinces)
    if what is None:
        click.echo(f"rules {book.version}")
        for code in RULES:
            _explain_rule(code)
        for province in book.provinces.values():
            click.echo(f"{province.province}  {province.name}  trust {province.trust}")
    elif what in RULES:
        _explain_rule(what)
    else:
        try:
            found = book.of(check_province(what))
        except RegistryError as error:
            raise Refused(f"{what} is neither a rule's code nor a province") from error
        if found is not None:
            _explain_province(found)


@rules.command()
@click.argument("changed", type=click.Path(path_type=Path, exists=True, file_okay=False))
@json_option
@target_options
def replay(target: Target, changed: Path, as_json: bool) -> None:
    """Tell which open orders and filings the files in folder CHANGED would newly refuse.

    Works on the database (with --db only). Exit status 1 if there are any.
    """
    if not isinstance(target, Local):
        raise click.UsageError("replay works on the database: give --db")
    book = _load(changed)
    count = 0
    with target.registry.reading() as work:
        for what, findings in find_newly_refused(work, book):
            count += 1
            if as_json:
                print_json(*findings)
                continue
            for one in findings:
                click.echo(f"{what}: {one.code} {one.field}  {one.zh} / {one.en}")
    if count:
        raise Refused(f"{count} would be newly refused")
    click.echo("nothing would be newly refused", err=as_json)


def _explain_rule(code: str) -> None:
    rule = RULES[code]
    click.echo(f"{code}  (source {rule.source})\n    {rule.zh}\n    {rule.en}")


def _explain_province(rules: ProvinceRules) -> None:
    for name, value in rules.model_dump(mode="json", exclude_none=True).items():
        if isinstance(value, dict):
            trust = f", trust {value['trust']}" if "trust" in value else ""
            click.echo(f"{name:<24} {value['value']}  ({value['weight']}{trust})")
        elif isinstance(value, list):
            for one in value:
                click.echo(f"{name:<24} {one}")
        else:
            click.echo(f"{name:<24} {value}")


def _load(folder: Path | None) -> Rulebook:
    try:
        return Rulebook.load(folder)
    except RulesError as error:
        raise Refused(str(error)) from error
