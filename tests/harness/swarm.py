"""Many connections at a time, driven from one thread by epoll: load, not conversation."""

from __future__ import annotations

import os
import select
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path


class Fanout:
    """An upstream for load: one thread, epoll, no recording.

    `reply(data)` is what is sent for each read; an empty reply sends nothing.
    """

    def __init__(self, reply: Callable[[bytes], bytes]) -> None:
        self._reply = reply
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=4096)
        self._listener.setblocking(False)
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self._stop_reader, self._stop_writer = os.pipe()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        self.open = 0

    def _run(self) -> None:
        epoll = select.epoll()
        listener = self._listener.fileno()
        epoll.register(listener, select.EPOLLIN)
        epoll.register(self._stop_reader, select.EPOLLIN)
        peers: dict[int, socket.socket] = {}
        while True:
            for fd, _ in epoll.poll():
                if fd == self._stop_reader:
                    for peer in peers.values():
                        peer.close()
                    return
                if fd == listener:
                    self._take(epoll, peers)
                    continue
                peer = peers[fd]
                try:
                    data = peer.recv(65536)
                    if data and (answer := self._reply(data)):
                        peer.setblocking(True)
                        peer.sendall(answer)
                        peer.setblocking(False)
                except BlockingIOError:
                    continue
                except OSError:
                    data = b""
                if not data:
                    epoll.unregister(fd)
                    peers.pop(fd).close()
                self.open = len(peers)

    def _take(self, epoll: select.epoll, peers: dict[int, socket.socket]) -> None:
        while True:
            try:
                peer, _ = self._listener.accept()
            except BlockingIOError:
                return
            peer.setblocking(False)
            peers[peer.fileno()] = peer
            epoll.register(peer.fileno(), select.EPOLLIN)

    def close(self) -> None:
        os.write(self._stop_writer, b"x")
        self._thread.join(5)
        self._listener.close()


class Swarm:
    """`count` client connections to one port."""

    def __init__(self, port: int, count: int, *, sources: int = 1) -> None:
        self.sockets: list[socket.socket] = []
        for number in range(count):
            sock = socket.socket()
            if sources > 1:
                # One address in 127/8 each, so that per-address limits see many clients.
                rest = 2 + number % sources
                sock.setsockopt(socket.IPPROTO_IP, socket.IP_BIND_ADDRESS_NO_PORT, 1)
                sock.bind((f"127.1.{rest >> 8}.{rest & 255}", 0))
            sock.settimeout(20)
            sock.connect(("127.0.0.1", port))
            self.sockets.append(sock)

    def exchange(self, message: bytes, answer_size: int, seconds: float = 30) -> list[bytes]:
        """Send `message` on every connection and collect `answer_size` bytes from each.

        Returns the answers in the order of the connections; a short one means that the
        connection ended early.
        """
        epoll = select.epoll()
        answers = {sock.fileno(): bytearray() for sock in self.sockets}
        for sock in self.sockets:
            sock.sendall(message)
            sock.setblocking(False)
            epoll.register(sock.fileno(), select.EPOLLIN)
        by_fd = {sock.fileno(): sock for sock in self.sockets}
        waiting = len(self.sockets)
        deadline = time.monotonic() + seconds
        while waiting and time.monotonic() < deadline:
            for fd, _ in epoll.poll(1.0):
                try:
                    data = by_fd[fd].recv(65536)
                except ConnectionResetError:
                    data = b""
                answers[fd] += data
                if not data or len(answers[fd]) >= answer_size:
                    epoll.unregister(fd)
                    waiting -= 1
        epoll.close()
        for sock in self.sockets:
            sock.settimeout(20)
        return [bytes(answers[sock.fileno()]) for sock in self.sockets]

    def close(self) -> None:
        for sock in self.sockets:
            sock.close()
        self.sockets.clear()


class Sparse:
    """A file of `size` zero bytes that takes no room on disk: the source for sendfile."""

    def __init__(self, directory: Path, size: int) -> None:
        self.size = size
        self._fd = os.open(directory / "sparse", os.O_RDWR | os.O_CREAT)
        os.ftruncate(self._fd, size)

    def send(self, sock: socket.socket) -> None:
        """Send all of it; no byte passes through this process."""
        sock.settimeout(60)
        offset = 0
        while offset < self.size:
            # Python's sendfile() wants a blocking descriptor; with a timeout set it is not.
            try:
                offset += os.sendfile(sock.fileno(), self._fd, offset, self.size - offset)
            except BlockingIOError:
                select.select([], [sock], [], 60)

    def close(self) -> None:
        os.close(self._fd)


def discard(sock: socket.socket, size: int) -> int:
    """Read `size` bytes, or up to the end, without copying them out of the kernel."""
    sock.settimeout(60)
    scratch = bytearray(1 << 20)
    total = 0
    while total < size:
        # MSG_TRUNC on a TCP socket drops the bytes instead of copying them; see tcp(7).
        count = sock.recv_into(scratch, min(len(scratch), size - total), socket.MSG_TRUNC)
        if not count:
            break
        total += count
    return total
