"""`gate intercept`."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from gate.cli.failure import config_option, fail, load_settings
from gate.net.intercepted import CannotCompare, differences, leaked
from gate.net.interception import Interception


@click.command()
@config_option
@click.option(
    "--host-side",
    multiple=True,
    metavar="IFACE",
    help="Interface that hosts are behind; what they send themselves is left alone. Repeatable.",
)
@click.option(
    "--mark",
    default=1,
    show_default=True,
    type=click.IntRange(1, 0xFFFFFFFF),
    help="Mark of packets for the gate.",
)
@click.option(
    "--table",
    default=100,
    show_default=True,
    type=click.IntRange(1, 252),
    help="Routing table that delivers them.",
)
@click.option("--check", is_flag=True, help="Compare this system with the settings instead.")
def intercept(
    config: Path | None, host_side: tuple[str, ...], mark: int, table: int, check: bool
) -> None:
    """Print the script that hands connections to the hosts over to the transparent listeners.

    The script is for a shell run by root: nftables rules and, for tproxy, the routing they need.
    Nothing is changed by this command. With --check it says how this system differs, and exits
    with 1 if it does.
    """
    listeners = tuple(
        listener for listener in load_settings(config).listeners if listener.transparent != "off"
    )
    if not listeners:
        fail("no listener is transparent; set transparent and destinations of those that are to be")
    wanted = Interception(listeners, host_side, mark, table)
    if not check:
        click.echo(wanted.script(), nl=False)
        return
    try:
        found = list(differences(wanted))
        dropped = leaked()
    except CannotCompare as error:
        fail(str(error))
    for line in found:
        click.echo(line)
    if dropped:
        click.echo(
            f"{dropped} packets to hosts were dropped because no gate took them "
            "(counter leaked); was it down?"
        )
    if not found:
        click.echo("as the settings ask for")
    sys.exit(1 if found else 0)
