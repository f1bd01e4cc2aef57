"""The load generator for connections: an epoll loop over plain sockets, no cryptography.

    python -m benchmarks.side_by_side.load PLAN RESULT

It uses `_socket.socket`, the C class under `socket.socket`, because the Python layer above it
costs as much again as connect and close themselves, and the generator must not be the limit.
A non-blocking connect over loopback is complete when it returns, so the first bytes are sent
at once; where the accept queue was full the connection waits for EPOLLOUT instead.
"""

from __future__ import annotations

import _socket
import gc
import pickle
import select
import sys
import time
from collections import Counter
from pathlib import Path

from .visits import Kind, Outcome, Plan, Visit

_STREAM = _socket.SOCK_STREAM | _socket.SOCK_NONBLOCK
_IN, _OUT, _ERR = select.EPOLLIN, select.EPOLLOUT, select.EPOLLERR
_SCRATCH = bytearray(4 << 20)
STALL_SECONDS = 15.0
RAMP = 128
"""Connections begun between two looks at the answers, so that no accept queue runs over."""


class Conn:
    """One visit under way."""

    __slots__ = ("began", "buffer", "got", "left", "sent", "sock", "visit")

    def __init__(self, sock: _socket.socket, visit: Visit, began: float) -> None:
        self.sock = sock
        self.visit = visit
        self.began = began
        self.got = 0
        self.left = visit.repeat
        self.sent = False
        self.buffer = b""


class Generator:
    """Runs a plan once."""

    def __init__(self, plan: Plan, visits: list[Visit]) -> None:
        self.plan = plan
        self.visits = visits
        self.poll = select.epoll()
        self.conns: dict[int, Conn] = {}
        self.started = 0
        self.done = [0] * len(Kind)
        self.resets = self.closes = self.bytes = 0
        self.failures: Counter[str] = Counter()
        self.latency: list[float] = []
        self._targets = [
            (plan.host, plan.tls_port if kind < Kind.SERVED else plan.http_port) for kind in Kind
        ]

    def run(self) -> Outcome:
        """Carry out all visits; a stall of 15 s ends the run with what is open as failures."""
        gc.disable()
        clock = time.perf_counter
        began = clock()
        cpu = time.process_time()
        plan = self.plan
        conns = self.conns
        paced = plan.rate > 0
        interval = 1 / plan.rate if paced else 0.0
        last_event = began
        while self.started < plan.count or conns:
            timeout = 1.0
            if paced:
                now = clock()
                due = min(plan.count, int((now - began) * plan.rate) + 1)
                while self.started < due:
                    self._start(began + self.started * interval)
                if self.started < plan.count:
                    timeout = max(0.0, began + self.started * interval - clock())
            else:
                limit = min(plan.count, self.started + RAMP)
                while self.started < limit and len(conns) < plan.concurrency:
                    self._start(0.0)
                if len(conns) < plan.concurrency and self.started < plan.count:
                    timeout = 0.0
            if paced:
                # select() waits to the microsecond, epoll only to the millisecond
                select.select((self.poll,), (), (), timeout)
                timeout = 0.0
            ready = self.poll.poll(timeout, 512)
            if ready:
                last_event = clock()
            elif conns and clock() - last_event > STALL_SECONDS:
                self.failures["stalled"] += len(conns)
                break
            for fd, events in ready:
                self._event(fd, events)
        return Outcome(
            self.done, self.resets, self.closes, self.bytes, clock() - began,
            dict(self.failures), self.latency, time.process_time() - cpu,
        )  # fmt: skip

    def _start(self, due: float) -> None:
        visits = self.visits
        visit = visits[self.started % len(visits)]
        self.started += 1
        sock = _socket.socket(_socket.AF_INET, _STREAM)
        sock.connect_ex(self._targets[visit.kind])
        fd = sock.fileno()
        conn = self.conns[fd] = Conn(sock, visit, due)
        try:
            conn.sent = sock.send(visit.send) == len(visit.send)
        except BlockingIOError:
            pass
        except OSError as error:
            self._end(fd, conn, f"connect or send: {error.strerror}")
            return
        self.poll.register(fd, _IN if conn.sent else _IN | _OUT)

    def _event(self, fd: int, events: int) -> None:
        conn = self.conns.get(fd)
        if conn is None:
            return
        if not conn.sent and events & _OUT and not events & _ERR:
            conn.sent = True
            conn.sock.send(conn.visit.send)
            self.poll.modify(fd, _IN)
            return
        kind = conn.visit.kind
        try:
            if kind == Kind.REFUSED:
                self._refused(fd, conn)
            elif kind == Kind.ANSWERED:
                self._answered(fd, conn)
            elif kind == Kind.BULK:
                self._bulk(fd, conn)
            else:
                self._http(fd, conn)
        except BlockingIOError:
            return
        except OSError as error:
            self._end(fd, conn, f"{kind.name}: {error.strerror}")

    def _refused(self, fd: int, conn: Conn) -> None:
        try:
            data = conn.sock.recv(4096)
        except ConnectionResetError:
            self.resets += 1
            self._end(fd, conn)
            return
        if data:
            self._end(fd, conn, "REFUSED: bytes came back")
        else:
            self.closes += 1
            self._end(fd, conn)

    def _answered(self, fd: int, conn: Conn) -> None:
        data = conn.sock.recv(65536)
        if data:
            conn.got += len(data)
            return
        self.bytes += conn.got
        wrong = conn.got != conn.visit.expect
        self._end(fd, conn, f"ANSWERED: {conn.got} bytes" if wrong else "")

    def _bulk(self, fd: int, conn: Conn) -> None:
        while True:
            got = conn.sock.recv_into(_SCRATCH, len(_SCRATCH), _socket.MSG_TRUNC)
            if not got:
                break
            conn.got += got
        self.bytes += conn.got
        wrong = conn.got != conn.visit.expect
        self._end(fd, conn, f"BULK: {conn.got} bytes" if wrong else "")

    def _http(self, fd: int, conn: Conn) -> None:
        data = conn.sock.recv(65536)
        visit = conn.visit
        if not data:
            wrong = visit.kind == Kind.SERVED or not conn.got
            self._end(fd, conn, f"{visit.kind.name}: closed early" if wrong else "")
            return
        if conn.got:
            return
        conn.buffer = data = conn.buffer + data if conn.buffer else data
        head = data.find(b"\r\n\r\n")
        if head < 0:
            return
        if visit.kind == Kind.REDIRECTED:
            if data[9:12] != b"302":
                self._end(fd, conn, f"REDIRECTED: status {data[9:12]!r}")
                return
            conn.got = len(data)
            self.bytes += conn.got
            # a peer that keeps the connection leaves the close to the visitor
            if b"onnection: close" not in data[:head]:
                self._end(fd, conn)
            return
        if len(data) < head + 4 + visit.expect:
            return
        if data[9:12] != b"200":
            self._end(fd, conn, f"SERVED: status {data[9:12]!r}")
            return
        self.bytes += len(data)
        conn.left -= 1
        conn.buffer = b""
        if conn.left:
            conn.sock.send(visit.send)
        else:
            self._end(fd, conn)

    def _end(self, fd: int, conn: Conn, failure: str = "") -> None:
        del self.conns[fd]
        conn.sock.close()
        if failure:
            self.failures[failure] += 1
            return
        self.done[conn.visit.kind] += 1
        if conn.began:
            self.latency.append((time.perf_counter() - conn.began) * 1e6)


def main(plan_path: Path, result_path: Path) -> None:
    """Read a pickled plan and its visits, run it, leave the outcome."""
    plan = pickle.loads(plan_path.read_bytes())
    visits = pickle.loads(plan.visits.read_bytes())
    outcome = Generator(plan, visits).run()
    result_path.write_bytes(pickle.dumps(outcome))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
