"""Signals in storms, while every answer is compared with the truth."""

from __future__ import annotations

import os
import random
import signal
import time

from tests.faults.watching import watched
from tests.harness.gate_process import Gate
from tests.harness.running import fill, log_of
from tests.harness.waiting import wait_for

MIX = (signal.SIGHUP, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)


def is_ready(gate: Gate) -> bool:
    return gate.ask_admin("/readyz")[0] == 200


def test_kills_and_reloads_never_bring_a_wrong_verdict(gate: Gate) -> None:
    rng = random.Random(4)
    with watched(gate) as watch:
        assert gate.process is not None
        for _ in range(3):
            os.kill(rng.choice(gate.children()), signal.SIGKILL)
            gate.process.send_signal(signal.SIGHUP)
            watch.goes_on("service")
        wait_for(lambda: is_ready(gate), "the gate to be ready", 30)


def test_a_storm_of_signals_ends_in_one_calm_gate(gate: Gate) -> None:
    rng = random.Random(6)
    with watched(gate) as watch:
        assert gate.process is not None
        before = set(gate.children())
        for _ in range(60):
            gate.process.send_signal(rng.choice(MIX))
            time.sleep(rng.uniform(0, 0.02))
        count = log_of(gate).count("reloaded")
        gate.process.send_signal(signal.SIGHUP)
        wait_for(lambda: log_of(gate).count("reloaded") > count, "the last reload", 60)
        wait_for(lambda: is_ready(gate), "the gate to be ready", 60)
        watch.goes_on("service")
        wait_for(
            lambda: len(gate.children()) == 3 and not before & set(gate.children()),
            "the replaced processes to end",
            60,
        )
        fill(gate, "example.com\nexample.net\n")  # returns when it is in force everywhere
    assert watch.broken == 0, "no connection breaks for a reload or an upgrade"


def test_a_stop_in_the_middle_of_a_storm_is_a_stop(gate: Gate) -> None:
    process = gate.process
    assert process is not None
    children = gate.children()
    for number in (*MIX, signal.SIGTERM, *MIX):
        process.send_signal(number)
    assert process.wait(30) == 0
    assert not any(os.path.exists(f"/proc/{pid}") for pid in children)
    gate.start()
