"""A TCP upstream that keeps every byte of every connection that reaches it."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable
from types import TracebackType

from tests.harness.stream import ByteStream, Closed
from tests.harness.waiting import patience


class Arrival(ByteStream):
    """One connection that reached an upstream."""

    def __init__(self, sock: socket.socket, number: int, peer: tuple[str, int] = ("", 0)) -> None:
        super().__init__(sock, seconds=patience(30.0))
        self.peer = peer
        """Who it comes from, as the upstream sees it."""
        self.at: tuple[str, int] = sock.getsockname()[:2] if peer[0] else ("", 0)
        """Which of the upstream's addresses it was sent to."""
        self.number = number
        self.ended = threading.Event()
        self.end: str = ""


Handler = Callable[[Arrival], None]


class Recorder:
    """Listens on loopback, runs `handler` in a thread for each connection."""

    def __init__(self, handler: Handler, host: str = "127.0.0.1", port: int = 0) -> None:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._listener = socket.create_server((host, port), family=family, backlog=1024)
        self.host = host
        self.port: int = self._listener.getsockname()[1]
        self.handler = handler
        self.arrivals: list[Arrival] = []
        self._accepting = threading.Thread(target=self._accept, daemon=True)
        self._accepting.start()

    @property
    def address(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def _accept(self) -> None:
        while True:
            try:
                sock, peer = self._listener.accept()
            except OSError:
                return
            arrival = Arrival(sock, len(self.arrivals), peer[:2])
            self.arrivals.append(arrival)
            threading.Thread(target=self._serve, args=(arrival,), daemon=True).start()

    def _serve(self, arrival: Arrival) -> None:
        try:
            self.handler(arrival)
            arrival.end = "done"
        except (Closed, OSError) as error:
            arrival.end = type(error).__name__
        finally:
            with contextlib.suppress(OSError):
                arrival.sock.close()
            arrival.ended.set()

    def saw(self, needle: bytes) -> bool:
        """Whether `needle` is among the bytes of any connection so far."""
        return any(needle in arrival.received for arrival in self.arrivals)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for arrival in self.arrivals:
            with contextlib.suppress(OSError):
                arrival.sock.shutdown(socket.SHUT_RDWR)

    def __enter__(self) -> Recorder:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def echo(arrival: Arrival) -> None:
    """Send back what comes; b"<fin>" at the client's FIN. b"<reset>", b"<finish>": obeyed."""
    while True:
        try:
            data = arrival.read_some()
        except Closed:
            arrival.send(b"<fin>")
            return
        if data == b"<reset>":
            arrival.reset()
            return
        if data == b"<finish>":
            arrival.finish()
            continue
        arrival.send(data)


def swallow(arrival: Arrival) -> None:
    """Read for ever, answer nothing."""
    while True:
        arrival.read_some()
