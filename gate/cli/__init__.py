"""The command line. Each command is a module of its own, loaded when it is called.

Exit statuses: 0 done (for `gate check`: allowed), 1 not as hoped (blocked, lines refused, or a stop
that had to kill), 2 wrong usage, settings, file or port: nothing was started or changed, 3 nothing
was changed, because it waits for a person's word (--yes).
"""

from __future__ import annotations

import click

from gate import __version__
from gate.cli.lazy import LazyGroup

_COMMANDS = {
    # Name: where it is, and what `gate --help` says. A package of its own adds its group here.
    "serve": ("gate.cli.serve:serve", "Run the gate."),
    "check": ("gate.cli.check:check", "Say what the gate would do with a host, and why."),
    "import": ("gate.cli.import_list:import_list", "Fill the replica from a list of domains."),
    "config": ("gate.cli.config:config", "Check the settings."),
    "intercept": (
        "gate.cli.intercept:intercept",
        "Print the kernel's rules for transparent listeners, or compare them.",
    ),
    "upgrade": ("gate.cli.upgrade:upgrade", "Replace the running gate's program in place."),
    "status": ("gate.cli.admin.looking:status", "Show the running gate at a glance."),
    "top": ("gate.cli.admin.looking:top", "Show the names that are blocked most at present."),
    "unfiled": ("gate.cli.admin.looking:unfiled", "List the blocked names that are asked for."),
    "exempt": ("gate.cli.admin.overrides:exempt", "Let a domain through for a time."),
    "unexempt": ("gate.cli.admin.overrides:unexempt", "End an exemption."),
    "suspend": ("gate.cli.admin.overrides:suspend", "Block a domain although it is filed."),
    "unsuspend": ("gate.cli.admin.overrides:unsuspend", "End a suspension."),
    "overrides": ("gate.cli.admin.overrides:overrides", "List what is exempt or suspended."),
    "routes": ("gate.cli.admin.routes:routes", "Show and change the routes of a running gate."),
    "mode": ("gate.cli.admin.running:mode", "Show or switch enforce and monitor."),
    "drain": ("gate.cli.admin.running:drain", "Take the running gate out of rotation."),
    "reload": ("gate.cli.admin.running:reload", "Have the settings read again."),
    "log-level": ("gate.cli.admin.running:log_level", "Show or set the log level."),
    "sync": ("gate.cli.admin.syncing:sync", "What a running gate takes from its registry."),
    "demo": ("gate.cli.demo.command:demo", "Run a gate with a demo origin on this machine."),
    "registry": ("gate.cli.registry:registry", "Run and use the filing registry."),
    "keys": ("gate.cli.keys:keys", "The keys that sign the registry's changes."),
    "certs": ("gate.cli.keys:certs", "Certificates between registry and gates."),
    "version": ("gate.cli.version:version", "Say which version this is."),
}


@click.group(
    cls=LazyGroup,
    commands_at=_COMMANDS,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Exit status: 0 done (check: allowed), 1 not as hoped (check: blocked; import: lines "
    "refused), 2 wrong usage, settings, file or port, 3 waits for a person's word (--yes).",
)
@click.version_option(__version__, message="gate %(version)s")
def main() -> None:
    """Gate: passes traffic for filed domains, and turns away the rest."""
