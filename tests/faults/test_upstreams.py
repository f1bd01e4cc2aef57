"""Upstreams of one domain do their worst; those of another one are served as ever."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.faults.watching import FILED, watched
from tests.harness.client import Client, get
from tests.harness.gate_process import Gate, listener
from tests.harness.hello import real_hello
from tests.harness.http_origin import HttpOrigin
from tests.harness.recorder import Arrival, Recorder, echo
from tests.harness.running import fill, new_gate
from tests.harness.stream import Closed
from tests.harness.waiting import wait_for

BAD = "bad.cn"


def misbehave(arrival: Arrival) -> None:
    """Say nothing, reset, hang up, send garbage or half an answer, or answer too late."""
    rng = random.Random(arrival.number)
    kind = arrival.number % 6
    if kind == 0:
        arrival.reset()
        return
    arrival.read_some()
    if kind == 1:
        arrival.reset()
    elif kind == 2:
        arrival.send(rng.randbytes(5000))
    elif kind == 3:
        arrival.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\nhalf")
    elif kind == 4:
        time.sleep(0.6)  # the gate waits for half a second
        arrival.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
    # else: hang up


@pytest.fixture
def gate(tmp_path: Path) -> Iterator[Gate]:
    with (
        closing(HttpOrigin()) as origin,
        closing(Recorder(echo)) as raw,
        closing(Recorder(misbehave)) as bad,
    ):
        gate = new_gate(
            tmp_path,
            listeners=[listener("http", "http"), listener("tls", "tls")],
            upstreams={
                "default": {"http": [origin.address], "tls": [raw.address]},
                "routes": [
                    {"match": BAD, "upstream": {"http": [bad.address], "tls": [bad.address]}}
                ],
                "response_timeout": 0.5,
            },
        )
        fill(gate, f"{FILED.removeprefix('www.')}\n{BAD}\n")
        gate.start()
        yield gate
        gate.stop()


def test_bad_upstreams_harm_nobody_else(gate: Gate) -> None:
    statuses: set[int] = set()

    def pester() -> None:
        for number in range(36):
            try:
                if number % 3 == 0:
                    with Client(gate.ports["tls"], seconds=3) as client:
                        client.send(real_hello(BAD))
                        client.read_some()
                elif number % 3 == 1:
                    with Client(gate.ports["http"], seconds=3) as client:
                        statuses.add(client.ask(get(BAD)).status)
                else:  # leaves before the answer can come
                    with Client(gate.ports["http"]) as client:
                        client.send(get(BAD))
            except (OSError, Closed):
                continue

    pests = [threading.Thread(target=pester) for _ in range(3)]
    with watched(gate) as watch:
        for pest in pests:
            pest.start()
        for pest in pests:
            pest.join(60)
        watch.goes_on("service beside the bad upstreams")
    assert watch.broken == 0
    assert statuses <= {200, 502, 504}
    assert 302 not in statuses, "a broken upstream is never a verdict"
    assert gate.decisions(outcome="blocked", reason="filed") == 0
    wait_for(lambda: gate.total("gate_connections_open") == 0, "every connection to end", 20)
