"""`gate mode`, `gate drain`, `gate reload`, `gate log-level`."""

from __future__ import annotations

import sys
import time
from dataclasses import replace
from http import HTTPStatus
from typing import Any

import click

from gate.cli.admin.client import Client, Unreachable, client_options, print_json
from gate.cli.failure import fail
from gate.cli.options import json_option

_RELOAD_SECONDS = 30.0  # beyond what the new processes have to serve
_POLL_SECONDS = 0.1


@click.command()
@click.argument("mode", type=click.Choice(["enforce", "monitor"]), required=False)
@click.option("--listener", help="Only this listener; without it, all.")
@json_option
@client_options
def mode(client: Client, mode: str | None, listener: str | None, as_json: bool) -> None:
    """Show every listener's mode, or switch to MODE.

    enforce blocks what is not filed; monitor lets everything through and counts. It lasts until
    the next reload or start: the settings say what is in force then.
    """
    if mode is None:
        found = client.get("/v1/mode")
    else:
        found = client.change("PUT", "/v1/mode", mode=mode, listener=listener)
    if as_json:
        print_json(found)
        return
    for item in found["items"]:
        by_hand = "" if item["mode"] == item["configured"] else f" (settings: {item['configured']})"
        click.echo(f"{item['listener']}: {item['mode']}{by_hand}")


@click.command()
@click.option("--end", is_flag=True, help="Back into rotation.")
@click.option("--stop", is_flag=True, help="Drain with a deadline, and end the gate, as TERM does.")
@json_option
@client_options
def drain(client: Client, end: bool, stop: bool, as_json: bool) -> None:
    """Take the gate out of rotation: /readyz says no, what still comes is served."""
    if end and stop:
        raise click.UsageError("give either --end or --stop")
    if stop:
        done = client.change("POST", "/v1/stop")
        text = f"stopping; open connections have {done['drain_seconds']:g} s"
    else:
        done = client.change("PUT", "/v1/drain", draining=not end)
        state = "out of rotation" if done["draining"] else "in rotation"
        text = f"{state}; {done['connections_open']} connections open"
    print_json(done) if as_json else click.echo(text)


@click.command()
@json_option
@client_options
def reload(client: Client, as_json: bool) -> None:
    """Have the gate read its settings again, and say what came of it.

    Waits until the new workers serve and the old ones take no connections any more. New workers
    that do not serve within process.reload_seconds are ended again, and the settings before stay.

    Exit status: 0 when the settings are in force, 1 when they were refused or rolled back.
    """
    before = client.change("POST", "/v1/reload")
    after = _reloaded(client, before)
    taken, last = after["taken"] > before["taken"], after["last"] or {}
    if as_json:
        print_json(after)
    elif taken:
        click.echo("reloaded")
        for key in last.get("kept", []):
            click.echo(f"{key} changes on a restart only; the old value stays")
    else:
        click.echo("refused, nothing has changed:")
        for problem in last.get("problems") or ["see the log"]:
            click.echo(problem)
    sys.exit(0 if taken else 1)


def _reloaded(client: Client, before: dict[str, Any]) -> dict[str, Any]:
    """Return the reloads once there is one more; the control process is replaced in between.

    One that goes on to refuse the token which was good has other settings for good: were it rolled
    back, the token would be good again.
    """
    patience = before["patience_seconds"] + _RELOAD_SECONDS
    deadline = time.monotonic() + 2 * patience  # it may have to wait for an earlier one
    tokens = [client.token, client.spare, ""]
    refused_since: float | None = None
    while True:
        answers = [_look(replace(client, token=token)) for token in dict.fromkeys(tokens)]
        now = next((answer for answer in answers if isinstance(answer, dict)), None)
        if now is not None and _count(now) > _count(before):
            return now
        if all(answer is HTTPStatus.UNAUTHORIZED for answer in answers):
            refused_since = refused_since or time.monotonic()
            if time.monotonic() > refused_since + patience:
                return before | {"taken": before["taken"] + 1, "last": None}
        elif now is not None:
            refused_since = None
        if time.monotonic() > deadline:
            fail("the gate does not say what came of the reload; its log does")
        time.sleep(_POLL_SECONDS)


def _look(client: Client) -> dict[str, Any] | HTTPStatus | None:
    """Return the reloads so far, or why they are not to be had: a status, None for no answer."""
    try:
        answer = client.send("GET", "/v1/reload")
    except Unreachable:
        return None
    return answer.fields if answer.status == HTTPStatus.OK else HTTPStatus(answer.status)


def _count(reloads: dict[str, Any]) -> int:
    return int(reloads["taken"] + reloads["refused"] + reloads["rolled_back"])


@click.command("log-level")
@click.argument("level", type=click.Choice(["debug", "info", "warning", "error"]), required=False)
@json_option
@client_options
def log_level(client: Client, level: str | None, as_json: bool) -> None:
    """Show the log level, or set it to LEVEL until the next reload or start."""
    if level is None:
        found = client.get("/v1/log-level")
    else:
        found = client.change("PUT", "/v1/log-level", level=level)
    if as_json:
        print_json(found)
        return
    by_hand = "" if found["level"] == found["configured"] else f" (settings: {found['configured']})"
    click.echo(f"{found['level']}{by_hand}")
