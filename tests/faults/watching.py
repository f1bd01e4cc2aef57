"""Clients that ask a gate all the time, and hold every answer against the truth.

A client that gets no answer has seen no verdict: what is wrong is an answer that must not be. A
reset of a filed TLS name may be either, so there the gate's own count of decisions is asked.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from tests.harness.client import Client, get
from tests.harness.gate_process import Gate
from tests.harness.hello import real_hello
from tests.harness.stream import Closed
from tests.harness.waiting import wait_for

FILED, UNFILED = "www.example.com", "a.org"


@dataclass(slots=True)
class Watch:
    """What the clients of one gate have seen."""

    gate: Gate
    right: dict[str, int] = field(default_factory=lambda: dict.fromkeys(("http", "tls"), 0))
    wrong: list[str] = field(default_factory=list)
    broken: int = 0
    """Connections without an answer."""
    stop: threading.Event = field(default_factory=threading.Event)

    def ask_http(self) -> None:
        """302 for what nobody filed, the origin's 200 for what is filed."""
        while not self.stop.is_set():
            for host, status in ((FILED, 200), (UNFILED, 302)):
                try:
                    with Client(self.gate.ports["http"]) as client:
                        got = client.ask(get(host)).status
                except (OSError, Closed):
                    self._break()
                    continue
                if got == status:
                    self.right["http"] += 1
                elif got in (200, 302):
                    self.wrong.append(f"{host}: {got}")
                else:
                    self._break()

    def ask_tls(self) -> None:
        """The echo of the hello for what is filed, never a byte for what nobody filed."""
        while not self.stop.is_set():
            for host, passes in ((FILED, True), (UNFILED, False)):
                data = b""
                try:
                    with Client(self.gate.ports["tls"]) as client:
                        client.send(real_hello(host))
                        data = client.read_some()
                except ConnectionRefusedError:
                    self._break()
                    continue
                except (OSError, Closed):
                    if passes:
                        self._break()
                        continue
                if bool(data) is passes:
                    self.right["tls"] += 1
                else:
                    self.wrong.append(f"{host}: {data!r}")

    def _break(self) -> None:
        self.broken += 1
        self.stop.wait(0.01)

    def goes_on(self, what: str, seconds: float = 30.0) -> None:
        """Wait until both kinds of clients get right answers once more."""
        before = dict(self.right)
        wait_for(lambda: all(self.right[kind] > before[kind] + 4 for kind in before), what, seconds)

    def blocked_names(self) -> str:
        """The names that the gate itself says that it has blocked."""
        status, text = self.gate.ask_admin("/v1/unfiled.csv")
        return text if status == 200 else ""


@contextmanager
def watched(gate: Gate) -> Iterator[Watch]:
    """Have a running gate watched; fails for any wrong verdict."""
    watch = Watch(gate)
    threads = [threading.Thread(target=ask) for ask in (watch.ask_http, watch.ask_tls)]
    for thread in threads:
        thread.start()
    try:
        watch.goes_on("the first answers")
        yield watch
        watch.goes_on("service after it all")
        wait_for(lambda: UNFILED in watch.blocked_names(), "the gate's own record", 20)
        assert FILED not in watch.blocked_names()
    finally:
        watch.stop.set()
        for thread in threads:
            thread.join(20)
    assert watch.wrong == []
