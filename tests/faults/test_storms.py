"""Signals in storms, while every answer is compared with the truth."""

from __future__ import annotations

import os
import random
import signal
import threading
from contextlib import closing
from pathlib import Path

from tests.harness.client import Client, get
from tests.harness.http_origin import HttpOrigin
from tests.harness.waiting import wait_for
from tests.supervisor.running import fill, new_gate, status_of

TRUTH = {"example.com": 200, "a.org": 302}


def test_kills_and_reloads_never_bring_a_wrong_verdict(tmp_path: Path) -> None:
    rng = random.Random(4)
    with closing(HttpOrigin()) as origin:
        gate = new_gate(tmp_path, origin.address)
        fill(gate)
        gate.start()
        stop = threading.Event()
        wrong: list[str] = []
        right = [0]

        def ask() -> None:
            while not stop.is_set():
                for host, status in TRUTH.items():
                    try:
                        with Client(gate.ports["http"]) as client:
                            got = client.ask(get(host)).status
                    except (OSError, EOFError):
                        continue  # a killed worker's connections end with it
                    except Exception as error:
                        if type(error).__name__ == "Closed":
                            continue
                        raise
                    right[0] += got == status
                    if got != status:
                        wrong.append(f"{host}: {got}")

        asking = threading.Thread(target=ask)
        asking.start()
        try:
            assert gate.process is not None
            for _ in range(4):
                if children := gate.children():
                    os.kill(rng.choice(children), signal.SIGKILL)
                gate.process.send_signal(signal.SIGHUP)
                before = right[0]
                wait_for(lambda seen=before: right[0] > seen + 10, "service", 15)  # type: ignore[misc]
            wait_for(lambda: gate.ask_admin("/readyz")[0] == 200, "the gate to be ready", 15)
            assert {host: status_of(gate, host) for host in TRUTH} == TRUTH
        finally:
            stop.set()
            asking.join(15)
            gate.stop()
        assert wrong == []
