"""A UDP upstream that keeps every datagram, and a client's socket with a deadline."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Any

from tests.harness.waiting import wait_for

Answer = Callable[[bytes], list[bytes]]
"""What an upstream sends back for a datagram."""


def silent(datagram: bytes) -> list[bytes]:
    """Answer nothing."""
    return []


def echo(datagram: bytes) -> list[bytes]:
    """Send back what came."""
    return [datagram]


class DatagramRecorder:
    """Listens on loopback UDP; `arrivals` has (sender, datagram) in the order of arrival."""

    def __init__(self, answer: Answer = silent, host: str = "127.0.0.1", port: int = 0) -> None:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.sock = socket.socket(family, socket.SOCK_DGRAM)
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        self.sock.bind((host, port))
        self.host = host
        self.port: int = self.sock.getsockname()[1]
        self.answer = answer
        self.arrivals: list[tuple[Any, bytes]] = []
        threading.Thread(target=self._serve, daemon=True).start()

    @property
    def address(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def datagrams(self) -> list[bytes]:
        """What came, whoever sent it."""
        return [datagram for _, datagram in self.arrivals]

    @property
    def senders(self) -> list[Any]:
        """Who sent, each once, in the order of their first datagrams."""
        return list(dict.fromkeys(sender for sender, _ in self.arrivals))

    def of(self, sender: Any, *, since: int = 0) -> list[bytes]:
        """What one sender has sent, without the first so many arrivals.

        The port of a flow that has ended may be that of another one later.
        """
        return [datagram for other, datagram in list(self.arrivals)[since:] if other == sender]

    def _serve(self) -> None:
        while True:
            try:
                datagram, sender = self.sock.recvfrom(65536)
            except OSError:
                return
            if not datagram:
                return
            self.arrivals.append((sender, datagram))
            for reply in self.answer(datagram):
                with contextlib.suppress(OSError):
                    self.sock.sendto(reply, sender)

    def wait_for(self, count: int, seconds: float = 10.0) -> list[bytes]:
        """The datagrams, once there are `count`."""
        wait_for(lambda: len(self.arrivals) >= count, f"{count} datagrams", seconds)
        return self.datagrams

    def sender_of(self, datagram: bytes) -> Any:
        """Who sent a datagram, once it is there."""
        wait_for(lambda: datagram in self.datagrams, "a datagram at the upstream")
        return next(sender for sender, other in self.arrivals if other == datagram)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self.sock.shutdown(socket.SHUT_RDWR)
        self.sock.close()


class DatagramClient:
    """A client's UDP socket, connected to a gate's port."""

    def __init__(
        self, port: int, *, host: str = "127.0.0.1", source: str = "", seconds: float = 5.0
    ) -> None:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.sock = socket.socket(family, socket.SOCK_DGRAM)
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        if source:
            self.sock.bind((source, 0))
        self.sock.connect((host, port))
        self.sock.settimeout(seconds)

    def send(self, *datagrams: bytes) -> None:
        for datagram in datagrams:
            self.sock.send(datagram)

    def receive(self) -> bytes:
        """The next datagram; fails the test if none comes."""
        try:
            return self.sock.recv(65536)
        except TimeoutError:
            raise AssertionError("no datagram came") from None

    def drain(self, seconds: float) -> list[bytes]:
        """All that comes until there is silence for so long."""
        found = []
        self.sock.settimeout(seconds)
        with contextlib.suppress(TimeoutError, ConnectionRefusedError):
            while True:
                found.append(self.sock.recv(65536))
        return found

    def close(self) -> None:
        self.sock.close()

    def __enter__(self) -> DatagramClient:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
