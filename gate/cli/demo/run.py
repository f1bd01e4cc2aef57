"""Puts the demo together: settings, an origin beside the gate, and what to try."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path

from gate.cli.demo.origin import DemoOrigin, run_origin
from gate.registry.bulk.importing import import_file
from gate.registry.opening import open_registry
from gate.registry.places import Places
from gate.registry.registry import LOCAL
from gate.settings import Settings, load
from gate.supervisor import serve
from gate.supervisor.child import ProcessRole
from gate.supervisor.sockets import Ports

FILED = "www.example.com"
UNFILED = "www.example.org"
_LATER = "example.org"
_STATE_DIR = Path(".run")


def demo_settings(origin: DemoOrigin) -> Settings:
    """Loopback ports in front of `origin`; the environment wins. Raises ConfigError."""
    http, tls = (f"127.0.0.1:{sock.getsockname()[1]}" for sock in (origin.http, origin.https))
    return load(
        None,
        base={
            "listeners": [
                {"name": "http", "kind": "http", "address": "127.0.0.1:8080"},
                {"name": "tls", "kind": "tls", "address": "127.0.0.1:8443"},
            ],
            "upstreams": {"default": {"http": [http], "tls": [tls]}},
            "process": {"drain_seconds": 2.0},
        },
    )


def fill_registry(settings: Settings, filings: Path) -> None:
    """Put a file of filings into the registry that the demo runs; what is there stays.

    Raises RegistryError or OSError.
    """
    registry = open_registry(Places.of(settings.registry, settings.state_dir), settings.registry)
    try:
        for _ in import_file(registry, filings, actor=LOCAL):
            pass
    finally:
        registry.database.close()


def run_demo(settings: Settings, origin: DemoOrigin) -> int:
    """Run the gate and the origin until told to stop; the exit status. Raises CannotStart."""
    role = ProcessRole("demo-origin", partial(run_origin, origin), carries_traffic=False)
    return serve(
        settings,
        lambda: demo_settings(origin),
        more_roles=[role],
        on_ready=lambda ports: print(_try_this(ports, settings), flush=True),
    )


def _try_this(ports: Ports, settings: Settings) -> str:
    found = ports.describe()
    http, tls = found["http"], found["tls"]
    host, _, port = tls.rpartition(":")

    def https(name: str) -> str:
        return f"curl -ik --resolve {name}:{port}:{host} https://{name}:{port}/"

    def registry(command: str) -> str:
        where = "" if settings.state_dir == _STATE_DIR else f" --state-dir {settings.state_dir}"
        return f"{sys.argv[0]} registry {command}{where}"

    return f"""
The gate is running. Filed: example.com and every name below it. Try, in another terminal:

  # filed, HTTP: 200 from the origin
  curl -i -H 'Host: {FILED}' http://{http}/

  # unfiled, HTTP: 302 to the notice page
  curl -i -H 'Host: {UNFILED}' http://{http}/

  # filed, HTTPS: 200 from the origin, with the origin's own certificate
  {https(FILED)}

  # unfiled, HTTPS: connection reset
  {https(UNFILED)}

  # file a new service: {UNFILED} passes from now on, over HTTP and HTTPS
  {registry(f"file {_LATER} --account demo --subject 京ICP备12345678号 --approve --generate")}

  # cancel it again: {UNFILED} is blocked at once, as revoked
  {registry(f"cancel service {_LATER} --reason demo --yes")}

Notice page  http://{found.get("notice", "-")}/?domain={UNFILED}&reason=unfiled
Metrics      http://{found["admin"]}/metrics
Ctrl-C stops everything.
"""
