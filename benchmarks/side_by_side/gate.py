"""The gate itself: the shipped program with one worker, everything else at its defaults.

The list is imported with `gate import` before the start, which is not part of the start time:
a replica stays on disk. All processes count: supervisor, control, and the traffic worker. A list
that changes is pushed to it in signed batches, as a registry does; the registry itself is absent.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path

from gate.changes.batch import PAYLOAD_TYPE, Batch
from gate.changes.envelope import seal
from gate.changes.keys import KeyStore
from gate.filings import Change, Filing, Status
from gate.replica import Replica

from .process import (
    BenchError,
    accepts,
    answers,
    cpu_seconds,
    holds,
    listening_inodes,
    spawn,
    wait_until,
)
from .servers import NOTICE, Front, Running, Setup, Variant

_CONFIG = """
workers: {workers}
state_dir: {folder}/state
listeners:
  - {{name: http, kind: http, address: "{listen}:{http_port}"{front}}}
  - {{name: tls, kind: tls, address: "{listen}:{tls_port}"{front}}}
upstreams:
  default:
    http: ["{host}:{http_upstream}"]
    tls: ["{host}:{tls_upstream}"]
notice:
  url: {notice}
  listen: "127.0.0.1:{notice_port}"
admin:
  listen: "127.0.0.1:{admin_port}"
"""

_TRANSPARENT = ", transparent: tproxy, destinations: [{host}]"
_FRONTS = {
    Front.DIALLED: "",
    Front.TRANSPARENT: _TRANSPARENT,
    Front.TRANSPARENT_CLIENT: f"{_TRANSPARENT}, client_source: address",
}
_SYNC = """
sync:
  registry: http://127.0.0.1:9
  pull: false
  keys: {folder}/keys/public.json
  push:
    listen: "127.0.0.1:{push_port}"
"""

_SETTLING_SECONDS = 0.5
_MOST_SETTLING_SECONDS = 20.0
_IDLE_CPU_SECONDS = 0.02

PROGRAM = str(Path(sys.executable).with_name("gate"))


def _ready(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def import_names(config: Path, names: Path) -> None:
    """Load the list into the replica. Raises BenchError when the importer refuses."""
    run = subprocess.run(
        [PROGRAM, "import", str(names), "--config", str(config)],
        capture_output=True,
        text=True,
        check=False,
    )
    if run.returncode:
        raise BenchError(f"gate import: {run.stderr.strip()[-500:]}")


def _load_names(path: Path, names: Path) -> None:
    """Fill the replica as a registry's snapshot does: under an epoch, at a revision."""
    listed = sorted(names.read_text(encoding="ascii").split())
    with closing(Replica.open(path, writable=True)) as replica:
        replica.load((Filing(x, Status.FILED, "") for x in listed), epoch="bench", revision=1)


def start(setup: Setup) -> Running:
    """Import the list and run the gate. Raises BenchError when it does not come up."""
    folder, place = setup.folder, setup.place
    if setup.front not in _FRONTS:
        raise BenchError(f"the gate has no set-up {setup.front}")
    shutil.rmtree(folder / "state", ignore_errors=True)
    (folder / "state").mkdir()
    config = folder / "gate.yaml"
    config.write_text(
        _CONFIG.format(
            workers=setup.workers,
            folder=folder,
            listen=place.listen,
            host=place.host,
            front=_FRONTS[setup.front].format(host=place.host),
            http_port=setup.http_port,
            tls_port=setup.tls_port,
            http_upstream=setup.http_upstream,
            tls_upstream=setup.tls_upstream,
            notice=NOTICE,
            notice_port=setup.spare_ports[0],
            admin_port=setup.spare_ports[1],
        ),
        encoding="utf-8",
    )
    if setup.settings:
        with config.open("a", encoding="utf-8") as file:
            file.write(setup.settings)
    if setup.variant is Variant.FED:
        KeyStore(folder / "keys").new()
        with config.open("a", encoding="utf-8") as file:
            file.write(_SYNC.format(folder=folder, push_port=setup.spare_ports[2]))
        _load_names(folder / "state" / "replica", setup.names)
    else:
        import_names(config, setup.names)
    child = spawn(
        [PROGRAM, "serve", "--config", str(config)],
        cores=set(setup.cores),
        log=folder / "gate.log",
    )
    # Its sockets listen before there is a worker, so that to be connected says nothing.
    up = answers if setup.front is Front.DIALLED else accepts
    took = wait_until(lambda: up(setup.http_port), seconds=60, what="gate", child=child)
    wait_until(lambda: _ready(setup.spare_ports[1]), seconds=60, what="gate", child=child)
    running = Running("gate", setup, child, took)
    running.worker_pids = lambda: _workers(running)
    if setup.settle:
        _settle(running)
    return running


def _settle(running: Running) -> None:
    """Wait until the supervisor has done its part of the start."""
    supervisor, began = running.pids()[0], time.monotonic()
    used = cpu_seconds(supervisor)
    while time.monotonic() < began + _MOST_SETTLING_SECONDS:
        time.sleep(_SETTLING_SECONDS)
        before, used = used, cpu_seconds(supervisor)
        if used - before < _IDLE_CPU_SECONDS:
            return


def _workers(running: Running) -> list[int]:
    """The processes that accept on the TLS port; the supervisor keeps it open but accepts none."""
    supervisor, *others = running.pids()
    sockets = listening_inodes(running.setup.tls_port, supervisor)
    return [pid for pid in others if holds(pid, sockets)]


def change(running: Running, added: Iterable[str], removed: Iterable[str]) -> None:
    """Push one signed batch, as a registry does; returns when every worker has it in force."""
    folder, now = running.setup.folder, int(time.time())
    with closing(Replica.open(folder / "state" / "replica", writable=False)) as replica:
        have = replica.position()
    if have is None:
        raise BenchError("gate: the replica is empty")
    changes = [Change(name, Status.FILED, "", now) for name in added]
    changes += [Change(name, Status.ABSENT, "", now) for name in removed]
    to = have.revision + len(changes)
    batch = Batch(have.epoch, have.revision, to, tuple(changes), to, now)
    sealed = seal(batch.encode(), PAYLOAD_TYPE, KeyStore(folder / "keys").signers())
    url = f"http://127.0.0.1:{running.setup.spare_ports[2]}/v1/push"
    with urllib.request.urlopen(urllib.request.Request(url, sealed), timeout=30) as answer:
        revision = json.load(answer)["revision"]
    if revision != to:
        raise BenchError(f"gate: revision {revision} after a push up to {to}")
