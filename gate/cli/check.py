"""`gate check HOST`."""

from __future__ import annotations

import json
import sys
from contextlib import closing
from pathlib import Path

import click

from gate.cli.failure import config_option, fail, in_utf8, load_settings
from gate.names import to_display
from gate.policy import Decider, Policy, Verdict
from gate.replica import Replica, ReplicaError
from gate.settings import Settings


@click.command()
@click.argument("host", callback=in_utf8)
@config_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def check(host: str, config: Path | None, as_json: bool) -> None:
    """Say what the gate would do with HOST, and why.

    HOST is written as a client sends it: a name (also in Unicode) or an IP address, with or
    without a port. The answer comes from the replica of this machine, which is only read.

    Exit status: 0 allowed, 1 blocked, 2 no answer.
    """
    verdict = judge(load_settings(config), host)
    if as_json:
        click.echo(json.dumps(_fields(host, verdict), ensure_ascii=False))
    else:
        click.echo(_text(verdict, host))
    sys.exit(0 if verdict.allowed else 1)


def judge(settings: Settings, host: str) -> Verdict:
    """The verdict on `host` by the replica on disk; Failure where there is none."""
    try:
        with closing(Replica.open(settings.replica_path, writable=False)) as replica:
            if replica.position() is None:
                fail(
                    f"the replica {settings.replica_path} has never been filled; import a list "
                    "with `gate import FILE` or connect a registry"
                )
            policy = Policy(ip_hosts_allowed=settings.policy.ip_hosts == "allow")
            return Decider(replica, size=1, policy=policy).decide(host.encode())
    except ReplicaError as error:
        fail(str(error))


def _fields(host: str, verdict: Verdict) -> dict[str, object]:
    return {
        "host": host,
        "name": verdict.name,
        "allowed": verdict.allowed,
        "reason": verdict.reason.value,
        "domain": verdict.domain,
        "licence": verdict.licence,
    }


def _text(verdict: Verdict, host: str) -> str:
    outcome = "allowed" if verdict.allowed else "blocked"
    lines = [f"{_shown(verdict.name) or host}: {outcome} ({verdict.reason.value})"]
    if verdict.domain:
        lines.append(f"  filing   {_shown(verdict.domain)}")
    if verdict.licence:
        lines.append(f"  licence  {verdict.licence}")
    return "\n".join(lines)


def _shown(name: str) -> str:
    display = to_display(name) if name else ""
    return name if display == name else f"{display} ({name})"
