"""`gate registry …`: run the registry, and work with it over HTTP or on its database."""

from __future__ import annotations

import click

from gate.lazy import LazyGroup

_COMMANDS = {
    # Name: where it is, and what `gate registry --help` says.
    "serve": ("gate.registry.cli.running:serve", "Run the registry."),
    "file": ("gate.registry.cli.filing:file", "Apply for a filing (首次备案、新增服务)."),
    "applications": ("gate.registry.cli.records:applications", "List applications."),
    "approve": ("gate.registry.cli.filing:approve", "Approve an application (审核通过)."),
    "reject": ("gate.registry.cli.filing:reject", "Reject an application (审核驳回)."),
    "access": ("gate.registry.cli.filing:access", "File access (接入备案)."),
    "change": ("gate.registry.cli.filing:change", "Change a subject or a service (变更备案)."),
    "cancel": (
        "gate.registry.cli.filing:cancel",
        "Cancel a service, a subject, or access (注销、取消接入).",
    ),
    "suspend": ("gate.registry.cli.filing:suspend", "Suspend a service (暂停)."),
    "resume": ("gate.registry.cli.filing:resume", "End a suspension (恢复)."),
    "show": ("gate.registry.cli.records:show", "Show a domain's or a subject's record."),
    "search": ("gate.registry.cli.records:search", "Search filings."),
    "import": ("gate.registry.cli.bulk:import_command", "Import filings from a file."),
    "export": ("gate.registry.cli.bulk:export", "Export every filing to a file."),
    "unfiled": (
        "gate.registry.cli.unfiled:unfiled",
        "List blocked names that visitors ask for, as the gates report them.",
    ),
    "token": ("gate.registry.cli.token:token", "Make, list and revoke the API's tokens."),
    "migrate": ("gate.registry.cli.running:migrate", "Bring the database up to date."),
    "verify": ("gate.registry.cli.running:verify", "Check records and log against each other."),
    "renew-epoch": (
        "gate.registry.cli.running:renew_epoch",
        "Begin a new epoch, after a backup was restored.",
    ),
}


@click.group(
    cls=LazyGroup,
    commands_at=_COMMANDS,
    context_settings={"help_option_names": ["-h", "--help"]},
)
def registry() -> None:
    """Run and use the filing registry.

    The commands talk to a registry over HTTP (--url and --token, or GATE_REGISTRY_URL and
    GATE_REGISTRY_TOKEN), or work on its database (--db, or GATE_REGISTRY_DB). Without either they
    look for the registry that `gate serve` runs inside, by its state folder.
    """
