"""The gate itself: the shipped program with one worker, everything else at its defaults.

The list is imported with `gate import` before the start, which is not part of the start time:
a replica stays on disk. All processes count: supervisor, control, and the traffic worker.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import urllib.request
from collections.abc import Iterable
from pathlib import Path

from .process import BenchError, accepts, holds, listening_inodes, spawn, wait_until
from .servers import NOTICE, Running, Setup

_CONFIG = """
workers: {workers}
state_dir: {folder}/state
listeners:
  - {{name: http, kind: http, address: "127.0.0.1:{http_port}"}}
  - {{name: tls, kind: tls, address: "127.0.0.1:{tls_port}"}}
upstreams:
  default:
    http: ["127.0.0.1:{http_upstream}"]
    tls: ["127.0.0.1:{tls_upstream}"]
notice:
  url: {notice}
  listen: "127.0.0.1:{notice_port}"
admin:
  listen: "127.0.0.1:{admin_port}"
"""

PROGRAM = str(Path(sys.executable).with_name("gate"))


def _ready(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def import_names(config: Path, names: Path, *options: str) -> None:
    """Load the list into the replica. Raises BenchError when the importer refuses."""
    run = subprocess.run(
        [PROGRAM, "import", str(names), "--config", str(config), *options],
        capture_output=True,
        text=True,
        check=False,
    )
    if run.returncode:
        raise BenchError(f"gate import: {run.stderr.strip()[-500:]}")


def start(setup: Setup) -> Running:
    """Import the list and run the gate. Raises BenchError when it does not come up."""
    folder = setup.folder
    shutil.rmtree(folder / "state", ignore_errors=True)
    (folder / "state").mkdir()
    config = folder / "gate.yaml"
    config.write_text(
        _CONFIG.format(
            workers=setup.workers,
            folder=folder,
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
    import_names(config, setup.names)
    child = spawn(
        [PROGRAM, "serve", "--config", str(config)],
        cores=set(setup.cores),
        log=folder / "gate.log",
    )
    took = wait_until(
        lambda: accepts(setup.http_port) and _ready(setup.spare_ports[1]),
        seconds=60,
        what="gate",
        child=child,
    )
    running = Running("gate", setup, child, took)
    running.worker_pids = lambda: _workers(running)
    return running


def _workers(running: Running) -> list[int]:
    """The processes that accept on the TLS port; the supervisor keeps it open but accepts none."""
    sockets = listening_inodes(running.setup.tls_port)
    return [pid for pid in running.pids()[1:] if holds(pid, sockets)]


def change(running: Running, added: Iterable[str], removed: Iterable[str]) -> None:
    """Apply one batch of changes to the running gate with `gate import --merge`.

    The command returns when every worker has the changes in force.
    """
    batch = running.setup.folder / "changes.csv"
    lines = ["domain,licence,status"]
    lines += [f"{name},,filed" for name in added]
    lines += [f"{name},,absent" for name in removed]
    batch.write_text("\n".join(lines) + "\n", encoding="ascii")
    import_names(running.setup.folder / "gate.yaml", batch, "--merge")
