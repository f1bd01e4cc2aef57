"""The upstream for TLS and for POST bodies: one epoll loop, as few system calls as can be.

    python -m benchmarks.side_by_side.upstream ADDRESS TLS_PORT SINK_PORT COUNTERS

A TLS client of ours says in its hello what it wants (see `hello`): so many bytes and a close,
a bulk transfer, or a connection that stays. Bodies that are posted are counted and dropped in
the kernel (MSG_TRUNC). Nothing is decrypted: a proxy that passes TLS through does not notice.
"""

from __future__ import annotations

import re
import select
import socket
import sys
from pathlib import Path

from .counters import CounterFile, Counts
from .hello import Answer, read_answer

BACKLOG = 8192
BLOCK = bytes(range(256)) * 4096
_SCRATCH = bytearray(4 << 20)
_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*(\d+)", re.IGNORECASE)
_REPLY = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 3\r\n\r\nok\n"
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


def listen(address: str, port: int) -> socket.socket:
    """A listener that hands over a connection once its first bytes are there."""
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT, 5)
    listener.bind((address, port))
    listener.listen(BACKLOG)
    listener.setblocking(False)
    return listener


class Upstream:
    """All connections of the upstream process."""

    def __init__(self, address: str, tls_port: int, sink_port: int, counters: Path) -> None:
        self.counts = Counts()
        self._file = CounterFile(counters)
        self._poll = select.epoll()
        self._tls = listen(address, tls_port)
        self._sink = listen(address, sink_port)
        self._poll.register(self._tls.fileno(), select.EPOLLIN)
        self._poll.register(self._sink.fileno(), select.EPOLLIN)
        self._fresh: dict[int, socket.socket] = {}
        self._held: dict[int, socket.socket] = {}
        self._bulk: dict[int, tuple[socket.socket, int]] = {}
        self._posting: dict[int, tuple[socket.socket, int]] = {}

    def run(self) -> None:
        """Serve until killed."""
        tls, sink = self._tls.fileno(), self._sink.fileno()
        while True:
            for fd, events in self._poll.poll():
                if fd == tls:
                    self._accept(self._tls, self._first_bytes)
                elif fd == sink:
                    self._accept(self._sink, self._first_post)
                elif fd in self._posting:
                    self._post(fd)
                elif fd in self._bulk:
                    self._send_bulk(fd, events)
                elif fd in self._held:
                    self._echo(fd)
                elif fd in self._fresh:
                    self._first_bytes(self._fresh.pop(fd))
            self._file.publish(self.counts)

    def _accept(self, listener: socket.socket, handler: object) -> None:
        assert callable(handler)
        for _ in range(128):
            try:
                conn, _peer = listener.accept()
            except BlockingIOError:
                return
            conn.setblocking(False)
            self.counts.connections += 1
            handler(conn)

    def _close(self, conn: socket.socket) -> None:
        conn.close()

    def _first_bytes(self, conn: socket.socket) -> None:
        fd = conn.fileno()
        try:
            hello = conn.recv(65536)
        except BlockingIOError:
            self._fresh[fd] = conn
            self._poll.register(fd, select.EPOLLIN)
            return
        except OSError:
            hello = b""
        answer = read_answer(hello) if hello else None
        if answer is None:
            # a readiness probe connects and closes; anything else is a fault of the proxy
            self.counts.strange += bool(hello)
            self._close(conn)
            return
        code, size = answer
        if code == Answer.SHORT:
            conn.send(BLOCK[:size])
            self.counts.short += 1
            self._close(conn)
        elif code == Answer.BULK:
            self._bulk[fd] = (conn, size << 20)
            self._poll.register(fd, select.EPOLLOUT)
        else:
            conn.send(BLOCK[:size])
            self.counts.held += 1
            self._held[fd] = conn
            self._poll.register(fd, select.EPOLLIN)

    def _send_bulk(self, fd: int, events: int) -> None:
        conn, left = self._bulk[fd]
        try:
            while left:
                sent = conn.send(memoryview(BLOCK)[: min(left, len(BLOCK))])
                left -= sent
                self.counts.bulk_bytes += sent
        except BlockingIOError:
            self._bulk[fd] = (conn, left)
            return
        except OSError:
            self.counts.strange += 1
        del self._bulk[fd]
        self._close(conn)

    def _echo(self, fd: int) -> None:
        conn = self._held[fd]
        try:
            data = conn.recv(4096)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            del self._held[fd]
            self._close(conn)
            return
        conn.send(data)
        self.counts.echoes += 1

    def _first_post(self, conn: socket.socket) -> None:
        fd = conn.fileno()
        conn.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._posting[fd] = (conn, 0)
        self._poll.register(fd, select.EPOLLIN)
        self._post(fd)

    def _post(self, fd: int) -> None:
        conn, left = self._posting[fd]
        try:
            while True:
                if left:
                    taken = conn.recv_into(_SCRATCH, min(left, len(_SCRATCH)), socket.MSG_TRUNC)
                    self.counts.post_bytes += taken
                    left -= taken
                    if taken and not left:
                        conn.send(_REPLY)
                        self.counts.posts += 1
                else:
                    head = conn.recv(65536)
                    taken = len(head)
                    if taken:
                        left = self._length(conn, head)
                if not taken:
                    break
        except BlockingIOError:
            self._posting[fd] = (conn, left)
            return
        except OSError:
            pass
        del self._posting[fd]
        self._close(conn)

    def _length(self, conn: socket.socket, head: bytes) -> int:
        """Body bytes still to come after this read, which must hold the whole head."""
        end = head.find(b"\r\n\r\n")
        found = _LENGTH.search(head, 0, end + 2)
        if end < 0 or found is None:
            self.counts.strange += 1
            raise OSError("a head that this sink does not take")
        if re.search(rb"\r\nexpect:[ \t]*100-continue", head, re.IGNORECASE):
            conn.send(_CONTINUE)
        got = len(head) - end - 4
        self.counts.post_bytes += got
        left = int(found.group(1)) - got
        if left == 0:
            conn.send(_REPLY)
            self.counts.posts += 1
        return left


if __name__ == "__main__":
    Upstream(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4])).run()
