"""`gate sync accept`."""

from __future__ import annotations

import click

from gate.cli.admin.client import Client, client_options, print_json
from gate.cli.asking import WaitsForWord, may_go_on
from gate.cli.failure import fail, in_utf8
from gate.cli.options import json_option


@click.group()
def sync() -> None:
    """What a running gate takes from its registry."""


@sync.command()
@click.option("--reason", callback=in_utf8, required=True, help="Why, for whoever reads it later.")
@click.option("--yes", is_flag=True, help="Go on without asking.")
@json_option
@client_options
def accept(client: Client, reason: str, yes: bool, as_json: bool) -> None:
    """Have the snapshot loaded that waits for a person's word, because it would close much.

    Look at the registry first: its records, and whether it is the right database. Everything
    that the snapshot closes is blocked in this gate then; every gate is asked by itself.

    Exit status: 0 accepted (it is loaded within a minute; `gate status` tells), 2 nothing waits,
    3 nothing was changed, for want of --yes.
    """
    status = client.get("/v1/status")
    held = (status["sync"] or {}).get("held")
    if held is None:
        fail("no snapshot waits for a word")
    what = (
        f"{status['host']}: the registry's snapshot of revision {held['revision']} would close "
        f"{held['closing']} of {held['filed']} filed domains"
    )
    if not yes and not may_go_on(what):
        raise WaitsForWord(f"{what}; nothing was changed, --yes accepts it")
    done = client.change("POST", "/v1/sync/accept", epoch=held["epoch"], reason=reason)
    print_json(done) if as_json else click.echo("accepted; the gate loads it now")
