"""`gate registry …`: run the registry, and work with it over HTTP or on its database."""

from __future__ import annotations

import click

from gate.registry.cli import bulk, filing, records, running, token


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def registry() -> None:
    """Run and use the filing registry.

    The commands talk to a registry over HTTP (--url and --token, or GATE_REGISTRY_URL and
    GATE_REGISTRY_TOKEN), or work on its database (--db, or GATE_REGISTRY_DB). Without either they
    look for the registry that `gate serve` runs inside, by its state folder.
    """


for _command in (
    running.serve,
    running.migrate,
    running.verify,
    running.renew_epoch,
    filing.file,
    filing.approve,
    filing.reject,
    filing.access,
    filing.change,
    filing.cancel,
    filing.suspend,
    filing.resume,
    records.show,
    records.search,
    records.applications,
    bulk.import_command,
    bulk.export,
    token.token,
):
    registry.add_command(_command)
