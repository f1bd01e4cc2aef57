"""`gate registry …`: run the registry, and work with it over HTTP or on its database."""

from __future__ import annotations

import click

from gate.cli.lazy import LazyGroup

_COMMANDS = {
    # Name: where it is, and what `gate registry --help` says.
    "serve": ("gate.cli.registry.running:serve", "Run the registry."),
    "file": ("gate.cli.registry.filing:file", "Apply for a filing (首次备案、新增服务)."),
    "order": (
        "gate.cli.registry.order:order",
        "Orders (备案订单): from an owner's draft to a name that passes.",
    ),
    "rules": (
        "gate.cli.registry.rules:rules",
        "The rules that orders are checked by, common and provincial.",
    ),
    "gates": (
        "gate.cli.registry.gates:gates",
        "List the gates that tell what they enforce, and how far each is behind.",
    ),
    "applications": ("gate.cli.registry.records:applications", "List applications."),
    "approve": ("gate.cli.registry.filing:approve", "Approve an application (审核通过)."),
    "reject": ("gate.cli.registry.filing:reject", "Reject an application (审核驳回)."),
    "access": ("gate.cli.registry.filing:access", "File access (接入备案)."),
    "change": ("gate.cli.registry.filing:change", "Change a subject or a service (变更备案)."),
    "cancel": (
        "gate.cli.registry.filing:cancel",
        "Cancel a service, a subject, or access (注销、取消接入).",
    ),
    "suspend": ("gate.cli.registry.filing:suspend", "Suspend a service (暂停)."),
    "resume": ("gate.cli.registry.filing:resume", "End a suspension (恢复)."),
    "override": (
        "gate.cli.registry.override:override",
        "Exempt or suspend domains at every gate, for a time (放行、封禁).",
    ),
    "show": ("gate.cli.registry.records:show", "Show a domain's or a subject's record."),
    "search": ("gate.cli.registry.records:search", "Search filings."),
    "history": ("gate.cli.registry.trail:history", "Show what became of a domain."),
    "audit": ("gate.cli.registry.trail:audit", "Show who did what."),
    "import": ("gate.cli.registry.bulk:import_command", "Import filings from a file."),
    "export": ("gate.cli.registry.bulk:export", "Export every filing to a file."),
    "unfiled": (
        "gate.cli.registry.unfiled:unfiled",
        "List blocked names that visitors ask for, as the gates report them.",
    ),
    "blocked": (
        "gate.cli.registry.sightings:blocked",
        "List blocked domains with the accounts whose they seem; make the draft of one.",
    ),
    "idle": ("gate.cli.registry.sightings:idle", "List filed domains without traffic."),
    "hollow": ("gate.cli.registry.sightings:hollow", "List subjects without services (空壳主体)."),
    "networks": (
        "gate.cli.registry.sightings:networks",
        "List whose hosts are in which networks, or import that.",
    ),
    "login": ("gate.cli.registry.login:login", "Keep a registry's address and token."),
    "logout": ("gate.cli.registry.login:logout", "Forget them."),
    "token": ("gate.cli.registry.token:token", "Make, list and revoke the API's tokens."),
    "migrate": ("gate.cli.registry.running:migrate", "Make a database, or bring it up to date."),
    "accept-set": (
        "gate.cli.registry.running:accept_set",
        "Have a set given to gates that has shrunk unexplained.",
    ),
    "provider": (
        "gate.cli.registry.running:provider",
        "Show whose registry the database is, or make it another provider's.",
    ),
    "verify": ("gate.cli.registry.running:verify", "Check records and log against each other."),
    "renew-epoch": (
        "gate.cli.registry.running:renew_epoch",
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

    The commands talk to a registry over HTTP (the one of `gate registry login`, or --url and
    --token, or GATE_REGISTRY_URL and GATE_REGISTRY_TOKEN), or work on its database (--db, or
    GATE_REGISTRY_DB). Without any they look for the embedded registry of a running `gate serve`, by
    its state folder.
    """
