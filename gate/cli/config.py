"""`gate config ...`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit

import click

from gate.cli.failure import config_option, fail, load_settings
from gate.policy import Decider, Policy
from gate.proxy.resolution import unresolved
from gate.replica import Replica, ReplicaError
from gate.settings import Settings
from gate.settings.advice import advice
from gate.supervisor.preflight import faults, worries

_RESOLVE_SECONDS = 5.0


@click.group()
def config() -> None:
    """Check the settings."""


@config.command()
@config_option
def check(config: Path | None) -> None:
    """Check the settings, and the files and users that they name, without starting anything.

    What stops `gate serve` is an error here. One line for each error: where, which key, what is
    wrong, what to do; then exit status 2. Warnings are for settings that are valid and hardly
    meant, and for what a gate can do without for a time; they leave it at 0.
    """
    settings = load_settings(config)
    found = tuple(faults(settings))
    if found:
        fail("\n".join(found))
    for warning in (
        *advice(settings),
        *worries(settings),
        *unfiled_notice(settings),
        *unresolved(settings, _RESOLVE_SECONDS),
    ):
        click.echo(f"gate: warning: {warning}", err=True)
    click.echo(f"{config or 'defaults'}: ok")


def unfiled_notice(settings: Settings) -> Iterator[str]:
    """Yield a warning if the replica of this machine would block the notice page's own host."""
    url = urlsplit(settings.notice.url)
    host = url.hostname or ""
    if url.port not in (None, 80, 443):
        return  # nobody has a gate there by default
    policy = Policy(ip_hosts_allowed=settings.policy.ip_hosts == "allow")
    try:
        with closing(Replica.open(settings.replica_path, writable=False)) as replica:
            if replica.position() is None:
                return
            verdict = Decider(replica, size=1, policy=policy).decide(host.encode())
    except ReplicaError:
        return  # there is none yet, or a running gate will say what is wrong with it
    if not verdict.allowed:
        yield (
            f"notice.url {settings.notice.url}: {host} is {verdict.reason} by the replica of this "
            "machine; if its traffic comes through this gate, visitors get a 403 and not the page: "
            "have it filed, exempt it, or use another host"
        )
