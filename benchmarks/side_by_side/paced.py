"""Latency of requests on kept-alive connections at a given rate.

    python -m benchmarks.side_by_side.paced PORT REQUESTS RATE SECONDS CONNECTIONS RESULT

Open loop: a request has a time at which it is due, and its latency counts from there, so that a
server that stops for a moment is charged for all the requests it kept waiting. Prints nothing;
leaves a pickled `Latencies`.
"""

from __future__ import annotations

import gc
import pickle
import select
import socket
import sys
import time
from collections import deque
from pathlib import Path

from .visits import Latencies


def read_requests(path: Path) -> list[bytes]:
    """The requests stored by `http_load.write_requests`."""
    data, requests, at = path.read_bytes(), [], 0
    while at < len(data):
        size = int(data[at : at + 10])
        requests.append(data[at + 10 : at + 10 + size])
        at += 10 + size
    return requests


def run(
    port: int, requests: list[bytes], rate: float, seconds: float, connections: int
) -> Latencies:
    """Send `rate * seconds` requests when they are due, each on a connection that is free."""
    gc.disable()
    poll = select.epoll()
    socks: dict[int, socket.socket] = {}

    def connect() -> int:
        sock = socket.create_connection(("127.0.0.1", port))
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setblocking(False)
        socks[sock.fileno()] = sock
        poll.register(sock.fileno(), select.EPOLLIN)
        return sock.fileno()

    free = deque(connect() for _ in range(connections))
    due_at: dict[int, float] = {}
    result = Latencies([], 0)
    clock = time.perf_counter
    total, sent, began = int(rate * seconds), 0, clock()
    end = began + seconds + 5
    while sent < total or due_at:
        now = clock()
        if now > end:
            result.failures += len(due_at)
            break
        while sent < total and free and began + sent / rate <= now:
            fd = free.popleft()
            due_at[fd] = began + sent / rate
            sent += 1
            try:
                socks[fd].send(requests[sent % len(requests)])
            except ConnectionError:
                continue  # the read that follows counts it
        wait = 0.5 if sent >= total or not free else max(0.0, began + sent / rate - clock())
        # select() waits to the microsecond, epoll only to the millisecond
        select.select((poll,), (), (), wait)
        for fd, _ in poll.poll(0, 256):
            try:
                data = socks[fd].recv(65536)
            except ConnectionError:
                data = b""
            if data[9:12] == b"200" and fd in due_at:
                result.microseconds.append((clock() - due_at.pop(fd)) * 1e6)
                free.append(fd)
                continue
            # a server may close an idle connection (as on a reload); one in use it may not
            result.failures += bool(data) or fd in due_at
            due_at.pop(fd, None)
            socks.pop(fd).close()
            free = deque(other for other in free if other != fd)
            free.append(connect())
    return result


if __name__ == "__main__":
    port_, file_, rate_, seconds_, connections_, result_ = sys.argv[1:]
    found = run(
        int(port_), read_requests(Path(file_)), float(rate_), float(seconds_), int(connections_)
    )
    Path(result_).write_bytes(pickle.dumps(found))
