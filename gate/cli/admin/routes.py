"""`gate routes list | set | remove | import`."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import quote

import click

from gate.cli.admin.client import Client, client_options, print_json
from gate.cli.asking import WaitsForWord, may_go_on
from gate.cli.failure import fail, in_utf8
from gate.cli.options import json_option
from gate.cli.share import Share

_KINDS = ("http", "tls", "quic")

_reason = click.option("--reason", callback=in_utf8, default="", help="Why, for the audit log.")


@click.group()
def routes() -> None:
    """Change the routes of a running gate, in its upstreams.routes_file and in every worker.

    MATCH is a name, *.DOMAIN for all names below a domain, or .DOMAIN for both.
    """


@routes.command("list")
@click.option("--domain", callback=in_utf8, help="Only routes for this name or names below it.")
@click.option("--limit", type=click.IntRange(1, 100_000), default=1000, show_default=True)
@json_option
@client_options
def list_routes(client: Client, domain: str | None, limit: int, as_json: bool) -> None:
    """List routes, as lines of a routes file."""
    found = client.get("/v1/routes", domain=domain, limit=limit)
    if as_json:
        print_json(found)
        return
    for route in found["items"]:
        click.echo(_line(route))
    shown = len(found["items"])
    more = f", {shown} of them shown; --limit shows more" if shown < found["total"] else ""
    click.echo(f"{found['total']} routes in {found['routes_file']}{more}", err=True)


@routes.command("set")
@click.argument("match", callback=in_utf8)
@click.option("--http", multiple=True, metavar="ADDRESS:PORT", help="For HTTP; may be repeated.")
@click.option("--tls", multiple=True, metavar="ADDRESS:PORT", help="For TLS; may be repeated.")
@click.option("--quic", multiple=True, metavar="ADDRESS:PORT", help="For QUIC, if not as for TLS.")
@click.option("--send-proxy", type=click.Choice(["off", "v1", "v2"]), default="off")
@_reason
@json_option
@client_options
def set_route(
    client: Client,
    match: str,
    http: tuple[str, ...],
    tls: tuple[str, ...],
    quic: tuple[str, ...],
    send_proxy: str,
    reason: str,
    as_json: bool,
) -> None:
    """Send MATCH to these addresses, and to no others that it had."""
    done = client.change(
        "PUT",
        _path(match),
        http=http,
        tls=tls,
        quic=quic,
        send_proxy=send_proxy,
        reason=reason,
    )
    print_json(done) if as_json else click.echo(f"{_line(done)}; in force in every worker")


@routes.command("remove")
@click.argument("match", callback=in_utf8)
@_reason
@json_option
@client_options
def remove_route(client: Client, match: str, reason: str, as_json: bool) -> None:
    """Take the route of MATCH away: the next one above it counts, or the default pool."""
    done = client.delete(_path(match), reason=reason)
    if as_json:
        print_json(done)
    else:
        click.echo(f"{done['match']}: removed; in force in every worker")


@routes.command("import")
@click.argument("path", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--dry-run", is_flag=True, help="Show what would change, and change nothing.")
@click.option(
    "--max-removed",
    type=Share(),
    default="10%",
    show_default=True,
    help="Ask before more than this share of the routes goes or gets another pool.",
)
@click.option("--yes", is_flag=True, help="Go on without asking, whatever changes.")
@_reason
@json_option
@client_options
def import_routes(
    client: Client,
    path: Path,
    dry_run: bool,
    max_removed: float,
    yes: bool,
    reason: str,
    as_json: bool,
) -> None:
    """Put the lines of the file PATH in the place of all routes.

    Where upstreams.routes_file is a folder, in the place of those in its admin-api.routes.

    Exit status: 0 in force, 2 a line is no route, 3 nothing was changed, for want of --yes.
    """
    try:
        text = path.read_bytes()
    except OSError as error:
        fail(f"{path} cannot be read: {error.strerror}")
    change = client.upload("PUT", "/v1/routes", text, dry_run=True)
    gone = change["removed"] + change["changed"]
    before = change["total"] - change["added"] + change["removed"]
    told = f"{path}: {_told(change)}"
    if not dry_run:
        if gone > max_removed * before and not yes and not may_go_on(told):
            raise WaitsForWord(f"{told}; nothing was changed, --yes does it")
        change = client.upload("PUT", "/v1/routes", text, reason=reason)
    if as_json:
        print_json(change)
    else:
        click.echo(f"{told}; {'nothing was changed' if dry_run else 'in force in every worker'}")


def _told(change: dict[str, Any]) -> str:
    return (
        f"{change['added']} routes are new, {change['changed']} lead elsewhere, "
        f"{change['removed']} go, {change['total']} in all"
    )


def _path(match: str) -> str:
    return f"/v1/routes/{quote(match, safe='')}"


def _line(route: dict[str, Any]) -> str:
    pools = [f"{kind}={','.join(route[kind])}" for kind in _KINDS if route[kind]]
    if route["send_proxy"] != "off":
        pools.append(f"send_proxy={route['send_proxy']}")
    return " ".join([route["match"], *pools])
