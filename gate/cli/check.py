"""`gate check HOST`."""

from __future__ import annotations

import json
import sys
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from gate.cli.failure import config_option, fail, in_utf8, load_settings
from gate.cli.options import TlsFiles, json_option, tls_options
from gate.cli.ways import PASSES, ip_of, lines_of, outcome_of, ways_in
from gate.names import to_display
from gate.policy import Decider, Policy, Verdict
from gate.proxy.counters import SCHEMES
from gate.replica import Replica, ReplicaError
from gate.settings import BadRoute, Settings, route_of


@click.command()
@click.argument("host", callback=in_utf8)
@config_option
@click.option(
    "--url",
    help="Ask the running gate whose admin port is at http(s)://HOST:PORT, with the modes and "
    "overrides that it has now.",
)
@click.option(
    "--token",
    envvar="GATE_ADMIN_TOKEN",
    help="With --url: the admin token, or @FILE, if it wants one.",
)
@tls_options("the admin port", given="With --url")
@click.option("--scheme", type=click.Choice(SCHEMES), help="What the client speaks.")
@click.option("--from", "source", metavar="ADDRESS", help="The client's IP address.")
@click.option("--to", "destination", metavar="ADDRESS", help="The IP address that it asks.")
@json_option
def check(
    host: str,
    config: Path | None,
    url: str | None,
    token: str | None,
    files: TlsFiles,
    scheme: str | None,
    source: str | None,
    destination: str | None,
    as_json: bool,
) -> None:
    """Say what the gate would do with HOST, why, and where it would send it.

    HOST is written as a client sends it: a name (also in Unicode) or an IP address, with or
    without a port. The answer comes from the replica and the settings of this machine, which are
    only read; with --url from a running gate. With --scheme, --to or --from it says what becomes of
    the connection, and what each listener does that it may come in by.

    Exit status: 0 allowed, or let through all the same; 1 blocked, 2 no answer.
    """
    asked = bool(scheme or source or destination)
    if url is not None:
        if asked:
            raise click.UsageError("give --scheme, --from and --to without --url")
        from gate.cli.admin.client import find_client

        found = find_client(config, url, token, files).get("/v1/check", host=host)
    else:
        settings = load_settings(config, routes=False)  # one of them is looked for
        found = judge(settings, host)
    text, passes = _text(found), found["allowed"]
    if asked:
        scheme = scheme or "http"
        ways = ways_in(settings, scheme, ip_of(source, "--from"), ip_of(destination, "--to"))
        outcome = outcome_of(found["allowed"], found["reason"], scheme, settings, ways)
        passes = outcome == PASSES
        found |= {"scheme": scheme, "outcome": outcome, "ways": [asdict(way) for way in ways]}
        text = "\n".join([text, *lines_of(outcome, scheme, ways)])
    click.echo(json.dumps(found, ensure_ascii=False) if as_json else text)
    sys.exit(0 if passes else 1)


def judge(settings: Settings, host: str) -> dict[str, Any]:
    """Return what is said of `host`, by the replica on disk and the settings.

    Fields as of `GET /v1/check`. Failure where there is no replica.
    """
    try:
        with closing(Replica.open(settings.replica_path, writable=False)) as replica:
            position = replica.position()
            if position is None:
                fail(
                    f"the replica {settings.replica_path} has never been filled; import a list "
                    "with `gate import FILE` or connect a registry"
                )
            policy = Policy(ip_hosts_allowed=settings.policy.ip_hosts == "allow")
            verdict = Decider(replica, size=1, policy=policy).decide(host.encode())
            entries = replica.count()
            return {
                **_verdict(host, verdict),
                **_way(settings, verdict),
                "replica": {
                    "epoch": position.epoch,
                    "revision": position.revision,
                    "entries": entries,
                },
            }
    except ReplicaError as error:
        fail(str(error))


def _verdict(host: str, verdict: Verdict) -> dict[str, Any]:
    return {
        "host": host,
        "name": verdict.name,
        "allowed": verdict.allowed,
        "reason": verdict.reason.value,
        "domain": verdict.domain,
        "licence": verdict.licence,
    }


def _way(settings: Settings, verdict: Verdict) -> dict[str, Any]:
    """Return which route a name takes, and which origins it has on each listener."""
    try:
        route, pool = route_of(settings.upstreams, verdict.name, strict=True)
    except BadRoute as error:
        fail(f"{error.file}:{error.line}: upstreams.routes_file: {error.text}")
    except OSError as error:
        fail(f"upstreams.routes_file: {error.filename} cannot be read: {error.strerror}")
    return {
        "route": route,
        "listeners": [
            {
                "listener": item.name,
                "mode": item.mode.value,
                "transparent": item.transparent != "off",
                "origins": [str(address) for address in pool.origins(item.kind)]
                if item.transparent == "off"
                else [],
            }
            for item in settings.listeners
        ],
    }


def _text(found: dict[str, Any]) -> str:
    outcome = "allowed" if found["allowed"] else "blocked"
    lines = [f"{_shown(found['name']) or found['host']}: {outcome} ({found['reason']})"]
    if found.get("problem"):
        lines.append(f"  problem  {found['problem']}")
    if found["domain"]:
        lines.append(f"  filing   {_shown(found['domain'])}")
    if found["licence"]:
        lines.append(f"  licence  {found['licence']}")
    lines.append(f"  route    {found['route']}")
    for item in found["listeners"]:
        mode = item["mode"]
        if mode == "monitor" and not found["allowed"]:
            mode = "monitor: passes all the same"
        nowhere = "the connection's own destination" if item["transparent"] else "no origin"
        origins = ", ".join(item["origins"]) or nowhere
        lines.append(f"  {item['listener']:<8} {mode}, to {origins}")
    replica = found["replica"]
    lines.append(f"  revision {replica['revision']}, {replica['entries']} domains")
    return "\n".join(lines)


def _shown(name: str) -> str:
    display = to_display(name) if name else ""
    return name if display == name else f"{display} ({name})"
