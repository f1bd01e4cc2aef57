"""A relay in front of a server, to be cut in the middle of an answer."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable


class Tap:
    """A TCP relay in front of a server, which can be cut after so many bytes of answers."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self.limit: int | None = None
        """Bytes of answers after which everything is cut and `on_limit` is called."""
        self.on_limit: Callable[[], None] = lambda: None
        self.passed = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        try:
            server = socket.create_connection(("127.0.0.1", self._target), 5)
        except OSError:
            client.close()
            return
        threading.Thread(target=self._copy, args=(client, server, False), daemon=True).start()
        self._copy(server, client, True)

    def _copy(self, source: socket.socket, sink: socket.socket, answers: bool) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(16_384):
                if answers and self.limit is not None:
                    if self.passed + len(data) > self.limit:
                        self.limit = None
                        self.on_limit()
                        break
                    self.passed += len(data)
                sink.sendall(data)
        for sock in (source, sink):
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()
