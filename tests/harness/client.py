"""A raw client: sends exactly the bytes that a test wrote, reads what comes back."""

from __future__ import annotations

import socket
import ssl
from dataclasses import dataclass
from types import TracebackType

from tests.harness.stream import SECONDS, ByteStream, Closed
from tests.harness.waiting import patience

_BODILESS = frozenset({204, 304})


@dataclass(slots=True, frozen=True)
class Response:
    """One HTTP response as it came."""

    status: int
    fields: tuple[tuple[str, str], ...]
    body: bytes
    trailers: bytes
    head: bytes

    def field(self, name: str) -> str | None:
        """The value of the field `name`; fails when there are two."""
        values = self.all(name)
        assert len(values) <= 1, f"{name} came {len(values)} times: {self.head!r}"
        return values[0] if values else None

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.fields if key == name.lower()]


class Client(ByteStream):
    """One connection to the gate."""

    def __init__(
        self,
        port: int,
        *,
        host: str = "127.0.0.1",
        source: str | None = None,
        seconds: float | None = None,
        receive_buffer: int | None = None,
    ) -> None:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        sock = socket.socket(family, socket.SOCK_STREAM)
        try:
            if receive_buffer is not None:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
            if source is not None:
                sock.bind((source, 0))
            sock.settimeout(patience(SECONDS) if seconds is None else seconds)
            sock.connect((host, port))
        except OSError:
            sock.close()
            raise
        super().__init__(sock, seconds)

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def read_head(self) -> tuple[int, tuple[tuple[str, str], ...], bytes]:
        """Read a status line and fields; nothing of the body."""
        head = self.read_until(b"\r\n\r\n")
        status_line, *lines = head[:-4].decode("latin-1").split("\r\n")
        version, status, _ = status_line.split(" ", 2)
        assert version == "HTTP/1.1", f"the gate answers as HTTP/1.1, not {status_line!r}"
        fields = []
        for line in lines:
            name, colon, value = line.partition(":")
            assert colon, f"a response line without a colon: {line!r}"
            fields.append((name.lower(), value.strip()))
        return int(status), tuple(fields), head

    def read_chunk(self) -> bytes:
        """Read one chunk of a chunked body; b"" is the last one (its trailers not yet read)."""
        size = int(self.read_until(b"\r\n").split(b";")[0], 16)
        if size == 0:
            return b""
        data = self.read_exact(size)
        assert self.read_exact(2) == b"\r\n"
        return data

    def read_trailers(self) -> bytes:
        trailers = bytearray()
        while True:
            line = self.read_until(b"\r\n")
            if line == b"\r\n":
                return bytes(trailers)
            trailers += line

    def read_response(self, method: str = "GET") -> Response:
        """Read one whole response to a request with `method`."""
        status, fields, head = self.read_head()
        values = dict(fields)
        trailers = b""
        if method == "HEAD" or status in _BODILESS or status < 200:
            body = b""
        elif values.get("transfer-encoding", "").lower() == "chunked":
            pieces = []
            while piece := self.read_chunk():
                pieces.append(piece)
            trailers = self.read_trailers()
            body = b"".join(pieces)
        elif "content-length" in values:
            body = self.read_exact(int(values["content-length"]))
        else:
            body = self.read_to_end()
        return Response(status, fields, body, trailers, head)

    def ask(self, request: bytes, method: str = "GET") -> Response:
        """Send `request`, return the response."""
        self.send(request)
        return self.read_response(method)

    def ask_over_tls(self, context: ssl.SSLContext, name: str) -> str:
        """Have a whole TLS session with certificate check; return the origin's answer."""
        with context.wrap_socket(self.sock, server_hostname=name) as tls:
            tls.sendall(b"GET /over-tls HTTP/1.1\r\nHost: x\r\n\r\n")
            answer = b""
            while b"over-tls" not in answer:
                answer += tls.recv(4096)
            return answer.partition(b"\r\n\r\n")[2].decode()

    def read_all_responses(self) -> list[Response]:
        """Read responses to GETs and POSTs until the gate closes."""
        responses: list[Response] = []
        while True:
            if not self.pending:
                try:
                    self.fill()
                except (Closed, ConnectionResetError):
                    return responses
            responses.append(self.read_response())

    def expect_end(self) -> None:
        """The gate closes in order and sends nothing more."""
        rest = self.read_to_end()
        assert rest == b"", f"expected the end of the stream, got {rest[:200]!r}"

    def expect_closed(self) -> None:
        """The gate closes, by FIN or RST, and sends nothing more."""
        try:
            self.expect_end()
        except (ConnectionResetError, BrokenPipeError):
            assert self.pending == b""

    def expect_reset(self) -> None:
        """The connection ends by RST (ECONNRESET) and not one byte came before it."""
        assert not self.received, f"bytes before the reset: {bytes(self.received[:100])!r}"
        try:
            data = self.sock.recv(65536)
        except ConnectionResetError:
            return
        except TimeoutError:
            raise AssertionError("expected a TCP RST, nothing happened") from None
        raise AssertionError(f"expected a TCP RST, got {data[:100]!r} (empty means FIN)")

    def expect_cut(self) -> None:
        """The connection ends by RST, whatever came before."""
        try:
            self.read_to_end()
        except ConnectionResetError:
            return
        raise AssertionError(f"expected a TCP RST, got FIN after {bytes(self.received[-100:])!r}")

    def expect_silence(self, seconds: float) -> None:
        """Nothing comes for `seconds`, and the connection stays open."""
        self.sock.settimeout(seconds)
        try:
            data = self.sock.recv(65536)
        except TimeoutError:
            self.sock.settimeout(patience(SECONDS))
            return
        raise AssertionError(f"expected silence, got {data[:200]!r}")


def get(host: str, target: str = "/", *lines: str, version: str = "1.1") -> bytes:
    """Build a GET request."""
    return request("GET", host, target, *lines, version=version)


def request(
    method: str, host: str, target: str, *lines: str, body: bytes = b"", version: str = "1.1"
) -> bytes:
    """Build a request head (and body); `lines` are whole field lines without their ends."""
    head = [f"{method} {target} HTTP/{version}", f"Host: {host}", *lines, "", ""]
    return "\r\n".join(head).encode("latin-1") + body
