"""A recording HTTP origin that accepts canonical HTTP/1.1 only.

What the gate sends upstream is its own serialisation. The reader here is therefore
strict without mercy: anything that two HTTP implementations could read differently
(both framings, bare line ends, two Hosts, folded lines, ...) is kept as a violation, and
the suites assert that there is none.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.harness.recorder import Arrival, Recorder
from tests.harness.stream import Closed

_TOKEN = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_REQUEST_LINE = re.compile(rb"(" + _TOKEN + rb") ((?:/|\*)[!-~\x80-\xff]*) HTTP/1\.([01])")
_FIELD_LINE = re.compile(rb"(" + _TOKEN + rb"):([\t -~\x80-\xff]*)")
_CHUNK_LINE = re.compile(rb"([0-9A-Fa-f]{1,15})\r\n")
_HOST = re.compile(rb"[A-Za-z0-9._\[\]:\x80-\xff-]+")
_ONCE = (
    b"host",
    b"content-length",
    b"transfer-encoding",
    b"x-forwarded-for",
    b"x-forwarded-host",
    b"x-forwarded-proto",
    b"via",
    b"connection",
)


class Violation(Exception):
    """The upstream was sent bytes that are not one canonical HTTP/1.1 message."""


@dataclass(slots=True)
class SeenRequest:
    """One request as the origin read it."""

    method: str
    target: str
    fields: tuple[tuple[str, str], ...]
    head: bytes
    connection: int
    body: bytearray = field(default_factory=bytearray)
    trailers: bytes = b""
    complete: bool = False

    def value(self, name: str) -> str | None:
        for key, value in self.fields:
            if key == name.lower():
                return value
        return None

    @property
    def host(self) -> str:
        return self.value("host") or ""


def parse_head(head: bytes, connection: int) -> SeenRequest:
    """Read one request head that ends with an empty line. Raises Violation."""
    first, *lines = head[:-4].split(b"\r\n")
    match = _REQUEST_LINE.fullmatch(first)
    if match is None:
        raise Violation(f"request line {first!r}")
    fields: list[tuple[str, str]] = []
    for line in lines:
        line_match = _FIELD_LINE.fullmatch(line)
        if line_match is None:
            raise Violation(f"field line {line!r}")
        fields.append(
            (line_match[1].decode().lower(), line_match[2].strip(b" \t").decode("latin-1"))
        )
    names = [key.encode() for key, _ in fields]
    for once in _ONCE:
        if names.count(once) > 1:
            raise Violation(f"{once.decode()} came {names.count(once)} times in {head!r}")
    values = dict(fields)
    if match[3] == b"0":  # the version that may lack a Host, and for that alone
        if "host" in values or "transfer-encoding" in values:
            raise Violation(f"HTTP/1.0 in {head!r}")
    elif not _HOST.fullmatch(values.get("host", "").encode("latin-1")):
        raise Violation(f"host {values.get('host')!r}")
    if "content-length" in values:
        if "transfer-encoding" in values:
            raise Violation("content-length beside transfer-encoding")
        if not re.fullmatch(r"[0-9]{1,18}", values["content-length"]):
            raise Violation(f"content-length {values['content-length']!r}")
    if values.get("transfer-encoding", "chunked") != "chunked":
        raise Violation(f"transfer-encoding {values['transfer-encoding']!r}")
    return SeenRequest(
        match[1].decode(), match[2].decode("latin-1"), tuple(fields), head, connection
    )


class Exchange:
    """A request whose head has been read, and the means to answer it."""

    def __init__(self, arrival: Arrival, request: SeenRequest) -> None:
        self.arrival = arrival
        self.request = request
        length = request.value("content-length")
        self._left = int(length) if length else 0
        self._chunked = request.value("transfer-encoding") is not None
        if not self._chunked and not self._left:
            request.complete = True

    def read_piece(self) -> bytes:
        """Return the next piece of the body as it comes; b"" at its end."""
        if self.request.complete:
            return b""
        if self._chunked:
            piece = self._read_chunk()
        else:
            piece = self.arrival.read_some(self._left)
            self._left -= len(piece)
            self.request.complete = self._left == 0
        self.request.body += piece
        return piece

    def _read_chunk(self) -> bytes:
        line = self.arrival.read_until(b"\r\n")
        match = _CHUNK_LINE.fullmatch(line)
        if match is None:
            raise Violation(f"chunk size line {line!r}")
        size = int(match[1], 16)
        if size:
            data = self.arrival.read_exact(size)
            if self.arrival.read_exact(2) != b"\r\n":
                raise Violation("chunk data without its line end")
            return data
        while (trailer := self.arrival.read_until(b"\r\n")) != b"\r\n":
            if _FIELD_LINE.fullmatch(trailer[:-2]) is None:
                raise Violation(f"trailer line {trailer!r}")
            self.request.trailers += trailer
        self.request.complete = True
        return b""

    def read_body(self) -> bytes:
        """Read the rest of the body."""
        while self.read_piece():
            pass
        return bytes(self.request.body)

    def send(self, data: bytes) -> None:
        self.arrival.send(data)

    def answer(self, status: str, body: bytes, *lines: str) -> None:
        """Send a response framed by Content-Length."""
        head = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *lines, "", ""]
        self.send("\r\n".join(head).encode() + body)

    def hang_up(self) -> None:
        raise Closed("the origin hangs up")


Responder = Callable[[Exchange], None]


def answer_plainly(exchange: Exchange) -> None:
    """The answer where a test has set none: names the host and target that were asked for."""
    exchange.read_body()
    request = exchange.request
    text = f"origin: {request.method} {request.host} {request.target}".encode("latin-1")
    exchange.answer("200 OK", b"" if request.method == "HEAD" else text)


class HttpOrigin(Recorder):
    """Recording HTTP/1.1 origin; answers by the target's path."""

    def __init__(
        self,
        host: str = "127.0.0.1",
        preface: Callable[[Arrival], None] | None = None,
        *,
        port: int = 0,
    ) -> None:
        self.requests: list[SeenRequest] = []
        self.violations: list[str] = []
        self._responders: dict[str, Responder] = {}
        self._preface = preface
        super().__init__(self._converse, host, port)

    def on(self, path: str, responder: Responder) -> None:
        """Answer requests for `path` (without its query) with `responder`."""
        self._responders[path] = responder

    def about(self, token: str) -> list[SeenRequest]:
        """The requests whose target contains `token`, in the order of their arrival."""
        return [request for request in self.requests if token in request.target]

    def _converse(self, arrival: Arrival) -> None:
        if self._preface is not None:
            self._preface(arrival)
        try:
            while True:
                head = arrival.read_until(b"\r\n\r\n")
                request = parse_head(head, arrival.number)
                self.requests.append(request)
                exchange = Exchange(arrival, request)
                if "100-continue" in (request.value("expect") or ""):
                    exchange.send(b"HTTP/1.1 100 Continue\r\n\r\n")
                path = request.target.partition("?")[0]
                self._responders.get(path, answer_plainly)(exchange)
                exchange.read_body()
        except Violation as violation:
            self.violations.append(str(violation))
            raise Closed("violation") from violation
