"""`gate demo`."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from gate.cli.demo.certificate import ensure_certificate
from gate.cli.demo.origin import open_origin
from gate.cli.demo.run import FILED, demo_settings, fill_registry, run_demo
from gate.cli.failure import fail
from gate.registry.errors import RegistryError
from gate.settings import ConfigError
from gate.supervisor import CannotStart


@click.command()
@click.option(
    "--filings",
    type=click.Path(path_type=Path),
    default=Path("config/sample-filings.csv"),
    show_default=True,
    help="Filings for the registry, as for `gate registry import`.",
)
@click.option(
    "--certs",
    type=click.Path(path_type=Path),
    default=Path("certs"),
    show_default=True,
    help="Folder for the origin's key, which is made on the spot.",
)
def demo(filings: Path, certs: Path) -> None:
    """Run a gate with a registry and a demo origin on this machine, and print commands to try.

    HTTP on port 8080, TLS on 8443, the notice page on 8081, admin on 9464, the registry on 9465;
    the environment can set others, as for `gate serve`. Ctrl-C stops everything.
    """
    try:
        origin = open_origin(*ensure_certificate(certs, [FILED]))
    except OSError as error:
        fail(f"{certs}: the demo's key cannot be written: {error.strerror}; check the folder")
    try:
        settings = demo_settings(origin)
        fill_registry(settings, filings)
        status = run_demo(settings, origin)
    except (ConfigError, RegistryError) as error:
        fail(str(error))
    except OSError as error:
        fail(f"{error.filename or settings.state_dir}: {error.strerror}; check the folder")
    except CannotStart as error:
        fail(str(error))
    sys.exit(status)
