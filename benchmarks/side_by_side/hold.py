"""Opens tunnels and leaves them idle, as told on standard input.

    python -m benchmarks.side_by_side.hold PORT COUNT

`open` dials all tunnels and waits for the upstream's greeting on each; `check` sends one byte
through each and waits for its echo; `close` ends them. Each command is answered with one line:
how many tunnels it succeeded on. The tunnels come from several loopback addresses, as visitors
do, so that a limit on one address is not what is measured.
"""

from __future__ import annotations

import select
import socket
import sys

from .hello import Answer, client_hello

GREETING = 64
STEP = 200
PER_SOURCE = 2000
_WAIT = 20.0


class Tunnels:
    """The open tunnels."""

    def __init__(self, port: int, hosts: list[str]) -> None:
        self._port = port
        self._hellos = [client_hello(host, Answer.HOLD, GREETING) for host in hosts]
        self._socks: dict[int, socket.socket] = {}
        self._poll = select.epoll()

    def open(self, count: int) -> int:
        """Dial `count` tunnels, a few hundred at a time; gives the number that were greeted."""
        ready = 0
        for start in range(0, count, STEP):
            for number in range(start, min(count, start + STEP)):
                source = f"127.0.1.{1 + number // PER_SOURCE}"
                sock = socket.create_connection(
                    ("127.0.0.1", self._port), source_address=(source, 0)
                )
                sock.sendall(self._hellos[number % len(self._hellos)])
                sock.setblocking(False)
                self._socks[sock.fileno()] = sock
                self._poll.register(sock.fileno(), select.EPOLLIN)
            ready += self._collect(min(count, start + STEP) - start, GREETING)
        return ready

    def check(self) -> int:
        """Send a byte through each tunnel; gives the number of echoes."""
        echoed = 0
        socks = list(self._socks.values())
        for start in range(0, len(socks), STEP):
            part = socks[start : start + STEP]
            for sock in part:
                sock.send(b"!")
            echoed += self._collect(len(part), 1)
        return echoed

    def _collect(self, wanted: int, size: int) -> int:
        good = 0
        while good < wanted:
            events = self._poll.poll(_WAIT)
            if not events:
                break
            for fd, _ in events:
                try:
                    data = self._socks[fd].recv(4096)
                except OSError:
                    data = b""
                if len(data) != size:
                    return good
                good += 1
        return good

    def close(self) -> int:
        """Close all tunnels; gives their number."""
        for sock in self._socks.values():
            sock.close()
        return len(self._socks)


def main(port: int, count: int, hosts: list[str]) -> None:
    """Carry out commands until `close`."""
    tunnels = Tunnels(port, hosts)
    for line in sys.stdin:
        command = line.strip()
        if command == "open":
            print(tunnels.open(count), flush=True)
        elif command == "check":
            print(tunnels.check(), flush=True)
        else:
            print(tunnels.close(), flush=True)
            return


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3].split(","))
