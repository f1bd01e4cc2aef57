"""The files that are written from the code; `python -m gate.documents` writes them.

A test compares each file with its text here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import click

from gate.cli import main as command_line
from gate.control.metrics import GATE_METRICS, WORKER_METRICS, Metric
from gate.settings.describe import gate_yaml, markdown


def metrics_markdown() -> str:
    """The text of gate/docs/metrics.md."""
    lines = [
        "# Metrics",
        "",
        "<!-- Written by `make docs` from gate/control/metrics.py. -->",
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
    """The text of gate/docs/commands.md."""
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
    for path, command in _commands(command_line, ("gate",)):
        context = click.Context(command, info_name=" ".join(path), max_content_width=88)
        lines += [f"## {' '.join(path)}", "", "```", command.get_help(context), "```", ""]
    return "\n".join(lines).rstrip() + "\n"


def _commands(
    command: click.Command, path: tuple[str, ...]
) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Every command that does something, with its path."""
    if not isinstance(command, click.Group):
        yield path, command
        return
    context = click.Context(command)
    for name in command.list_commands(context):
        below = command.get_command(context, name)
        if below is not None and not below.hidden:
            yield from _commands(below, (*path, name))


DOCUMENTS: Final[dict[str, Callable[[], str]]] = {
    "config/gate.yaml": gate_yaml,
    "gate/docs/settings.md": markdown,
    "gate/docs/metrics.md": metrics_markdown,
    "gate/docs/commands.md": commands_markdown,
}
"""Each file by its path in the repository, with the function that gives its text."""


def main() -> None:
    """Writes every file that differs from its text."""
    root = Path(__file__).parent.parent
    for name, text in DOCUMENTS.items():
        path = root / name
        wanted = text()
        if not path.exists() or path.read_text(encoding="utf-8") != wanted:
            path.write_text(wanted, encoding="utf-8")
            click.echo(f"written: {name}")


if __name__ == "__main__":
    main()
