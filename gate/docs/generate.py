"""The files that are written from the code; `python -m gate.docs.generate` writes them.

A test asks with `--check` whether they are up to date.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import click

from gate.cli import main as command_line
from gate.control.api.access import Access
from gate.control.api.app import ENDPOINTS
from gate.control.api.endpoint import AdminEndpoint
from gate.control.metrics.catalogue import GATE_METRICS, WORKER_METRICS, Metric
from gate.settings.describe import gate_yaml, markdown
from gate.worker.access_log import FIELDS


def metrics_markdown() -> str:
    """Return the text of gate/docs/metrics.md."""
    lines = [
        "# Metrics",
        "",
        "<!-- Written by `make docs` from gate/control/metrics/catalogue.py. -->",
        "",
        "`GET /metrics` on the admin port gives them for all workers together, in the Prometheus",
        "text format or OpenMetrics. No label holds a domain name or a client address. A counter",
        "does not go back when a worker is started again.",
        "",
        "| metric | type | labels | meaning |",
        "| --- | --- | --- | --- |",
        *map(_metric_row, (*WORKER_METRICS, *GATE_METRICS)),
    ]
    return "\n".join(lines) + "\n"


def _metric_row(metric: Metric) -> str:
    labels = ", ".join(f"`{label}`" for label in metric.labels)
    return f"| `{metric.name}` | {metric.kind} | {labels} | {metric.help} |"


def commands_markdown() -> str:
    """Return the text of gate/docs/commands.md."""
    lines = [
        "# Commands",
        "",
        "<!-- Written by `make docs` from gate/cli. -->",
        "",
        "Exit statuses of every command: 0 done (`gate check`: allowed), 1 not as hoped",
        "(`gate check`: blocked; `gate serve`: a process had to be killed in the stop), 2 wrong",
        "usage, settings, file or port: nothing was started or changed.",
        "",
    ]
    root = click.Context(
        command_line,
        info_name="gate",
        **{**command_line.context_settings, "max_content_width": 88},
    )
    for context in _commands(root):
        help_text = context.command.get_help(context)
        lines += [f"## {context.command_path}", "", "```", help_text, "```", ""]
    return "\n".join(lines).rstrip() + "\n"


def _commands(context: click.Context) -> Iterator[click.Context]:
    """Every command at or below the one of `context` that does something, as if it were called."""
    command = context.command
    if not isinstance(command, click.Group):
        yield context
        return
    for name in command.list_commands(context):
        below = command.get_command(context, name)
        if below is not None and not below.hidden:
            settings = {**below.context_settings, "max_content_width": 88}
            yield from _commands(click.Context(below, context, name, **settings))


_LOGS: Final = """\
# Logs

<!-- Written by `make docs` from gate/worker/access_log.py. -->

The gate writes lines to standard error: for people, or with `log.format: json` one JSON
object a line, which has at least `time`, `level`, `logger` and `process`. `gate log-level`
changes the least severity while it runs, until the next reload or start: in the control process
and every worker at once, in the supervisor and the embedded registry within a second.

## Lines on decisions

The logger `gate.access` has one line for each decision, at level `info`:

- Blocked decisions, and those that only a monitoring listener let through, always get one.
- Allowed ones get one by chance (`log.access.sample`, none by default).
- Each worker writes at most `log.access.per_second` lines a second. What is over is counted
  and told in one line a second, and in `gate_access_lines_total`. A reader that does not
  keep up costs lines and never holds up traffic.

What is known of the client is its IP address, as `log.access.client` wants it; no port, no
path, no header field and no body is ever written.

| field | meaning |
| --- | --- |
%s

The name of a connection is also in the line on a failure of the gate's own that ended it.
"""

_ADMIN_API: Final = """\
# Admin API

<!-- Written by `make docs` from gate/control/api. -->

JSON over HTTP on the admin port (`admin.listen`); `GET /v1/openapi.json` describes every
field. `GET /` is a status page to look at, read only.

- **Changes** need `Authorization: Bearer TOKEN`. The token is in `admin.token` in `state_dir`
  (made at the first start, for the gate's user alone) unless `admin.token` or
  `admin.token_file` says otherwise. With `admin.tls.client_ca`, a client certificate of that
  CA stands for the token, so give it a CA of its own.
- **Reading** needs no token from loopback (`admin.open_reads`), if the Host is an address or
  localhost. `/healthz`, `/readyz` and `/metrics` never need one.
- A change to domains, routes, modes or the log level is **in force in every worker** when it
  is answered. `504` says that it is made, and that not every worker has confirmed it.
- Every change is written to `audit.jsonl` in `state_dir` before it is made, with who proved
  what, from where, and why.
- A refusal is `application/problem+json` (RFC 9457).
- A mode or log level that is set here lasts until the next reload or start, a gate taken out
  of rotation stays out over a reload, overrides last until they end, and routes stay: they
  are kept in `upstreams.routes_file` itself ([hosts.md](hosts.md#routes)).

| endpoint | token | what it does | command |
| --- | --- | --- | --- |
%s

The unfiled table holds up to `unfiled.names` names, and is saved every minute and at the end.
`unlisted` counts the requests for names without a row; while it is 0, every count is exact.
"""


def logs_markdown() -> str:
    """Return the text of gate/docs/logs.md."""
    return _LOGS % "\n".join(f"| `{name}` | {meaning} |" for name, meaning in FIELDS.items())


def admin_api_markdown() -> str:
    """Return the text of gate/docs/admin-api.md."""
    return _ADMIN_API % "\n".join(map(_endpoint_row, ENDPOINTS))


def _endpoint_row(endpoint: AdminEndpoint) -> str:
    command = _COMMANDS.get((endpoint.method, endpoint.path), "")
    token = "yes" if endpoint.access is Access.WRITE else ""
    return f"| `{endpoint.method} {endpoint.path}` | {token} | {endpoint.summary} | {command} |"


_COMMANDS: Final = {
    ("GET", "/v1/status"): "`gate status`",
    ("GET", "/v1/overrides"): "`gate overrides`",
    ("PUT", "/v1/overrides/{domain}"): "`gate exempt`, `gate suspend`",
    ("DELETE", "/v1/overrides/{domain}"): "`gate unexempt`, `gate unsuspend`",
    ("GET", "/v1/routes"): "`gate routes list`",
    ("PUT", "/v1/routes"): "`gate routes import`",
    ("PUT", "/v1/routes/{match}"): "`gate routes set`",
    ("DELETE", "/v1/routes/{match}"): "`gate routes remove`",
    ("GET", "/v1/unfiled"): "`gate unfiled`, `gate top`",
    ("GET", "/v1/unfiled.csv"): "`gate unfiled --csv`",
    ("GET", "/v1/mode"): "`gate mode`",
    ("PUT", "/v1/mode"): "`gate mode MODE`",
    ("GET", "/v1/log-level"): "`gate log-level`",
    ("PUT", "/v1/log-level"): "`gate log-level LEVEL`",
    ("PUT", "/v1/drain"): "`gate drain`, `gate drain --end`",
    ("POST", "/v1/stop"): "`gate drain --stop`",
    ("POST", "/v1/reload"): "`gate reload`",
}


DOCUMENTS: Final[dict[str, Callable[[], str]]] = {
    "config/gate.yaml": gate_yaml,
    "gate/docs/settings.md": markdown,
    "gate/docs/metrics.md": metrics_markdown,
    "gate/docs/commands.md": commands_markdown,
    "gate/docs/logs.md": logs_markdown,
    "gate/docs/admin-api.md": admin_api_markdown,
}
"""Each file by its path in the repository, with the function that gives its text."""


@click.command()
@click.option("--check", is_flag=True, help="Write nothing; status 1 if a file is out of date.")
def main(check: bool) -> None:
    """Write every file that differs from its text."""
    root = Path(__file__).parents[2]
    stale = False
    for name, text in DOCUMENTS.items():
        path = root / name
        wanted = text()
        if path.exists() and path.read_text(encoding="utf-8") == wanted:
            continue
        stale = True
        if not check:
            path.write_text(wanted, encoding="utf-8")
        click.echo(f"{'out of date' if check else 'written'}: {name}")
    sys.exit(check and stale)


if __name__ == "__main__":
    main()
