"""A recording TLS origin: keeps the raw bytes, and speaks TLS over them."""

from __future__ import annotations

import ssl

from tests.harness.certificates import Certificates
from tests.harness.recorder import Arrival, Recorder
from tests.harness.stream import Closed


class TlsOrigin(Recorder):
    """After the handshake it answers each request head with the server name that it saw.

    `server_names` holds what OpenSSL itself understood as the server name, one for each
    ClientHello, None where there was none.
    """

    def __init__(
        self,
        certificates: Certificates,
        host: str = "127.0.0.1",
        *,
        group: str = "",
        port: int = 0,
    ) -> None:
        """`group` is the only one that it exchanges keys in, if it is not to be any."""
        self._context = certificates.server_context()
        if group:
            self._context.set_ecdh_curve(group)
        self._context.set_alpn_protocols(["http/1.1"])
        self._context.sni_callback = self._note_name
        self.server_names: list[str | None] = []
        super().__init__(self._converse, host, port)

    def _note_name(self, _: ssl.SSLObject, name: str | None, __: ssl.SSLContext) -> None:
        self.server_names.append(name)

    def _converse(self, arrival: Arrival) -> None:
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = self._context.wrap_bio(incoming, outgoing, server_side=True)

        def flush() -> None:
            data = outgoing.read()
            if data:
                arrival.send(data)

        def handshake() -> None:
            while True:
                try:
                    tls.do_handshake()
                    flush()
                    return
                except ssl.SSLWantReadError:
                    flush()
                    incoming.write(arrival.read_some())

        def read() -> bytes:
            while True:
                try:
                    return tls.read(65536)
                except ssl.SSLWantReadError:
                    flush()
                    incoming.write(arrival.read_some())

        try:
            handshake()
            head = b""
            while data := read():
                head += data
                while b"\r\n\r\n" in head:
                    asked, _, head = head.partition(b"\r\n\r\n")
                    target = asked.split(b" ")[1].decode()
                    text = f"tls origin: {self.server_names[-1]} {target}".encode()
                    tls.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(text) + text)
                    flush()
        except ssl.SSLError as error:
            flush()
            raise Closed(str(error)) from error
